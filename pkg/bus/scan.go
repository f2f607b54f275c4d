package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const scanCheck = 250 * time.Millisecond

// Scan reads what a stream holds at this moment, in order, and returns when it has: with
// the last sequence that the stream had at the start. Messages that are replaced or removed
// meanwhile are left out, and nothing that is added later is read. It ends early with the
// error of handle or of the context.
func (b *Bus) Scan(ctx context.Context, cfg TailConfig, handle func(m *Message) error) (until uint64, err error) {
	stream, err := b.JS.Stream(ctx, cfg.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, fmt.Errorf("reading %s: %w", cfg.Stream, ErrNoStream)
	}
	if err != nil {
		return 0, unavailable(err)
	}
	until = stream.CachedInfo().State.LastSeq
	if until < cfg.From || until == 0 {
		return until, nil
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errDone := errors.New("the scan is complete")
	finished := false
	tail, err := b.Tail(ctx, cfg, func(m *Message, pending uint64) {
		if finished || ctx.Err() != nil {
			return
		}
		if m.Sequence <= until {
			if err := handle(m); err != nil {
				finished = true
				cancel(err)
				return
			}
		}
		if pending == 0 || m.Sequence >= until {
			finished = true
			cancel(errDone)
		}
	})
	if err != nil {
		return 0, err
	}
	defer tail.Stop()
	if tail.Initial() == 0 {
		return until, nil
	}
	tick := time.NewTicker(scanCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); !errors.Is(cause, errDone) {
				return until, cause
			}
			return until, nil
		case <-tail.Gone():
			return until, ErrNoStream
		case <-tick.C:
			// The end of the range may have been removed while we read.
			if tail.exhausted(ctx) {
				return until, nil
			}
		}
	}
}

// exhausted reports whether the server has nothing more to deliver, and all that it
// delivered has been handled.
func (t *Tail) exhausted(ctx context.Context) bool {
	t.mu.Lock()
	consumer, handled := t.consumer, t.returned
	t.mu.Unlock()
	if consumer == "" {
		return false
	}
	c, err := t.bus.JS.Consumer(ctx, t.cfg.Stream, consumer)
	if err != nil {
		return false
	}
	info := c.CachedInfo()
	return info.NumPending == 0 && info.Delivered.Consumer == handled
}
