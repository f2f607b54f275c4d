package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Committer is the one way to change an instance; every writer uses it. It is safe for
// concurrent use.
type Committer struct {
	bus      *Bus
	registry *Registry
	cache    *stateCache
	queues   *queues
	headroom *headroom
	recent   *recentRequests
	now      func() time.Time
	counts   commitCounts
}

type commitCounts struct {
	commits, conflicts, lookups metric.Int64Counter
}

// Attempts before a contended command is refused, and the pauses between them.
const (
	maxAttempts = 12
	firstPause  = 2 * time.Millisecond
	longPause   = 200 * time.Millisecond
)

// NewCommitter makes a committer on a bus and a registry that was started.
func NewCommitter(b *Bus, r *Registry) (*Committer, error) {
	c := &Committer{
		bus: b, registry: r, cache: newStateCache(b.cfg.CacheBytes), queues: newQueues(), headroom: newHeadroom(b),
		now: time.Now,
	}
	c.recent = newRecentRequests(b, c.now)
	var err1, err2, err3 error
	c.counts.commits, err1 = b.tel.Meter.Int64Counter("breaker.commits", metric.WithDescription("events committed"))
	c.counts.conflicts, err2 = b.tel.Meter.Int64Counter("breaker.commit.conflicts", metric.WithDescription("optimistic publishes that lost"))
	c.counts.lookups, err3 = b.tel.Meter.Int64Counter("breaker.commit.lookups", metric.WithDescription("publishes without an answer, resolved by looking"))
	return c, errors.Join(err1, err2, err3)
}

// Change is a command for an existing instance.
type Change struct {
	// InstanceID is the id of the instance, or of one of its tokens; Field names the
	// request's field that held it, for refusals.
	InstanceID string
	Field      string
	// WorkflowID narrows the search for the instance; may be empty.
	WorkflowID string
	Origin     wire.Origin
	// Digest is the Digest of the request; needed when Origin has a request id.
	Digest string
	// Injects: the change brings new work into the workflow, and is refused when it is full.
	Injects bool
	// Command makes the command from the version that the instance runs on and its state;
	// it is called again for each attempt.
	Command func(context.Context, *Version, *wire.State) (petri.Command, error)
	// Reply is how large the reply for an event would be, in bytes; nil: not larger than
	// the state, which always fits.
	ReplySize func(*wire.Event) int
}

// Outcome is what a command became.
type Outcome struct {
	Record *wire.WorkflowRecord
	// Event is nil when there was nothing to do, and for an instance that was only read.
	Event *wire.Event
	// State is the state after the event.
	State    *wire.State
	Sequence uint64
	// Time is when the event was stored; of a fresh commit, the event's own time.
	Time time.Time
	// Repeated: the command had taken effect before, and this is what it did then.
	Repeated bool
}

// Limits are what an instance may become on this server.
func (c *Committer) Limits() petri.Limits { return petri.DefaultLimits(c.bus.NC.MaxPayload()) }

// Load reads an instance from the truth: the last event of the instance. It fails with
// fault.InvalidField, fault.InstanceNotFound or fault.Unavailable.
func (c *Committer) Load(ctx context.Context, field, id, workflow string, consistent bool) (*Outcome, error) {
	return c.bus.LoadInstance(ctx, c.registry, field, id, workflow, consistent)
}

// LoadInstance finds the instance that an instance or token id belongs to and reads its
// last event. field is the request's field that holds the id; workflow narrows the search.
func (b *Bus) LoadInstance(ctx context.Context, r *Registry, field, id, workflow string, consistent bool) (*Outcome, error) {
	return b.findInstance(ctx, r, field, id, workflow, func(record *wire.WorkflowRecord, subject string) (*Message, error) {
		return b.Last(ctx, record.Stream, subject, consistent)
	})
}

// LoadInstanceAsOf reads the instance as it was at a point in the past.
func (b *Bus) LoadInstanceAsOf(ctx context.Context, r *Registry, field, id, workflow string, point wire.AsOf) (*Outcome, error) {
	return b.findInstance(ctx, r, field, id, workflow, func(record *wire.WorkflowRecord, subject string) (*Message, error) {
		return b.AsOf(ctx, record.Stream, subject, point)
	})
}

