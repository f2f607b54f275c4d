package token

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// The transition that the first record of a history names, and what stands in its place for
// tokens that did not come by a firing.
const (
	stepCreate  = "create"
	stepInject  = "inject"
	stepMigrate = "migrate"
)

// step is one event in a token's past: the token that it put somewhere, and how.
type step struct {
	token  string
	record wire.TransitionRecord
}

const stepOverhead = 700

func (s step) size() int { return stepOverhead + len(s.record.Metadata) }

// ancestry collects the steps of a token and of the tokens that it came from: read forward,
// an event is kept for every token it produced; the family is known only at the end.
type ancestry struct {
	steps   []step
	parents map[string][]string
}

// steps reads the history of a token up to a revision, oldest first. The steps of the
// tokens that it came from are part of it, so it begins with the creation of the instance,
// or with an injection.
func (s *Service) steps(ctx context.Context, record *wire.WorkflowRecord, tokenID string, until uint64) ([]step, error) {
	a := ancestry{parents: map[string][]string{}}
	err := s.bus.Events(ctx, record, wire.InstanceOf(tokenID), 1, func(ev *wire.Event, msg *bus.Message) bool {
		if msg.Sequence <= until {
			a.add(ev, msg.Sequence)
		}
		return msg.Sequence < until
	})
	if err != nil {
		return nil, err
	}
	return a.of(tokenID), nil
}

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
		a.steps = append(a.steps, step{
			token: p.TokenID,
			record: wire.TransitionRecord{
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

func (a *ancestry) of(tokenID string) []step {
	family := map[string]bool{tokenID: true}
	open := []string{tokenID}
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
	var own []step
	for _, step := range a.steps {
		if family[step.token] {
			own = append(own, step)
		}
	}
	return own
}

// dated is a step with the data that the token had after it, read from its event: only
// those that are shown are read a second time.
func (s *Service) dated(ctx context.Context, record *wire.WorkflowRecord, step step) (wire.HistoryEvent, error) {
	r := step.record
	shown := wire.HistoryEvent{Timestamp: r.Timestamp, Transition: r.TransitionID, From: r.FromPlace, To: r.ToPlace}
	msg, err := s.bus.At(ctx, record.Stream, r.NatsSequence)
	if err != nil {
		return shown, err
	}
	state, err := wire.ReadState(msg.Data, msg.Sequence)
	if err != nil {
		return shown, err
	}
	if token := state.Token(step.token); token != nil {
		shown.Data = token.Data
	}
	return shown, nil
}

func (s *Service) history(ctx context.Context, req wire.TokenHistoryRequest) (wire.TokenHistoryReply, error) {
	reply := wire.TokenHistoryReply{Records: []wire.TransitionRecord{}}
	limit, err := bus.PageSize(req.Limit)
	if err != nil {
		return reply, err
	}
	skip := 0
	if req.Cursor != "" {
		if skip, err = strconv.Atoi(req.Cursor); err != nil || skip < 0 {
			return reply, fault.New(fault.InvalidField, "cursor is not one that a history returned").With("field", "cursor")
		}
	}
	out, err := s.load(ctx, "token_id", req.TokenID, "", wire.AsOf{}, nil)
	if err != nil {
		return reply, err
	}
	if int(wire.BirthOf(req.TokenID)) >= out.State.Births {
		_, err := out.Token(req.TokenID)
		return reply, err
	}
	steps, err := s.steps(ctx, out.Record, req.TokenID, out.Sequence)
	if err != nil {
		return reply, err
	}
	// History only grows at its end, so a count of records is a stable cursor.
	size := 0
	for _, step := range steps[min(skip, len(steps)):] {
		size += step.size()
		if len(reply.Records) == limit || size > wire.MaxPageBytes && len(reply.Records) > 0 {
			reply.NextCursor = strconv.Itoa(skip + len(reply.Records))
			break
		}
		reply.Records = append(reply.Records, step.record)
	}
	return reply, nil
}
