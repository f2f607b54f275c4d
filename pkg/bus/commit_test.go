package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestRepeatReturnsTheFirstOutcomeAlsoAfterRestarts(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	f := newFleet(t, server.URL())
	record := f.deploy(loop)
	instance := f.mustCreate("loop").State.ID
	first, err := f.fire(t.Context(), instance, "go", "r1", `{"n":1}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.fire(t.Context(), instance, "back", "r2", `{}`); err != nil {
		t.Fatal(err)
	}
	server.Restart()
	// Another copy, which knows nothing of the first.
	g := newFleet(t, server.URL())
	for name, copy := range map[string]*fleet{"the same copy": f, "another copy": g} {
		eventually(t, name+" is connected", copy.bus.Connected)
		again, err := copy.fire(t.Context(), instance, "go", "r1", `{"n":1}`)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !again.Repeated || again.Sequence != first.Sequence || again.State.Tokens[0].Place != "b" {
			t.Errorf("%s: got sequence %d in %s, want the first outcome %d in b", name, again.Sequence, again.State.Tokens[0].Place, first.Sequence)
		}
	}
	if n := f.events(record, instance); n != 3 {
		t.Errorf("%d events, want 3: created, go, back", n)
	}
}

func TestRequestIDOfAnotherInstanceIsNoRepeat(t *testing.T) {
	t.Parallel()
	f := newFleet(t, startServer(t).URL())
	record := f.deploy(loop)
	one, two := f.mustCreate("loop").State.ID, f.mustCreate("loop").State.ID
	for _, instance := range []string{one, two} {
		out, err := f.fire(t.Context(), instance, "go", "same", `{}`)
		if err != nil || out.Repeated {
			t.Fatalf("fire on %s: repeated %v, %v", instance, out != nil && out.Repeated, err)
		}
		if n := f.events(record, instance); n != 2 {
			t.Errorf("%d events of %s, want 2", n, instance)
		}
	}
	// And one that a create has used does not swallow a firing.
	created, err := f.create(t.Context(), "loop", "made", `{}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.fire(t.Context(), one, "back", "made", `{}`); err != nil {
		t.Errorf("a firing with the request id of another instance's create: %v", err)
	}
	_, err = f.fire(t.Context(), created.State.ID, "go", "made", `{}`)
	wantCode(t, err, fault.RequestIDReused)
}

func TestAnotherBodyUnderTheSameIDIsRefused(t *testing.T) {
	t.Parallel()
	f := newFleet(t, startServer(t).URL())
	record := f.deploy(loop)
	instance := f.mustCreate("loop").State.ID
	if _, err := f.fire(t.Context(), instance, "go", "r", `{"n":1}`); err != nil {
		t.Fatal(err)
	}
	_, err := f.fire(t.Context(), instance, "go", "r", `{"n":2}`)
	wantCode(t, err, fault.RequestIDReused)
	if n := f.events(record, instance); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
	if _, err := f.create(t.Context(), "loop", "c", `{"n":1}`); err != nil {
		t.Fatal(err)
	}
	_, err = f.create(t.Context(), "loop", "c", `{"n":2}`)
	wantCode(t, err, fault.RequestIDReused)
}

func TestRepeatThatTheStateHasForgottenIsStillRecognised(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	f := newFleet(t, server.URL())
	record := f.deploy(loop)
	instance := f.mustCreate("loop").State.ID
	first, err := f.fire(t.Context(), instance, "go", "early", `{}`)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * wire.MaxRememberedRequests {
		if _, err := f.fire(t.Context(), instance, []string{"back", "go"}[i%2], fmt.Sprint("later", i), `{}`); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.fire(t.Context(), instance, "back", "", `{}`); err != nil {
		t.Fatal(err)
	}
	before := f.events(record, instance)
	server.Restart()
	g := newFleet(t, server.URL())
	again, err := g.fire(t.Context(), instance, "go", "early", `{}`)
	if err != nil {
		t.Fatal(err)
	}
	if !again.Repeated || again.Sequence != first.Sequence || g.events(record, instance) != before {
		t.Errorf("the repeat was taken for a new command: sequence %d, first %d", again.Sequence, first.Sequence)
	}
}

func TestRejectedCommandLeavesNothingAndIsEvaluatedAnew(t *testing.T) {
	t.Parallel()
	f := newFleet(t, startServer(t).URL())
	record := f.deploy(loop)
	instance := f.mustCreate("loop").State.ID
	_, err := f.fire(t.Context(), instance, "back", "r", `{}`)
	wantCode(t, err, fault.TransitionNotEnabled)
	if n := f.events(record, instance); n != 1 {
		t.Fatalf("%d events after a refusal, want 1", n)
	}
	if _, err := f.fire(t.Context(), instance, "go", "", `{}`); err != nil {
		t.Fatal(err)
	}
	if _, err := f.fire(t.Context(), instance, "back", "r", `{}`); err != nil {
		t.Errorf("the same request, now possible: %v", err)
	}
}

func TestCreateIsIdempotentAlsoInParallelAndAfterRestarts(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	f := newFleet(t, server.URL())
	f.deploy(loop)
	const callers = 16
	ids := make([]string, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			out, err := f.create(t.Context(), "loop", "once", `{"n":1}`)
			if err != nil {
				t.Errorf("caller %d: %v", i, err)
				return
			}
			ids[i] = out.State.ID
		})
	}
	wg.Wait()
	server.Restart()
	g := newFleet(t, server.URL())
	out, err := g.create(t.Context(), "loop", "once", `{"n":1}`)
	if err != nil {
		t.Fatal(err)
	}
	if !out.Repeated {
		t.Error("the create after the restart was not recognised as a repeat")
	}
	for i, id := range ids {
		if id != out.State.ID {
			t.Errorf("caller %d got instance %s, another %s", i, id, out.State.ID)
		}
	}
}

