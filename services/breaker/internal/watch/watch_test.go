package watch_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const limit = 20 * time.Second

// world is a server with workflows whose events the test writes by hand.
type world struct {
	bus      *bus.Bus
	registry *bus.Registry
}

func newTestWorld(t *testing.T) *world {
	t.Helper()
	cfg := bus.DefaultConfig()
	cfg.URLs = []string{natstest.Start(t).URL()}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	b, err := bus.Connect(ctx, cfg, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.EnsureShared(ctx); err != nil {
		t.Fatal(err)
	}
	w := &world{bus: b, registry: bus.NewRegistry(b)}
	if err := w.registry.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.registry.Stop)
	return w
}

// workflow deploys an empty workflow.
func (w *world) workflow(t *testing.T, name string) wire.WorkflowRecord {
	t.Helper()
	id := uuid.NewString()
	record := wire.WorkflowRecord{
		ID: id, Name: name, Version: 1, Status: wire.WorkflowActive, Stream: wire.StreamName(id), CreatedAt: time.Now(), UpdatedAt: time.Now(),
	}
	if _, err := w.bus.EnsureWorkflowStream(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := w.registry.ClaimName(t.Context(), name, id, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.registry.Write(t.Context(), record, 0); err != nil {
		t.Fatal(err)
	}
	return record
}

func newTestInstance(t *testing.T, record wire.WorkflowRecord) string {
	t.Helper()
	id, err := wire.NewInstanceID(record.ID, time.Now().UnixMilli(), uuid.New().ID())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// fire stores an event that moves an instance's token, and returns its sequence.
func (w *world) fire(t *testing.T, record wire.WorkflowRecord, instance, transition, from, to string) uint64 {
	t.Helper()
	body, err := json.Marshal(wire.Event{
		EventType: wire.EventTransitioned, WorkflowID: record.ID, InstanceID: instance, TokenID: instance, TransitionID: transition,
		FromPlace: from, ToPlace: to,
		Consumed: []wire.Consumed{{TokenID: instance, Place: from}}, Produced: []wire.Produced{{TokenID: instance, Place: to}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w.store(t, wire.TransitionSubject(record.ID, instance, transition), body)
}

func (w *world) store(t *testing.T, subject string, body []byte) uint64 {
	t.Helper()
	ack, err := w.bus.Publish(t.Context(), &nats.Msg{Subject: subject, Data: body})
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

// follow collects the first n events that the options choose; ready is called when events
// stored from then on are sure to be followed.
func (w *world) follow(t *testing.T, n int, options watch.Options, ready func()) []watch.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	options.Began = ready
	var got []watch.Event
	err := watch.Follow(ctx, w.bus, options, func(e watch.Event) (bool, error) {
		got = append(got, e)
		return len(got) < n, nil
	})
	if err != nil {
		t.Fatalf("after %d of %d events: %v", len(got), n, err)
	}
	return got
}

// steps are the transitions of events, in their order.
func steps(events []watch.Event) []string {
	var all []string
	for _, e := range events {
		all = append(all, e.Event.TransitionID)
	}
	return all
}

func expect(t *testing.T, got []watch.Event, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, steps(got)); diff != "" {
		t.Errorf("other events than expected (-want +got):\n%s", diff)
	}
}

func TestOnlyWhatComesIsShown(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	record := w.workflow(t, "review")
	i := newTestInstance(t, record)
	w.fire(t, record, i, "before", "a", "b")
	got := w.follow(t, 2, watch.Options{Workflow: "review"}, func() {
		w.fire(t, record, i, "first", "b", "c")
		w.fire(t, record, i, "second", "c", "d")
	})
	expect(t, got, "first", "second")
}

func TestFromResumesExactlyThere(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	record := w.workflow(t, "review")
	i := newTestInstance(t, record)
	w.fire(t, record, i, "one", "a", "b")
	second := w.fire(t, record, i, "two", "b", "c")
	w.fire(t, record, i, "three", "c", "d")
	got := w.follow(t, 2, watch.Options{Workflow: record.ID, From: second}, nil)
	expect(t, got, "two", "three")
	if got[0].Sequence != second {
		t.Errorf("sequence %d is shown as %d", second, got[0].Sequence)
	}
	expect(t, w.follow(t, 3, watch.Options{Workflow: record.ID, All: true}, nil), "one", "two", "three")
}

func TestOneInstanceIsShownAlone(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	record := w.workflow(t, "review")
	i, other := newTestInstance(t, record), newTestInstance(t, record)
	w.fire(t, record, other, "not_mine", "a", "b")
	w.fire(t, record, i, "one", "a", "b")
	w.fire(t, record, other, "not_mine", "b", "c")
	w.fire(t, record, i, "two", "b", "c")
	// The id of a later token leads to its instance.
	for _, id := range []string{i, wire.TokenID(i, 3)} {
		expect(t, w.follow(t, 2, watch.Options{Instance: id, All: true}, nil), "one", "two")
	}
}

func TestOnePlaceShowsArrivalsDeparturesAndChanges(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	record := w.workflow(t, "review")
	i := newTestInstance(t, record)
	w.fire(t, record, i, "elsewhere", "a", "b")
	w.fire(t, record, i, "arrive", "b", "here")
	update, err := json.Marshal(wire.Event{
		EventType: "token_updated", WorkflowID: record.ID, InstanceID: i, Patches: map[string]wire.Patch{i: {}}, TransitionID: "(update)",
		Instance: &wire.State{Instance: wire.Instance{ID: i, Tokens: []wire.Token{{ID: i, Place: "here"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.store(t, wire.LifecycleSubject(record.ID, i, wire.LifecycleUpdated), update)
	w.fire(t, record, i, "leave", "here", "c")
	w.fire(t, record, i, "elsewhere", "c", "d")
	w.fire(t, record, i, "return", "d", "here")
	got := w.follow(t, 4, watch.Options{Workflow: "review", Place: "here", All: true}, nil)
	expect(t, got, "arrive", "(update)", "leave", "return")
}

func TestNewWorkflowsAreFollowedFromTheirBeginning(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	old := w.workflow(t, "old")
	w.fire(t, old, newTestInstance(t, old), "before", "a", "b")
	got := w.follow(t, 1, watch.Options{}, func() {
		fresh := w.workflow(t, "fresh")
		w.fire(t, fresh, newTestInstance(t, fresh), "first", "a", "b")
	})
	expect(t, got, "first")
	if got[0].Workflow != "fresh" {
		t.Errorf("the workflow is shown as %q", got[0].Workflow)
	}
}

func TestADeletedWorkflowEndsTheWatch(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	record := w.workflow(t, "review")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	err := watch.Follow(ctx, w.bus, watch.Options{Workflow: "review", Began: func() {
		err := w.registry.Remove(t.Context(), record.ID)
		if err = errors.Join(err, w.bus.DeleteWorkflowStream(t.Context(), record.Stream)); err != nil {
			t.Error(err)
		}
	}}, func(watch.Event) (bool, error) { return true, nil })
	if !errors.Is(err, fault.WorkflowNotFound) {
		t.Errorf("the watch ended with %v", err)
	}
}

func TestWhatDoesNotExistIsSaid(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	record := w.workflow(t, "review")
	show := func(watch.Event) (bool, error) { return false, nil }
	for name, test := range map[string]struct {
		options watch.Options
		want    fault.Code
	}{
		"workflow": {watch.Options{Workflow: "nothing"}, fault.WorkflowNotFound},
		"instance": {watch.Options{Instance: newTestInstance(t, record)}, fault.InstanceNotFound},
		"elsewhere": {
			watch.Options{Workflow: "review", Instance: newTestInstance(t, record)}, fault.InstanceNotFound,
		},
		"no id": {watch.Options{Instance: "x"}, fault.InvalidField},
	} {
		if err := watch.Follow(t.Context(), w.bus, test.options, show); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}

func TestWhatCannotBeReadIsShownAndNotHidden(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	record := w.workflow(t, "review")
	i := newTestInstance(t, record)
	w.store(t, wire.LifecycleSubject(record.ID, i, wire.LifecycleUpdated), []byte("{"))
	got := w.follow(t, 1, watch.Options{Workflow: "review", All: true}, nil)
	if got[0].Event.EventType != "unreadable event" || got[0].Event.Reason == "" {
		t.Errorf("it is shown as %+v", got[0].Event)
	}
}

func TestASlowReaderLosesNothing(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	record := w.workflow(t, "review")
	i := newTestInstance(t, record)
	const many = 1500
	var last uint64
	for range many {
		last = w.fire(t, record, i, "step", "a", "a")
	}
	got := w.follow(t, many, watch.Options{Workflow: "review", All: true}, nil)
	if got[many-1].Sequence != last {
		t.Errorf("the last is %d, want %d", got[many-1].Sequence, last)
	}
	for k := 1; k < many; k++ {
		if got[k].Sequence != got[k-1].Sequence+1 {
			t.Fatalf("%d follows %d", got[k].Sequence, got[k-1].Sequence)
		}
	}
}
