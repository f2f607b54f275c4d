package integration

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Everything stops between a request and its repeat, the server too.
func TestRepeatsAcrossARestartOfEverything(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(loop("loop"))
	creation := wire.TokenCreateRequest{WorkflowID: "loop", Data: json.RawMessage(`{"n":1}`), Origin: wire.Origin{RequestID: "create"}}
	created := servicetest.Do(f.t, f.TokenCreate, creation)
	firing := wire.FireRequest{TokenID: created.ID, TransitionID: "go", Origin: wire.Origin{RequestID: "fire"}}
	fired := servicetest.Do(f.t, f.TransitionFire, firing)
	update := wire.TokenUpdateRequest{TokenID: created.ID, Data: json.RawMessage(`{"n":2}`), Origin: wire.Origin{RequestID: "update"}}
	updated := servicetest.Do(f.t, f.TokenUpdate, update)
	result := succeeded(fired.Token, `{"ok":true}`)
	result.TransitionID, result.RequestID = "back", "complete"
	completed := servicetest.Do(f.t, f.TransitionComplete, result)
	end := wire.TokenCancelRequest{InstanceID: created.ID, Origin: wire.Origin{RequestID: "cancel"}}
	cancelled := servicetest.Do(f.t, f.TokenCancel, end)
	events := f.Stored(w.Stream, wire.InstanceSubjects(w.ID, created.ID))

	f.restart()
	// Only a read knows when the server stored the event; a reply has the event's own time.
	unread := cmpopts.IgnoreFields(wire.Token{}, "NatsTimestamp")
	if diff := cmp.Diff(created, servicetest.Do(f.t, f.TokenCreate, creation), unread); diff != "" {
		t.Errorf("create (-first +again):\n%s", diff)
	}
	if diff := cmp.Diff(fired, servicetest.Do(f.t, f.TransitionFire, firing), unread); diff != "" {
		t.Errorf("fire (-first +again):\n%s", diff)
	}
	if diff := cmp.Diff(updated, servicetest.Do(f.t, f.TokenUpdate, update), unread); diff != "" {
		t.Errorf("update (-first +again):\n%s", diff)
	}
	if diff := cmp.Diff(completed, servicetest.Do(f.t, f.TransitionComplete, result), unread); diff != "" {
		t.Errorf("complete (-first +again):\n%s", diff)
	}
	if diff := cmp.Diff(cancelled, servicetest.Do(f.t, f.TokenCancel, end), unread); diff != "" {
		t.Errorf("cancel (-first +again):\n%s", diff)
	}
	if n := f.Stored(w.Stream, wire.InstanceSubjects(w.ID, created.ID)); n != events {
		t.Errorf("repeats made %d events of %d", n, events)
	}
}

func TestFiguresCountWhatHappened(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(loop("loop"))
	from := time.Now().Add(-time.Minute)
	stays, ends, dropped := f.create("loop", `{}`), f.create("loop", `{}`), f.create("loop", `{}`)
	f.fire(stays.ID, "go")
	f.fire(stays.ID, "back")
	f.fire(stays.ID, "go")
	f.fire(ends.ID, "finish")
	servicetest.Do(f.t, f.TokenCancel, wire.TokenCancelRequest{InstanceID: dropped.ID})
	last := f.instance(dropped.ID).NatsSequence
	servicetest.Do(f.t, f.TokenList, wire.TokenListRequest{WorkflowID: "loop", MinSequence: last})

	request := wire.AnalyticsRequest{WorkflowID: "loop", From: from, To: time.Now().Add(time.Minute)}
	places := servicetest.Do(f.t, f.AnalyticsPlaces, request)
	type figures struct{ Tokens, Arrivals, Departures, Stays int }
	got := map[string]figures{}
	for _, p := range places.Places {
		got[p.Place] = figures{p.Tokens, p.Arrivals, p.Departures, p.TimeInPlace.Count}
	}
	if diff := cmp.Diff(map[string]figures{"a": {0, 4, 4, 4}, "b": {1, 2, 1, 1}, "end": {1, 1, 0, 0}}, got); diff != "" || places.Window.Truncated {
		t.Errorf("%+v (-want +have):\n%s", places.Window, diff)
	}
	transitions := servicetest.Do(f.t, f.AnalyticsTransitions, request)
	firings := map[string]int{}
	for _, tr := range transitions.Transitions {
		firings[tr.TransitionID] = tr.Firings
	}
	if diff := cmp.Diff(map[string]int{"go": 2, "back": 1, "finish": 1}, firings); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	if transitions.Created != 3 || transitions.Completed != 1 || transitions.Cancelled != 1 {
		t.Errorf("have %+v", transitions)
	}
}
