package token_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/token"
)

func TestASuspendedInstanceStandsStill(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(reviewNet)
	root := f.create("review", `{"n":1}`)
	resting := servicetest.Do(f.t, f.InstanceSuspend, wire.InstanceSuspendRequest{InstanceID: root.ID, Reason: "audit"})
	if resting.Status != wire.StatusSuspended || resting.Reason != "audit" || len(resting.Tokens) != 1 {
		t.Errorf("have %+v", resting)
	}
	servicetest.Refused(f.t, fault.InstanceSuspended, f.TokenInject, wire.TokenInjectRequest{WorkflowID: "review", InstanceID: root.ID, Place: "desk"})
	servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: root.ID, Data: json.RawMessage(`{"n":2}`)})
	before := f.events(w, root.ID)
	again := servicetest.Do(f.t, f.InstanceSuspend, wire.InstanceSuspendRequest{InstanceID: root.ID, Reason: "twice"})
	if again.Reason != "audit" || f.events(w, root.ID) != before {
		t.Errorf("a second suspend changed something: %+v", again)
	}
	awake := servicetest.Do(f.t, f.InstanceResume, wire.InstanceResumeRequest{InstanceID: root.ID})
	if awake.Status != wire.StatusActive || awake.Reason != "" || string(awake.Tokens[0].Data) != `{"n":2}` {
		t.Errorf("have %+v", awake)
	}
	before = f.events(w, root.ID)
	if servicetest.Do(f.t, f.InstanceResume, wire.InstanceResumeRequest{InstanceID: root.ID}); f.events(w, root.ID) != before {
		t.Error("a second resume changed something")
	}
	servicetest.Do(f.t, f.InstanceSuspend, wire.InstanceSuspendRequest{InstanceID: root.ID})
	if over := servicetest.Do(f.t, f.TokenCancel, wire.TokenCancelRequest{InstanceID: root.ID}); over.Status != wire.StatusCancelled {
		t.Errorf("a suspended instance was cancelled and is %s", over.Status)
	}
	servicetest.Refused(f.t, fault.InstanceFinished, f.InstanceResume, wire.InstanceResumeRequest{InstanceID: root.ID})
}

func TestMigrationTakesTheTokensAlong(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(reviewNet)
	root := f.create("review", `{"n":1}`)
	f.fire(root.ID, "submit")
	f.redeploy(w, strings.NewReplacer(`"desk"`, `"bureau"`, `"submit"`, `"hand_in"`).Replace(reviewNet))

	servicetest.Refused(f.t, fault.VersionNotFound, f.InstanceMigrate, wire.InstanceMigrateRequest{InstanceID: root.ID, Version: 3})
	servicetest.Refused(f.t, fault.InvalidField, f.InstanceMigrate, wire.InstanceMigrateRequest{InstanceID: root.ID})
	servicetest.Refused(f.t, fault.InvalidField, f.InstanceMigrate, wire.InstanceMigrateRequest{InstanceID: root.ID, Version: 1})
	servicetest.Refused(f.t, fault.PlaceMismatch, f.InstanceMigrate, wire.InstanceMigrateRequest{InstanceID: root.ID, Version: 2})
	servicetest.Refused(f.t, fault.InvalidField, f.InstanceMigrate, wire.InstanceMigrateRequest{InstanceID: root.ID, Version: 2, Places: map[string]string{"moon": "bureau"}})
	if got := f.instance(root.ID); got.WorkflowVersion != 1 || got.Tokens[0].Place != "desk" {
		t.Errorf("a new version, and refused migrations, made it %+v", got)
	}
	moved := servicetest.Do(f.t, f.InstanceMigrate, wire.InstanceMigrateRequest{InstanceID: root.ID, Version: 2, Places: map[string]string{"desk": "bureau"}})
	if moved.WorkflowVersion != 2 || moved.Tokens[0].Place != "bureau" || moved.Tokens[0].ID != root.ID || string(moved.Tokens[0].Data) != `{"n":1}` {
		t.Errorf("have %+v", moved)
	}
	listed := servicetest.Do(f.t, f.TokenList, wire.TokenListRequest{WorkflowID: "review", MinSequence: moved.NatsSequence})
	if len(listed.Tokens) != 1 || listed.Tokens[0].Place != "bureau" {
		t.Errorf("the view has %+v", listed.Tokens)
	}
	servicetest.Eventually(t, "a new instance runs on the newest version", func() bool {
		return f.instance(f.create("review", ``).ID).WorkflowVersion == 2
	})
}

const shortLived = `{"name":"brief","initial_place":"a",
	"places":[{"id":"a","timeout":{"after":"1h","transition":"go"}},{"id":"b"}],
	"transitions":[{"id":"go","from":"a","to":"b"}],
	"retention":{"completed":"1s","cancelled":"1s"}}`

