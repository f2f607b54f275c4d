package integration

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestArchivingLetsRunningInstancesGoOn(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	old := f.deploy(loop("loop"))
	running := f.create("loop", `{}`)
	servicetest.Do(f.t, f.WorkflowArchive, wire.WorkflowArchiveRequest{WorkflowID: "loop"})
	// The copies of the other service hear of it a moment later.
	servicetest.Eventually(t, "the old one takes no instances", func() bool {
		_, err := f.TokenCreate(t.Context(), wire.TokenCreateRequest{WorkflowID: old.ID})
		return errors.Is(err, fault.WorkflowArchived)
	})
	heir := f.deploy(loop("loop"))
	if heir.ID == old.ID {
		t.Fatal("the new workflow has the old one's id")
	}
	servicetest.Eventually(t, "the name leads to the new one", func() bool {
		young, err := f.TokenCreate(t.Context(), wire.TokenCreateRequest{WorkflowID: "loop"})
		return err == nil && young.WorkflowID == heir.ID
	})
	f.fire(running.ID, "go")
	servicetest.Do(f.t, f.TokenInject, wire.TokenInjectRequest{WorkflowID: old.ID, InstanceID: running.ID, Place: "a"})
	if diff := cmp.Diff(map[string]int{"a": 1, "b": 1}, f.marking(running.ID)); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	f.restart()
	f.join(running.ID, "finish")
	if got := f.join(running.ID, "finish"); got.Instance.Status != wire.StatusCompleted {
		t.Errorf("have %+v", got)
	}
}

func TestDeletingTakesTheInstancesAway(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(timed("1h"))
	root := f.create("timed", `{}`)
	f.fire(root.ID, "submit")
	f.marking(root.ID)
	servicetest.Eventually(t, "the time-out is set", func() bool { return f.Stored(wire.StreamTimers, "timers.>") == 1 })
	servicetest.Do(f.t, f.WorkflowDelete, wire.WorkflowDeleteRequest{WorkflowID: "timed", Confirm: "timed"})
	servicetest.Eventually(t, "the instance is unknown", func() bool {
		_, err := f.TokenGet(t.Context(), wire.TokenGetRequest{TokenID: root.ID})
		return errors.Is(err, fault.TokenNotFound)
	})
	servicetest.Eventually(t, "it does not move either", func() bool {
		_, err := f.TransitionFire(t.Context(), wire.FireRequest{TokenID: root.ID, TransitionID: "back"})
		return errors.Is(err, fault.TokenNotFound)
	})
	for stream, filter := range map[string]string{wire.StreamPlaces: wire.ViewSubjects(w.ID), wire.StreamTimers: "timers.>"} {
		if n := f.Stored(stream, filter); n != 0 {
			t.Errorf("%s keeps %d messages", stream, n)
		}
	}
}

func TestAnInstanceStaysOnItsVersionUntilMigrated(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(loop("loop"))
	old := f.create("loop", `{}`)
	servicetest.Do(f.t, f.WorkflowUpdate, wire.WorkflowUpdateRequest{WorkflowID: "loop", Definition: json.RawMessage(
		`{"name":"loop","initial_place":"a","places":[{"id":"a"},{"id":"c"}],"transitions":[{"id":"jump","from":"a","to":"c"}]}`)})
	var young wire.Token
	servicetest.Eventually(t, "new instances run on the new version", func() bool {
		young = f.create("loop", `{}`)
		return f.instance(young.ID).WorkflowVersion == 2
	})
	servicetest.Refused(f.t, fault.TransitionNotFound, f.TransitionFire, wire.FireRequest{TokenID: old.ID, TransitionID: "jump"})
	servicetest.Refused(f.t, fault.TransitionNotFound, f.TransitionFire, wire.FireRequest{TokenID: young.ID, TransitionID: "go"})
	servicetest.Refused(f.t, fault.PlaceMismatch, f.TokenInject, wire.TokenInjectRequest{WorkflowID: "loop", InstanceID: old.ID, Place: "c"})
	f.restart()
	f.fire(old.ID, "go")
	if got := f.fire(young.ID, "jump"); got.Instance.WorkflowVersion != 2 || got.Instance.Status != wire.StatusCompleted {
		t.Errorf("have %+v", got.Instance)
	}
	servicetest.Refused(f.t, fault.PlaceMismatch, f.InstanceMigrate, wire.InstanceMigrateRequest{InstanceID: old.ID, Version: 2})
	moved := servicetest.Do(f.t, f.InstanceMigrate, wire.InstanceMigrateRequest{InstanceID: old.ID, Version: 2, Places: map[string]string{"b": "a"}})
	if moved.WorkflowVersion != 2 || moved.Tokens[0].Place != "a" {
		t.Errorf("have %+v", moved)
	}
	servicetest.Refused(f.t, fault.TransitionNotFound, f.TransitionFire, wire.FireRequest{TokenID: old.ID, TransitionID: "back"})
	if got := f.fire(old.ID, "jump"); got.Instance.Status != wire.StatusCompleted {
		t.Errorf("have %+v", got.Instance)
	}
	if got := f.path(old.ID); got != "create go migrate jump" {
		t.Errorf("the path is %s", got)
	}
}

