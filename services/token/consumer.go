package token

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// purgesDurable is shared by all copies: each due purge goes to one of them.
const (
	purgesDurable    = "token-purges"
	purgeConcurrency = 8
)

func (s *Service) newPurges() *bus.Worker {
	return bus.NewWorker(s.bus, bus.WorkerConfig{
		Stream: wire.StreamTimers, Durable: purgesDurable, Filters: []string{wire.TimerDueSubjects(wire.TimerPurge)},
		Concurrency: purgeConcurrency, AckWait: s.cfg.PurgeAckWait,
	}, s.purge)
}

// purge removes one finished instance whose retention is over: first from the view, then
// its events, so that a view without truth behind it is never left over.
func (s *Service) purge(ctx context.Context, msg jetstream.Msg) error {
	var timer wire.Timer
	if err := json.Unmarshal(msg.Data(), &timer); err != nil {
		return fault.New(fault.BadRequest, "the purge is no timer message").Because(err)
	}
	out, err := s.bus.LoadInstance(ctx, s.registry, "instance_id", timer.InstanceID, timer.WorkflowID, true)
	if errors.Is(err, fault.InstanceNotFound) {
		return nil // purged already
	}
	if err != nil {
		return err
	}
	if !out.State.Status.Finished() {
		return fault.New(fault.TransitionNotEnabled, "the instance is %s: only a finished one is purged", out.State.Status)
	}
	// The view must have the instance's end, or the projector would write it after us.
	if err := s.view.WaitFor(ctx, out.Record.ID, out.Sequence); err != nil {
		return err
	}
	if err := s.view.Purge(ctx, out.Record.ID, out.State); err != nil {
		return err
	}
	stream, err := s.bus.JS.Stream(ctx, out.Record.Stream)
	if err != nil {
		return fault.New(fault.Unavailable, "the workflow's stream is out of reach").Because(err)
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(wire.InstanceSubjects(out.Record.ID, out.State.ID))); err != nil {
		return fault.New(fault.Unavailable, "the instance's events could not be purged").Because(err)
	}
	s.committer.Forget(out.State.ID)
	s.tel.Logger(ctx).Info().Str("workflow_id", out.Record.ID).Str("instance_id", out.State.ID).
		Dur("overdue", time.Since(timer.DueAt)).Msg("finished instance was purged")
	return nil
}