// What the service does to the streams is watched in the order in which it does it.
func TestAFinishedInstanceIsPurgedFromTheViewFirst(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(shortLived)
	seen := make(chan *nats.Msg, 1000)
	for _, subject := range []string{"$JS.API.STREAM.PURGE." + w.Stream, "workflows." + w.ID + ".instances.>", "workflows." + w.ID + ".places.>"} {
		if _, err := f.NC.ChanSubscribe(subject, seen); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	kept := f.create("brief", ``)
	completed := f.create("brief", ``)
	f.fire(completed.ID, "go")
	cancelled := f.create("brief", ``)
	servicetest.Do(f.t, f.TokenCancel, wire.TokenCancelRequest{InstanceID: cancelled.ID})
	if got := f.token(completed.ID); got.Place != "b" {
		t.Errorf("a finished instance is read until its retention is over: %+v", got)
	}
	servicetest.Eventually(t, "the finished instances are gone", func() bool {
		return f.events(w, completed.ID) == 0 && f.events(w, cancelled.ID) == 0
	})

	buried := map[string]bool{}
	purges := 0
	for len(seen) > 0 {
		msg := <-seen
		if strings.HasPrefix(msg.Subject, "workflows.") {
			buried[msg.Subject] = len(msg.Data) == 0
			continue
		}
		var request struct{ Filter string }
		if err := json.Unmarshal(msg.Data, &request); err != nil {
			t.Fatal(err)
		}
		purges++
		left := map[string][]string{
			wire.InstanceSubjects(w.ID, completed.ID): {wire.InstanceRecordSubject(w.ID, wire.StatusCompleted, completed.ID), wire.PlaceSubject(w.ID, "b", completed.ID)},
			wire.InstanceSubjects(w.ID, cancelled.ID): {wire.InstanceRecordSubject(w.ID, wire.StatusCancelled, cancelled.ID), wire.PlaceSubject(w.ID, "a", cancelled.ID)},
		}[request.Filter]
		if left == nil {
			t.Errorf("%s was purged", request.Filter)
		}
		for _, subject := range left {
			if !buried[subject] {
				t.Errorf("the events were purged while the view had %s still", subject)
			}
		}
	}
	if purges != 2 {
		t.Errorf("two instances were purged with %d requests", purges)
	}
	for _, id := range []string{completed.ID, cancelled.ID} {
		servicetest.Refused(f.t, fault.TokenNotFound, f.TokenGet, wire.TokenGetRequest{TokenID: id})
		servicetest.Refused(f.t, fault.InstanceNotFound, f.InstanceGet, wire.InstanceGetRequest{InstanceID: id})
		servicetest.Refused(f.t, fault.TokenNotFound, f.TokenHistory, wire.TokenHistoryRequest{TokenID: id})
		servicetest.Refused(f.t, fault.InstanceNotFound, f.TokenCancel, wire.TokenCancelRequest{InstanceID: id})
	}
	if got := servicetest.Do(f.t, f.InstanceList, wire.InstanceListRequest{WorkflowID: "brief"}).Instances; len(got) != 1 || got[0].ID != kept.ID {
		t.Errorf("the view lists %+v", got)
	}
	if got := servicetest.Do(f.t, f.TokenList, wire.TokenListRequest{WorkflowID: "brief"}).Tokens; len(got) != 1 || got[0].ID != kept.ID {
		t.Errorf("the view lists %+v", got)
	}
	// Of the timers, only that of the instance which runs on is left.
	servicetest.Eventually(t, "the timers of the purged are gone", func() bool {
		return f.Stored(wire.StreamTimers, "timers.>") == f.Stored(wire.StreamTimers, wire.TimerSetSubject(wire.TimerTimeout, w.ID, kept.ID, "*"))
	})
	if n := f.Stored(wire.StreamTimers, "timers.>"); n != 1 {
		t.Errorf("TIMERS holds %d messages, want that of the instance which runs on", n)
	}
}

// Retention that ran out while nobody was there is made up for.
func TestRetentionSurvivesARestart(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(shortLived)
	over := f.create("brief", ``)
	servicetest.Do(f.t, f.TokenCancel, wire.TokenCancelRequest{InstanceID: over.ID})
	servicetest.Eventually(t, "the purge is set", func() bool { return f.Stored(wire.StreamTimers, "timers.*.purge.>") == 1 })
	f.restartAll(func() {
		servicetest.Eventually(t, "the purge is due", func() bool { return f.Stored(wire.StreamTimers, "timers.due.purge.>") == 1 })
	})
	servicetest.Eventually(t, "the instance is gone", func() bool { return f.events(w, over.ID) == 0 })
}

// The service's own setting counts where the workflow says nothing.
func TestRetentionOfTheServiceCountsWhereTheWorkflowSaysNothing(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, func(c *token.Config) { c.Retention = 0 })
	w := f.deploy(reviewNet)
	over := f.create("review", ``)
	end := servicetest.Do(f.t, f.TokenCancel, wire.TokenCancelRequest{InstanceID: over.ID}).NatsSequence
	servicetest.Do(f.t, f.TokenList, wire.TokenListRequest{WorkflowID: "review", MinSequence: end})
	if n := f.Stored(wire.StreamTimers, "timers.>"); n != 0 {
		t.Errorf("kept for good, and %d timers are set", n)
	}
	if f.events(w, over.ID) == 0 {
		t.Error("kept for good, and gone")
	}
}

// Whatever stands in the purge's subject, an instance that is not finished stays.
func TestAPurgeThatDoesNotApplyIsDropped(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(reviewNet)
	alive := f.create("review", ``)
	for _, body := range []string{
		`{"kind":"purge","workflow_id":"` + w.ID + `","instance_id":"` + alive.ID + `","token_id":"` + alive.ID + `"}`, `garbage`, ``,
		fmt.Sprintf(`{"kind":"purge","workflow_id":%q,"instance_id":%q}`, w.ID, wire.TokenID(alive.ID, 7)), `{"instance_id":"*"}`,
	} {
		if _, err := f.bus.JS.Publish(t.Context(), wire.TimerDueSubject(wire.TimerPurge, w.ID, alive.ID, alive.ID), []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	servicetest.Eventually(t, "the purges are dropped", func() bool { return f.Stored(wire.StreamTimers, "timers.due.>") == 0 })
	if got := f.instance(alive.ID); got.Status != wire.StatusActive || len(got.Tokens) != 1 {
		t.Errorf("have %+v", got)
	}
}
