package rules

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// guard answers for every firing of a request whether its guards let it pass.
func (s *Service) guard(ctx context.Context, req wire.RuleGuardRequest) (wire.RuleGuardReply, error) {
	reply := wire.RuleGuardReply{Outcomes: make([]wire.GuardOutcome, 0, len(req.Firings))}
	state := &req.Instance.State
	if !wire.IsUUID(state.WorkflowID) {
		return reply, fault.New(fault.InvalidField, "instance.workflow_id is no workflow's id").With("field", "instance.workflow_id")
	}
	record, err := s.registry.Resolve(ctx, state.WorkflowID)
	if err != nil {
		return reply, err
	}
	version, err := s.registry.Version(ctx, record, state.WorkflowVersion)
	if err != nil {
		return reply, err
	}
	checked := map[string]*rule{}
	for i, firing := range req.Firings {
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
		outcome, err := s.judge(ctx, &hearing{
			record: record, transition: t, state: state, token: &token, consumed: consumed, explain: req.Explain, now: s.now(), newest: checked,
		})
		if err != nil {
			return reply, err
		}
		reply.Outcomes = append(reply.Outcomes, outcome)
	}
	return reply, nil
}

// hearing is one firing whose guards are judged.
type hearing struct {
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
	// newest are the rules that were read from the bucket meanwhile, by id: shared by the
	// hearings of one request.
	newest map[string]*rule
}

// witness is one rule of a hearing.
type witness struct {
	id      string
	rule    *rule
	program *condition.Program
	// fault says why there is no program.
	fault string
}

// judge asks every guard of a transition. A refusal is decided on the newest rules alone.
func (s *Service) judge(ctx context.Context, h *hearing) (wire.GuardOutcome, error) {
	witnesses := s.witnesses(h)
	outcome, err := s.ask(ctx, h, witnesses)
	if err != nil || outcome.Passed {
		return outcome, err
	}
	stale := false
	for _, w := range witnesses {
		if w.id == wire.ReservedRuleID {
			continue
		}
		newest, read := h.newest[w.id]
		if !read {
			if newest, err = s.book.current(ctx, w.id); err != nil {
				return outcome, err
			}
			h.newest[w.id] = newest
		}
		stale = stale || newest != w.rule
	}
	if stale {
		return s.ask(ctx, h, s.witnesses(h))
	}
	return outcome, nil
}

// witnesses are the rules of the transition, and its inline condition.
func (s *Service) witnesses(h *hearing) []witness {
	all := make([]witness, 0, len(h.transition.Rules)+1)
	for _, id := range h.transition.Rules {
		w := witness{id: id, rule: s.book.known(id)}
		switch {
		case w.rule == nil || w.rule.deleted:
			w.fault = fmt.Sprintf("there is no rule %s", id)
		case w.rule.WorkflowID != "" && w.rule.WorkflowID != h.record.ID && w.rule.WorkflowID != h.record.Name:
			w.fault = fmt.Sprintf("the rule belongs to the workflow %s", w.rule.WorkflowID)
		case w.rule.program == nil:
			w.fault = "the rule cannot be used: " + fault.From(w.rule.unusable).Message
		default:
			w.program = w.rule.program
		}
		all = append(all, w)
	}
	if h.transition.When != "" {
		w := witness{id: wire.ReservedRuleID}
		var err error
		if w.program, err = s.language.CompileText("when", h.transition.When); err != nil {
			w.fault = "the condition cannot be used: " + fault.From(err).Message
		}
		all = append(all, w)
	}
	return all
}