// The second workflow is written by hand, for nobody can ask for an id.
func TestWorkflowsWhoseIDsBeginAlikeAreBothTried(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	first := f.deploy(loop("first"))
	twin := f.deployTwin(first, "twin")
	if twin.ID == first.ID || twin.ID[:8] != first.ID[:8] {
		t.Fatalf("%s is no twin of %s", twin.ID, first.ID)
	}
	// The transition service hears of it a moment later, unless it is asked.
	servicetest.Do(f.t, f.WorkflowGet, wire.WorkflowGetRequest{WorkflowID: twin.ID})
	for workflow, id := range map[string]string{"first": first.ID, "twin": twin.ID} {
		token := f.create(workflow, `{"of":"`+workflow+`"}`)
		if got := f.token(token.ID); got.WorkflowID != id || string(got.Data) != `{"of":"`+workflow+`"}` {
			t.Errorf("%s: have %+v", workflow, got)
		}
		if got := f.fire(token.ID, "go"); got.Instance.WorkflowID != id || got.Token.Place != "b" {
			t.Errorf("%s: have %+v", workflow, got)
		}
		if diff := cmp.Diff(map[string]int{"b": 1}, f.marking(token.ID)); diff != "" {
			t.Errorf("%s (-want +have):\n%s", workflow, diff)
		}
		if got := f.path(token.ID); got != "create go" {
			t.Errorf("%s: the path is %s", workflow, got)
		}
		servicetest.Do(f.t, f.TokenGet, wire.TokenGetRequest{TokenID: token.ID, WorkflowID: workflow, AsOf: wire.AsOf{Sequence: token.NatsSequence}})
		other := map[string]string{"first": "twin", "twin": "first"}[workflow]
		servicetest.Refused(f.t, fault.TokenNotFound, f.TokenGet, wire.TokenGetRequest{TokenID: token.ID, WorkflowID: other})
	}
	nobody, err := wire.NewInstanceID(first.ID, time.Now().UnixMilli(), 1)
	if err != nil {
		t.Fatal(err)
	}
	servicetest.Refused(f.t, fault.TokenNotFound, f.TokenGet, wire.TokenGetRequest{TokenID: nobody})
	servicetest.Refused(f.t, fault.TokenNotFound, f.TransitionFire, wire.FireRequest{TokenID: nobody, TransitionID: "go"})
}

// deployTwin stores a workflow whose id begins as another's does.
func (f *fleet) deployTwin(of wire.Workflow, name string) wire.Workflow {
	f.t.Helper()
	ctx := f.t.Context()
	cfg := bus.DefaultConfig()
	cfg.URLs = []string{f.Server.URL()}
	b, err := bus.Connect(ctx, cfg, telemetry.Discard())
	if err != nil {
		f.t.Fatal(err)
	}
	defer b.Close()
	registry := bus.NewRegistry(b)
	if err := registry.Start(ctx); err != nil {
		f.t.Fatal(err)
	}
	defer registry.Stop()
	twin := of
	twin.ID = of.ID[:8] + uuid.NewString()[8:]
	twin.Name, twin.Stream = name, wire.StreamName(twin.ID)
	if _, err := b.EnsureWorkflowStream(ctx, twin.ID); err != nil {
		f.t.Fatal(err)
	}
	body, err := json.Marshal(twin)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := b.Publish(ctx, &nats.Msg{Subject: wire.DefinitionSubject(twin.ID), Data: body}); err != nil {
		f.t.Fatal(err)
	}
	if err := registry.ClaimName(ctx, name, twin.ID, nil); err != nil {
		f.t.Fatal(err)
	}
	record := wire.WorkflowRecord{ID: twin.ID, Name: name, Version: 1, Status: wire.WorkflowActive, Stream: twin.Stream, CreatedAt: twin.CreatedAt, UpdatedAt: twin.CreatedAt}
	if err := registry.Write(ctx, record, 0); err != nil {
		f.t.Fatal(err)
	}
	return twin
}

func TestIDsRouteThemselves(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	tokens := map[string]wire.Token{}
	for _, name := range []string{"one", "two", "three"} {
		f.deploy(loop(name))
		tokens[name] = f.create(name, `{"of":"`+name+`"}`)
	}
	for name, token := range tokens {
		if got := f.token(token.ID); string(got.Data) != `{"of":"`+name+`"}` {
			t.Errorf("%s: have %s", name, got.Data)
		}
		injected := servicetest.Do(f.t, f.TokenInject, wire.TokenInjectRequest{WorkflowID: name, InstanceID: token.ID, Place: "b"})
		if got := f.fire(injected.ID, "back"); got.Instance.ID != token.ID {
			t.Errorf("%s: have %+v", name, got.Instance)
		}
		servicetest.Do(f.t, f.TokenCancel, wire.TokenCancelRequest{TokenID: token.ID})
		servicetest.Refused(f.t, fault.TokenEnded, f.TokenGet, wire.TokenGetRequest{TokenID: token.ID})
	}
	servicetest.Refused(f.t, fault.InstanceNotFound, f.TokenInject, wire.TokenInjectRequest{WorkflowID: "one", InstanceID: tokens["two"].ID, Place: "b"})
	for _, id := range []string{"x", uuid.NewString(), "01A208DE-04D3-8903-AE35-0000CAFE0000"} {
		servicetest.Refused(f.t, fault.InvalidField, f.TokenGet, wire.TokenGetRequest{TokenID: id})
		servicetest.Refused(f.t, fault.InvalidField, f.TransitionFire, wire.FireRequest{TokenID: id, TransitionID: "go"})
	}
}
