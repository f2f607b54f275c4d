package token

import (
	"context"
	"errors"
	"slices"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// load reads an instance, now or in the past.
func (s *Service) load(ctx context.Context, field, id, workflow string, point wire.AsOf, consistent *bool) (*bus.Outcome, error) {
	if !point.Set() {
		return s.bus.LoadInstance(ctx, s.registry, field, id, workflow, consistent == nil || *consistent)
	}
	out, err := s.bus.LoadInstanceAsOf(ctx, s.registry, field, id, workflow, point)
	if errors.Is(err, fault.InstanceNotFound) || errors.Is(err, fault.TokenNotFound) {
		return nil, fault.New(fault.From(err).Code, "there was nothing of %s at that point: it did not exist yet, or it was purged", id).With(field, id)
	}
	return out, err
}

func (s *Service) get(ctx context.Context, req wire.TokenGetRequest) (wire.Token, error) {
	out, err := s.load(ctx, "token_id", req.TokenID, req.WorkflowID, req.AsOf, req.Consistent)
	if err != nil {
		return wire.Token{}, err
	}
	token, err := out.Token(req.TokenID)
	if err != nil || !req.History {
		return token, err
	}
	steps, err := s.bus.Steps(ctx, out.Record, out.Sequence, 0, req.TokenID)
	if err != nil {
		return wire.Token{}, err
	}
	// The newest that fit beside the token into one reply.
	room := int(s.bus.NC.MaxPayload()) - bus.ReplySizeOf(out.State, &token)
	for _, step := range slices.Backward(steps) {
		if len(token.History) == wire.MaxPage {
			break
		}
		event, err := s.dated(ctx, out.Record, step)
		if err != nil {
			return wire.Token{}, err
		}
		if room -= step.Size() + len(event.Data); room < 0 {
			break
		}
		token.History = append(token.History, event)
		token.TransitionHistory = append(token.TransitionHistory, step.Record)
	}
	slices.Reverse(token.History)
	slices.Reverse(token.TransitionHistory)
	return token, nil
}

func (s *Service) getInstance(ctx context.Context, req wire.InstanceGetRequest) (wire.Instance, error) {
	out, err := s.load(ctx, "instance_id", req.InstanceID, "", req.AsOf, req.Consistent)
	if err != nil {
		return wire.Instance{}, err
	}
	if wire.BirthOf(req.InstanceID) != 0 {
		return wire.Instance{}, fault.New(fault.InvalidField, "instance_id is the id of a token; its instance is %s", out.State.ID).With("field", "instance_id")
	}
	return out.Instance(), nil
}
