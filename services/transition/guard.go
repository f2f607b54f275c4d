package transition

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// guards asks the rules service. It fails closed: without an answer nothing passes.
type guards struct {
	client *client.Client
	// slots bounds how many requests wait for the rules service at once, and breaker ends the
	// waiting for one that does not answer: firings without guards need room, and those of the
	// same instance stand behind whoever waits.
	slots   chan struct{}
	breaker *gobreaker.TwoStepCircuitBreaker[any]
	timeout time.Duration
}

const (
	// guardAttempts: a copy that was killed with the request in hand answers nobody.
	guardAttempts = 2
	// silences in a row open the breaker; then one request each pause tries again.
	silences     = 3
	breakerPause = 500 * time.Millisecond
)

func newGuards(c *client.Client, slots int, timeout time.Duration) *guards {
	return &guards{
		client: c, slots: make(chan struct{}, max(slots, 1)), timeout: timeout,
		breaker: gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
			Name: "rules", MaxRequests: 1, Timeout: breakerPause,
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= silences },
			// Only silence counts: whatever is answered at once holds nobody up.
			IsSuccessful: func(err error) bool { return !errors.Is(err, fault.Timeout) },
		}),
	}
}

// ask asks the rules service something that changes nothing. Whatever keeps it from
// answering in time becomes fault.RulesMissing.
func ask[Req, Rep any](ctx context.Context, g *guards, call func(context.Context, Req) (Rep, error), request Req) (Rep, error) {
	var reply Rep
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	default:
		return reply, fault.New(fault.RulesMissing, "too many requests wait for the rules service already; nothing was changed, try again")
	}
	done, err := g.breaker.Allow()
	if err != nil {
		return reply, fault.New(fault.RulesMissing, "the rules service has not answered for a while; nothing was changed, try again").Because(err)
	}
	defer func() { done(err) }()
	for range guardAttempts {
		attempt, cancel := context.WithTimeout(ctx, g.timeout/guardAttempts)
		reply, err = call(attempt, request)
		cancel()
		if !errors.Is(err, fault.Timeout) || ctx.Err() != nil {
			break
		}
	}
	if ctx.Err() != nil {
		return reply, ctx.Err()
	}
	if err != nil && fault.From(err).Code.Status() >= fault.Overloaded.Status() {
		return reply, fault.New(fault.RulesMissing, "the rules service gives no answer at the moment; nothing was changed, try again").Because(err)
	}
	return reply, err
}

// permit asks the guards of a firing in the state that it would be committed upon. It
// returns what the event says of them: the version of each rule. It fails with
// fault.RuleRejected, fault.RulesMissing, and as Decide would.
func (s *Service) permit(ctx context.Context, v *bus.Version, state *wire.State, cmd petri.Command, transitionID string) (json.RawMessage, error) {
	t, ok := v.Net.Transition(transitionID)
	if !ok || !t.Guarded() {
		return nil, nil
	}
	binding, err := petri.Bind(v.Net, state, cmd, s.committer.Limits())
	if err != nil {
		return nil, err
	}
	reply, err := ask(ctx, s.guards, s.guards.client.RuleGuard, &wire.RuleGuardRequest{
		Instance: wire.Snapshot{State: *state}, Firings: []wire.GuardFiring{guardFiring(transitionID, binding)},
	})
	if err != nil {
		return nil, err
	}
	if len(reply.Outcomes) != 1 {
		return nil, fault.New(fault.Internal, "the rules service answered for %d firings, not for one", len(reply.Outcomes))
	}
	outcome := reply.Outcomes[0]
	if !outcome.Passed {
		return nil, rejected(transitionID, outcome.RuleResults)
	}
	versions := map[string]int{}
	for _, r := range outcome.RuleResults {
		if r.Version > 0 {
			versions[r.RuleID] = r.Version
		}
	}
	if len(versions) == 0 {
		return nil, nil
	}
	return json.Marshal(versions)
}

func guardFiring(transitionID string, b *petri.Binding) wire.GuardFiring {
	firing := wire.GuardFiring{TransitionID: transitionID, Consumed: make([]string, len(b.Consumed))}
	for i, t := range b.Consumed {
		firing.Consumed[i] = t.ID
	}
	// What the first token carries itself need not be sent twice.
	if !bytes.Equal(b.Data, b.Consumed[0].Data) {
		firing.Data = b.Data
	}
	if !bytes.Equal(b.Metadata, b.Consumed[0].Metadata) {
		firing.Metadata = b.Metadata
	}
	return firing
}

// rejected is the refusal of a firing, with what every rule said.
func rejected(transitionID string, results []wire.RuleResult) error {
	return fault.New(fault.RuleRejected, "%s: %s", transitionID, objections(results)).
		With("transition_id", transitionID).With("rule_results", results)
}

