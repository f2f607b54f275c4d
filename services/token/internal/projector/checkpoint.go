package projector

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// checkpoint says in the view itself how far the view has come. It is written with the
// expectation that nobody else has written it since, so it is also the fence between two
// copies: whoever fails to write it steps down. Guarded by the projection's lock.
type checkpoint struct {
	p *projection
	// sequence is the last event covered by the last accepted checkpoint, position the
	// place of that checkpoint in PLACES.
	sequence, position uint64
	// counted is how many events the window had passed at that time.
	counted uint64

	// server is the run of the nats-server on which the view was last swept; renamed: it has
	// changed since the last accepted checkpoint.
	server  string
	renamed bool

	// flying: one is on its way, for these values.
	flying                 bool
	nextSequence, nextSeen uint64
	covered                map[key]birth

	timer   *time.Timer
	armed   bool
	running sync.WaitGroup
}

// A checkpoint is written after this many events or this long, whichever comes first.
const (
	checkpointEvents   = 500
	checkpointInterval = 100 * time.Millisecond
	handOverPoll       = 100 * time.Millisecond
	handOverQuiet      = 400 * time.Millisecond
	handOverLimit      = 3 * time.Second
)

// open reads the checkpoint, waits for another live copy to let go of it, and claims it.
func (c *checkpoint) open(ctx context.Context) error {
	p := c.p
	stream, err := p.owner.bus.JS.Stream(ctx, p.workflow.Stream)
	if err != nil {
		if isGone(err) {
			return errGone
		}
		return fmt.Errorf("looking up the workflow's stream: %w", err)
	}
	doc, err := c.handOver(ctx)
	if err != nil {
		return err
	}
	// Asked for after the hand-over: whatever the holder before has written is not later.
	info, err := stream.Info(ctx)
	if err != nil {
		if isGone(err) {
			return errGone
		}
		return fmt.Errorf("looking up the workflow's stream: %w", err)
	}
	p.horizon = info.State.LastSeq
	if c.sequence > p.horizon {
		// The stream was put back to an earlier state: the view tells of what never was.
		p.owner.tel.Log.Warn().Str("workflow", p.workflow.ID).Uint64("view", c.sequence).Uint64("stream", p.horizon).
			Msg("view was ahead of the events and is built anew")
		if err := p.owner.drop(ctx, p.workflow.ID); err != nil {
			return err
		}
		c.sequence, c.position = 0, 0
	}
	if doc.Holder != "" && doc.Holder != p.owner.members.Copy() {
		p.metrics.takeovers.Add(ctx, 1)
	}
	p.window.low = c.sequence
	return c.claim(ctx)
}

// handOver waits until the checkpoint of another live copy stands still.
func (c *checkpoint) handOver(ctx context.Context) (wire.Checkpoint, error) {
	var doc wire.Checkpoint
	var quiet time.Duration
	for waited := time.Duration(0); ; waited += handOverPoll {
		was := c.position
		var err error
		if doc, err = c.read(ctx); err != nil {
			return doc, err
		}
		if !c.p.owner.another(doc.Holder) || waited >= handOverLimit {
			return doc, nil
		}
		quiet += handOverPoll
		if c.position != was {
			quiet = 0
		}
		if quiet >= handOverQuiet {
			return doc, nil
		}
		select {
		case <-ctx.Done():
			return doc, ctx.Err()
		case <-time.After(handOverPoll):
		}
	}
}

func (c *checkpoint) read(ctx context.Context) (doc wire.Checkpoint, err error) {
	m, err := c.p.owner.bus.Last(ctx, wire.StreamPlaces, wire.ProjectionSubject(c.p.workflow.ID), true)
	switch {
	case errors.Is(err, bus.ErrNoMessage):
		c.sequence, c.position = 0, 0
		return doc, nil
	case err != nil:
		return doc, fmt.Errorf("reading the checkpoint: %w", err)
	}
	if err := json.Unmarshal(m.Data, &doc); err != nil {
		// Not ours: begin anew over it.
		doc = wire.Checkpoint{}
	}
	c.sequence, c.position, c.server = doc.Sequence, m.Sequence, doc.Server
	return doc, nil
}

