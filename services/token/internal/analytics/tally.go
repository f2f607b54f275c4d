package analytics

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// event is as much of wire.Event as is counted.
type event struct {
	EventType    string          `json:"event_type"`
	TransitionID string          `json:"transition_id"`
	Consumed     []wire.Consumed `json:"consumed"`
	Produced     []struct {
		Place string `json:"place"`
	} `json:"produced"`
	Completes bool      `json:"completes"`
	Timestamp time.Time `json:"timestamp"`
	Instance  struct {
		Status wire.Status `json:"status"`
		Tokens []struct {
			ID        string    `json:"id"`
			ArrivedAt time.Time `json:"arrived_at"`
		} `json:"tokens"`
	} `json:"instance"`
}

// tally is what a pass has counted so far.
type tally struct {
	places      map[string]*place
	transitions map[string]*transition

	created, completed, cancelled int

	// arrivals is when each live token that was seen arrived in its place, in Unix
	// nanoseconds. It never has more than maxTokens.
	arrivals  map[uuid.UUID]int64
	maxTokens int
	overflow  bool
}

type place struct {
	arrivals, departures int
	stay                 durations
}

type transition struct {
	firings int
	waited  durations
}

func newTally(maxTokens int) *tally {
	return &tally{
		places: map[string]*place{}, transitions: map[string]*transition{},
		arrivals: map[uuid.UUID]int64{}, maxTokens: maxTokens,
	}
}

// full reports whether a token could not be remembered: from there on durations would be
// missing.
func (t *tally) full() bool { return t.overflow }

// add counts one event of an instance.
func (t *tally) add(data []byte) error {
	var e event
	if err := json.Unmarshal(data, &e); err != nil {
		return err
	}
	var fired *transition
	if e.EventType == wire.EventTransitioned {
		fired = t.transition(e.TransitionID)
		fired.firings++
	}
	for _, c := range e.Consumed {
		from := t.place(c.Place)
		from.departures++
		stayed, known, err := t.leave(c.TokenID, e.Timestamp)
		if err != nil {
			return err
		}
		if !known {
			continue
		}
		if err := from.stay.add(stayed); err != nil {
			return err
		}
		if fired != nil {
			if err := fired.waited.add(stayed); err != nil {
				return err
			}
		}
	}
	for _, p := range e.Produced {
		t.place(p.Place).arrivals++
	}
	if e.EventType == wire.EventType(wire.LifecycleCreated) {
		t.created++
	}
	switch e.Instance.Status {
	case wire.StatusCompleted:
		t.completed++
	case wire.StatusCancelled:
		t.cancelled++
	}
	return t.remember(&e)
}

// remember keeps when the tokens of the snapshot arrived. A finished instance changes no
// more, so its tokens are forgotten.
func (t *tally) remember(e *event) error {
	for i := range e.Instance.Tokens {
		id, err := uuid.Parse(e.Instance.Tokens[i].ID)
		if err != nil {
			return err
		}
		if e.Instance.Status.Finished() {
			delete(t.arrivals, id)
			continue
		}
		if _, known := t.arrivals[id]; !known && len(t.arrivals) >= t.maxTokens {
			t.overflow = true
			continue
		}
		t.arrivals[id] = e.Instance.Tokens[i].ArrivedAt.UnixNano()
	}
	return nil
}

func (t *tally) leave(tokenID string, at time.Time) (stayed time.Duration, known bool, err error) {
	id, err := uuid.Parse(tokenID)
	if err != nil {
		return 0, false, err
	}
	arrived, known := t.arrivals[id]
	if !known {
		return 0, false, nil
	}
	delete(t.arrivals, id)
	return max(time.Duration(at.UnixNano()-arrived), 0), true, nil
}

func (t *tally) place(id string) *place {
	p := t.places[id]
	if p == nil {
		p = &place{}
		t.places[id] = p
	}
	return p
}

func (t *tally) transition(id string) *transition {
	f := t.transitions[id]
	if f == nil {
		f = &transition{}
		t.transitions[id] = f
	}
	return f
}