// objections is one sentence of the rules that did not pass.
func objections(results []wire.RuleResult) string {
	var said []string
	for _, r := range results {
		switch {
		case r.Passed:
		case r.RuleID == wire.ReservedRuleID:
			said = append(said, "its condition did not pass: "+r.Explanation)
		default:
			said = append(said, "rule "+r.RuleID+" did not pass: "+r.Explanation)
		}
	}
	return strings.Join(said, "; ")
}

// weigh asks the guards of all transitions that the net enables, together, and puts
// what they say into the results. Without a rules service guarded transitions are not
// enabled, and say why.
func (s *Service) weigh(ctx context.Context, v *bus.Version, state *wire.State, tokenID string, results []wire.AvailableTransition) error {
	// An instance and the documents that one firing carries on fit into a message; those of
	// several need not.
	size, most := documents(state), int(s.bus.NC.MaxPayload())/2
	batch := guardBatch{service: s, state: state}
	for i := range results {
		result := &results[i]
		t, ok := v.Net.Transition(result.TransitionID)
		if !ok || !t.Guarded() || !result.Enabled {
			continue
		}
		binding, err := petri.Bind(v.Net, state, petri.Fire{TokenID: tokenID, TransitionID: t.ID}, s.committer.Limits())
		if err != nil {
			return err
		}
		firing := guardFiring(t.ID, binding)
		if more := len(firing.Data) + len(firing.Metadata); len(batch.firings) > 0 && size+batch.bytes+more > most {
			if err := batch.ask(ctx); err != nil {
				return err
			}
		}
		batch.add(result, firing)
	}
	return batch.ask(ctx)
}

func documents(state *wire.State) int {
	n := 0
	for i := range state.Tokens {
		n += len(state.Tokens[i].Data) + len(state.Tokens[i].Metadata)
	}
	return n
}

// guardBatch are firings whose guards are asked together.
type guardBatch struct {
	service *Service
	state   *wire.State
	firings []wire.GuardFiring
	results []*wire.AvailableTransition
	bytes   int
}

func (b *guardBatch) add(result *wire.AvailableTransition, firing wire.GuardFiring) {
	b.firings, b.results = append(b.firings, firing), append(b.results, result)
	b.bytes += len(firing.Data) + len(firing.Metadata)
}

// ask asks the guards, puts what they say into the results, and empties the batch.
func (b *guardBatch) ask(ctx context.Context) error {
	if len(b.firings) == 0 {
		return nil
	}
	g := b.service.guards
	reply, err := ask(ctx, g, g.client.RuleGuard, &wire.RuleGuardRequest{
		Instance: wire.Snapshot{State: *b.state}, Firings: b.firings, Explain: true,
	})
	switch {
	case errors.Is(err, fault.RulesMissing):
		for _, result := range b.results {
			result.Enabled, result.Explanation = false, fault.From(err).Message
		}
	case err != nil:
		return err
	case len(reply.Outcomes) != len(b.results):
		return fault.New(fault.Internal, "the rules service answered for %d firings, not for %d", len(reply.Outcomes), len(b.results))
	default:
		for i, outcome := range reply.Outcomes {
			b.results[i].RuleResults = outcome.RuleResults
			if !outcome.Passed {
				b.results[i].Enabled, b.results[i].Explanation = false, objections(outcome.RuleResults)
			}
		}
	}
	b.firings, b.results, b.bytes = nil, nil, 0
	return nil
}

// unknownRules reports the rules of a definition that do not exist, or belong to another
// workflow. workflowID is empty for a new one.
func (s *Service) unknownRules(ctx context.Context, def *wire.Definition, workflowID string) ([]wire.Problem, error) {
	var ids []string
	asked := map[string]bool{}
	for _, t := range def.Transitions {
		for _, rule := range t.Rules {
			if !asked[rule] {
				asked[rule] = true
				ids = append(ids, rule)
			}
		}
	}
	known := map[string]wire.Rule{}
	for len(ids) > 0 {
		batch := ids[:min(len(ids), wire.MaxPage)]
		ids = ids[len(batch):]
		request := wire.RuleListRequest{IDs: batch, Page: wire.Page{Limit: wire.MaxPage}}
		for {
			reply, err := ask(ctx, s.guards, s.guards.client.RuleList, request)
			if err != nil {
				return nil, err
			}
			for _, r := range reply.Rules {
				known[r.ID] = r
			}
			if reply.NextCursor == "" {
				break
			}
			request.Cursor = reply.NextCursor
		}
	}
	var problems []wire.Problem
	for i, t := range def.Transitions {
		for k, rule := range t.Rules {
			r, ok := known[rule]
			var message string
			switch {
			case !ok:
				message = "there is no rule " + rule + "; create it first"
			case r.WorkflowID != "" && r.WorkflowID != def.Name && r.WorkflowID != workflowID:
				message = "the rule " + rule + " belongs to the workflow " + r.WorkflowID
			default:
				continue
			}
			problems = append(problems, wire.Problem{Path: fmt.Sprintf("transitions[%d].rules[%d]", i, k), Code: "unknown_rule", Message: message})
		}
	}
	return problems, nil
}
