package rules

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// triggeredBy is who triggers automatic firings, and suspends what fires without end.
const triggeredBy = "rules"

const (
	// maxRounds is how often a firing is decided anew because the instance has changed
	// meanwhile, before the event is put off.
	maxRounds = 16
	// staleAfter is when an event is so old that its instance has probably gone on.
	staleAfter = 5 * time.Second
	// maxFilters is how many subjects a durable names before it takes all firings.
	maxFilters = 64
)

// filters are the subjects of the events after which an automatic transition may fire.
func filters(w *wire.Workflow) []string {
	net, problems := petri.Compile(&w.Definition)
	if len(problems) > 0 {
		return nil
	}
	inputs := map[string]bool{}
	gathers := false
	for i := range w.Transitions {
		if t := &w.Transitions[i]; t.Auto {
			arcs, _, _ := net.Arcs(t.ID)
			for _, arc := range arcs {
				inputs[arc.Place] = true
				gathers = gathers || arc.Count == wire.CountAll
			}
		}
	}
	if len(inputs) == 0 {
		return nil
	}
	var subjects []string
	for i := range w.Transitions {
		taken, outputs, alternatives := net.Arcs(w.Transitions[i].ID)
		// Whoever waits for all tokens of a split waits no longer for one that is at its end,
		// or was joined with others and so has left the split.
		joins := !alternatives && (len(taken) > 1 || taken[0].Count != 1)
		if gathers && joins || slices.ContainsFunc(outputs, func(a wire.OutputArc) bool { return inputs[a.Place] || gathers && net.Terminal(a.Place) }) {
			subjects = append(subjects, wire.TransitionSubject(w.ID, "*", w.Transitions[i].ID))
		}
	}
	if len(subjects) > maxFilters {
		subjects = []string{wire.TransitionSubject(w.ID, "*", "*")}
	}
	lifecycles := []string{
		wire.LifecycleCreated, wire.LifecycleInjected, wire.LifecycleUpdated, wire.LifecycleResumed,
		wire.LifecycleFunctionExecuted, wire.LifecycleFunctionFailed, wire.LifecycleAgentProcessed, wire.LifecycleAgentFailed,
	}
	if gathers {
		lifecycles = append(lifecycles, wire.LifecycleCancelled)
	}
	for _, kind := range lifecycles {
		subjects = append(subjects, wire.LifecycleSubject(w.ID, "*", kind))
	}
	return subjects
}

// react lets the automatic transitions fire that an event has made possible.
func (s *Service) react(ctx context.Context, r *bus.Reaction) error {
	state := r.Event.Instance
	if state.Status != wire.StatusActive {
		return nil // Resuming is an event of its own.
	}
	concerned := touched(r.Version.Net, r.Event)
	if len(concerned) > 0 && s.now().Sub(r.Event.Timestamp) > staleAfter {
		state = nil
	}
	for _, tokenID := range concerned {
		var err error
		if state, err = s.advance(ctx, r, tokenID, state); err != nil {
			return err
		}
	}
	return nil
}

// touched are the tokens for which an automatic transition may have become possible, in
// the order of their birth.
func touched(net *petri.Net, ev *wire.Event) []string {
	all := ev.EventType == wire.EventType(wire.LifecycleResumed) || ev.EventType == wire.EventType(wire.LifecycleMigrated)
	produced := map[string]bool{}
	ended := ev.EventType == wire.EventType(wire.LifecycleCancelled) || len(ev.Consumed) > 1
	for _, p := range ev.Produced {
		produced[p.TokenID] = true
		ended = ended || net.Terminal(p.Place)
	}
	var ids []string
	for i := range ev.Instance.Tokens {
		t := &ev.Instance.Tokens[i]
		_, patched := ev.Patches[t.ID]
		automatic, gathers := leaving(net, t.Place)
		if automatic && (all || produced[t.ID] || patched || ended && gathers) {
			ids = append(ids, t.ID)
		}
	}
	return ids
}

