package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// The transition that the first record of a history names, and what stands in its place for
// tokens that did not come by a firing.
const (
	stepCreate  = "create"
	stepInject  = "inject"
	stepMigrate = "migrate"
)

// Step is one event in a token's past: the token that it put somewhere, and how.
type Step struct {
	TokenID string
	Record  wire.TransitionRecord
}

// Size is how many bytes of a reply the step takes, at most.
func (s Step) Size() int { return stepOverhead + len(s.Record.Metadata) }

const stepOverhead = 700

// ancestry collects the steps of a token and of the tokens that it came from: read forward,
// an event is kept for every token it produced; the family is known only at the end.
type ancestry struct {
	steps   []Step
	parents map[string][]string
}

// ErrTooLong: there is more to read than the caller wants to.
var ErrTooLong = errors.New("the history is too long")

// Steps reads the history of tokens of one instance up to a revision, oldest first. The
// steps of the tokens that they came from are part of it, so it begins with the creation of
// the instance, or with an injection. most bounds how many bytes of events are read, 0 is no
// bound; beyond it fails with ErrTooLong.
func (b *Bus) Steps(ctx context.Context, record *wire.WorkflowRecord, until uint64, most int, tokenIDs ...string) ([]Step, error) {
	if len(tokenIDs) == 0 {
		return nil, nil
	}
	instance := wire.InstanceOf(tokenIDs[0])
	a := ancestry{parents: map[string][]string{}}
	read := 0
	// Only these put tokens somewhere; of updates there may be many more.
	for _, subject := range []string{
		wire.LifecycleSubject(record.ID, instance, wire.LifecycleCreated),
		wire.LifecycleSubject(record.ID, instance, wire.LifecycleInjected),
		wire.LifecycleSubject(record.ID, instance, wire.LifecycleMigrated),
		wire.TransitionSubject(record.ID, instance, "*"),
	} {
		err := b.messages(ctx, record, subject, 1, func(m *Message) (bool, error) {
			if m.Sequence > until {
				return false, nil
			}
			if read += len(m.Data); most > 0 && read > most {
				return false, ErrTooLong
			}
			var ev bareEvent
			if err := json.Unmarshal(m.Data, &ev); err != nil {
				return false, fmt.Errorf("event %d of %s: %w", m.Sequence, record.Stream, err)
			}
			a.add(&ev.Event, m.Sequence)
			return true, nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(a.steps, func(x, y Step) int { return cmp.Compare(x.Record.NatsSequence, y.Record.NatsSequence) })
	return a.of(tokenIDs), nil
}

// bareEvent is an event without the state that it carries, which is most of it.
type bareEvent struct {
	wire.Event
	Instance unread `json:"instance"`
}

type unread struct{}

// UnmarshalJSON passes over the value.
func (*unread) UnmarshalJSON([]byte) error { return nil }

func (a *ancestry) add(ev *wire.Event, sequence uint64) {
	kind := ev.TransitionID
	switch ev.EventType {
	case wire.EventTransitioned:
	case wire.EventType(wire.LifecycleCreated):
		kind = stepCreate
	case wire.EventType(wire.LifecycleInjected):
		kind = stepInject
	case wire.EventType(wire.LifecycleMigrated):
		kind = stepMigrate
	default:
		return
	}
	from := map[string]string{}
	for _, c := range ev.Consumed {
		from[c.TokenID] = c.Place
	}
	for _, p := range ev.Produced {
		origin := p.Place
		switch {
		case from[p.TokenID] != "":
			origin = from[p.TokenID]
		case len(p.Parents) > 0:
			origin = from[p.Parents[0]]
		}
		a.parents[p.TokenID] = append(a.parents[p.TokenID], p.Parents...)
		a.steps = append(a.steps, Step{
			TokenID: p.TokenID,
			Record: wire.TransitionRecord{
				FromPlace: origin, ToPlace: p.Place, TransitionID: kind, Timestamp: ev.Timestamp,
				TriggeredBy: ev.TriggeredBy, NatsSequence: sequence, Metadata: recordMetadata(ev),
			},
		})
	}
}

// recordMetadata is the context of a firing; creation records name the event, as in the seed.
func recordMetadata(ev *wire.Event) json.RawMessage {
	if ev.EventType != wire.EventType(wire.LifecycleCreated) {
		return ev.Metadata
	}
	return json.RawMessage(`{"event_type":` + strconv.Quote(ev.EventType) + `,"workflow_id":` + strconv.Quote(ev.WorkflowID) + `}`)
}

func (a *ancestry) of(tokenIDs []string) []Step {
	family := map[string]bool{}
	for _, id := range tokenIDs {
		family[id] = true
	}
	open := slices.Clone(tokenIDs)
	for len(open) > 0 {
		next := open[0]
		open = open[1:]
		for _, parent := range a.parents[next] {
			if !family[parent] {
				family[parent] = true
				open = append(open, parent)
			}
		}
	}
	var own []Step
	for _, step := range a.steps {
		if family[step.TokenID] {
			own = append(own, step)
		}
	}
	return own
}