func (b *Bus) findInstance(ctx context.Context, r *Registry, field, id, workflow string, read func(*wire.WorkflowRecord, string) (*Message, error)) (*Outcome, error) {
	candidates, err := r.OfID(ctx, field, id)
	if err != nil {
		return nil, err
	}
	if workflow != "" {
		record, err := r.Resolve(ctx, workflow)
		if err != nil {
			return nil, err
		}
		candidates = keep(candidates, record.ID)
	}
	instance := wire.InstanceOf(id)
	for i := range candidates {
		record := &candidates[i]
		msg, err := read(record, wire.InstanceSubjects(record.ID, instance))
		switch {
		case err == nil:
			return loaded(record, msg)
		case errors.Is(err, ErrNoMessage):
		case errors.Is(err, ErrNoStream):
			return nil, streamGone(err)
		default:
			return nil, err
		}
	}
	if field == "token_id" {
		return nil, fault.New(fault.TokenNotFound, "there is no token %s, or its instance was purged", id).With(field, id)
	}
	return nil, fault.New(fault.InstanceNotFound, "there is no instance %s, or it was purged", instance).With(field, id)
}

func keep(records []wire.WorkflowRecord, id string) []wire.WorkflowRecord {
	for _, record := range records {
		if record.ID == id {
			return []wire.WorkflowRecord{record}
		}
	}
	return nil
}

// loaded is an instance as its last event has it, without the event.
func loaded(record *wire.WorkflowRecord, msg *Message) (*Outcome, error) {
	state, err := wire.ReadState(msg.Data, msg.Sequence)
	if err != nil {
		return nil, fmt.Errorf("event %d of %s: %w", msg.Sequence, record.Stream, err)
	}
	release(state, len(msg.Data))
	return &Outcome{Record: record, State: state, Sequence: msg.Sequence, Time: msg.Time}, nil
}

// release copies a state's documents out of the message that they were read from, when they
// are a small part of it: a state may be kept for long, and would keep all of the message.
func release(state *wire.State, size int) {
	documents := 0
	for i := range state.Tokens {
		documents += len(state.Tokens[i].Data) + len(state.Tokens[i].Metadata)
	}
	if size <= 2*documents+cachedStateOverhead {
		return
	}
	for i := range state.Tokens {
		state.Tokens[i].Data = bytes.Clone(state.Tokens[i].Data)
		state.Tokens[i].Metadata = bytes.Clone(state.Tokens[i].Metadata)
	}
}

func decode(record *wire.WorkflowRecord, msg *Message) (*Outcome, error) {
	var ev wire.Event
	if err := json.Unmarshal(msg.Data, &ev); err != nil {
		return nil, fmt.Errorf("event %d of %s: %w", msg.Sequence, record.Stream, err)
	}
	if ev.Instance == nil {
		return nil, fmt.Errorf("event %d of %s carries no state", msg.Sequence, record.Stream)
	}
	ev.Instance.Fill(msg.Sequence)
	// Time is the event's own, as in the reply to the command that became it.
	return &Outcome{Record: record, Event: &ev, State: ev.Instance, Sequence: msg.Sequence, Time: ev.Timestamp}, nil
}

// Commit runs the loop of DESIGN section 4 for one command. It fails with the engine's
// refusals, with fault.Conflict when others kept winning, fault.RequestIDReused,
// fault.WorkflowFull, fault.Unavailable when the store is out of reach and nothing was
// done, and fault.Timeout when the outcome could not be learned in time.
func (c *Committer) Commit(ctx context.Context, change Change) (*Outcome, error) {
	candidates, err := c.registry.OfID(ctx, change.Field, change.InstanceID)
	if err != nil {
		return nil, err
	}
	change.InstanceID = wire.InstanceOf(change.InstanceID)
	leave, err := c.queues.enter(ctx, change.InstanceID)
	if err != nil {
		return nil, err
	}
	defer leave()

	current, fromCache, err := c.current(ctx, candidates, change)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		out, err := c.attempt(ctx, current, change)
		switch {
		case err == nil && (out.Event != nil || !fromCache):
			return out, nil
		case fromCache && !isStorage(err), errors.Is(err, ErrWrongSequence):
			// The state was stale: decide anew on the truth.
		case errors.Is(err, ErrNotSent), errors.Is(err, ErrBusy):
			// Nothing was stored. Short gaps (a leader election) are waited out.
		default:
			return nil, refusal(err, current.Record)
		}
		if errors.Is(err, ErrWrongSequence) {
			c.counts.conflicts.Add(ctx, 1)
		}
		if attempt >= maxAttempts {
			return nil, exhausted(err)
		}
		if !fromCache {
			if err := pause(ctx, attempt); err != nil {
				return nil, err
			}
		}
		c.cache.drop(change.InstanceID)
		fresh, err := c.bus.LoadInstance(ctx, c.registry, change.Field, change.InstanceID, current.Record.ID, true)
		if err != nil {
			return nil, err
		}
		current, fromCache = fresh, false
	}
}

