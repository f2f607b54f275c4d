package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// reactions are what the reactors of a test have handled.
type reactions struct {
	mu sync.Mutex
	// seen counts by copy, version and event.
	seen map[string]int
	// fail is asked first.
	fail func(*bus.Reaction) error
}

func (r *reactions) count(part string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for key, count := range r.seen {
		if strings.Contains(key, part) {
			n += count
		}
	}
	return n
}

// react starts a reactor on what leads into b.
func (f *fleet) react(name string, r *reactions) *bus.Reactor {
	f.t.Helper()
	reactor := bus.NewReactor(f.bus, f.registry, bus.ReactorConfig{
		Service: "testing", Concurrency: 4, AckWait: 5 * time.Second, Recheck: 50 * time.Millisecond,
		Filters: func(w *wire.Workflow) []string {
			if w.Labels["asks"] == "" {
				return nil
			}
			return []string{wire.TransitionSubject(w.ID, "*", "go"), wire.LifecycleSubject(w.ID, "*", wire.LifecycleUpdated)}
		},
	}, func(_ context.Context, reaction *bus.Reaction) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.fail != nil {
			if err := r.fail(reaction); err != nil {
				return err
			}
		}
		if reaction.Event.Instance.NatsSequence != reaction.Sequence || reaction.Version.Workflow.Version != reaction.Event.WorkflowVersion {
			f.t.Errorf("the reaction is %+v", reaction)
		}
		r.seen[name+" v"+string(rune('0'+reaction.Version.Workflow.Version))+" "+reaction.Event.InstanceID+" "+reaction.Event.EventType]++
		return nil
	})
	if err := reactor.Start(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := reactor.Stop(ctx); err != nil {
			f.t.Errorf("stopping: %v", err)
		}
	})
	return reactor
}

const asking = `{"name":"asking","initial_place":"a","places":[{"id":"a"},{"id":"b"},{"id":"end"}],"labels":{"asks":"%"},"transitions":[
	{"id":"go","from":"a","to":"b"},{"id":"back","from":"b","to":"a"},{"id":"finish","from":["a","b"],"to":"end"}]}`

func asks(how string) string { return strings.Replace(asking, "%", how, 1) }

// next deploys the next version of a workflow.
func (f *fleet) next(record *wire.WorkflowRecord, definition string) {
	f.t.Helper()
	def, problems := petri.ParseDefinition(json.RawMessage(definition))
	if len(problems) > 0 {
		f.t.Fatal(problems)
	}
	record.Version++
	body, err := json.Marshal(wire.Workflow{ID: record.ID, Version: record.Version, Status: wire.WorkflowActive, Stream: record.Stream, Definition: *def})
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.bus.Publish(f.t.Context(), &nats.Msg{Subject: wire.DefinitionSubject(record.ID), Data: body}); err != nil {
		f.t.Fatal(err)
	}
	f.rewrite(record.ID, func(r *wire.WorkflowRecord) { r.Version = record.Version })
}

func (f *fleet) mustFire(instance, transition string) {
	f.t.Helper()
	if _, err := f.fire(f.t.Context(), instance, transition, "", ""); err != nil {
		f.t.Fatal(err)
	}
}

// durables are the names of the consumers of a workflow's stream, without what follows the version.
func (f *fleet) durables(record *wire.WorkflowRecord) []string {
	f.t.Helper()
	stream, err := f.bus.JS.Stream(f.t.Context(), record.Stream)
	if err != nil {
		f.t.Fatal(err)
	}
	names := []string{}
	for name := range stream.ConsumerNames(f.t.Context()).Name() {
		if strings.HasPrefix(name, "testing-") {
			names = append(names, name[:len("testing-v1")])
		}
	}
	return names
}

// live puts an instance into the view, or takes it out, as the projector would.
func (f *fleet) live(record *wire.WorkflowRecord, instance string, version int) {
	f.t.Helper()
	msg := &nats.Msg{Subject: wire.InstanceRecordSubject(record.ID, wire.StatusActive, instance)}
	if version > 0 {
		var err error
		if msg.Data, err = json.Marshal(wire.InstanceRecord{ID: instance, WorkflowID: record.ID, WorkflowVersion: version, Status: wire.StatusActive}); err != nil {
			f.t.Fatal(err)
		}
	}
	if _, err := f.bus.Publish(f.t.Context(), msg); err != nil {
		f.t.Fatal(err)
	}
}