// claim writes our name into the checkpoint, so that the holder before loses its next one.
func (c *checkpoint) claim(ctx context.Context) error {
	msg, err := c.message(c.sequence)
	if err != nil {
		return err
	}
	if !c.p.owner.members.Live() {
		return errLeaseLost
	}
	ack, err := c.p.owner.bus.Publish(ctx, msg)
	if errors.Is(err, bus.ErrWrongSequence) {
		return errOvertaken
	}
	if err != nil {
		return fmt.Errorf("claiming the checkpoint: %w", err)
	}
	c.position = ack.Sequence
	return nil
}

// verify fails when the checkpoint in the view is not the one that we wrote last.
func (c *checkpoint) verify(ctx context.Context) error {
	m, err := c.p.owner.bus.Last(ctx, wire.StreamPlaces, wire.ProjectionSubject(c.p.workflow.ID), true)
	if err != nil && !errors.Is(err, bus.ErrNoMessage) {
		// Nothing is known; the next write will tell.
		return nil
	}
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	switch {
	case c.flying, m != nil && m.Sequence <= c.position:
		return nil
	case m != nil && bytes.Contains(m.Data, []byte(c.p.owner.members.Copy())):
		// Written while we looked.
		return nil
	}
	return errOvertaken
}

func (c *checkpoint) message(sequence uint64) (*nats.Msg, error) {
	body, err := json.Marshal(wire.Checkpoint{
		WorkflowID: c.p.workflow.ID, Sequence: sequence, Timestamp: time.Now().UTC(), Holder: c.p.owner.members.Copy(), Server: c.server,
	})
	if err != nil {
		return nil, err
	}
	subject := wire.ProjectionSubject(c.p.workflow.ID)
	msg := nats.NewMsg(subject)
	msg.Data = body
	bus.Expect(msg, subject, c.position)
	msg.Header.Set(wire.HeaderRevision, strconv.FormatUint(sequence, 10))
	return msg, nil
}

// consider writes a checkpoint when one is due, or sees to it that it will be looked at
// again. Call it with the lock held.
func (c *checkpoint) consider() {
	if c.p.cause != nil || c.flying || !c.news() {
		return
	}
	if c.p.window.completed-c.counted >= checkpointEvents {
		c.write()
		return
	}
	if c.armed {
		return
	}
	c.armed = true
	c.running.Add(1)
	c.timer = time.AfterFunc(checkpointInterval, func() {
		defer c.running.Done()
		c.p.mu.Lock()
		defer c.p.mu.Unlock()
		c.armed = false
		c.write()
	})
}

func (c *checkpoint) stop() {
	c.p.mu.Lock()
	if c.timer != nil && c.timer.Stop() {
		c.armed = false
		c.running.Done()
	}
	c.p.mu.Unlock()
	c.running.Wait()
}

// news reports whether a checkpoint would say anything new. Call it with the lock held.
func (c *checkpoint) news() bool { return c.renamed || c.p.window.low > c.sequence }

// swept says that the view was checked as a whole on this run of the nats-server.
func (c *checkpoint) swept(server string) {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	c.server, c.renamed = server, true
	c.consider()
}

// write sends the checkpoint, if it says anything new. Call it with the lock held.
func (c *checkpoint) write() {
	if c.p.cause != nil || c.flying || !c.news() {
		return
	}
	msg, err := c.message(c.p.window.low)
	if err != nil {
		c.p.fail(err)
		return
	}
	if c.p.send(msg, c) {
		c.flying, c.nextSequence, c.nextSeen, c.renamed = true, c.p.window.low, c.p.window.completed, false
		c.covered, c.p.births = c.p.births, map[key]birth{}
	}
}

// answered takes the server's answer to a checkpoint.
func (c *checkpoint) answered(msg *nats.Msg, err error) {
	p := c.p
	p.mu.Lock()
	defer p.mu.Unlock()
	p.landed()
	c.flying = false
	var position uint64
	if err == nil {
		position, err = parseAck(msg)
	}
	if err != nil {
		for id, b := range c.covered {
			p.births[id] = b
		}
		var lost *conflict
		if errors.As(err, &lost) {
			p.metrics.conflicts.Add(p.ctx, 1)
			err = errOvertaken
		}
		p.fail(err)
		return
	}
	c.position, c.sequence, c.counted, c.covered = position, c.nextSequence, c.nextSeen, nil
	p.moved.Broadcast()
	c.consider()
}

// isGone reports whether a stream does not exist.
func isGone(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, bus.ErrNoStream)
}
