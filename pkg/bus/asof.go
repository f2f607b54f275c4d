package bus

import (
	"context"
	"errors"
	"time"

	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// AsOf reads the message that was the last on a subject, which may hold wildcards, at a
// point in the past; what was stored at that very sequence or time counts. It fails with
// ErrNoMessage, fault.Unavailable or the context's error.
func (b *Bus) AsOf(ctx context.Context, stream, subject string, point wire.AsOf) (*Message, error) {
	last, err := b.asOfAnyReplica(ctx, stream, subject, point)
	if b.cfg.Replicas == 1 || err != nil && !errors.Is(err, ErrNoMessage) {
		return last, err
	}
	// Only the batched get searches by a point, and any replica answers it, also one that
	// does not have the latest yet. The leader tells what it has missed: usually nothing.
	from := uint64(1)
	if last != nil {
		from = last.Sequence + 1
	}
	for {
		next, err := b.Next(ctx, stream, subject, from)
		switch {
		case errors.Is(err, ErrNoMessage) || err == nil && after(next, point):
			if last == nil {
				return nil, ErrNoMessage
			}
			return last, nil
		case err != nil:
			return nil, err
		}
		last, from = next, next.Sequence+1
	}
}

// after reports whether a message was stored later than the point.
func after(m *Message, point wire.AsOf) bool {
	if point.Sequence != 0 {
		return m.Sequence > point.Sequence
	}
	return m.Time.After(point.Time)
}

func (b *Bus) asOfAnyReplica(ctx context.Context, stream, subject string, point wire.AsOf) (*Message, error) {
	option := jetstreamext.GetLastMsgsUpToSeq(point.Sequence)
	if point.Sequence == 0 {
		// The server leaves out what was stored at that very time.
		option = jetstreamext.GetLastMsgsUpToTime(point.Time.Add(time.Nanosecond))
	}
	messages, err := jetstreamext.GetLastMsgsFor(ctx, b.JS, stream, []string{subject}, option)
	if err != nil {
		return nil, unavailable(err)
	}
	var last *Message
	for raw, err := range messages {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			break
		}
		if err != nil {
			return nil, unavailable(err)
		}
		if last == nil || raw.Sequence > last.Sequence {
			last = &Message{Subject: raw.Subject, Sequence: raw.Sequence, Time: raw.Time, Header: raw.Header, Data: raw.Data}
		}
	}
	if last != nil {
		return last, nil
	}
	// Up to a sequence that the stream has not reached the server finds nothing.
	newest, err := b.Last(ctx, stream, subject, true)
	if err == nil && after(newest, point) {
		err = ErrNoMessage
	}
	if err != nil {
		return nil, err
	}
	return newest, nil
}