func TestLostAcknowledgementIsResolvedByLooking(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	p := newProxy(t, server.URL())
	f := newFleet(t, p.url(), func(c *bus.Config) { c.AckTimeout = 300 * time.Millisecond })
	direct := newFleet(t, server.URL())
	record := f.deploy(loop)
	instance := f.mustCreate("loop").State.ID

	for name, command := range map[string]func(context.Context) (*bus.Outcome, error){
		"fire":   func(ctx context.Context) (*bus.Outcome, error) { return f.fire(ctx, instance, "go", "", `{}`) },
		"create": func(ctx context.Context) (*bus.Outcome, error) { return f.create(ctx, "loop", "", `{}`) },
	} {
		before := lastSequence(t, direct, record)
		p.mute.Store(true)
		stored := make(chan struct{})
		go func() {
			// The event is stored, and its acknowledgement swallowed: now the line is cut.
			defer close(stored)
			for lastSequence(t, direct, record) == before && t.Context().Err() == nil {
			}
			p.mute.Store(false)
			p.cut()
		}()
		out, err := command(t.Context())
		<-stored
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if after := lastSequence(t, direct, record); after != before+1 || out.Sequence != after {
			t.Errorf("%s: acknowledged as %d, stream went from %d to %d", name, out.Sequence, before, after)
		}
	}
}

func TestLostAcknowledgementOfACreateThatHasGoneOn(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	p := newProxy(t, server.URL())
	f := newFleet(t, p.url(), func(c *bus.Config) { c.AckTimeout = 300 * time.Millisecond })
	other := newFleet(t, server.URL())
	record := f.deploy(loop)
	subject := wire.LifecycleSubject(record.ID, "*", wire.LifecycleCreated)
	before := f.mustCreate("loop").Sequence
	p.mute.Store(true)
	done := make(chan string, 1)
	go func() {
		// The created event is stored; before its maker learns so, somebody fires on it.
		var instance string
		for instance == "" && t.Context().Err() == nil {
			if msg, err := other.bus.Last(t.Context(), record.Stream, subject, true); err == nil && msg.Sequence > before {
				at, _ := wire.ParseEventSubject(msg.Subject)
				instance = at.InstanceID
			}
		}
		if _, err := other.fire(context.Background(), instance, "go", "", `{}`); err != nil {
			t.Errorf("the other's firing: %v", err)
		}
		p.mute.Store(false)
		p.cut()
		done <- instance
	}()
	out, err := f.create(t.Context(), "loop", "", `{}`)
	instance := <-done
	if err != nil {
		t.Fatal(err)
	}
	if out.State.ID != instance {
		t.Errorf("one create made two instances, %s and %s", instance, out.State.ID)
	}
}

func lastSequence(t *testing.T, f *fleet, record *wire.WorkflowRecord) uint64 {
	stream, err := f.bus.JS.Stream(context.Background(), record.Stream)
	if err != nil {
		t.Errorf("stream: %v", err)
		return 0
	}
	return stream.CachedInfo().State.LastSeq
}

