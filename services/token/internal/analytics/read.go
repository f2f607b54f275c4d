package analytics

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// What is left of the caller's time for everything after the pass.
const (
	minMargin = 50 * time.Millisecond
	maxMargin = time.Second
)

// Why a pass ends before the stream does.
var (
	errComplete = errors.New("the window is complete")
	errCut      = errors.New("the pass is at its bound")
)

// count makes the pass. The window it returns is the one that the tally covers.
func (l bounds) count(
	ctx context.Context, b *bus.Bus, record *wire.WorkflowRecord, req wire.AnalyticsRequest, now time.Time,
) (*tally, wire.Window, error) {
	window, err := windowOf(req, now)
	if err != nil {
		return nil, window, err
	}
	reading, cancel := inTime(ctx)
	defer cancel()

	t := newTally(l.tokens)
	// covered is up to where the tally is complete.
	covered := window.From
	err = l.scan(reading, b, record, window, func(m *bus.Message) error {
		subject, ok := wire.ParseEventSubject(m.Subject)
		if !ok || subject.AboutWorkflow() {
			return nil
		}
		if window.Events == l.events {
			return errCut
		}
		if err := t.add(m.Data); err != nil {
			return fmt.Errorf("event %d of %s: %w", m.Sequence, record.Stream, err)
		}
		window.Events++
		covered = m.Time.UTC()
		if t.full() {
			return errCut
		}
		return nil
	})
	switch {
	case err == nil || errors.Is(err, errComplete):
		return t, window, nil
	case errors.Is(err, errCut), reading.Err() != nil && ctx.Err() == nil && window.Events > 0:
		window.Truncated, window.To = true, covered
		return t, window, nil
	case reading.Err() != nil:
		// Not one event in all that time is no figure, it is a store out of reach.
		return nil, window, reading.Err()
	case errors.Is(err, bus.ErrNoStream):
		return nil, window, fault.New(fault.Unavailable, "the workflow's events are out of reach at the moment; try again").Because(err)
	}
	return nil, window, err
}

// inTime ends a little before the caller's deadline, so that what was counted until then
// still becomes a reply.
func inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	margin := min(max(time.Until(deadline)/10, minMargin), maxMargin)
	return context.WithDeadline(ctx, deadline.Add(-margin))
}

func (l bounds) scan(
	ctx context.Context, b *bus.Bus, record *wire.WorkflowRecord, window wire.Window, handle func(*bus.Message) error,
) error {
	from, found, err := firstSince(ctx, b, record, window.From)
	if err != nil || !found {
		return err
	}
	cfg := bus.TailConfig{Stream: record.Stream, Subjects: []string{wire.EventSubjects(record.ID)}, From: from}
	_, err = b.Scan(ctx, cfg, func(m *bus.Message) error {
		if !m.Time.Before(window.To) {
			return errComplete
		}
		return handle(m)
	})
	return err
}

// firstSince is the sequence at which the events since a time begin; found is false when
// there are none. The leader knows it as the beginning of a consumer, and the replicas that
// answer a direct get by time may lag.
func firstSince(ctx context.Context, b *bus.Bus, record *wire.WorkflowRecord, since time.Time) (sequence uint64, found bool, err error) {
	consumer, err := b.JS.CreateConsumer(ctx, record.Stream, jetstream.ConsumerConfig{
		Name: "since_" + nuid.Next(), FilterSubject: wire.EventSubjects(record.ID), HeadersOnly: true,
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since,
		AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: time.Second, Replicas: 1, MemoryStorage: true,
	})
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return 0, false, bus.ErrNoStream
	case ctx.Err() != nil:
		return 0, false, ctx.Err()
	case err != nil:
		return 0, false, fault.New(fault.Unavailable, "the workflow's events are out of reach at the moment; try again").Because(err)
	}
	info := consumer.CachedInfo()
	// Without waiting: the server forgets it by itself as well.
	_ = b.NC.Publish("$JS.API.CONSUMER.DELETE."+record.Stream+"."+info.Name, nil)
	return info.Delivered.Stream + 1, info.NumPending > 0, nil
}
