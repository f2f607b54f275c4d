package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const (
	viewPoll = 5 * time.Millisecond
	// viewWait is how long the view may take to catch up before the measurement fails.
	viewWait = 20 * time.Minute
)

// lag is viewLag of the loop net.
func (l *loop) lag(ctx context.Context, nc *nats.Conn, progress func(uint64)) (time.Duration, error) {
	return viewLag(ctx, nc, &l.workflow, progress)
}

// viewLag is how long the view takes, from now, to contain the last event that the workflow
// has now. progress is told the sequence that the view has reached.
func viewLag(ctx context.Context, nc *nats.Conn, w *wire.Workflow, progress func(uint64)) (time.Duration, error) {
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, viewWait)
	defer cancel()
	js, err := jetstream.New(nc)
	if err != nil {
		return 0, err
	}
	stream, err := js.Stream(ctx, w.Stream)
	if err != nil {
		return 0, err
	}
	places, err := js.Stream(ctx, wire.StreamPlaces)
	if err != nil {
		return 0, err
	}
	target := stream.CachedInfo().State.LastSeq
	ticker := time.NewTicker(viewPoll)
	defer ticker.Stop()
	for {
		reached, err := checkpoint(ctx, places, w.ID)
		if err != nil {
			return 0, err
		}
		if reached >= target {
			return time.Since(started), nil
		}
		progress(reached)
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("the view had reached %d of %d: %w", reached, target, ctx.Err())
		case <-ticker.C:
		}
	}
}

// checkpoint is the sequence that the projector has reached; 0 before its first.
func checkpoint(ctx context.Context, places jetstream.Stream, workflowID string) (uint64, error) {
	msg, err := places.GetLastMsgForSubject(ctx, wire.ProjectionSubject(workflowID))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var c wire.Checkpoint
	if err := json.Unmarshal(msg.Data, &c); err != nil {
		return 0, err
	}
	return c.Sequence, nil
}

// eventBytes is the size of the workflow's last message without its headers, as it is on
// the wire.
func (l *loop) eventBytes(ctx context.Context, nc *nats.Conn) (int, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return 0, err
	}
	stream, err := js.Stream(ctx, l.workflow.Stream)
	if err != nil {
		return 0, err
	}
	msg, err := stream.GetLastMsgForSubject(ctx, wire.EventSubjects(l.workflow.ID))
	if err != nil {
		return 0, err
	}
	return len(msg.Data), nil
}