func TestPublishGivenUpOnDuringAnOutageNeverComesBack(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	f := newFleet(t, server.URL(), func(c *bus.Config) { c.AckTimeout = 200 * time.Millisecond })
	f.deploy(loop)
	instance := f.mustCreate("loop").State.ID
	before := f.revision(instance)

	server.Shutdown()
	eventually(t, "the outage is noticed", func() bool { return !f.bus.Connected() })
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := f.fire(short, instance, "go", "", `{}`)
	if !errors.Is(err, fault.Unavailable) && fault.From(err).Code != fault.Timeout {
		t.Fatalf("firing during an outage: %v, want unavailable or timeout", err)
	}
	// The raw publish as well: it must fail at once, and not wait in a buffer.
	_, err = f.bus.Publish(t.Context(), &nats.Msg{Subject: wire.TransitionSubject("w", "i", "t"), Data: []byte("late")})
	wantCode(t, err, bus.ErrNotSent)

	server.Start()
	eventually(t, "the connection is back", f.bus.Connected)
	if err := f.bus.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	if after := f.revision(instance); after != before {
		t.Fatalf("revision %d became %d: a publish that was given up on came back", before, after)
	}
	if _, err := f.fire(t.Context(), instance, "go", "", `{}`); err != nil {
		t.Errorf("firing after the outage: %v", err)
	}
}

func TestReplyThatWouldNotFitIsRefusedBeforeTheCommit(t *testing.T) {
	t.Parallel()
	f := newFleet(t, startServer(t).URL())
	record := f.deploy(loop)
	instance := f.mustCreate("loop").State.ID
	_, err := f.committer.Commit(t.Context(), bus.Change{
		Field: "instance_id", InstanceID: instance, Command: fireCommand("go"),
		ReplySize: func(*wire.Event) int { return int(f.bus.NC.MaxPayload()) },
	})
	wantCode(t, err, fault.LimitExceeded)
	if n := f.events(record, instance); n != 1 {
		t.Errorf("%d events, want 1: the refusal must come before the commit", n)
	}
}

func TestStaleCacheNeverDecides(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	one, two := newFleet(t, server.URL()), newFleet(t, server.URL())
	one.deploy(loop)
	instance := one.mustCreate("loop").State.ID
	// Each copy's cache is behind by the other's firing; what it refuses or finds done must
	// still be the truth.
	for i := range 10 {
		if _, err := one.fire(t.Context(), instance, "go", "", `{}`); err != nil {
			t.Fatalf("round %d, go: %v", i, err)
		}
		_, err := one.fire(t.Context(), instance, "go", "", `{}`)
		wantCode(t, err, fault.TransitionNotEnabled)
		if _, err := two.fire(t.Context(), instance, "back", "", `{}`); err != nil {
			t.Fatalf("round %d, back: %v", i, err)
		}
	}
}

func TestContendingCopiesAllGetTheirTurn(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	copies := []*fleet{newFleet(t, server.URL()), newFleet(t, server.URL())}
	record := copies[0].deploy(loop)
	instance := copies[0].mustCreate("loop").State.ID
	const each = 40
	var wg sync.WaitGroup
	for c, f := range copies {
		for i := range each {
			wg.Go(func() {
				_, err := f.committer.Commit(t.Context(), bus.Change{
					Field: "instance_id", InstanceID: instance, Command: updateCommand(instance, fmt.Sprintf(`{"c%d_%d":true}`, c, i)),
				})
				if err != nil {
					t.Errorf("copy %d, change %d: %v", c, i, err)
				}
			})
		}
	}
	wg.Wait()
	if n := copies[0].events(record, instance); n != 2*each+1 {
		t.Errorf("%d events, want %d", n, 2*each+1)
	}
}

func TestFullWorkflowTakesNoNewWorkButFirings(t *testing.T) {
	t.Parallel()
	f := newFleet(t, startServer(t).URL(), func(c *bus.Config) { c.MaxMessages = 50 })
	f.deploy(loop)
	var last string
	var err error
	for range 60 {
		var out *bus.Outcome
		if out, err = f.create(t.Context(), "loop", "", `{}`); err != nil {
			break
		}
		last = out.State.ID
	}
	wantCode(t, err, fault.WorkflowFull)
	if _, err := f.fire(t.Context(), last, "go", "", `{}`); err != nil {
		t.Errorf("a firing in a workflow that takes no new work: %v", err)
	}
}

func fireCommand(transition string) func(context.Context, *bus.Version, *wire.State) (petri.Command, error) {
	return func(context.Context, *bus.Version, *wire.State) (petri.Command, error) {
		return petri.Fire{TransitionID: transition}, nil
	}
}

func updateCommand(token, data string) func(context.Context, *bus.Version, *wire.State) (petri.Command, error) {
	return func(context.Context, *bus.Version, *wire.State) (petri.Command, error) {
		return petri.Update{TokenID: token, Data: json.RawMessage(data)}, nil
	}
}
