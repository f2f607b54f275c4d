package view

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Projector says how far this copy has brought the view; ours is false for a workflow that
// another copy projects.
type Projector interface {
	Progress(workflowID string) (sequence uint64, ours bool)
	Moved() <-chan struct{}
}

// View reads PLACES. It is safe for concurrent use.
type View struct {
	bus       *bus.Bus
	projector Projector
}

// New makes a view.
func New(b *bus.Bus, projector Projector) *View { return &View{bus: b, projector: projector} }

const (
	// pageMost ends a page early: where much moves, a place is full of tombstones for some
	// seconds, and each costs a get.
	pageMost = time.Second
	// waitMost bounds a wait for the view where the context does not.
	waitMost = 5 * time.Second
	// waitTick is how often a copy that does not project a workflow looks at its checkpoint.
	waitTick = 25 * time.Millisecond
	// tombstoneTTL is how long an empty message says that a token has left.
	tombstoneTTL = "5s"
)

func anyOf(id string) string {
	if id == "" {
		return "*"
	}
	return id
}

// Tokens is a page of the tokens that stand in a place of a workflow; either may be empty
// for any. It ends at limit tokens, at wire.MaxPageBytes, or after a second, then perhaps
// with less and even without a token; next is empty on the last page, and only there.
func (v *View) Tokens(ctx context.Context, workflowID, place string, limit int, cursor string) (tokens []wire.Token, next string, err error) {
	filter := wire.PlaceSubject(anyOf(workflowID), anyOf(place), "*")
	next, err = v.page(ctx, filter, limit, cursor, func(msg *bus.Message) error {
		var token wire.Token
		if err := json.Unmarshal(msg.Data, &token); err != nil {
			return err
		}
		tokens = append(tokens, token)
		return nil
	})
	return tokens, next, err
}

// Instances is a page of the short records of a workflow's instances with a status; either
// may be empty for any.
func (v *View) Instances(ctx context.Context, workflowID string, status wire.Status, limit int, cursor string) (records []wire.InstanceRecord, next string, err error) {
	filter := wire.InstanceRecordSubject(anyOf(workflowID), wire.Status(anyOf(string(status))), "*")
	next, err = v.page(ctx, filter, limit, cursor, func(msg *bus.Message) error {
		var record wire.InstanceRecord
		if err := json.Unmarshal(msg.Data, &record); err != nil {
			return err
		}
		records = append(records, record)
		return nil
	})
	return records, next, err
}

func (v *View) page(ctx context.Context, filter string, limit int, cursor string, add func(*bus.Message) error) (string, error) {
	from, err := decodeCursor(filter, cursor)
	if err != nil {
		return "", err
	}
	count, size := 0, 0
	for began := time.Now(); ; {
		if time.Since(began) > pageMost {
			return encodeCursor(filter, from), nil
		}
		msg, err := v.bus.Next(ctx, wire.StreamPlaces, filter, from)
		switch {
		case errors.Is(err, bus.ErrNoMessage):
			return "", nil
		case errors.Is(err, bus.ErrNoStream):
			return "", fault.New(fault.Unavailable, "the view is out of reach at the moment; try again").Because(err)
		case err != nil:
			return "", err
		}
		if len(msg.Data) > 0 {
			size += len(msg.Data)
			if count == limit || count > 0 && size > wire.MaxPageBytes {
				return encodeCursor(filter, msg.Sequence), nil
			}
			if err := add(msg); err != nil {
				return "", fmt.Errorf("view message %d on %s: %w", msg.Sequence, msg.Subject, err)
			}
			count++
		}
		from = msg.Sequence + 1
	}
}

// WaitFor waits until the view of a workflow contains a revision. It fails with
// fault.Timeout after five seconds, or when ctx ends before.
func (v *View) WaitFor(ctx context.Context, workflowID string, sequence uint64) error {
	wait, cancel := context.WithTimeout(ctx, waitMost)
	defer cancel()
	var reached uint64
	for {
		moved := v.projector.Moved()
		own, ours := v.projector.Progress(workflowID)
		if ours {
			reached = own
		} else if checkpoint, err := v.checkpoint(wait, workflowID); err == nil {
			reached = checkpoint.Sequence
		} else if wait.Err() == nil {
			return err
		}
		if reached >= sequence {
			return nil
		}
		tick := time.NewTimer(waitTick)
		select {
		case <-moved:
		case <-tick.C:
		case <-wait.Done():
			tick.Stop()
			return fault.New(fault.Timeout, "the view has reached %d, not %d yet; try again", reached, sequence).
				With("min_sequence", sequence).With("reached", reached)
		}
		tick.Stop()
	}
}

func (v *View) checkpoint(ctx context.Context, workflowID string) (c wire.Checkpoint, err error) {
	msg, err := v.bus.Last(ctx, wire.StreamPlaces, wire.ProjectionSubject(workflowID), true)
	if errors.Is(err, bus.ErrNoMessage) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	return c, json.Unmarshal(msg.Data, &c)
}

// Count counts the tokens in each place of a workflow now, in one pass over the headers.
func (v *View) Count(ctx context.Context, workflowID string) (map[string]int, error) {
	counts := map[string]int{}
	_, err := v.bus.Scan(ctx, bus.TailConfig{
		Stream: wire.StreamPlaces, Subjects: []string{wire.PlaceSubject(workflowID, "*", "*")}, HeadersOnly: true,
	}, func(msg *bus.Message) error {
		if _, place, _, ok := wire.ParsePlaceSubject(msg.Subject); ok && msg.Header.Get("Nats-Msg-Size") != "0" {
			counts[place]++
		}
		return nil
	})
	return counts, err
}

// Purge removes what the view has of a finished instance, whose last state this is. It may
// be repeated.
func (v *View) Purge(ctx context.Context, workflowID string, state *wire.State) error {
	for i := range state.Tokens {
		if err := v.bury(ctx, wire.PlaceSubject(workflowID, state.Tokens[i].Place, state.Tokens[i].ID), state.NatsSequence); err != nil {
			return err
		}
	}
	return v.bury(ctx, wire.InstanceRecordSubject(workflowID, state.Status, state.ID), state.NatsSequence)
}

// bury puts a tombstone onto a subject. Its revision tells a projector that replays the
// instance's last events that they are in the view already.
func (v *View) bury(ctx context.Context, subject string, revision uint64) error {
	_, err := v.bus.Publish(ctx, &nats.Msg{Subject: subject, Header: nats.Header{
		jetstream.MsgTTLHeader: {tombstoneTTL}, wire.HeaderRevision: {strconv.FormatUint(revision, 10)},
	}})
	if err != nil {
		return fault.New(fault.Unavailable, "the view could not be written").Because(err)
	}
	return nil
}
