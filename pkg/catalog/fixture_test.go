package catalog_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/catalog"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	bucket = "plans"
	// The vocabulary has none for plans.
	planNotFound, planExists = fault.RuleNotFound, fault.RuleExists
)

// plan is the smallest definition.
type plan struct {
	ID            string    `json:"id"`
	Version       int       `json:"version"`
	Description   string    `json:"description,omitempty"`
	Text          string    `json:"text"`
	Tags          []string  `json:"tags,omitempty"`
	Author        string    `json:"author,omitempty"`
	CreatedAt     time.Time `json:"created_at"`
	UpdatedAt     time.Time `json:"updated_at"`
	RequestID     string    `json:"request_id,omitempty"`
	RequestDigest string    `json:"request_digest,omitempty"`
}

func head(p *plan) catalog.Head {
	return catalog.Head{
		ID: &p.ID, Version: &p.Version, Description: &p.Description, Tags: &p.Tags, Author: &p.Author,
		CreatedAt: &p.CreatedAt, UpdatedAt: &p.UpdatedAt, RequestID: &p.RequestID, RequestDigest: &p.RequestDigest,
	}
}

// entry is a plan with its text in capitals, which is how plans are prepared.
type entry = catalog.Entry[plan, string]

// copyOf is one copy of a service with a catalog of plans.
type copyOf struct {
	*catalog.Catalog[plan, string]
	t *testing.T

	mu sync.Mutex
	// told are the ids that Changed was told of, each with what was known then.
	told map[string][]*entry
}

// world is a server, and a connection of the test to it.
type world struct {
	t   *testing.T
	url string
	js  jetstream.JetStream
}

func newTestWorld(t *testing.T) *world {
	t.Helper()
	server := natstest.Start(t)
	js, err := jetstream.New(server.Connect())
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, url: server.URL(), js: js}
}

// open starts a copy; it ends with the test.
func (w *world) open(change ...func(*catalog.Config[plan, string])) *copyOf {
	w.t.Helper()
	cfg := bus.DefaultConfig()
	cfg.URLs = []string{w.url}
	b, err := bus.Connect(w.t.Context(), cfg, telemetry.Discard())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(b.Close)
	c := &copyOf{t: w.t, told: map[string][]*entry{}}
	settings := catalog.Config[plan, string]{
		Bucket: bucket, Noun: "plan", NotFound: planNotFound, Exists: planExists, Head: head,
		Prepare: func(p *plan) string { return strings.ToUpper(p.Text) }, Changed: c.hear, Reserved: map[string]string{"none": "the absence of a plan is called so"},
		Size: func(p *plan) int { return len(p.Text) },
	}
	for _, f := range change {
		f(&settings)
	}
	c.Catalog = catalog.New(b, telemetry.Discard(), settings)
	if err := c.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Stop)
	return c
}

// lose deletes the bucket.
func (w *world) lose() {
	w.t.Helper()
	if err := w.js.DeleteStream(w.t.Context(), bus.BucketStream(bucket)); err != nil {
		w.t.Fatal(err)
	}
}

// stored counts the messages in the bucket.
func (w *world) stored() int {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), bus.BucketStream(bucket))
	if err != nil {
		w.t.Fatal(err)
	}
	return int(s.CachedInfo().State.Msgs)
}

// last is the newest message of an id, as it is stored.
func (w *world) last(id string) *jetstream.RawStreamMsg {
	w.t.Helper()
	s, err := w.js.Stream(w.t.Context(), bus.BucketStream(bucket))
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(w.t.Context(), bus.BucketSubject(bucket, id))
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

func (w *world) publish(id, body string) {
	w.t.Helper()
	if _, err := w.js.PublishMsg(w.t.Context(), &nats.Msg{Subject: bus.BucketSubject(bucket, id), Data: []byte(body)}); err != nil {
		w.t.Fatal(err)
	}
}

func (c *copyOf) hear(id string) {
	known := c.Known(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told[id] = append(c.told[id], known)
}

// heard is what was known of an id each time when Changed told of it.
func (c *copyOf) heard(id string) []*entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.told[id])
}

func request(id string) wire.Origin { return wire.Origin{RequestID: id, TriggeredBy: "alice"} }

// create, update and remove do what is asked; the text is their digest.
func (c *copyOf) create(ctx context.Context, id, requestID, text string) (*entry, error) {
	return c.Create(ctx, plan{ID: id, Text: text}, request(requestID), "create "+text, nil)
}

func (c *copyOf) update(ctx context.Context, id string, expected int, requestID, text string) (*entry, error) {
	return c.Update(ctx, id, expected, request(requestID), "update "+text, func(p *plan) { p.Text = text }, nil)
}

func (c *copyOf) remove(ctx context.Context, id string, expected int, requestID string) (*entry, error) {
	return c.Delete(ctx, id, expected, request(requestID), "delete", nil)
}

// must fails the test when there was an error; it is called as must(c.create(…)).
func (c *copyOf) must(e *entry, err error) *entry {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	return e
}

// refused fails the test unless there was an error of the code.
func (c *copyOf) refused(code fault.Code) func(*entry, error) *fault.Error {
	return func(e *entry, err error) *fault.Error {
		c.t.Helper()
		if !errors.Is(err, code) || e != nil {
			c.t.Fatalf("got %+v and error %v, want %s", e, err, code)
		}
		return fault.From(err)
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}
