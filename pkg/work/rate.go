package work

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// turn is the next run's within a rate limit, by the generic cell rate algorithm (ITU-T I.371):
// full is when all that was begun has been paid for. It says when the run may begin.
func turn(full, now time.Time, limit *wire.RateLimit) (begin, next time.Time) {
	interval := time.Duration(limit.Per) / time.Duration(limit.Count)
	begin = now
	if earliest := full.Add(-interval * time.Duration(limit.Count-1)); earliest.After(now) {
		begin = earliest
	}
	if full.Before(now) {
		full = now
	}
	return begin, full.Add(interval)
}

// rated is what the bucket of targets knows of a rate limit.
type rated struct {
	Full time.Time `json:"full"`
}

// reserve takes the next turn of a target for the whole fleet, and says when it is. Copies
// whose clocks differ by as much take turns that early or late.
func (q *Queue) reserve(ctx context.Context, kind, target string, limit *wire.RateLimit) (time.Time, error) {
	stream, subject := bus.BucketStream(wire.BucketTargets), bus.BucketSubject(wire.BucketTargets, "rate."+kind+"."+target)
	for {
		var known rated
		var revision uint64
		m, err := q.bus.Last(ctx, stream, subject, true)
		switch {
		case err == nil:
			revision = m.Sequence
			_ = json.Unmarshal(m.Data, &known) // What cannot be read is no debt.
		case !errors.Is(err, bus.ErrNoMessage):
			return time.Time{}, outOfReach(err)
		}
		begin, next := turn(known.Full, q.now(), limit)
		body, err := json.Marshal(rated{Full: next.UTC()})
		if err != nil {
			return time.Time{}, err
		}
		_, err = q.bus.Put(ctx, stream, &nats.Msg{Subject: subject, Data: body}, revision)
		if errors.Is(err, bus.ErrWrongSequence) && ctx.Err() == nil {
			continue
		}
		return begin, outOfReach(err)
	}
}
