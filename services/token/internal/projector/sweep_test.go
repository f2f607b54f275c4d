package projector

import (
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// A server that was killed can bring back what had left the view: entries of places that a
// token has long gone from, of tokens that have ended, of a status that is no more.
func TestSweepRemovesWhatARestartedServerBroughtBack(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, time.Hour)
	p := w.project()
	moved, ended := w.create(`{"n":1}`), w.create(`{"n":2}`)
	moved.fire("take")
	last := ended.do(petri.Cancel{})
	w.reach(p, last)
	w.await("the tombstones have expired", func() bool {
		return w.empty(wire.PlaceSubject(w.workflow.ID, "draft", moved.state.ID)) &&
			w.empty(wire.InstanceRecordSubject(w.workflow.ID, wire.StatusActive, ended.state.ID))
	})
	for _, subject := range []string{
		wire.PlaceSubject(w.workflow.ID, "draft", moved.state.ID),
		wire.PlaceSubject(w.workflow.ID, "draft", ended.state.ID),
		wire.InstanceRecordSubject(w.workflow.ID, wire.StatusActive, ended.state.ID),
	} {
		w.raise(subject, last)
	}
	w.server.Restart()
	w.await("the view was swept", func() bool {
		return w.log.has("view was rid of entries that a restarted server had brought back")
	})
	moved.fire("put")
	w.reach(p, moved.fire("submit"))
	w.verify()
}

// raise puts an entry into the view as a killed server does: an old message on its old subject.
func (w *world) raise(subject string, revision uint64) {
	w.t.Helper()
	msg := nats.NewMsg(subject)
	msg.Data = []byte(`{"id":"raised"}`)
	msg.Header.Set(wire.HeaderRevision, strconv.FormatUint(revision, 10))
	if _, err := w.bus.Publish(w.t.Context(), msg); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) empty(subject string) bool {
	_, err := w.bus.Last(w.t.Context(), wire.StreamPlaces, subject, true)
	return err != nil
}
