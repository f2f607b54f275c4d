package projector

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// stall is a gate that holds the writes of one projector, between having read an event and
// writing what it means, as a pause of the process would.
type stall struct {
	mu      sync.Mutex
	matches func(*nats.Msg) bool
	stalled chan struct{}
	wake    chan struct{}
}

func newStall() *stall { return &stall{stalled: make(chan struct{}), wake: make(chan struct{})} }

func (s *stall) hold(m *nats.Msg) {
	s.mu.Lock()
	hit := s.matches != nil && s.matches(m)
	if hit {
		s.matches = nil
		close(s.stalled)
	}
	s.mu.Unlock()
	if hit {
		<-s.wake
	}
}

func (s *stall) on(matches func(*nats.Msg) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.matches = matches
}

func member(p *Projector) *testMember { return p.members.(*testMember) }

func TestTakeoverFromAStalledHolder(t *testing.T) {
	t.Parallel()
	for _, stalledOn := range []string{".places.", ".projection", ".instances."} {
		t.Run(strings.Trim(stalledOn, "."), func(t *testing.T) {
			t.Parallel()
			w := newTestWorld(t, time.Hour)
			gate := newStall()
			holder := w.project(func(p *Projector) { p.hold = gate.hold })
			i := w.create(`{}`)
			w.reach(holder, i.fire("submit"))

			gate.on(func(m *nats.Msg) bool { return strings.Contains(m.Subject, stalledOn) })
			j := w.create(`{}`)
			i.fire("back")
			<-gate.stalled
			member(holder).pause(true)
			heir := w.project()
			w.members.own(heir.members.Copy())
			i.fire("submit")
			i.fire("escalate")
			j.fire("check")
			w.reach(heir, j.fire("conclude"))

			// The old holder wakes, still sure of itself, and goes on with its write.
			close(gate.wake)
			member(holder).pause(false)
			i2 := w.create(`{}`)
			w.reach(heir, i2.fire("submit"))
			w.await("the old holder has stepped down", func() bool {
				_, ours := holder.Progress(w.workflow.ID)
				return !ours
			})
			w.verify()
		})
	}
}

// A token that was born and has ended while the holder was stalled, and whose tombstone has
// expired, is the one thing that no expected sequence keeps it from putting back.
func TestGhostOfAnEndedTokenIsTakenBack(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, time.Hour)
	gate := newStall()
	holder := w.project(func(p *Projector) { p.hold = gate.hold })
	first := w.create(`{}`)
	w.reach(holder, first.state.NatsSequence)

	gate.on(func(m *nats.Msg) bool { return strings.Contains(m.Subject, ".places.") })
	i := w.create(`{}`)
	<-gate.stalled
	member(holder).pause(true)
	heir := w.project()
	w.members.own(heir.members.Copy())
	w.reach(heir, i.do(petri.Cancel{}))
	w.await("the tombstone has expired", func() bool {
		_, err := w.bus.Last(t.Context(), wire.StreamPlaces, wire.TokenPlaces(w.workflow.ID, i.state.ID), true)
		return errors.Is(err, bus.ErrNoMessage)
	})

	// It finds out that its lease is over only after this write.
	member(holder).lapse(true)
	close(gate.wake)
	member(holder).pause(false)
	w.await("the ghost was taken back", func() bool { return w.log.has("late write was taken back") })
	if place := w.place(i.state.ID); place != "" {
		t.Errorf("the view has a cancelled token in %s", place)
	}
	w.verify()
}

// A holder that ends before its next checkpoint leaves a view that is ahead: the one after
// it meets a token that has gone and come back, with the tombstone of the place between as
// the last that was written of it.
func TestTokenThatHasComeBackOutlivesTheReplayOfItsDeparture(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, time.Hour)
	holder := w.project()
	i := w.create(`{}`)
	covered := i.state.NatsSequence
	w.reach(holder, i.fire("take"))
	w.reach(holder, i.fire("put"))
	holder.Stop()
	w.windBack(covered)

	// With one place in the gate an event is only read when the one before it is done, so
	// that the two moves are not put together.
	heir := w.project(func(p *Projector) { p.gate = newGate(1) })
	w.members.own(heir.members.Copy())
	w.reach(heir, i.state.NatsSequence)
	if place := w.place(i.state.ID); place != "draft" {
		t.Errorf("the view has the token in %q, and it stands in draft", place)
	}
	w.verify()
}