// leaving says whether automatic transitions lead out of a place, and whether one of them
// takes all tokens of a split.
func leaving(net *petri.Net, place string) (automatic, gathers bool) {
	for _, t := range net.Leaving(place) {
		if t.Auto {
			automatic = true
			gathers = gathers || slices.ContainsFunc(t.Inputs, func(a wire.InputArc) bool { return a.Count == wire.CountAll })
		}
	}
	return automatic, gathers
}

// advance fires the first automatic transition of one token whose guards pass. It decides
// on a state, nil to read it, and hands back the state that still stands; nil when it does
// not know.
func (s *Service) advance(ctx context.Context, r *bus.Reaction, tokenID string, state *wire.State) (*wire.State, error) {
	for round := 1; ; round++ {
		if state == nil {
			out, err := s.bus.LoadInstance(ctx, s.registry, "token_id", tokenID, r.Record.ID, true)
			if errors.Is(err, fault.TokenNotFound) {
				return nil, nil // Purged.
			}
			if err != nil {
				return nil, err
			}
			state = out.State
		}
		token := state.Token(tokenID)
		// A token that arrived later has an event of its own, and so has an instance that
		// changed its version.
		if token == nil || token.ArrivalSequence > r.Sequence || state.Status != wire.StatusActive ||
			state.WorkflowVersion != r.Event.WorkflowVersion {
			return state, nil
		}
		verdict, err := s.fireFirst(ctx, r, token, state)
		switch {
		case err != nil:
			return nil, err
		case verdict == nothing:
			return state, nil
		case verdict == decided:
			return nil, nil
		}
		if round >= maxRounds {
			return nil, fault.New(fault.Conflict, "instance %s changed %d times while an automatic firing was decided", state.ID, round)
		}
		state = nil
	}
}

// verdict is what came of the automatic transitions of a token.
type verdict int

const (
	// nothing: none is enabled, or no guard passes.
	nothing verdict = iota
	// decided: one fired, or the instance does not go on by itself.
	decided
	// outdated: the state was not the newest, and nothing has been decided.
	outdated
)

// fireFirst tries the automatic transitions of a token in their order.
func (s *Service) fireFirst(ctx context.Context, r *bus.Reaction, token *wire.Token, state *wire.State) (verdict, error) {
	read := newReadings()
	for _, t := range candidates(r.Version.Net, token.Place) {
		fire, binding, err := s.passing(ctx, r, t, token, state, read)
		if err != nil {
			return nothing, err
		}
		if binding == nil {
			continue
		}
		if chain := longest(state, binding.Consumed); chain >= s.cfg.ChainLimit {
			return decided, s.suspend(ctx, state, chain)
		}
		_, err = s.client.TransitionFire(ctx, wire.FireRequest{
			TokenID: fire.TokenID, TransitionID: t.ID, ExpectedSequence: state.NatsSequence, Automatic: true,
			Origin: wire.Origin{TriggeredBy: triggeredBy, RequestID: requestID("auto", token.ID, state.NatsSequence)},
		})
		switch {
		case err == nil:
			s.count(ctx, "fired")
			return decided, nil
		case errors.Is(err, fault.SequenceMismatch), errors.Is(err, fault.Conflict):
			return outdated, nil
		case errors.Is(err, fault.InstanceFinished), errors.Is(err, fault.InstanceSuspended), errors.Is(err, fault.RequestIDReused):
			return decided, nil // Somebody else has decided.
		case errors.Is(err, fault.RuleRejected), errors.Is(err, fault.TransitionNotEnabled):
			// A rule has changed in between, or there is no list to spread: the next one.
		case bus.Final(err):
			s.count(ctx, "refused")
			s.tel.Logger(ctx).Warn().Str("code", string(fault.From(err).Code)).Str("instance_id", state.ID).Str("token_id", token.ID).
				Str("transition_id", t.ID).Msg("automatic transition was refused, and the next one is tried")
		default:
			return nothing, err
		}
	}
	return nothing, nil
}