func (c *Committer) current(ctx context.Context, candidates []wire.WorkflowRecord, change Change) (*Outcome, bool, error) {
	if state := c.cache.get(change.InstanceID); state != nil && (change.WorkflowID == "" || change.WorkflowID == state.WorkflowID) {
		if owner := keep(candidates, state.WorkflowID); owner != nil {
			return &Outcome{Record: &owner[0], State: state, Sequence: state.NatsSequence}, true, nil
		}
	}
	loaded, err := c.bus.LoadInstance(ctx, c.registry, change.Field, change.InstanceID, change.WorkflowID, true)
	return loaded, false, err
}

// isStorage reports an error of the store, or of a guard that could not be asked: not of the
// decision.
func isStorage(err error) bool {
	return errors.Is(err, ErrNotSent) || errors.Is(err, ErrStreamFull) || errors.Is(err, fault.Timeout) || errors.Is(err, fault.RulesMissing) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

func refusal(err error, record *wire.WorkflowRecord) error {
	if errors.Is(err, ErrStreamFull) {
		return workflowFull(record).Because(err)
	}
	return err
}

func exhausted(err error) error {
	switch {
	case errors.Is(err, ErrBusy):
		// The same command is being stored for somebody, and may be yet.
		return unknown(err)
	case errors.Is(err, ErrWrongSequence):
		return fault.New(fault.Conflict, "others kept changing the instance at the same time; try again").Because(err)
	case errors.Is(err, ErrNotSent):
		return fault.New(fault.Unavailable, "the event store is out of reach at the moment; nothing was done, try again").Because(err)
	}
	return err
}

func pause(ctx context.Context, attempt int) error {
	most := min(firstPause<<attempt, longPause)
	timer := time.NewTimer(most/2 + rand.N(most/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt decides and publishes once, on one state.
func (c *Committer) attempt(ctx context.Context, current *Outcome, change Change) (*Outcome, error) {
	remembered := remembers(current.State, change.Origin.RequestID)
	if remembered == nil && change.Origin.RequestID != "" {
		var err error
		if remembered, err = c.recent.find(ctx, current.Record, current.State, change.Origin.RequestID); err != nil {
			return nil, err
		}
	}
	if remembered != nil {
		return c.again(ctx, current.Record, remembered, change)
	}
	version, err := c.registry.Version(ctx, current.Record, current.State.WorkflowVersion)
	if err != nil {
		return nil, err
	}
	if change.Injects {
		if err := c.headroom.check(ctx, current.Record); err != nil {
			return nil, err
		}
	}
	cmd, err := change.Command(ctx, version, current.State)
	if err != nil {
		return nil, err
	}
	ev, err := petri.Decide(version.Net, current.State, cmd, petri.Meta{
		Time: c.now(), RequestID: change.Origin.RequestID, Digest: change.Digest, TriggeredBy: change.Origin.TriggeredBy,
	}, c.Limits())
	if err != nil {
		return nil, fault.From(err)
	}
	if ev == nil {
		return &Outcome{Record: current.Record, State: current.State, Sequence: current.Sequence, Time: current.State.UpdatedAt}, nil
	}
	checked := version
	if m, ok := cmd.(petri.Migrate); ok {
		if checked, err = c.registry.Version(ctx, current.Record, m.Version); err != nil {
			return nil, err
		}
	}
	if err := checked.checkData(ev); err != nil {
		return nil, err
	}
	if err := c.replyFits(ev, change.ReplySize); err != nil {
		return nil, err
	}
	return c.publish(ctx, current.Record, ev, current.Sequence, "")
}

func remembers(state *wire.State, requestID string) *wire.RememberedRequest {
	if requestID == "" {
		return nil
	}
	for i := range state.Requests {
		if state.Requests[i].ID == requestID {
			return &state.Requests[i]
		}
	}
	return nil
}

// again is the outcome of a command that the state remembers.
func (c *Committer) again(ctx context.Context, record *wire.WorkflowRecord, remembered *wire.RememberedRequest, change Change) (*Outcome, error) {
	if remembered.Digest != change.Digest {
		return nil, reused(change.Origin.RequestID)
	}
	msg, err := c.bus.At(ctx, record.Stream, remembered.Sequence)
	if err != nil {
		return nil, err
	}
	out, err := decode(record, msg)
	if err != nil {
		return nil, err
	}
	out.Repeated = true
	return out, nil
}

func reused(requestID string) error {
	return fault.New(fault.RequestIDReused, "request_id %q was used before for another command; draw a new one", requestID).With("request_id", requestID)
}

// A reply must fit into one message, and that has to be known before the commit.
const replyMargin = 4 << 10

func (c *Committer) replyFits(ev *wire.Event, size func(*wire.Event) int) error {
	if size == nil {
		return nil
	}
	most := int(c.bus.NC.MaxPayload()) - replyMargin
	if n := size(ev); n > most {
		return fault.New(fault.LimitExceeded, "the reply would take %d bytes, more than fits into a message (%d); nothing was changed", n, most).
			With("limit", "reply").With("max", most).With("actual", n)
	}
	return nil
}

// publish stores an event after a revision, and finds out what happened when no answer
// comes. messageID is set on created events only: anywhere else a reused request id would be
// acknowledged as a duplicate, and lost.
func (c *Committer) publish(ctx context.Context, record *wire.WorkflowRecord, ev *wire.Event, revision uint64, messageID string) (*Outcome, error) {
	body := ev.AppendJSON(make([]byte, 0, eventCapacity(ev)))
	if int64(len(body)) > c.bus.NC.MaxPayload()-replyMargin {
		return nil, fault.New(fault.LimitExceeded, "the event would take %d bytes, more than the server takes", len(body)).
			With("limit", "event").With("max", c.bus.NC.MaxPayload()-replyMargin).With("actual", len(body))
	}
	commit := uuid.NewString()
	msg := &nats.Msg{Subject: petri.Subject(ev), Data: body, Header: nats.Header{wire.HeaderCommit: {commit}}}
	if messageID != "" {
		msg.Header["Nats-Msg-Id"] = []string{messageID}
	}
	telemetry.Inject(ctx, msg.Header)
	subjects := wire.InstanceSubjects(record.ID, ev.InstanceID)
	Expect(msg, subjects, revision)

	unanswered := false
	for attempt := 1; ; attempt++ {
		ack, err := c.bus.Publish(ctx, msg)
		if err == nil && ack.Duplicate {
			return c.duplicate(ctx, record, ev, ack.Sequence)
		}
		if err == nil {
			return c.stored(ctx, record, ev, ack.Sequence, len(body)), nil
		}
		if errors.Is(err, ErrAmbiguous) {
			unanswered = true
		}
		if !unanswered {
			return nil, err
		}
		// An earlier publish of this message may be stored, or may be yet, whatever this one
		// was answered: look, and never guess. Only what follows the revision decides.
		c.counts.lookups.Add(ctx, 1)
		next, err := c.bus.after(ctx, record.Stream, ev, subjects, revision)
		switch {
		case err == nil && next.Header.Get(wire.HeaderCommit) == commit:
			return c.stored(ctx, record, ev, next.Sequence, len(body)), nil
		case err == nil:
			return nil, ErrWrongSequence
		case ctx.Err() != nil:
			return nil, unknown(err)
		case errors.Is(err, ErrNoMessage):
			// Nothing yet: the same message again; the expectation lets only one in.
		}
		if pause(ctx, attempt) != nil {
			return nil, unknown(err)
		}
	}
}

func unknown(err error) error {
	return fault.New(fault.Timeout, "it could not be learned in time whether the command took effect; repeat it with the same request_id, or look").Because(err)
}

// after reads the event that follows a revision of an instance. A new instance may have
// gone on already, so there it is the created event, of which there is only one.
func (b *Bus) after(ctx context.Context, stream string, ev *wire.Event, subjects string, revision uint64) (*Message, error) {
	attempt, cancel := context.WithTimeout(ctx, b.cfg.AckTimeout)
	defer cancel()
	if revision == 0 {
		return b.Last(attempt, stream, petri.Subject(ev), true)
	}
	return b.Next(attempt, stream, subjects, revision+1)
}

func (c *Committer) stored(ctx context.Context, record *wire.WorkflowRecord, ev *wire.Event, sequence uint64, size int) *Outcome {
	ev.Instance.Fill(sequence)
	c.cache.put(ev.Instance)
	c.headroom.stored(record.Stream, sequence, size)
	c.counts.commits.Add(ctx, 1, metric.WithAttributes(attribute.String("event_type", ev.EventType)))
	return &Outcome{Record: record, Event: ev, State: ev.Instance, Sequence: sequence, Time: ev.Timestamp}
}

// Forget drops an instance from the cache, because it was purged.
func (c *Committer) Forget(instanceID string) { c.cache.drop(instanceID) }

// eventCapacity is room for an event, so that it is written without being copied.
func eventCapacity(ev *wire.Event) int {
	n := 1 << 10
	for i := range ev.Instance.Tokens {
		n += replyTokenBytes + len(ev.Instance.Tokens[i].Data) + len(ev.Instance.Tokens[i].Metadata)
	}
	for _, patch := range ev.Patches {
		n += len(patch.Data) + len(patch.Metadata)
	}
	return n
}
