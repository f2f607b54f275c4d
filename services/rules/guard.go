package rules

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// guardPatience bounds the work on one request of guards.
const guardPatience = 2 * time.Second

// guard answers for every firing of a request whether its guards let it pass.
func (s *Service) guard(ctx context.Context, req wire.RuleGuardRequest) (wire.RuleGuardReply, error) {
	// Nobody waits longer for it.
	ctx, cancel := context.WithTimeout(ctx, guardPatience)
	defer cancel()
	reply := wire.RuleGuardReply{Outcomes: make([]wire.GuardOutcome, 0, len(req.Firings))}
	state := &req.Instance.State
	if !wire.IsUUID(state.WorkflowID) {
		return reply, fault.New(fault.InvalidField, "instance.workflow_id is no workflow's id").With("field", "instance.workflow_id")
	}
	if err := bounded(&req); err != nil {
		return reply, err
	}
	record, err := s.registry.Resolve(ctx, state.WorkflowID)
	if err != nil {
		return reply, err
	}
	version, err := s.registry.Version(ctx, record, state.WorkflowVersion)
	if err != nil {
		return reply, err
	}
	read := newReadings()
	for i, firing := range req.Firings {
		if ctx.Err() != nil {
			return reply, ctx.Err()
		}
		field := "firings[" + strconv.Itoa(i) + "]"
		t, ok := version.Net.Transition(firing.TransitionID)
		if !ok {
			return reply, fault.New(fault.TransitionNotFound, "the workflow has no transition %q", firing.TransitionID).
				With("transition_id", firing.TransitionID)
		}
		consumed := make([]*wire.Token, len(firing.Consumed))
		for k, id := range firing.Consumed {
			if consumed[k] = state.Token(id); consumed[k] == nil {
				return reply, fault.New(fault.InvalidField, "%s.consumed: the instance has no token %s", field, id).With("field", field+".consumed")
			}
		}
		if len(consumed) == 0 {
			return reply, fault.New(fault.InvalidField, "%s.consumed is missing", field).With("field", field+".consumed")
		}
		token := *consumed[0]
		if firing.Data != nil {
			token.Data = firing.Data
		}
		if firing.Metadata != nil {
			token.Metadata = firing.Metadata
		}
		outcome, err := s.judge(ctx, &guardedFiring{
			record: record, transition: t, state: state, token: &token, consumed: consumed, explain: req.Explain, now: s.now(), read: read,
		})
		if err != nil {
			return reply, err
		}
		reply.Outcomes = append(reply.Outcomes, outcome)
	}
	return reply, nil
}

// What a request of guards may hold: as much as an instance and a definition may.
const (
	maxTokens  = 256
	maxFirings = 1000
)

func bounded(req *wire.RuleGuardRequest) error {
	if n := len(req.Instance.Tokens); n > maxTokens {
		return fault.New(fault.InvalidField, "instance.tokens has %d elements; at most %d are possible", n, maxTokens).With("field", "instance.tokens")
	}
	if n := len(req.Firings); n > maxFirings {
		return fault.New(fault.InvalidField, "firings has %d elements; at most %d are possible", n, maxFirings).With("field", "firings")
	}
	for i := range req.Firings {
		if n := len(req.Firings[i].Consumed); n > maxTokens {
			field := "firings[" + strconv.Itoa(i) + "].consumed"
			return fault.New(fault.InvalidField, "%s has %d elements; at most %d are possible", field, n, maxTokens).With("field", field)
		}
	}
	return nil
}

// guardedFiring is one firing whose guards are judged.
type guardedFiring struct {
	record     *wire.WorkflowRecord
	transition *wire.Transition
	state      *wire.State
	// token is what the conditions call token: the first of the consumed, with the documents
	// that the firing would carry on.
	token    *wire.Token
	consumed []*wire.Token
	// explain asks for sentences also where everything passes.
	explain bool
	now     time.Time
	// read is shared by the guarded firings of one request.
	read *readings
}

// readings are what was read for one request, so that nothing is read twice.
type readings struct {
	// newest are the rules that were read from the bucket, by id.
	newest map[string]*rule
	// past is the history of tokens, by their ids.
	past map[string][]wire.TransitionRecord
}

func newReadings() *readings {
	return &readings{newest: map[string]*rule{}, past: map[string][]wire.TransitionRecord{}}
}

// oneGuard is one rule that a firing must pass, or its inline condition.
type oneGuard struct {
	id      string
	rule    *rule
	program *condition.Program
	// fault says why there is no program.
	fault string
}

// judge asks every guard of a transition. A refusal is decided on the newest rules alone.
func (s *Service) judge(ctx context.Context, h *guardedFiring) (wire.GuardOutcome, error) {
	guards := s.guardsOf(h)
	outcome, err := s.ask(ctx, h, guards)
	if err != nil || outcome.Passed {
		return outcome, err
	}
	stale := false
	for _, w := range guards {
		if w.id == wire.ReservedRuleID {
			continue
		}
		newest, known := h.read.newest[w.id]
		if !known {
			if newest, err = s.store.Current(ctx, w.id); err != nil {
				return outcome, err
			}
			h.read.newest[w.id] = newest
		}
		stale = stale || newest != w.rule
	}
	if stale {
		return s.ask(ctx, h, s.guardsOf(h))
	}
	return outcome, nil
}