// passing finds the tokens, that one among them, with which a transition is enabled and its
// guards pass; nil where there are none. Of those that could join a token the engine takes the
// ones that arrived first: if they do not pass, the others are named in their place.
func (s *Service) passing(ctx context.Context, r *bus.Reaction, t *wire.Transition, token *wire.Token, state *wire.State, read *readings) (petri.Fire, *petri.Binding, error) {
	limits := petri.DefaultLimits(s.bus.NC.MaxPayload())
	for _, named := range append([]*wire.Token{token}, partners(r.Version.Net, t, token, state)...) {
		fire := petri.Fire{TokenID: named.ID, TransitionID: t.ID, Automatic: true}
		binding, err := petri.Bind(r.Version.Net, state, fire, limits)
		if err != nil || !slices.Contains(binding.Consumed, token) {
			continue // Not enabled, or without the token.
		}
		if !t.Guarded() {
			return fire, binding, nil
		}
		seen := *binding.Consumed[0]
		seen.Data, seen.Metadata = binding.Data, binding.Metadata
		outcome, err := s.judge(ctx, &guardedFiring{
			record: r.Record, transition: t, state: state, token: &seen, consumed: binding.Consumed, now: s.now(), read: read,
		})
		if err != nil || outcome.Passed {
			return fire, binding, err
		}
	}
	return petri.Fire{}, nil, nil
}

// partners are the tokens in the other inputs of a join that is guarded, by arrival.
func partners(net *petri.Net, t *wire.Transition, token *wire.Token, state *wire.State) []*wire.Token {
	inputs, _, alternatives := net.Arcs(t.ID)
	if !t.Guarded() || alternatives || len(inputs) < 2 {
		return nil
	}
	var others []*wire.Token
	for i := range state.Tokens {
		other := &state.Tokens[i]
		if other.Place != token.Place && slices.ContainsFunc(inputs, func(a wire.InputArc) bool { return a.Place == other.Place }) {
			others = append(others, other)
		}
	}
	slices.SortStableFunc(others, func(a, b *wire.Token) int { return cmp.Compare(a.ArrivalSequence, b.ArrivalSequence) })
	return others
}

// candidates are the automatic transitions out of a place: the higher priority first, then
// in the order of the definition.
func candidates(net *petri.Net, place string) []*wire.Transition {
	all := slices.DeleteFunc(net.Leaving(place), func(t *wire.Transition) bool { return !t.Auto })
	slices.SortStableFunc(all, func(a, b *wire.Transition) int { return cmp.Compare(b.Priority, a.Priority) })
	return all
}

// requestID names what is done for a token at a revision: whoever does it again does the same.
func requestID(what, tokenID string, revision uint64) string {
	return what + "-" + strconv.Itoa(int(wire.BirthOf(tokenID))) + "-" + strconv.FormatUint(revision, 10)
}

// longest is the longest chain of automatic firings that these tokens have come by.
func longest(state *wire.State, tokens []*wire.Token) int {
	chain := 0
	for _, t := range tokens {
		chain = max(chain, state.AutomaticChain(t.ID))
	}
	return chain
}

// suspend stops an instance that fires without end.
func (s *Service) suspend(ctx context.Context, state *wire.State, chain int) error {
	reason := fmt.Sprintf("%d automatic transitions have fired in a row without input from outside, the limit: the net may go round in circles; look, and resume", chain)
	_, err := s.client.InstanceSuspend(ctx, wire.InstanceSuspendRequest{
		InstanceID: state.ID, Reason: reason,
		Origin: wire.Origin{TriggeredBy: triggeredBy, RequestID: requestID("chain", state.ID, state.NatsSequence)},
	})
	switch {
	case err != nil && bus.Final(err):
		return nil // It is over, or was changed from outside: then that is an event of its own.
	case err != nil:
		return err
	}
	s.count(ctx, "suspended")
	s.tel.Logger(ctx).Warn().Str("instance_id", state.ID).Int("chain", chain).Msg("instance was suspended: too many automatic firings in a row")
	return nil
}

func (s *Service) count(ctx context.Context, outcome string) {
	s.counts.fired.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", outcome)))
}