func TestCopiesShareTheEventsThatTheyAskFor(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	one, two := newFleet(t, server.URL()), newFleet(t, server.URL())
	r := &reactions{seen: map[string]int{}}
	one.react("one", r)
	two.react("two", r)
	w := one.deploy(asks("yes"))
	const instances = 100
	for range instances {
		id := one.mustCreate("asking").State.ID
		one.mustFire(id, "go")
		one.mustFire(id, "back")
	}
	eventually(t, "every event is handled", func() bool { return r.count("v1") >= instances })
	if got := r.count("v1"); got != instances {
		t.Errorf("%d events were handled, want %d", got, instances)
	}
	if r.count("one ") == 0 || r.count("two ") == 0 {
		t.Errorf("the work was not shared: %d and %d", r.count("one "), r.count("two "))
	}
	if diff := cmp.Diff([]string{"testing-v1"}, one.durables(w)); diff != "" {
		t.Error(diff)
	}
}

func TestAnEventThatCouldNotBeHandledComesAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t, startServer(t).URL())
	failures := 0
	r := &reactions{seen: map[string]int{}, fail: func(*bus.Reaction) error {
		if failures++; failures == 1 {
			return errors.New("not now")
		}
		return nil
	}}
	f.deploy(asks("yes"))
	id := f.mustCreate("asking").State.ID
	f.mustFire(id, "go")
	// The durable begins at the definition, so what happened before the first copy counts.
	f.react("one", r)
	eventually(t, "it is handled the second time", func() bool { return r.count(id) == 1 })
}

func TestADurableGoesWithTheLastInstanceOfItsVersion(t *testing.T) {
	t.Parallel()
	f := newFleet(t, startServer(t).URL())
	r := &reactions{seen: map[string]int{}}
	w := f.deploy(asks("first"))
	f.react("one", r)
	old := f.mustCreate("asking").State.ID
	f.live(w, old, 1)
	f.next(w, asks("second"))
	becomes := func(want ...string) {
		t.Helper()
		eventually(t, "the durables become "+strings.Join(want, ", "), func() bool { return cmp.Equal(want, f.durables(w)) })
	}
	becomes("testing-v1", "testing-v2")
	f.mustFire(old, "go")
	newer := f.mustCreate("asking").State.ID
	f.live(w, newer, 2)
	f.mustFire(newer, "go")
	eventually(t, "each is handled by its version", func() bool { return r.count("v1 "+old) == 1 && r.count("v2 "+newer) == 1 })

	f.mustFire(old, "finish")
	f.live(w, old, 0)
	becomes("testing-v2")
	// A version that asks for nothing does not take the last durable away.
	looks, err := f.bus.NC.SubscribeSync("$JS.API.CONSUMER.INFO." + w.Stream + ".*")
	if err != nil {
		t.Fatal(err)
	}
	f.next(w, loopNamed("asking"))
	for range 10 { // looks at its durables: that nothing happens has no other signal
		if _, err := looks.NextMsg(10 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	becomes("testing-v2")

	// An instance migrates back: its version is reacted to again, from that event on.
	f.live(w, newer, 1)
	_, err = f.committer.Commit(t.Context(), bus.Change{
		Field: "instance_id", InstanceID: newer,
		Command: func(ctx context.Context, _ *bus.Version, _ *wire.State) (petri.Command, error) {
			v, err := f.registry.Version(ctx, w, 1)
			return petri.Migrate{Net: v.Net, Version: 1}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	becomes("testing-v1", "testing-v2")
	f.mustFire(newer, "back")
	f.mustFire(newer, "go")
	eventually(t, "the migration and the firing are handled", func() bool { return r.count("v1 "+newer) == 2 })
	if got := r.count("v2 " + newer); got != 1 {
		t.Errorf("the newer version handled %d events of it, want 1", got)
	}
}

func loopNamed(name string) string { return strings.Replace(loop, `"loop"`, `"`+name+`"`, 1) }

func TestAReactorForgetsAWorkflowThatIsDeleted(t *testing.T) {
	t.Parallel()
	f := newFleet(t, startServer(t).URL())
	r := &reactions{seen: map[string]int{}}
	f.react("one", r)
	w := f.deploy(asks("yes"))
	f.mustFire(f.mustCreate("asking").State.ID, "go")
	eventually(t, "it reacts", func() bool { return r.count("v1") == 1 })
	if err := f.bus.DeleteWorkflowStream(t.Context(), w.Stream); err != nil {
		t.Fatal(err)
	}
	if err := f.registry.Remove(t.Context(), w.ID); err != nil {
		t.Fatal(err)
	}
	if err := f.registry.ReleaseName(t.Context(), w.Name, w.ID); err != nil {
		t.Fatal(err)
	}
	f.deploy(asks("yes"))
	f.mustFire(f.mustCreate("asking").State.ID, "go")
	eventually(t, "it reacts to the next of that name", func() bool { return r.count("v1") == 2 })
}
