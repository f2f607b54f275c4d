package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Headers of the message that says that a definition was deleted.
const (
	headerOperation     = "KV-Operation"
	operationDelete     = "DEL"
	headerAuthor        = "Breaker-Author"
	headerRequestID     = "Breaker-Request-Id"
	headerRequestDigest = "Breaker-Request-Digest"
)

// headerVersion has the last version that a deleted definition had.
func (c *Catalog[T, P]) headerVersion() string { return "Breaker-" + c.cfg.title() + "-Version" }

func (c *Catalog[T, P]) stream() string { return bus.BucketStream(c.cfg.Bucket) }

func (c *Catalog[T, P]) subject(id string) string { return bus.BucketSubject(c.cfg.Bucket, id) }

// read makes a stored message ready for use.
func (c *Catalog[T, P]) read(id string, m *bus.Message) (*Entry[T, P], error) {
	e, err := c.parse(id, m)
	if err == nil {
		c.prepare(e)
	}
	return e, err
}

func (c *Catalog[T, P]) prepare(e *Entry[T, P]) {
	if !e.Deleted && c.cfg.Prepare != nil {
		e.Prepared = c.cfg.Prepare(&e.Definition)
	}
}

func (c *Catalog[T, P]) parse(id string, m *bus.Message) (*Entry[T, P], error) {
	e := &Entry[T, P]{Revision: m.Sequence, Stored: m.Time}
	if len(m.Data) > 0 {
		if err := json.Unmarshal(m.Data, &e.Definition); err != nil {
			return nil, fmt.Errorf("%s at %d: %w", c.cfg.Noun, m.Sequence, err)
		}
		return e, nil
	}
	e.Deleted = true
	h := c.cfg.Head(&e.Definition)
	*h.ID = id
	*h.Version, _ = strconv.Atoi(m.Header.Get(c.headerVersion()))
	*h.Author, _ = strconv.Unquote(m.Header.Get(headerAuthor))
	*h.RequestID, _ = strconv.Unquote(m.Header.Get(headerRequestID))
	*h.RequestDigest = m.Header.Get(headerRequestDigest)
	return e, nil
}

// Current reads the last message of an id from the bucket's leader, and remembers it; nil
// when there never was one. It fails with fault.Unavailable.
func (c *Catalog[T, P]) Current(ctx context.Context, id string) (*Entry[T, P], error) {
	era := c.now()
	m, err := c.bus.Last(ctx, c.stream(), c.subject(id), true)
	if errors.Is(err, bus.ErrNoMessage) {
		return nil, nil
	}
	if err != nil {
		return nil, c.outOfReach(err)
	}
	return c.meet(id, m, era)
}

// Versions reads every version of a definition, oldest first, deletions too, until yield
// returns false. They are not prepared. It fails with fault.Unavailable.
func (c *Catalog[T, P]) Versions(ctx context.Context, id string, yield func(*Entry[T, P]) bool) error {
	for from := uint64(1); ; {
		m, err := c.bus.Next(ctx, c.stream(), c.subject(id), from)
		if errors.Is(err, bus.ErrNoMessage) {
			return nil
		}
		if err != nil {
			return c.outOfReach(err)
		}
		e, err := c.parse(id, m)
		if err != nil {
			return err
		}
		if !yield(e) {
			return nil
		}
		from = m.Sequence + 1
	}
}

// made finds what a request with this id has made of a definition before; nil when nothing.
// Every version is kept, so no repeat comes too late to be recognised.
func (c *Catalog[T, P]) made(ctx context.Context, id, requestID, digest string) (*Entry[T, P], error) {
	if requestID == "" {
		return nil, nil
	}
	var found *Entry[T, P]
	err := c.Versions(ctx, id, func(e *Entry[T, P]) bool {
		if *c.cfg.Head(&e.Definition).RequestID == requestID {
			found = e
		}
		return found == nil
	})
	if err != nil || found == nil {
		return nil, err
	}
	if *c.cfg.Head(&found.Definition).RequestDigest != digest {
		return nil, fault.New(fault.RequestIDReused, "request_id %q was used before for another change; draw a new one", requestID).
			With("request_id", requestID)
	}
	return found, nil
}

// put stores a version after the one at a revision. It fails with bus.ErrWrongSequence when
// somebody else stored one there.
func (c *Catalog[T, P]) put(ctx context.Context, definition *T, revision uint64) (*Entry[T, P], error) {
	body, err := json.Marshal(definition)
	if err != nil {
		return nil, err
	}
	return c.write(ctx, *c.cfg.Head(definition).ID, &nats.Msg{Data: body}, revision)
}

// drop stores the end of a definition.
func (c *Catalog[T, P]) drop(ctx context.Context, last *Entry[T, P], origin wire.Origin, digest string) error {
	h := c.cfg.Head(&last.Definition)
	_, err := c.write(ctx, *h.ID, &nats.Msg{Header: nats.Header{
		headerOperation: {operationDelete}, c.headerVersion(): {strconv.Itoa(*h.Version)},
		// Quoted, since a header cannot hold every text.
		headerAuthor: {strconv.Quote(origin.TriggeredBy)}, headerRequestID: {strconv.Quote(origin.RequestID)}, headerRequestDigest: {digest},
	}}, last.Revision)
	return err
}

func (c *Catalog[T, P]) write(ctx context.Context, id string, msg *nats.Msg, revision uint64) (*Entry[T, P], error) {
	msg.Subject = c.subject(id)
	if msg.Header == nil {
		msg.Header = nats.Header{}
	}
	telemetry.Inject(ctx, msg.Header)
	era := c.now()
	sequence, err := c.bus.Put(ctx, c.stream(), msg, revision)
	if errors.Is(err, bus.ErrWrongSequence) {
		return nil, err
	}
	if err != nil {
		return nil, c.outOfReach(err)
	}
	// Only the server knows when it stored the message. Where it does not answer, the version
	// is stored all the same, and is remembered when it comes by.
	look, cancel := context.WithTimeout(ctx, lookPatience)
	defer cancel()
	m, err := c.bus.At(look, c.stream(), sequence)
	if err != nil {
		return c.read(id, &bus.Message{Sequence: sequence, Header: msg.Header, Data: msg.Data})
	}
	return c.meet(id, m, era)
}

// lookPatience is how long the answer to a change waits for the time of what it stored.
const lookPatience = time.Second

// outOfReach gives what can befall the bucket a code.
func (c *Catalog[T, P]) outOfReach(err error) error {
	switch {
	case errors.Is(err, bus.ErrNoStream), errors.Is(err, bus.ErrNotSent):
		return fault.New(fault.Unavailable, "the bucket of %s is out of reach at the moment; try again", c.cfg.plural()).Because(err)
	case errors.Is(err, bus.ErrStreamFull):
		return fault.New(fault.WorkflowFull, "the server has no room for another version of %s", c.cfg.one()).Because(err)
	}
	return err
}
