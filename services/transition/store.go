package transition

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// definition is the last version of a workflow as its stream has it, with its sequence.
type definition struct {
	wire.Workflow
	sequence uint64
}

// lastDefinition reads the newest version from the stream, the truth; nil when there is none.
func (s *Service) lastDefinition(ctx context.Context, stream, workflowID string) (*definition, error) {
	msg, err := s.bus.Last(ctx, stream, wire.DefinitionSubject(workflowID), true)
	if errors.Is(err, bus.ErrNoMessage) {
		return nil, nil
	}
	if err != nil {
		return nil, outOfReach(err)
	}
	d := definition{sequence: msg.Sequence}
	if err := json.Unmarshal(msg.Data, &d.Workflow); err != nil {
		return nil, fmt.Errorf("definition of %s at %d: %w", workflowID, msg.Sequence, err)
	}
	return &d, nil
}

// repeated finds the version that a request with this id has made before; nil when there is
// none. Every version is kept, so no repeat comes too late to be recognised.
func (s *Service) repeated(ctx context.Context, stream, workflowID, requestID, requestDigest string) (*definition, error) {
	if requestID == "" {
		return nil, nil
	}
	var found *definition
	err := s.bus.Definitions(ctx, &wire.WorkflowRecord{ID: workflowID, Stream: stream}, func(w *wire.Workflow, sequence uint64) bool {
		if w.RequestID == requestID {
			found = &definition{Workflow: *w, sequence: sequence}
		}
		return found == nil
	})
	switch {
	case err != nil:
		return nil, outOfReach(err)
	case found != nil && found.RequestDigest != requestDigest:
		return nil, fault.New(fault.RequestIDReused, "request_id %q was used before for another definition; draw a new one", requestID).
			With("request_id", requestID)
	}
	return found, nil
}

// outOfReach gives what can befall a stream a code.
func outOfReach(err error) error {
	switch {
	case errors.Is(err, bus.ErrNoStream), errors.Is(err, bus.ErrNotSent):
		return fault.New(fault.Unavailable, "the workflow's stream is out of reach at the moment; try again").Because(err)
	case errors.Is(err, bus.ErrAmbiguous):
		return fault.New(fault.Timeout, "it could not be learned in time whether everything was stored; repeat the request with the same request_id").Because(err)
	case errors.Is(err, bus.ErrStreamFull):
		return fault.New(fault.WorkflowFull, "the workflow is full: finish or purge instances, or raise its limits").Because(err)
	}
	return err
}

// putDefinition stores a version after the one at a sequence (0: as the first). When
// somebody else stored one there, or no answer came, it returns what stands there now:
// the caller compares it with what it wanted.
func (s *Service) putDefinition(ctx context.Context, w *wire.Workflow, after uint64) (*definition, error) {
	body, err := json.Marshal(w)
	if err != nil {
		return nil, err
	}
	if most := s.bus.NC.MaxPayload() - replyMargin; int64(len(body)) > most {
		return nil, fault.New(fault.LimitExceeded, "the definition takes %d bytes, more than fits into a message (%d)", len(body), most).
			With("limit", "definition").With("max", most).With("actual", len(body))
	}
	msg := &nats.Msg{Subject: wire.DefinitionSubject(w.ID), Data: body, Header: nats.Header{}}
	telemetry.Inject(ctx, msg.Header)
	bus.Expect(msg, msg.Subject, after)
	ack, err := s.bus.Publish(ctx, msg)
	switch {
	case err == nil:
		return &definition{Workflow: *w, sequence: ack.Sequence}, nil
	case errors.Is(err, bus.ErrWrongSequence), errors.Is(err, bus.ErrAmbiguous):
		found, lookErr := s.lastDefinition(ctx, w.Stream, w.ID)
		if lookErr != nil {
			return nil, lookErr
		}
		if found == nil || found.sequence == after {
			return nil, outOfReach(fmt.Errorf("%w: %w", bus.ErrAmbiguous, err))
		}
		return found, nil
	}
	return nil, outOfReach(err)
}

