package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// recentRequests recognises the repeat of a command that the state has forgotten. A state
// remembers its last 16 commands; where many callers share an instance, a crash can swallow
// an acknowledgement and the repeat come after more than 16 others (seen with 64 callers on
// four instances, killed five times: four commands took effect twice). So for an instance
// that had 16 commands within repeatWindow, the log is asked for those before them: once,
// because from then on every state that comes by tells of the next.
type recentRequests struct {
	bus *Bus
	now func() time.Time

	mu  sync.Mutex
	lru *simplelru.LRU[string, *requestLog]
}

// requestLog is what is known of an instance's commands: all of them from the beginning of
// the window up to a sequence. The queue of the instance guards it.
type requestLog struct {
	upTo uint64
	byID map[string]wire.RememberedRequest
}

const (
	// repeatWindow is how long a repeat is recognised at least, as long as the duplicate
	// window does the same for a create.
	repeatWindow = duplicateWindow
	// busyInstances is how many such instances one copy follows.
	busyInstances = 1024
	// pruneAbove is how many commands are known before old ones are dropped.
	pruneAbove = 4096
)

func newRecentRequests(b *Bus, now func() time.Time) *recentRequests {
	lru, err := simplelru.NewLRU[string, *requestLog](busyInstances, nil)
	if err != nil {
		panic(err) // only for a count below one
	}
	return &recentRequests{bus: b, now: now, lru: lru}
}

// find looks for a command that the state does not remember any more; nil when there was
// none. Call it in the queue of the instance.
func (r *recentRequests) find(ctx context.Context, record *wire.WorkflowRecord, state *wire.State, requestID string) (*wire.RememberedRequest, error) {
	since := r.now().Add(-repeatWindow)
	if len(state.Requests) < wire.MaxRememberedRequests || state.Requests[0].Time < since.Unix() {
		r.forget(state.ID)
		return nil, nil
	}
	log := r.of(state.ID)
	if oldest := state.Requests[0].Sequence; log.upTo < oldest {
		if err := r.catchUp(ctx, record, state.ID, log, since, oldest); err != nil {
			return nil, err
		}
	}
	for _, known := range state.Requests {
		log.byID[known.ID] = known
	}
	log.upTo = state.Requests[len(state.Requests)-1].Sequence
	if len(log.byID) > pruneAbove {
		for id, known := range log.byID {
			if known.Time < since.Unix() {
				delete(log.byID, id)
			}
		}
	}
	if known, ok := log.byID[requestID]; ok {
		return &known, nil
	}
	return nil, nil
}

func (r *recentRequests) of(instanceID string) *requestLog {
	r.mu.Lock()
	defer r.mu.Unlock()
	log, ok := r.lru.Get(instanceID)
	if !ok {
		log = &requestLog{byID: map[string]wire.RememberedRequest{}}
		r.lru.Add(instanceID, log)
	}
	return log
}

func (r *recentRequests) forget(instanceID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lru.Remove(instanceID)
}

// catchUp reads the commands between what is known, or the beginning of the window, and the
// oldest that the state remembers.
func (r *recentRequests) catchUp(ctx context.Context, record *wire.WorkflowRecord, instanceID string, log *requestLog, since time.Time, oldest uint64) error {
	from := log.upTo + 1
	if log.upTo == 0 {
		before, err := r.bus.AsOf(ctx, record.Stream, wire.InstanceSubjects(record.ID, instanceID), wire.AsOf{Time: since})
		switch {
		case err == nil:
			from = before.Sequence + 1
		case !errors.Is(err, ErrNoMessage):
			return err
		}
	}
	return r.bus.Events(ctx, record, instanceID, from, func(ev *wire.Event, msg *Message) bool {
		if msg.Sequence >= oldest {
			return false
		}
		if ev.RequestID != "" {
			log.byID[ev.RequestID] = wire.RememberedRequest{
				ID: ev.RequestID, Digest: ev.RequestDigest, Sequence: msg.Sequence, Time: ev.Timestamp.Unix(),
			}
		}
		return true
	})
}
