package bench

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const (
	rawStream = "BENCH_RAW"
	rawPrefix = "bench."
)

// raw is the yardstick: a stream like a workflow's, with as many chains of messages as
// there are instances, each message expecting the one before it.
type raw struct {
	nc       *nats.Conn
	subjects []string
	filters  []string
	last     []uint64
	body     []byte
}

// newRaw makes the stream from the settings of the loop's own, and chains of messages of
// size bytes.
func newRaw(ctx context.Context, nc *nats.Conn, l *loop, size int) (*raw, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	model, err := js.Stream(ctx, l.workflow.Stream)
	if err != nil {
		return nil, err
	}
	cfg := model.CachedInfo().Config
	cfg.Name, cfg.Description, cfg.Metadata = rawStream, "", nil
	cfg.Subjects = []string{rawPrefix + ">"}
	if _, err := js.CreateOrUpdateStream(ctx, cfg); err != nil {
		return nil, fmt.Errorf("making the yardstick: %w", err)
	}
	r := &raw{nc: nc, last: make([]uint64, len(l.ids)), body: make([]byte, size)}
	for i := range r.body {
		r.body[i] = 'x'
	}
	for _, id := range l.ids {
		r.subjects = append(r.subjects, rawPrefix+wire.TransitionSubject(l.workflow.ID, id, pingTransition))
		r.filters = append(r.filters, rawPrefix+wire.InstanceSubjects(l.workflow.ID, id))
	}
	return r, nil
}

// publish is the operation of adding a message to one of the worker's own chains.
func (r *raw) publish(inFlight int) operation {
	return func(worker int, random *rand.Rand) error {
		i := own(worker, inFlight, len(r.subjects), random)
		msg := &nats.Msg{Subject: r.subjects[i], Data: r.body}
		bus.Expect(msg, r.filters[i], r.last[i])
		reply, err := r.nc.RequestMsg(msg, replyWait)
		if err != nil {
			return fmt.Errorf("publishing: %w", err)
		}
		ack, err := bus.ParseAck(reply.Data)
		if err != nil {
			return fmt.Errorf("publishing: %w", err)
		}
		r.last[i] = ack.Sequence
		return nil
	}
}
