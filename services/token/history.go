package token

import (
	"context"
	"strconv"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// dated is a step with the data that the token had after it, read from its event: only
// those that are shown are read a second time.
func (s *Service) dated(ctx context.Context, record *wire.WorkflowRecord, step bus.Step) (wire.HistoryEvent, error) {
	r := step.Record
	shown := wire.HistoryEvent{Timestamp: r.Timestamp, Transition: r.TransitionID, From: r.FromPlace, To: r.ToPlace}
	msg, err := s.bus.At(ctx, record.Stream, r.NatsSequence)
	if err != nil {
		return shown, err
	}
	state, err := wire.ReadState(msg.Data, msg.Sequence)
	if err != nil {
		return shown, err
	}
	if token := state.Token(step.TokenID); token != nil {
		shown.Data = token.Data
	}
	return shown, nil
}

func (s *Service) history(ctx context.Context, req wire.TokenHistoryRequest) (wire.TokenHistoryReply, error) {
	reply := wire.TokenHistoryReply{Records: []wire.TransitionRecord{}}
	limit, err := bus.PageSize(req.Limit)
	if err != nil {
		return reply, err
	}
	skip := 0
	if req.Cursor != "" {
		if skip, err = strconv.Atoi(req.Cursor); err != nil || skip < 0 {
			return reply, fault.New(fault.InvalidField, "cursor is not one that a history returned").With("field", "cursor")
		}
	}
	out, err := s.load(ctx, "token_id", req.TokenID, "", wire.AsOf{}, nil)
	if err != nil {
		return reply, err
	}
	if int(wire.BirthOf(req.TokenID)) >= out.State.Births {
		_, err := out.Token(req.TokenID)
		return reply, err
	}
	steps, err := s.bus.Steps(ctx, out.Record, out.Sequence, 0, req.TokenID)
	if err != nil {
		return reply, err
	}
	// History only grows at its end, so a count of records is a stable cursor.
	size := 0
	for _, step := range steps[min(skip, len(steps)):] {
		size += step.Size()
		if len(reply.Records) == limit || size > wire.MaxPageBytes && len(reply.Records) > 0 {
			reply.NextCursor = strconv.Itoa(skip + len(reply.Records))
			break
		}
		reply.Records = append(reply.Records, step.Record)
	}
	return reply, nil
}
