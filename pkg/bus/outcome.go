package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Instance is the instance as replies show it, with its tokens.
func (o *Outcome) Instance() wire.Instance {
	return o.State.Positioned(o.Sequence, o.Time)
}

// Token is one token of the marking as replies show it. It fails with fault.TokenEnded for
// a token that a firing or a cancellation consumed, and fault.TokenNotFound for one that
// never was.
func (o *Outcome) Token(id string) (wire.Token, error) {
	if token := o.State.Token(id); token != nil {
		return token.Positioned(o.Sequence, o.Time), nil
	}
	if int(wire.BirthOf(id)) < o.State.Births {
		return wire.Token{}, fault.New(fault.TokenEnded,
			"token %s has ended: a firing or a cancellation consumed it; read its history, or the token as of an earlier sequence", id).
			With("token_id", id).With("instance_id", o.State.ID)
	}
	return wire.Token{}, fault.New(fault.TokenNotFound, "instance %s never had a token %s", o.State.ID, id).With("token_id", id)
}

// Produced are the tokens that the event put into places, as replies show them.
func (o *Outcome) Produced() ([]wire.Token, error) {
	tokens := make([]wire.Token, 0, len(o.Event.Produced))
	for _, p := range o.Event.Produced {
		token, err := o.Token(p.TokenID)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, token)
	}
	return tokens, nil
}

// Rough sizes in a reply, generous.
const (
	replyTokenBytes    = 900
	replyInstanceBytes = 1 << 10
	replyVisitBytes    = 90
)

// ReplySizeOf is how large a reply is, at most, that holds the instance and each of these
// tokens once.
func ReplySizeOf(state *wire.State, tokens ...*wire.Token) int {
	n := replyInstanceBytes + replyVisitBytes*len(state.Visits) + len(state.Reason)
	for _, t := range tokens {
		if t != nil {
			n += replyTokenBytes + len(t.Data) + len(t.Metadata)
		}
	}
	return n
}

// How much is asked for at once: beyond some tens of megabytes the server falls silent in
// the middle of a batch.
const (
	historyBatch = 250
	historyBytes = 4 << 20
)

// Events reads the events of an instance in order, from a sequence on, until yield returns
// false or the last one that was stored at the time of the call has been seen.
func (b *Bus) Events(ctx context.Context, record *wire.WorkflowRecord, instanceID string, from uint64, yield func(*wire.Event, *Message) bool) error {
	return b.messages(ctx, record, wire.InstanceSubjects(record.ID, instanceID), from, func(m *Message) (bool, error) {
		var ev wire.Event
		if err := json.Unmarshal(m.Data, &ev); err != nil {
			return false, fmt.Errorf("event %d of %s: %w", m.Sequence, record.Stream, err)
		}
		if ev.Instance != nil {
			ev.Instance.Fill(m.Sequence)
		}
		m.Data = nil
		return yield(&ev, m), nil
	})
}

// messages reads what a workflow's stream has on a subject, which may hold wildcards, as
// Events does.
func (b *Bus) messages(ctx context.Context, record *wire.WorkflowRecord, subject string, from uint64, yield func(*Message) (bool, error)) error {
	last, err := b.Last(ctx, record.Stream, subject, true)
	if errors.Is(err, ErrNoMessage) {
		return nil
	}
	if err != nil {
		return err
	}
	for next := max(from, 1); next <= last.Sequence; {
		before := next
		batch, err := jetstreamext.GetBatch(ctx, b.JS, record.Stream, historyBatch,
			jetstreamext.GetBatchSeq(next), jetstreamext.GetBatchSubject(subject), jetstreamext.GetBatchMaxBytes(historyBytes))
		if err != nil {
			return unavailable(err)
		}
		for raw, err := range batch {
			if errors.Is(err, jetstreamext.ErrNoMessages) {
				break
			}
			if err != nil {
				return unavailable(err)
			}
			more, err := yield(&Message{Subject: raw.Subject, Sequence: raw.Sequence, Time: raw.Time, Header: raw.Header, Data: raw.Data})
			if err != nil || !more {
				return err
			}
			next = raw.Sequence + 1
		}
		if next == before {
			// A replica that lags does not have the rest yet, or it was purged meanwhile.
			if _, err := b.Next(ctx, record.Stream, subject, next); errors.Is(err, ErrNoMessage) {
				return nil
			} else if err != nil {
				return err
			}
			if err := pause(ctx, 1); err != nil {
				return err
			}
		}
	}
	return nil
}
