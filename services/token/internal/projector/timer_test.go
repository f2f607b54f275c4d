package projector

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// due reads the timers that were delivered, until none comes for a while.
func (w *world) due(want int) []wire.Timer {
	w.t.Helper()
	consumer, err := w.bus.JS.CreateOrUpdateConsumer(w.t.Context(), wire.StreamTimers, jetstream.ConsumerConfig{
		Durable: "test", FilterSubject: wire.TimerDueSubjects(wire.TimerTimeout), AckPolicy: jetstream.AckExplicitPolicy,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	var timers []wire.Timer
	for {
		patience := testPatience
		if len(timers) >= want {
			// Once means that no second one follows.
			patience = 2 * time.Second
		}
		batch, err := consumer.Fetch(1, jetstream.FetchMaxWait(patience))
		if err != nil {
			w.t.Fatal(err)
		}
		none := true
		for m := range batch.Messages() {
			none = false
			var timer wire.Timer
			if err := json.Unmarshal(m.Data(), &timer); err != nil {
				w.t.Fatal(err)
			}
			timers = append(timers, timer)
			if err := m.Ack(); err != nil {
				w.t.Fatal(err)
			}
		}
		if none {
			return timers
		}
	}
}

func TestTimeoutFiresOnceAtItsTime(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, 1500*time.Millisecond)
	p := w.project()
	i := w.create(`{}`)
	arrival := i.fire("submit")
	w.reach(p, arrival)
	timers := w.due(1)
	if len(timers) != 1 {
		t.Fatalf("%d timers fired, want 1", len(timers))
	}
	got, token := timers[0], i.state.Tokens[0]
	if got.TokenID != token.ID || got.Place != "waiting" || got.ArrivalSequence != arrival || got.TransitionID != "escalate" {
		t.Errorf("the timer says %+v", got)
	}
	if want := token.ArrivedAt.Add(1500 * time.Millisecond); !got.DueAt.Equal(want) || time.Now().Before(want) {
		t.Errorf("due at %s, want %s", got.DueAt, want)
	}
}

func TestDepartureCancelsTheTimer(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, time.Hour)
	p := w.project()
	i, j := w.create(`{}`), w.create(`{}`)
	i.fire("submit")
	w.reach(p, j.fire("submit"))
	if n := w.timers(wire.TimerTimeout); n != 2 {
		t.Fatalf("%d timers are set, want 2", n)
	}
	i.fire("back")
	w.reach(p, j.do(petri.Cancel{}))
	if n := w.timers(wire.TimerTimeout); n != 0 {
		t.Errorf("%d timers are left of tokens that have gone", n)
	}
	// And again, from what the projector remembers of the cancelled timer.
	w.reach(p, i.fire("submit"))
	if n := w.timers(wire.TimerTimeout); n != 1 {
		t.Errorf("%d timers after the token came back, want 1", n)
	}
}

func TestResumeSetsTheTimerAgain(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, 100*time.Millisecond)
	p := w.project()
	i := w.create(`{}`)
	arrival := i.fire("submit")
	w.reach(p, i.do(petri.Suspend{}))
	if timers := w.due(1); len(timers) != 1 {
		t.Fatalf("%d timers fired while suspended, want 1 for the transition service to drop", len(timers))
	}
	// Past its time: it fires at once.
	w.reach(p, i.do(petri.Resume{}))
	timers := w.due(1)
	if len(timers) != 1 || timers[0].ArrivalSequence != arrival {
		t.Errorf("after the resume %+v fired, want the timer of arrival %d", timers, arrival)
	}
}

func TestReplayDoesNotSetTimersAgain(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, time.Hour)
	first := w.project()
	i, j := w.create(`{}`), w.create(`{}`)
	i.fire("submit")
	j.fire("submit")
	w.reach(first, j.fire("back"))
	first.Stop()
	if err := first.drop(t.Context(), w.workflow.ID); err != nil {
		t.Fatal(err)
	}
	second := w.project()
	w.members.own(second.members.Copy())
	w.reach(second, j.state.NatsSequence)
	if n := w.timers(wire.TimerTimeout); n != 1 {
		t.Errorf("%d timers are set after the replay, want 1", n)
	}
	w.verify()
}

func TestMigrationSetsTheTimersOfTheNewVersion(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, time.Hour)
	second, problems := petri.ParseDefinition([]byte(`{
		"name": "review", "initial_place": "draft",
		"places": [{"id": "draft", "timeout": {"after": "2h", "transition": "submit"}}, {"id": "waiting"}, {"id": "end"}],
		"transitions": [{"id": "submit", "from": "draft", "to": "waiting"}, {"id": "close", "from": "waiting", "to": "end"}]
	}`))
	if len(problems) == 0 {
		w.second, problems = petri.Compile(second)
	}
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	p := w.project()
	i, j := w.create(`{}`), w.create(`{}`)
	i.fire("submit")
	w.reach(p, i.state.NatsSequence)
	i.do(petri.Migrate{Net: w.second, Version: 2})
	w.reach(p, j.do(petri.Migrate{Net: w.second, Version: 2}))
	set := func(token string) bool {
		m, err := w.bus.Last(t.Context(), wire.StreamTimers, wire.TimerSetSubject(wire.TimerTimeout, w.workflow.ID, token, token), true)
		return err == nil && m.Header.Get("Nats-Schedule") != ""
	}
	if set(i.state.ID) {
		t.Error("a timer of the old version is left in a place that has none now")
	}
	if !set(j.state.ID) {
		t.Error("the new version's time-out was not set")
	}
	w.verify()
}