// note publishes an event about the workflow itself, unless the last one of its kind says
// the same already: every step of a deployment can be repeated. What it tells has taken
// effect without it, so a stream that has no room for it is no failure.
func (s *Service) note(ctx context.Context, w *wire.Workflow, kind, by string) error {
	subject := wire.WorkflowLifecycleSubject(w.ID, kind)
	var last uint64
	msg, err := s.bus.Last(ctx, w.Stream, subject, true)
	switch {
	case err == nil:
		var before wire.Event
		if json.Unmarshal(msg.Data, &before) == nil && (before.WorkflowVersion >= w.Version || kind == wire.LifecycleStreamCreated) {
			return nil
		}
		last = msg.Sequence
	case !errors.Is(err, bus.ErrNoMessage):
		return outOfReach(err)
	}
	body, err := json.Marshal(wire.Event{
		EventType: wire.EventType(kind), WorkflowID: w.ID, WorkflowVersion: w.Version,
		TriggeredBy: by, Timestamp: s.now().UTC(),
	})
	if err != nil {
		return err
	}
	out := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{}}
	telemetry.Inject(ctx, out.Header)
	bus.Expect(out, subject, last)
	_, err = s.bus.Publish(ctx, out)
	switch {
	case err == nil, errors.Is(err, bus.ErrWrongSequence):
		return nil
	case errors.Is(err, bus.ErrStreamFull):
		s.tel.Log.Warn().Err(err).Str("workflow_id", w.ID).Str("event", kind).Msg("event about a workflow found no room")
		return nil
	}
	return outOfReach(err)
}

// register brings the registry's record to a version, unless it is already there or ahead,
// and returns the status that the workflow has: an archived one stays archived. Only the
// first deployment makes a record; without one the workflow has been deleted.
func (s *Service) register(ctx context.Context, w *wire.Workflow, first bool) (wire.WorkflowStatus, error) {
	for {
		before, revision, err := s.registry.Read(ctx, w.ID)
		if err != nil {
			return "", err
		}
		record := recordOf(w, s.now().UTC())
		switch {
		case before == nil && !first:
			return "", noWorkflow(w.ID)
		case before == nil:
		case before.Version >= w.Version:
			return before.Status, nil
		default:
			record.Status = before.Status
		}
		err = s.registry.Write(ctx, record, revision)
		if !errors.Is(err, fault.Conflict) {
			return record.Status, err
		}
	}
}

func noWorkflow(id string) error {
	return fault.New(fault.WorkflowNotFound, "there is no workflow %q", id).With("workflow_id", id)
}

func recordOf(w *wire.Workflow, now time.Time) wire.WorkflowRecord {
	record := wire.WorkflowRecord{
		ID: w.ID, Name: w.Name, Description: w.Description, Version: w.Version, Status: w.Status, Stream: w.Stream,
		CreatedAt: w.CreatedAt, UpdatedAt: now, Places: make([]string, 0, len(w.Places)),
	}
	for _, place := range w.Places {
		record.Places = append(record.Places, place.ID)
		for _, f := range place.Functions {
			record.Bindings = append(record.Bindings, wire.Binding{Place: place.ID, Kind: wire.KindFunction, Target: f.Function})
		}
		for _, a := range place.Agents {
			record.Bindings = append(record.Bindings, wire.Binding{Place: place.ID, Kind: wire.KindAgent, Target: a.Agent})
		}
	}
	return record
}

// drop removes what a deleted workflow has in the shared streams.
func (s *Service) drop(ctx context.Context, workflowID string) error {
	purges := map[string][]string{
		wire.StreamPlaces: {wire.PlaceSubject(workflowID, "*", "*"), wire.InstanceRecordSubject(workflowID, "*", "*"), wire.ProjectionSubject(workflowID)},
		wire.StreamTimers: {},
	}
	for _, kind := range []string{wire.TimerTimeout, wire.TimerPurge} {
		purges[wire.StreamTimers] = append(purges[wire.StreamTimers],
			wire.TimerSetSubject(kind, workflowID, "*", "*"), wire.TimerDueSubject(kind, workflowID, "*", "*"))
	}
	for name, subjects := range purges {
		stream, err := s.bus.JS.Stream(ctx, name)
		if err != nil {
			return fault.New(fault.Unavailable, "stream %s is out of reach at the moment; repeat the request", name).Because(err)
		}
		for _, subject := range subjects {
			if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
				return fault.New(fault.Unavailable, "stream %s could not be purged; repeat the request", name).Because(err)
			}
		}
	}
	return nil
}