func TestRecordOfAResumedInstanceOutlivesTheReplayOfItsSuspension(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, time.Hour)
	holder := w.project()
	i := w.create(`{}`)
	covered := i.state.NatsSequence
	w.reach(holder, i.do(petri.Suspend{}))
	w.reach(holder, i.do(petri.Resume{}))
	holder.Stop()
	w.windBack(covered)

	heir := w.project(func(p *Projector) { p.gate = newGate(1) })
	w.members.own(heir.members.Copy())
	w.reach(heir, i.state.NatsSequence)
	w.verify()
}

func TestCopyWithoutItsLeaseWritesNothing(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, time.Hour)
	p := w.project()
	i := w.create(`{}`)
	w.reach(p, i.state.NatsSequence)
	member(p).lapse(true)
	i.fire("submit")
	w.await("it has stepped down", func() bool { return w.log.has(errLeaseLost.Error()) })
	if got := w.place(i.state.ID); got != "draft" {
		t.Errorf("the view has the token in %q: it was written without a lease", got)
	}
	member(p).lapse(false)
	w.reach(p, i.state.NatsSequence)
	w.verify()
}

func TestDroppedViewIsBuiltAnew(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, time.Hour)
	p := w.project()
	a, b := w.create(`{}`), w.create(`{}`)
	a.fire("submit")
	a.fire("back")
	w.reach(p, b.fire("check"))
	// The projector is idle: it has to notice without an event.
	if err := p.drop(t.Context(), w.workflow.ID); err != nil {
		t.Fatal(err)
	}
	checkpoint := nats.NewMsg(wire.ProjectionSubject(w.workflow.ID))
	checkpoint.Data = []byte(`{"workflow_id":"` + w.workflow.ID + `","sequence":0}`)
	if _, err := w.bus.Publish(t.Context(), checkpoint); err != nil {
		t.Fatal(err)
	}
	w.await("the view is back", func() bool { return w.place(a.state.ID) == "draft" })
	w.reach(p, b.state.NatsSequence)
	w.verify()
}

func TestDeletedWorkflowEndsQuietly(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, time.Hour)
	p := w.project()
	i := w.create(`{}`)
	w.reach(p, i.state.NatsSequence)
	if err := w.bus.DeleteWorkflowStream(t.Context(), w.workflow.Stream); err != nil {
		t.Fatal(err)
	}
	w.await("the projection has ended", func() bool { return w.log.has("projection ended with its stream") })
	close(w.deleted)
	w.await("the view is gone", func() bool {
		_, err := w.bus.Last(t.Context(), wire.StreamPlaces, wire.ViewSubjects(w.workflow.ID), true)
		return errors.Is(err, bus.ErrNoMessage)
	})
}

func TestPurgedInstancesLeaveGapsThatDoNotMatter(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, time.Hour)
	gate := newStall()
	p := w.project(func(p *Projector) { p.hold = gate.hold })
	gate.on(func(m *nats.Msg) bool { return strings.Contains(m.Subject, ".projection") })
	i, j := w.create(`{}`), w.create(`{}`)
	<-gate.stalled
	i.fire("submit")
	stream, err := w.bus.JS.Stream(t.Context(), w.workflow.Stream)
	if err != nil {
		t.Fatal(err)
	}
	j.fire("submit")
	if err := stream.DeleteMsg(t.Context(), i.state.NatsSequence); err != nil {
		t.Fatal(err)
	}
	close(gate.wake)
	w.reach(p, j.state.NatsSequence)
}

func TestWhatIsNoEventIsPassedOver(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, time.Hour)
	p := w.project()
	i := w.create(`{}`)
	for _, body := range []string{``, `{`, `[]`, `{"instance":null}`, `{"instance":{"id":"x"}}`} {
		msg := nats.NewMsg(wire.LifecycleSubject(w.workflow.ID, "11111111-1111-8111-8111-111111111111", "updated"))
		msg.Data = []byte(body)
		if _, err := w.bus.Publish(t.Context(), msg); err != nil {
			t.Fatal(err)
		}
	}
	about := nats.NewMsg(wire.WorkflowLifecycleSubject(w.workflow.ID, wire.LifecycleDeployed))
	about.Data = []byte(`{}`)
	if _, err := w.bus.Publish(t.Context(), about); err != nil {
		t.Fatal(err)
	}
	w.reach(p, i.fire("submit"))
	if got := w.place(i.state.ID); got != "waiting" {
		t.Errorf("the view has the token in %q", got)
	}
}
