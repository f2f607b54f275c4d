package projector

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestViewFollowsTheEvents(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, time.Hour)
	p := w.project()
	a, b := w.create(`{"n":1}`), w.create(`{"n":2}`)
	a.fire("submit")
	b.fire("check")
	b.do(petri.Update{TokenID: b.state.Tokens[1].ID, Data: []byte(`{"seen":true}`)})
	w.reach(p, b.fire("conclude"))
	if got := w.place(a.state.ID); got != "waiting" {
		t.Errorf("the view has the token in %q, not in waiting", got)
	}
	if got := w.place(b.state.ID); got != "" {
		t.Errorf("the view has a token in %q that was split", got)
	}
	report := w.verify()
	if report.ViewTokens != 2 || report.ViewRecords != 2 || report.Instances != 2 || report.Finished != 1 {
		t.Errorf("the audit counted %+v", report)
	}
	if n := w.timers(wire.TimerPurge); n != 1 {
		t.Errorf("%d purges are scheduled, want 1 for the completed instance", n)
	}
}

func TestViewGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, time.Hour)
	first := w.project()
	i := w.create(`{}`)
	for range 20 {
		i.fire("submit")
		i.fire("back")
	}
	w.reach(first, i.state.NatsSequence)
	first.Stop()
	// While nobody projects: moves, an end and a beginning.
	i.fire("submit")
	j := w.create(`{}`)
	j.do(petri.Suspend{})
	j.do(petri.Resume{})
	j.do(petri.Cancel{Reason: "test"})
	second := w.project()
	w.members.own(second.members.Copy())
	w.reach(second, j.state.NatsSequence)
	w.verify()
}

func TestManyInstancesUnderLoad(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, time.Hour)
	p := w.project()
	var last uint64
	for n := range 150 {
		i := w.create(fmt.Sprintf(`{"n":%d}`, n))
		for range n % 5 {
			i.fire("submit")
			i.fire("back")
		}
		if n%3 == 0 {
			i.fire("check")
			i.fire("conclude")
		}
		last = i.state.NatsSequence
	}
	w.reach(p, last)
	w.verify()
}

func TestServerRestartLosesNothingOfTheView(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, time.Hour)
	p := w.project()
	i := w.create(`{}`)
	i.fire("submit")
	w.reach(p, i.state.NatsSequence)
	w.server.Restart()
	w.await("connection", w.bus.Connected)
	// The server takes connections before its streams answer.
	w.await("stream", func() bool {
		_, err := w.bus.Last(t.Context(), w.workflow.Stream, wire.EventSubjects(w.workflow.ID), true)
		return err == nil
	})
	for range 50 {
		i.fire("back")
		i.fire("submit")
	}
	w.reach(p, i.state.NatsSequence)
	w.verify()
}
