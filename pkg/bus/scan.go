package bus

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const scanCheck = 250 * time.Millisecond

// Scan reads what a stream holds at this moment, in order, and returns when it has: with
// the last sequence that the stream had at the start. Messages that are replaced or removed
// meanwhile are left out, and nothing that is added later is read. It ends early with the
// error of handle or of the context, and with ErrNoStream.
//
// The leader says where the end is, but the reading may be served by a replica that does
// not have everything yet: that this one has no more to give is no end.
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
	var handled atomic.Uint64
	handled.Store(max(cfg.From, 1) - 1)
	dry := make(chan struct{}, 1)
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
		handled.Store(m.Sequence)
		switch {
		case m.Sequence >= until:
			finished = true
			cancel(errDone)
		case pending == 0:
			signal(dry)
		}
	})
	if err != nil {
		return 0, err
	}
	defer tail.Stop()
	if tail.Initial() == 0 {
		signal(dry)
	}
	tick := time.NewTicker(scanCheck)
	defer tick.Stop()
	// handle may be at work still, and fail.
	end := func() (uint64, error) {
		tail.Stop()
		if cause := context.Cause(ctx); !errors.Is(cause, errDone) {
			return until, cause
		}
		return until, nil
	}
	ranDry, before := dry, handled.Load()
	for {
		select {
		case <-ctx.Done():
			return end()
		case <-tail.Gone():
			return until, ErrNoStream
		case <-ranDry:
			if b.cfg.Replicas == 1 {
				return end()
			}
			// Until the next tick: a replica that catches up runs dry with every message.
			ranDry = nil
		case <-tick.C:
			ranDry = dry
			// While it goes on there is nothing to ask.
			if now := handled.Load(); now != before {
				before = now
				continue
			}
		}
		// The end of the range may have been removed while we read, or be on other subjects.
		if b.nothingIn(ctx, cfg, handled.Load()+1, until) {
			return end()
		}
	}
}

// nothingIn reports whether the stream is known to hold nothing of interest from one
// sequence to another, both included.
func (b *Bus) nothingIn(ctx context.Context, cfg TailConfig, from, to uint64) bool {
	subjects := cfg.Subjects
	if len(subjects) == 0 {
		subjects = []string{">"}
	}
	for _, subject := range subjects {
		next, err := b.Next(ctx, cfg.Stream, subject, from)
		if err != nil && !errors.Is(err, ErrNoMessage) || err == nil && next.Sequence <= to {
			return false
		}
	}
	return true
}

// signal marks c, unless it is marked already.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
