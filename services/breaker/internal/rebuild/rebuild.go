// Package rebuild drops the view of a workflow and has the fleet build it again from the
// events, which stay untouched.
//
//	purge the view ─► store an empty checkpoint ─► its projector hears of it, loses its own
//	                                               checkpoint, and replays from the beginning
//
// The empty checkpoint is what a projector that idles would otherwise miss for a while. It
// is written only where no other has been written since the purge: then the projector has
// noticed by itself.
package rebuild

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/survey"
)

// holder is who wrote the empty checkpoint; no copy of the token service has this name.
const holder = "rebuild"

// look is how often the progress is looked at.
const look = 100 * time.Millisecond

// View drops the view of a workflow and returns when the new one contains every event that
// there was when it began. It fails with fault.Timeout when the view has made no progress
// for as long as patience. step is called with how far it is.
func View(ctx context.Context, b *bus.Bus, record wire.WorkflowRecord, patience time.Duration, step func(done, total uint64)) error {
	last, err := b.Last(ctx, record.Stream, wire.EventSubjects(record.ID), true)
	if err != nil && !errors.Is(err, bus.ErrNoMessage) {
		return fmt.Errorf("reading the last event of %s: %w", record.Name, err)
	}
	if err := drop(ctx, b, record); err != nil {
		return err
	}
	if last == nil {
		return nil
	}
	return await(ctx, b, record, last.Sequence, patience, step)
}

func drop(ctx context.Context, b *bus.Bus, record wire.WorkflowRecord) error {
	places, err := b.JS.Stream(ctx, wire.StreamPlaces)
	if err != nil {
		return fmt.Errorf("opening the view: %w", err)
	}
	if err := places.Purge(ctx, jetstream.WithPurgeSubject(wire.ViewSubjects(record.ID))); err != nil {
		return fmt.Errorf("dropping the view of %s: %w", record.Name, err)
	}
	body, err := json.Marshal(wire.Checkpoint{WorkflowID: record.ID, Timestamp: time.Now().UTC(), Holder: holder})
	if err != nil {
		return err
	}
	subject := wire.ProjectionSubject(record.ID)
	msg := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{}}
	bus.Expect(msg, subject, 0)
	if _, err := b.Publish(ctx, msg); err != nil && !errors.Is(err, bus.ErrWrongSequence) {
		return fmt.Errorf("announcing that the view of %s was dropped: %w", record.Name, err)
	}
	return nil
}

// await waits until the checkpoint covers the sequence.
func await(ctx context.Context, b *bus.Bus, record wire.WorkflowRecord, sequence uint64, patience time.Duration, step func(done, total uint64)) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	moved, before := time.Now(), uint64(0)
	for {
		projected, err := survey.Projected(ctx, b, record.ID)
		if err != nil {
			return err
		}
		step(min(projected, sequence), sequence)
		switch {
		case projected >= sequence:
			return nil
		case projected != before:
			moved, before = time.Now(), projected
		case time.Since(moved) > patience:
			return fault.New(fault.Timeout, "the view of %s is not being built: it stands at %d of %d; is a token service running?",
				record.Name, projected, sequence)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
