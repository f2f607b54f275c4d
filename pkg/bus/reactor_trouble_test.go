package bus_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// holding starts a reactor with one slot, whose events wait for release.
func (f *fleet) holding(recheck time.Duration) (reactor *bus.Reactor, held chan string, release chan struct{}) {
	f.t.Helper()
	held, release = make(chan string, 100), make(chan struct{})
	reactor = bus.NewReactor(f.bus, f.registry, bus.ReactorConfig{
		Service: "testing", Concurrency: 1, AckWait: 5 * time.Second, Recheck: recheck,
		Filters: func(w *wire.Workflow) []string { return []string{wire.TransitionSubject(w.ID, "*", "go")} },
	}, func(_ context.Context, r *bus.Reaction) error {
		held <- r.Event.InstanceID
		<-release
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
	return reactor, held, release
}

func (f *fleet) migrate(w *wire.WorkflowRecord, instance string, version int) {
	f.t.Helper()
	_, err := f.committer.Commit(f.t.Context(), bus.Change{
		Field: "instance_id", InstanceID: instance,
		Command: func(ctx context.Context, _ *bus.Version, _ *wire.State) (petri.Command, error) {
			v, err := f.registry.Version(ctx, w, version)
			return petri.Migrate{Net: v.Net, Version: version}, err
		},
	})
	if err != nil {
		f.t.Fatal(err)
	}
}

// info is what the server says of a version's durable; nil when there is none.
func (f *fleet) info(w *wire.WorkflowRecord, version int) *jetstream.ConsumerInfo {
	f.t.Helper()
	stream, err := f.bus.JS.Stream(f.t.Context(), w.Stream)
	if err != nil {
		f.t.Fatal(err)
	}
	var found *jetstream.ConsumerInfo
	for info := range stream.ListConsumers(f.t.Context()).Info() {
		if strings.HasPrefix(info.Name, fmt.Sprintf("testing-v%d-", version)) {
			found = info
		}
	}
	return found
}

// Nothing that ends a reactor may hold what an event in hand waits for, and a migration in
// hand still has its version reacted to.
func TestAMigrationInHandIsNotLostWhenTheReactorStops(t *testing.T) {
	t.Parallel()
	f := newFleet(t, startServer(t).URL())
	w := f.deploy(asks("first"))
	f.next(w, asks("second"))
	reactor, held, release := f.holding(time.Hour)
	busy, moving := f.mustCreate("asking").State.ID, f.mustCreate("asking").State.ID
	f.mustFire(busy, "go")
	<-held
	f.migrate(w, moving, 1)
	eventually(t, "the migration was fetched", func() bool {
		info := f.info(w, 2)
		return info != nil && info.NumAckPending == 2
	})
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		stopped <- reactor.Stop(ctx)
	}()
	close(release)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if now := f.info(w, 1); now == nil || now.NumPending != 1 {
		t.Errorf("the durable of version 1 is %+v", now)
	}
}

// A workflow that is deleted with events in hand does not keep others from theirs.
func TestADeletionHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	f := newFleet(t, startServer(t).URL())
	w := f.deploy(asks("first"))
	f.next(w, asks("second"))
	_, held, release := f.holding(50 * time.Millisecond)
	busy, moving := f.mustCreate("asking").State.ID, f.mustCreate("asking").State.ID
	f.mustFire(busy, "go")
	<-held
	f.migrate(w, moving, 1)
	eventually(t, "the migration was fetched", func() bool { return f.info(w, 2).NumAckPending == 2 })
	if err := f.registry.Remove(t.Context(), w.ID); err != nil {
		t.Fatal(err)
	}
	close(release)
	fresh := f.deploy(strings.Replace(asks("yes"), `"asking"`, `"fresh"`, 1))
	id := f.mustCreate("fresh").State.ID
	f.mustFire(id, "go")
	for got := range held {
		if got == id {
			break
		}
	}
	if names := f.durables(fresh); !cmp.Equal([]string{"testing-v1"}, names) {
		t.Errorf("the durables are %v", names)
	}
}

// A durable may vanish while nobody asks for its messages, and so nobody is told.
func TestADurableThatVanishedIsMadeAgain(t *testing.T) {
	t.Parallel()
	f := newFleet(t, startServer(t).URL())
	w := f.deploy(asks("yes"))
	_, held, release := f.holding(50 * time.Millisecond)
	for range 3 {
		f.mustFire(f.mustCreate("asking").State.ID, "go")
	}
	<-held
	eventually(t, "all slots are taken", func() bool { return f.info(w, 1).NumAckPending > 1 })
	if err := f.bus.JS.DeleteConsumer(t.Context(), w.Stream, f.info(w, 1).Name); err != nil {
		t.Fatal(err)
	}
	close(release)
	id := f.mustCreate("asking").State.ID
	f.mustFire(id, "go")
	eventually(t, "somebody reacts", func() bool { return <-held == id })
}

// What one copy has deleted, another does not bring back and read from the beginning.
func TestADurableThatWasDeletedStaysDeleted(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	one, two := newFleet(t, server.URL()), newFleet(t, server.URL())
	r := &reactions{seen: map[string]int{}}
	w := one.deploy(asks("first"))
	one.react("one", r)
	two.react("two", r)
	const instances = 20
	for range instances {
		one.mustFire(one.mustCreate("asking").State.ID, "go")
	}
	eventually(t, "all are handled", func() bool { return r.count("v1") == instances })
	one.next(w, asks("second"))
	eventually(t, "the old durable has gone", func() bool { return cmp.Equal([]string{"testing-v2"}, one.durables(w)) })
	// Whatever is deployed has every copy look at its workers.
	for i := range 3 {
		two.deploy(strings.Replace(asks("yes"), `"asking"`, fmt.Sprintf(`"other%d"`, i), 1))
		id := two.mustCreate(fmt.Sprint("other", i)).State.ID
		two.mustFire(id, "go")
		eventually(t, "the new workflow is reacted to", func() bool { return r.count(id) == 1 })
	}
	if got := r.count("v1"); got != instances+3 {
		t.Errorf("%d reactions to %d events", got-3, instances)
	}
	if names := one.durables(w); !cmp.Equal([]string{"testing-v2"}, names) {
		t.Errorf("the durables are %v", names)
	}
}
