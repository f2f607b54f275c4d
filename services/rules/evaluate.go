package rules

import (
	"context"
	"encoding/json"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

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
		r, err := s.store.Version(ctx, "rule_id", req.RuleID, req.Version)
		if err != nil {
			return reply, err
		}
		if r.Prepared.program == nil {
			return reply, fault.New(fault.Internal, "the stored condition cannot be compiled").Because(r.Prepared.unusable)
		}
		program, reply.RuleID, reply.Version = r.Prepared.program, r.Definition.ID, r.Definition.Version
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
