package projector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// A nats-server that is killed can bring back messages that had left a stream: what a limit
// of one message per subject removed is not written down, it follows from the message that
// replaced it; and when that one, a tombstone, has expired, nothing says any more that the
// one before it had gone (seen on 2.15 with and without asynchronous persistence, until the
// server's next snapshot of the stream's state, every two minutes or more). So the view of
// a server that was started again is swept: every entry is compared with the truth.
//
// An entry that the truth does not have is deleted by its sequence, not buried under a
// tombstone: that names this very message, so a newer one on the subject is safe, and it is
// written down.
const (
	sweepers   = 8
	sweepPause = 20 * time.Millisecond
	sweepRetry = 5 * time.Second
	// deleteFailed is the server's answer when there is nothing to delete, among others.
	deleteFailed = 10057
)

// entry is a message of the view that a sweep looks at.
type entry struct {
	subject  string
	sequence uint64
}

// sweep compares the whole view with the truth, and says so in the checkpoint when it has.
// It ends with the context.
func (p *projection) sweep(ctx context.Context) {
	log := p.owner.tel.Log.With().Str("workflow", p.workflow.ID).Logger()
	for {
		removed, err := p.sweepOnce(ctx)
		if err == nil {
			if removed > 0 {
				log.Warn().Int("entries", removed).Msg("view was rid of entries that a restarted server had brought back")
			}
			p.checkpoint.swept(p.server)
			return
		}
		if ctx.Err() != nil {
			return
		}
		log.Warn().Err(err).Msg("view could not be swept and will be again")
		select {
		case <-ctx.Done():
			return
		case <-time.After(sweepRetry):
		}
	}
}

func (p *projection) sweepOnce(ctx context.Context) (removed int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := p.owner.bus.JS.Stream(ctx, wire.StreamPlaces)
	if err != nil {
		return 0, fmt.Errorf("opening the view: %w", err)
	}
	entries := make(chan entry)
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range sweepers {
		workers.Go(func() {
			for e := range entries {
				gone, err := p.examine(ctx, stream, e)
				if err != nil {
					cancel(err)
				}
				if gone {
					mu.Lock()
					removed++
					mu.Unlock()
				}
			}
		})
	}
	_, err = p.owner.bus.Scan(ctx, bus.TailConfig{
		Stream:      wire.StreamPlaces,
		Subjects:    []string{wire.PlaceSubject(p.workflow.ID, "*", "*"), wire.InstanceRecordSubject(p.workflow.ID, "*", "*")},
		HeadersOnly: true,
	}, func(m *bus.Message) error {
		if m.Header.Get(jetstream.MsgTTLHeader) != "" {
			return nil // a tombstone
		}
		select {
		case entries <- entry{m.Subject, m.Sequence}:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(entries)
	workers.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	return removed, err
}

// examine deletes an entry that the truth does not have. Where the view is behind the
// truth, it waits until it is not: only then is a difference one.
func (p *projection) examine(ctx context.Context, stream jetstream.Stream, e entry) (removed bool, err error) {
	instance, holds, ok := claim(e.subject)
	if !ok {
		return false, nil
	}
	truth, err := p.owner.bus.Last(ctx, p.workflow.Stream, wire.InstanceSubjects(p.workflow.ID, instance), true)
	switch {
	case errors.Is(err, bus.ErrNoMessage):
		// The instance was purged.
	case err != nil:
		return false, err
	default:
		var ev wire.Event
		if err := json.Unmarshal(truth.Data, &ev); err != nil || ev.Instance == nil {
			return false, nil // not an event of ours: the projection says so
		}
		if holds(ev.Instance) {
			return false, nil
		}
		if err := p.reach(ctx, truth.Sequence); err != nil {
			return false, err
		}
	}
	err = stream.DeleteMsg(ctx, e.sequence)
	var api *jetstream.APIError
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) || errors.As(err, &api) && (api.Code < 500 || api.ErrorCode == deleteFailed) {
		return false, nil // replaced or removed meanwhile
	}
	return err == nil, err
}

// claim is what an entry of the view says of an instance.
func claim(subject string) (instance string, holds func(*wire.State) bool, ok bool) {
	if _, place, token, ok := wire.ParsePlaceSubject(subject); ok {
		return wire.InstanceOf(token), func(s *wire.State) bool {
			t := s.Token(token)
			return t != nil && t.Place == place
		}, true
	}
	parts := strings.Split(subject, ".")
	if len(parts) != 5 || parts[2] != "instances" {
		return "", nil, false
	}
	return parts[4], func(s *wire.State) bool { return string(s.Status) == parts[3] }, true
}

// reach waits until the view contains an event.
func (p *projection) reach(ctx context.Context, sequence uint64) error {
	for {
		p.mu.Lock()
		low, cause := p.window.low, p.cause
		p.mu.Unlock()
		switch {
		case cause != nil:
			return cause
		case low >= sequence:
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(sweepPause):
		}
	}
}