func (s *Service) ask(ctx context.Context, h *hearing, witnesses []witness) (wire.GuardOutcome, error) {
	in, err := s.input(ctx, h, witnesses)
	if err != nil {
		return wire.GuardOutcome{}, err
	}
	outcome := wire.GuardOutcome{Passed: true, RuleResults: make([]wire.RuleResult, len(witnesses))}
	for i, w := range witnesses {
		result := &outcome.RuleResults[i]
		result.RuleID, result.Explanation = w.id, w.fault
		if w.rule != nil && !w.rule.deleted {
			result.Version = w.rule.Version
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
	for i, w := range witnesses {
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
func (s *Service) input(ctx context.Context, h *hearing, witnesses []witness) (*condition.Input, error) {
	subject := condition.Subject{Token: h.token, Tokens: h.consumed, Instance: &h.state.Instance, Now: h.now}
	for _, w := range witnesses {
		if w.program != nil && w.program.NeedsHistory() {
			ids := make([]string, len(h.consumed))
			for i, t := range h.consumed {
				ids[i] = t.ID
			}
			var err error
			if subject.History, err = s.past(ctx, h.record, h.state, ids); err != nil {
				return nil, err
			}
			break
		}
	}
	return condition.NewInput(subject), nil
}

// past reads the history of tokens, with that of the tokens that they came from.
func (s *Service) past(ctx context.Context, record *wire.WorkflowRecord, state *wire.State, tokenIDs []string) ([]wire.TransitionRecord, error) {
	steps, err := s.bus.Steps(ctx, record, state.NatsSequence, tokenIDs...)
	if err != nil {
		return nil, err
	}
	records := make([]wire.TransitionRecord, len(steps))
	for i, step := range steps {
		records[i] = step.Record
	}
	return records, nil
}

// evaluate says what a rule or a condition makes of a token, and changes nothing.
func (s *Service) evaluate(ctx context.Context, req wire.RuleEvaluateRequest) (wire.RuleEvaluateReply, error) {
	reply := wire.RuleEvaluateReply{SubResults: []wire.SubResult{}}
	one := func(a, b bool, first, second string) error {
		if a == b {
			return fault.New(fault.InvalidField, "give either %s or %s", first, second).With("field", first)
		}
		return nil
	}
	if err := one(req.RuleID != "", req.Condition != nil, "rule_id", "condition"); err != nil {
		return reply, err
	}
	if err := one(req.TokenID != "", req.Token != nil, "token_id", "token"); err != nil {
		return reply, err
	}
	if req.Version != 0 && req.RuleID == "" {
		return reply, fault.New(fault.InvalidField, "version needs a rule_id: a condition has none").With("field", "version")
	}
	if req.AsOf.Set() && req.Token != nil {
		return reply, fault.New(fault.InvalidField, "as_of needs a token_id: a document has no past").With("field", "as_of")
	}
	var program *condition.Program
	var err error
	if req.RuleID != "" {
		r, err := s.version(ctx, "rule_id", req.RuleID, req.Version)
		if err != nil {
			return reply, err
		}
		if r.program == nil {
			return reply, fault.New(fault.Internal, "the stored condition cannot be compiled").Because(r.unusable)
		}
		program, reply.RuleID, reply.Version = r.program, r.ID, r.Version
	} else if program, err = s.language.Compile("condition", req.Condition); err != nil {
		return reply, err
	}
	subject := condition.Subject{Now: s.now()}
	if req.Token != nil {
		if subject.Token, err = imagined(req.Token); err != nil {
			return reply, err
		}
	} else if err := s.remembered(ctx, req, program, &subject); err != nil {
		return reply, err
	}
	if subject.Instance != nil {
		reply.NatsSequence = subject.Instance.NatsSequence
	}
	said, err := program.Explain(ctx, condition.NewInput(subject))
	if err != nil {
		return reply, err
	}
	reply.Passed, reply.Explanation = said.Passed, said.Text
	reply.SubResults = append(reply.SubResults, parts(said.Parts)...)
	return reply, nil
}

func parts(all []condition.Explanation) []wire.SubResult {
	results := make([]wire.SubResult, len(all))
	for i, e := range all {
		results[i] = wire.SubResult{Passed: e.Passed, Explanation: e.Text, SubResults: parts(e.Parts)}
	}
	return results
}

// imagined is a given document as a token, in the form that a stored one would have.
func imagined(g *wire.GivenToken) (*wire.Token, error) {
	t := &wire.Token{
		ID: g.ID, WorkflowID: g.WorkflowID, InstanceID: g.InstanceID, Place: g.Place,
		CreatedAt: g.CreatedAt, UpdatedAt: g.UpdatedAt, ArrivedAt: g.ArrivedAt, ArrivalSequence: g.ArrivalSequence,
		TransitionHistory: g.TransitionHistory,
	}
	var err error
	if t.Data, err = document("token.data", g.Data); err != nil {
		return nil, err
	}
	t.Metadata, err = document("token.metadata", g.Metadata)
	return t, err
}

func document(field string, raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	normal, err := petri.Normalize(raw, maxDocumentDepth)
	if err != nil {
		return nil, fault.New(fault.From(err).Code, "%s: %s", field, fault.From(err).Message).With("field", field)
	}
	if normal[0] != '{' {
		return nil, fault.New(fault.InvalidField, "%s must be a JSON object", field).With("field", field)
	}
	return normal, nil
}

// maxDocumentDepth is how deep a token's data may nest.
const maxDocumentDepth = 64

// remembered fills a subject with a token as it stands, or as it stood at that moment; then
// that moment is now.
func (s *Service) remembered(ctx context.Context, req wire.RuleEvaluateRequest, program *condition.Program, subject *condition.Subject) error {
	var out *bus.Outcome
	var err error
	if req.AsOf.Set() {
		out, err = s.bus.LoadInstanceAsOf(ctx, s.registry, "token_id", req.TokenID, "", req.AsOf)
	} else {
		out, err = s.bus.LoadInstance(ctx, s.registry, "token_id", req.TokenID, "", true)
	}
	if err != nil {
		return err
	}
	token, err := out.Token(req.TokenID)
	if err != nil {
		return err
	}
	switch {
	case req.AsOf.Sequence != 0:
		subject.Now = out.Time
	case req.AsOf.Set() && req.AsOf.Time.Before(subject.Now):
		subject.Now = req.AsOf.Time
	}
	subject.Token, subject.Instance = &token, &out.State.Instance
	if program.NeedsHistory() {
		subject.History, err = s.past(ctx, out.Record, out.State, []string{token.ID})
	}
	return err
}
