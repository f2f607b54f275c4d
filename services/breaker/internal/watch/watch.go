// Package watch follows the events of one workflow, or of all of them, as the streams have
// stored them: in order, without gaps, across reconnects.
package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Options choose what is followed.
type Options struct {
	// Workflow is a UUID or a name; empty means all workflows, or that of Instance.
	Workflow string
	// Instance is an instance's id, or that of one of its tokens.
	Instance string
	// Place shows only events that take from it, put into it, or change a token in it. The
	// server cannot filter by it: which transitions touch a place is for every version of
	// the workflow to say, also for those still to come.
	Place string
	// From is the first sequence to show; All begins with the oldest. Otherwise only what
	// is stored from now on is shown.
	From uint64
	All  bool
	// Began is called once, when whatever is stored from then on is sure to be followed.
	Began func()
}

// Event is a stored event.
type Event struct {
	Sequence uint64
	Subject  string
	Time     time.Time
	// Workflow is its name.
	Workflow string
	Event    *wire.Event
}

// buffered is how many events may wait to be shown; the server holds back the rest.
const buffered = 256

// Follow calls show for one event after another until show returns false or an error, the
// context ends, or the followed workflow is deleted (fault.WorkflowNotFound).
func Follow(ctx context.Context, b *bus.Bus, options Options, show func(Event) (bool, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	registry := bus.NewRegistry(b)
	if err := registry.Start(ctx); err != nil {
		cancel()
		if errors.Is(err, jetstream.ErrBucketNotFound) {
			return fault.New(fault.Unavailable, "no fleet has run on this NATS server yet").Because(err)
		}
		return err
	}
	f := &follower{
		bus: b, registry: registry, options: options,
		events: make(chan Event, buffered), tails: map[string]*following{},
	}
	defer registry.Stop()
	defer f.end()
	defer cancel()
	if err := f.begin(ctx); err != nil {
		return err
	}
	if options.Began != nil {
		options.Began()
	}
	return f.run(ctx, show)
}

type follower struct {
	bus      *bus.Bus
	registry *bus.Registry
	options  Options
	// single is the one workflow that is followed; empty when all are.
	single string
	events chan Event
	tails  map[string]*following
}

// following is the reading of one workflow. Closing let makes a handler that waits for the
// loop let go, so that the tail can stop.
type following struct {
	tail *bus.Tail
	let  chan struct{}
}

func (f *following) stop() {
	close(f.let)
	f.tail.Stop()
}

func (f *follower) begin(ctx context.Context) error {
	if f.options.Workflow == "" && f.options.Instance == "" {
		for _, record := range f.registry.All() {
			if err := f.follow(ctx, record, f.options.All); err != nil {
				return err
			}
		}
		return nil
	}
	record, err := f.record(ctx)
	if err != nil {
		return err
	}
	f.single = record.ID
	return f.follow(ctx, *record, f.options.All)
}

// record finds the one workflow to follow.
func (f *follower) record(ctx context.Context) (*wire.WorkflowRecord, error) {
	var candidates []wire.WorkflowRecord
	if f.options.Workflow != "" {
		record, err := f.registry.Resolve(ctx, f.options.Workflow)
		if err != nil {
			return nil, err
		}
		if f.options.Instance == "" {
			return record, nil
		}
		candidates = append(candidates, *record)
	} else {
		var err error
		if candidates, err = f.registry.OfID(ctx, "instance", f.options.Instance); err != nil {
			return nil, err
		}
	}
	for _, record := range candidates {
		_, err := f.bus.Last(ctx, record.Stream, wire.InstanceSubjects(record.ID, f.instance()), true)
		if err == nil {
			return &record, nil
		}
		if !errors.Is(err, bus.ErrNoMessage) && !errors.Is(err, bus.ErrNoStream) {
			return nil, err
		}
	}
	return nil, fault.New(fault.InstanceNotFound, "there is no instance %s", f.options.Instance).With("instance_id", f.options.Instance)
}

func (f *follower) instance() string { return wire.InstanceOf(f.options.Instance) }

// follow starts to read one workflow; fromStart reads it from its beginning.
func (f *follower) follow(ctx context.Context, record wire.WorkflowRecord, fromStart bool) error {
	cfg := bus.TailConfig{Stream: record.Stream, Subjects: []string{wire.EventSubjects(record.ID)}, From: f.options.From}
	if f.options.Instance != "" {
		cfg.Subjects = []string{wire.InstanceSubjects(record.ID, f.instance())}
	}
	if cfg.From == 0 && !fromStart {
		stream, err := f.bus.JS.Stream(ctx, record.Stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("looking up stream %s: %w", record.Stream, err)
		}
		cfg.From = stream.CachedInfo().State.LastSeq + 1
	}
	let := make(chan struct{})
	tail, err := f.bus.Tail(ctx, cfg, func(m *bus.Message, _ uint64) { f.take(record.Name, m, let) })
	if errors.Is(err, bus.ErrNoStream) {
		return nil
	}
	if err != nil {
		return err
	}
	f.tails[record.ID] = &following{tail, let}
	return nil
}

// take hands a message over to the loop that shows it.
func (f *follower) take(workflow string, m *bus.Message, let <-chan struct{}) {
	var e wire.Event
	if err := json.Unmarshal(m.Data, &e); err != nil {
		// Shown, not hidden: whoever watches should see that something else is stored here.
		e = wire.Event{EventType: "unreadable event", Reason: err.Error()}
	}
	if !f.concerns(&e) {
		return
	}
	select {
	case f.events <- Event{Sequence: m.Sequence, Subject: m.Subject, Time: m.Time, Workflow: workflow, Event: &e}:
	case <-let:
	}
}

// concerns reports whether the event has to do with the chosen place.
func (f *follower) concerns(e *wire.Event) bool {
	place := f.options.Place
	if place == "" || e.FromPlace == place || e.ToPlace == place {
		return true
	}
	for _, c := range e.Consumed {
		if c.Place == place {
			return true
		}
	}
	for _, p := range e.Produced {
		if p.Place == place {
			return true
		}
	}
	if e.Instance == nil {
		return false
	}
	for id := range e.Patches {
		if token := e.Instance.Token(id); token != nil && token.Place == place {
			return true
		}
	}
	return false
}

func (f *follower) run(ctx context.Context, show func(Event) (bool, error)) error {
	var gone <-chan struct{}
	if f.single != "" {
		only := f.tails[f.single]
		if only == nil {
			return f.deleted()
		}
		gone = only.tail.Gone()
	}
	for {
		changed := f.registry.Changed()
		switch {
		case f.single == "":
			if err := f.newcomers(ctx); err != nil {
				return err
			}
		case !f.registered(f.single):
			return f.deleted()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-gone:
			return f.deleted()
		case <-changed:
		case e := <-f.events:
			if more, err := show(e); err != nil || !more {
				return err
			}
		}
	}
}

// registered reports whether a workflow still has its record, which goes before its stream.
func (f *follower) registered(id string) bool {
	return slices.ContainsFunc(f.registry.All(), func(r wire.WorkflowRecord) bool { return r.ID == id })
}

func (f *follower) deleted() error {
	return fault.New(fault.WorkflowNotFound, "the workflow was deleted").With("workflow_id", f.single)
}

// newcomers begins to follow workflows that were deployed since, from their beginning.
func (f *follower) newcomers(ctx context.Context) error {
	present := map[string]bool{}
	for _, record := range f.registry.All() {
		present[record.ID] = true
		if f.tails[record.ID] == nil {
			if err := f.follow(ctx, record, true); err != nil {
				return err
			}
		}
	}
	for id, following := range f.tails {
		if !present[id] {
			following.stop()
			delete(f.tails, id)
		}
	}
	return nil
}

func (f *follower) end() {
	for _, following := range f.tails {
		following.stop()
	}
}
