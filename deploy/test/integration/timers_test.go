package integration

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// timed is a net whose middle place has a time-out.
func timed(after string) string {
	return fmt.Sprintf(`{"name":"timed","initial_place":"draft",
		"places":[{"id":"draft"},{"id":"waiting","timeout":{"after":%q,"transition":"escalate"}},{"id":"escalated"},{"id":"done"}],
		"transitions":[{"id":"submit","from":"draft","to":"waiting"},{"id":"back","from":"waiting","to":"draft"},
			{"id":"escalate","from":"waiting","to":"escalated"},{"id":"finish","from":["draft","waiting","escalated"],"to":"done"}]}`, after)
}

// deliver puts a due time-out where the schedule would, and waits until it was worked off.
func (f *fleet) deliver(w wire.Workflow, token wire.Token) {
	f.t.Helper()
	body, err := json.Marshal(wire.Timer{
		Kind: wire.TimerTimeout, WorkflowID: w.ID, InstanceID: token.InstanceID, TokenID: token.ID,
		Place: token.Place, ArrivalSequence: token.ArrivalSequence, TransitionID: "escalate", DueAt: time.Now(),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.JS.Publish(f.t.Context(), wire.TimerDueSubject(wire.TimerTimeout, w.ID, token.InstanceID, token.ID), body); err != nil {
		f.t.Fatal(err)
	}
	servicetest.Eventually(f.t, "the due time-out is worked off", func() bool { return f.Stored(wire.StreamTimers, "timers.due.>") == 0 })
}

func TestATimeoutFiresExactlyOnce(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(timed("1s"))
	root := f.create("timed", `{"n":1}`)
	waiting := f.fire(root.ID, "submit").Token
	var late wire.Token
	servicetest.Eventually(t, "it is escalated", func() bool {
		late = f.token(root.ID)
		return late.Place == "escalated"
	})
	if waited := late.ArrivedAt.Sub(waiting.ArrivedAt); waited < time.Second {
		t.Errorf("it fired after %s", waited)
	}
	// The delivery is repeated, as it is when its acknowledgement was lost.
	f.deliver(w, waiting)
	f.deliver(w, waiting)
	if got := f.path(root.ID); got != "create submit escalate" {
		t.Errorf("the path is %s", got)
	}
	if got := f.token(root.ID); got.NatsSequence != late.NatsSequence {
		t.Errorf("repeated deliveries left %+v", got)
	}
	records := servicetest.Do(f.t, f.TokenHistory, wire.TokenHistoryRequest{TokenID: root.ID}).Records
	if by := records[len(records)-1].TriggeredBy; by != "timer" {
		t.Errorf("it was triggered by %q", by)
	}
}

// Suspended while the time-out becomes due, the instance stands still; resumed, it is late
// and fires at once.
func TestATimeoutIsHeldWhileTheInstanceIsSuspended(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(timed("1s"))
	root := f.create("timed", `{}`)
	f.fire(root.ID, "submit")
	servicetest.Do(f.t, f.InstanceSuspend, wire.InstanceSuspendRequest{InstanceID: root.ID})
	timer := wire.TimerSetSubject(wire.TimerTimeout, w.ID, root.ID, root.ID)
	servicetest.Eventually(t, "the time-out is set", func() bool { return f.Stored(wire.StreamTimers, timer) == 1 })
	servicetest.Eventually(t, "it has come, and was dropped", func() bool { return f.Stored(wire.StreamTimers, "timers.>") == 0 })
	if got := f.token(root.ID); got.Place != "waiting" {
		t.Errorf("while suspended it went to %s", got.Place)
	}
	servicetest.Do(f.t, f.InstanceResume, wire.InstanceResumeRequest{InstanceID: root.ID})
	servicetest.Eventually(t, "it is escalated", func() bool { return f.token(root.ID).Place == "escalated" })
	servicetest.Eventually(t, "no timer is left", func() bool { return f.Stored(wire.StreamTimers, "timers.>") == 0 })
	if got := f.path(root.ID); got != "create submit escalate" {
		t.Errorf("the path is %s", got)
	}
}

func TestATimeoutIsStaleAfterTheTokenMoved(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(timed("1h"))
	root := f.create("timed", `{}`)
	first := f.fire(root.ID, "submit").Token
	f.fire(root.ID, "back")
	f.deliver(w, first)
	second := f.fire(root.ID, "submit").Token
	f.deliver(w, first)
	if got := f.token(root.ID); got.Place != "waiting" || got.ArrivalSequence != second.ArrivalSequence {
		t.Errorf("the time-out of an earlier arrival left %+v", got)
	}
	f.deliver(w, second)
	if got := f.path(root.ID); got != "create submit back submit escalate" {
		t.Errorf("the path is %s", got)
	}
	f.fire(root.ID, "finish")
	f.deliver(w, second)
	if got := f.instance(root.ID); got.Status != wire.StatusCompleted {
		t.Errorf("have %+v", got)
	}
	servicetest.Eventually(t, "no time-out is set", func() bool { return f.Stored(wire.StreamTimers, "timers.*.timeout.>") == 0 })
}

func TestATimeoutSurvivesARestartOfEverything(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(timed("1s"))
	root := f.create("timed", `{}`)
	f.fire(root.ID, "submit")
	// This one's timer may not be set yet when all stops.
	other := f.create("timed", `{}`)
	timer := wire.TimerSetSubject(wire.TimerTimeout, w.ID, root.ID, root.ID)
	servicetest.Eventually(t, "the time-out is set", func() bool { return f.Stored(wire.StreamTimers, timer) == 1 })
	f.fire(other.ID, "submit")
	f.restart()
	for _, id := range []string{root.ID, other.ID} {
		servicetest.Eventually(t, "it is escalated", func() bool { return f.token(id).Place == "escalated" })
	}
	servicetest.Eventually(t, "no timer is left", func() bool { return f.Stored(wire.StreamTimers, "timers.>") == 0 })
	for _, id := range []string{root.ID, other.ID} {
		if got := f.path(id); got != "create submit escalate" {
			t.Errorf("the path is %s", got)
		}
	}
}