// guardsOf are the rules of the transition, and its inline condition.
func (s *Service) guardsOf(h *guardedFiring) []oneGuard {
	all := make([]oneGuard, 0, len(h.transition.Rules)+1)
	for _, id := range h.transition.Rules {
		w := oneGuard{id: id, rule: s.store.Known(id)}
		switch {
		case w.rule == nil || w.rule.Deleted:
			w.fault = fmt.Sprintf("there is no rule %s", id)
		case w.rule.Definition.WorkflowID != "" && w.rule.Definition.WorkflowID != h.record.ID && w.rule.Definition.WorkflowID != h.record.Name:
			w.fault = fmt.Sprintf("the rule belongs to the workflow %s", w.rule.Definition.WorkflowID)
		case w.rule.Prepared.program == nil:
			w.fault = "the rule cannot be used: " + fault.From(w.rule.Prepared.unusable).Message
		default:
			w.program = w.rule.Prepared.program
		}
		all = append(all, w)
	}
	if h.transition.When != "" {
		w := oneGuard{id: wire.ReservedRuleID}
		var err error
		if w.program, err = s.language.CompileText("when", h.transition.When); err != nil {
			w.fault = "the condition cannot be used: " + fault.From(err).Message
		}
		all = append(all, w)
	}
	return all
}

func (s *Service) ask(ctx context.Context, h *guardedFiring, guards []oneGuard) (wire.GuardOutcome, error) {
	in, err := s.input(ctx, h, guards)
	if err != nil {
		return wire.GuardOutcome{}, err
	}
	outcome := wire.GuardOutcome{Passed: true, RuleResults: make([]wire.RuleResult, len(guards))}
	for i, w := range guards {
		result := &outcome.RuleResults[i]
		result.RuleID, result.Explanation = w.id, w.fault
		if w.rule != nil && !w.rule.Deleted {
			result.Version = w.rule.Definition.Version
		}
		if w.program != nil {
			result.Passed, err = w.program.Passes(ctx, in)
			if err != nil && ctx.Err() != nil {
				return outcome, ctx.Err()
			}
			result.Passed = result.Passed && err == nil
		}
		outcome.Passed = outcome.Passed && result.Passed
	}
	for i, w := range guards {
		result := &outcome.RuleResults[i]
		if w.program != nil && (h.explain || !outcome.Passed) {
			said, err := w.program.Explain(ctx, in)
			if err != nil {
				return outcome, err
			}
			// One evaluation decides; the other only says why.
			result.Explanation = said.Text
			outcome.Passed = outcome.Passed && said.Passed
			result.Passed = result.Passed && said.Passed
		}
		s.counts.judged.Add(ctx, 1, metric.WithAttributes(attribute.Bool("passed", result.Passed)))
	}
	return outcome, nil
}

// input is what the conditions see.
func (s *Service) input(ctx context.Context, h *guardedFiring, guards []oneGuard) (*condition.Input, error) {
	subject := condition.Subject{Token: h.token, Tokens: h.consumed, Instance: &h.state.Instance, Now: h.now}
	for _, w := range guards {
		if w.program != nil && w.program.NeedsHistory() {
			ids := make([]string, len(h.consumed))
			for i, t := range h.consumed {
				ids[i] = t.ID
			}
			key := strings.Join(ids, " ")
			past, known := h.read.past[key]
			if !known {
				var err error
				if past, err = s.past(ctx, h.record, h.state, ids); err != nil {
					return nil, err
				}
				h.read.past[key] = past
			}
			subject.History = past
			break
		}
	}
	return condition.NewInput(subject), nil
}

// maxPast is how many bytes of events are read for a rule that asks where a token has been.
const maxPast = 16 << 20

// past reads the history of tokens, with that of the tokens that they came from. A token
// that was alone all its life, and stayed on its version, is spared the reading: the visits
// of its instance tell which places it has left.
func (s *Service) past(ctx context.Context, record *wire.WorkflowRecord, state *wire.State, tokenIDs []string) ([]wire.TransitionRecord, error) {
	if state.Births == 1 && state.Migrations == 0 && len(state.Tokens) == 1 {
		var left []wire.TransitionRecord
		for place, visits := range state.Visits {
			if place != state.Tokens[0].Place || visits > 1 {
				left = append(left, wire.TransitionRecord{FromPlace: place})
			}
		}
		return left, nil
	}
	steps, err := s.bus.Steps(ctx, record, state.NatsSequence, maxPast, tokenIDs...)
	if errors.Is(err, bus.ErrTooLong) {
		return nil, fault.New(fault.LimitExceeded, "the history of the token is too long to be asked about by a rule: more than %d bytes of events", maxPast).
			With("limit", "history").With("max", maxPast)
	}
	if err != nil {
		return nil, err
	}
	records := make([]wire.TransitionRecord, len(steps))
	for i, step := range steps {
		records[i] = step.Record
	}
	return records, nil
}
