package examples

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// testEngine is the pure engine and the language of conditions with one instance in memory.
// A time-out is due, and a function runs, as soon as somebody waits for it; automatic
// transitions fire at once.
type testEngine struct {
	net        *petri.Net
	limits     petri.Limits
	language   *condition.Language
	rules      map[string]json.RawMessage
	functions  map[string]wire.FunctionCreateRequest
	queue      []job
	runs       map[string]Runs
	state      *wire.State
	revision   uint64
	now        time.Time
	records    []wire.TransitionRecord
	beforeFire func(place string)
}

func newTestLanguage(t *testing.T) *condition.Language {
	t.Helper()
	language, err := condition.New()
	if err != nil {
		t.Fatal(err)
	}
	return language
}

func newTestEngine(t *testing.T, e Example) *testEngine {
	t.Helper()
	net, problems := petri.Compile(e.Definition)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	engine := &testEngine{
		net: net, limits: petri.DefaultLimits(4 << 20), now: time.Unix(1_700_000_000, 0).UTC(),
		language: newTestLanguage(t), rules: map[string]json.RawMessage{}, beforeFire: func(string) {},
		functions: map[string]wire.FunctionCreateRequest{}, runs: map[string]Runs{},
	}
	for _, r := range e.Rules {
		engine.rules[r.ID] = r.Condition
	}
	for _, f := range e.Functions {
		engine.functions[f.ID] = f
	}
	return engine
}

func (e *testEngine) driver() Driver {
	return Driver{Create: e.create, Fire: e.fire, Get: e.get, History: e.history, Await: e.await}
}

func (e *testEngine) commit(cmd petri.Command, by string) error {
	e.now = e.now.Add(time.Second)
	event, err := petri.Decide(e.net, e.state, cmd, petri.Meta{Time: e.now, TriggeredBy: by}, e.limits)
	if err != nil {
		return err
	}
	e.revision++
	e.state = event.Instance
	e.state.Fill(e.revision)
	e.enqueue()
	if event.Work != nil && event.TransitionID == "" {
		return nil // A history has what moves tokens.
	}
	e.records = append(e.records, wire.TransitionRecord{
		TransitionID: event.TransitionID, TriggeredBy: by, NatsSequence: e.revision,
	})
	return nil
}

// settle fires what fires by itself: of each token's automatic transitions the first, by
// priority, that is enabled and that its guards let pass.
func (e *testEngine) settle(ctx context.Context) error {
	for again := true; again; {
		again = false
		for _, token := range e.state.Tokens {
			automatic := slices.DeleteFunc(e.net.Leaving(token.Place), func(t *wire.Transition) bool { return !t.Auto })
			slices.SortStableFunc(automatic, func(a, b *wire.Transition) int { return cmp.Compare(b.Priority, a.Priority) })
			for _, t := range automatic {
				fire := petri.Fire{TokenID: token.ID, TransitionID: t.ID, Automatic: true}
				if e.permit(ctx, fire, t.ID) != nil {
					continue
				}
				if err := e.commit(fire, automaticBy); err != nil {
					return err
				}
				again = true
				break
			}
			if again {
				break
			}
		}
	}
	return nil
}

// permit asks the guards of a firing.
func (e *testEngine) permit(ctx context.Context, firing petri.Command, transitionID string) error {
	binding, err := petri.Bind(e.net, e.state, firing, e.limits)
	if err != nil {
		return err
	}
	t, _ := e.net.Transition(transitionID)
	token := *binding.Consumed[0]
	token.Data, token.Metadata = binding.Data, binding.Metadata
	in := condition.NewInput(condition.Subject{Token: &token, Tokens: binding.Consumed, Instance: &e.state.Instance, Now: e.now})
	passed := true
	var results []wire.RuleResult
	ask := func(id string, program *condition.Program, err error) error {
		if err != nil {
			return err
		}
		said, err := program.Explain(ctx, in)
		passed = passed && said.Passed
		results = append(results, wire.RuleResult{RuleID: id, Passed: said.Passed, Explanation: said.Text})
		return err
	}
	for _, id := range t.Rules {
		program, err := e.language.Compile("condition", e.rules[id])
		if err := ask(id, program, err); err != nil {
			return err
		}
	}
	if t.When != "" {
		program, err := e.language.CompileText("when", t.When)
		if err := ask(wire.ReservedRuleID, program, err); err != nil {
			return err
		}
	}
	if !passed {
		return fault.New(fault.RuleRejected, "%s was rejected", t.ID).With("rule_results", results)
	}
	return nil
}

func (e *testEngine) create(ctx context.Context, req wire.TokenCreateRequest) (wire.Token, error) {
	const workflow = "11111111-2222-4333-8444-555555555555"
	id, err := wire.NewInstanceID(workflow, e.now.UnixMilli(), 1)
	if err != nil {
		return wire.Token{}, err
	}
	err = e.commit(petri.Create{WorkflowID: workflow, InstanceID: id, Place: req.Place, Data: req.Data, Metadata: req.Metadata}, req.TriggeredBy)
	if err != nil {
		return wire.Token{}, err
	}
	token := e.state.Tokens[0]
	token.NatsSequence = e.revision
	return token, e.settle(ctx)
}

func (e *testEngine) fire(ctx context.Context, req wire.FireRequest) (wire.FireReply, error) {
	transition, ok := e.net.Transition(req.TransitionID)
	if ok {
		for _, token := range e.state.Tokens {
			if slices.Contains(transition.From, token.Place) {
				e.beforeFire(token.Place)
			}
		}
	}
	fire := petri.Fire{TransitionID: req.TransitionID, FromPlace: req.FromPlace, Data: req.Data, Metadata: req.Metadata}
	if err := e.permit(ctx, fire, fire.TransitionID); err != nil {
		return wire.FireReply{}, err
	}
	if err := e.commit(fire, req.TriggeredBy); err != nil {
		return wire.FireReply{}, err
	}
	instance := e.state.Instance
	instance.Tokens = nil
	return wire.FireReply{Success: true, Instance: instance}, e.settle(ctx)
}

func (e *testEngine) get(context.Context, wire.InstanceGetRequest) (wire.Instance, error) {
	return e.state.Instance, nil
}

// history is that of the instance, which is more than that of one token.
func (e *testEngine) history(context.Context, wire.TokenHistoryRequest) (wire.TokenHistoryReply, error) {
	return wire.TokenHistoryReply{Records: e.records}, nil
}

func (e *testEngine) await(ctx context.Context, _ string, revision uint64) (wire.Instance, error) {
	if e.revision > revision {
		return e.state.Instance, nil
	}
	if ran, err := e.work(ctx); ran || err != nil {
		return e.state.Instance, err
	}
	for _, token := range e.state.Tokens {
		place, ok := e.net.Place(token.Place)
		if !ok || place.Timeout == nil {
			continue
		}
		if err := e.commit(petri.Fire{TokenID: token.ID, TransitionID: place.Timeout.Transition}, ""); err != nil {
			return wire.Instance{}, err
		}
		return e.state.Instance, e.settle(ctx)
	}
	return wire.Instance{}, errors.New("no token has a time-out to wait for, and nothing fires by itself")
}
