package petri

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Decide says what a command does to an instance: the event that records it, with the
// state after it in Instance. Nothing is changed: the state may be shared, and equal
// arguments give equal events.
//
// net is the net of the state's version; state is filled in (wire.State.Fill), and nil for
// Create alone. In the event's snapshot whatever arrived with the event has no sequence
// yet; Fill it once the stream has given one.
//
// A nil event without an error means that there is nothing to do: Suspend of a suspended
// instance, Resume of an active one.
//
// Errors are Rejections, checked in this order: instance_not_found, instance_finished,
// instance_suspended (fire, inject, and complete with a transition), then what the command
// itself names: transition_not_found, sequence_mismatch, token_not_found, token_ended or
// token_moved, invalid_field, place_mismatch, transition_not_enabled, limit_exceeded.
// The fence comes first, so that late work learns that its token has moved even when the
// instance is over.
func Decide(net *Net, state *wire.State, cmd Command, meta Meta, limits Limits) (*wire.Event, error) {
	d := &decision{net: net, state: state, meta: meta, limits: limits, at: meta.Time.UTC().Round(0)}
	create, isCreate := cmd.(Create)
	if isCreate {
		return d.create(create)
	}
	if state == nil {
		return nil, reject(codeInstanceNotFound, "there is no such instance")
	}
	if err := d.fenced(cmd); err != nil {
		return nil, err
	}
	if err := d.running(cmd); err != nil {
		return nil, err
	}
	if err := d.boundedMeta(); err != nil {
		return nil, err
	}
	switch c := cmd.(type) {
	case Inject:
		return d.inject(c)
	case Update:
		return d.update(c)
	case Fire:
		return d.fire(c)
	case Complete:
		return d.complete(c)
	case Cancel:
		return d.cancel(c)
	case Suspend:
		return d.suspend(c)
	case Resume:
		return d.resume()
	case Migrate:
		return d.migrate(c)
	}
	return nil, reject(codeInvalidField, "there is no such command")
}

// decision is one run of Decide.
type decision struct {
	net    *Net
	state  *wire.State
	meta   Meta
	limits Limits
	at     time.Time
}

// running refuses what an instance that is finished or suspended does not do.
func (d *decision) running(cmd Command) error {
	if d.state.Status.Finished() {
		return reject(codeInstanceFinished, "the instance is %s and changes no more", d.state.Status).
			with("status", d.state.Status)
	}
	if d.state.Status != wire.StatusSuspended {
		return nil
	}
	refused := false
	switch c := cmd.(type) {
	case Fire, Inject:
		refused = true
	case Complete:
		refused = c.TransitionID != ""
	}
	if refused {
		return reject(codeInstanceSuspended, "the instance is suspended; resume it first")
	}
	return nil
}

func (d *decision) boundedMeta() error {
	for _, f := range []struct {
		name, value string
		most        int
	}{{"request_id", d.meta.RequestID, maxRequestID}, {"triggered_by", d.meta.TriggeredBy, maxTriggeredBy}} {
		if len(f.value) > f.most {
			return invalidField(f.name, "is %d bytes long; at most %d are possible", len(f.value), f.most)
		}
	}
	return nil
}

func boundedReason(reason string) error {
	if len(reason) > maxReason {
		return invalidField("reason", "is %d bytes long; at most %d are possible", len(reason), maxReason)
	}
	return nil
}

// current refuses a command that was made for another revision; 0 is any revision.
func (d *decision) current(expected uint64) error {
	if expected != 0 && expected != d.state.NatsSequence {
		return reject(codeSequenceMismatch, "the instance is at sequence %d, not %d; read it again",
			d.state.NatsSequence, expected).
			with("expected", expected).with("actual", d.state.NatsSequence)
	}
	return nil
}

// token finds a token of the marking that has stood in its place since arrival; arrival 0
// is any.
func (d *decision) token(id string, arrival uint64) (*wire.Token, error) {
	t := d.state.Token(id)
	if t == nil {
		birth := wire.BirthOf(id)
		if id == "" || wire.TokenID(d.state.ID, birth) != id || int(birth) >= d.state.Births {
			return nil, reject(codeTokenNotFound, "there is no such token").with("token_id", id)
		}
		if arrival == 0 {
			return nil, reject(codeTokenEnded, "the token has ended: it was split, joined or cancelled").with("token_id", id)
		}
		return nil, reject(codeTokenMoved, "the token has ended since sequence %d", arrival).
			with("token_id", id).with("arrival_sequence", arrival)
	}
	if arrival != 0 && arrival != t.ArrivalSequence {
		return nil, reject(codeTokenMoved, "the token has moved since sequence %d: it came to %s at %d",
			arrival, t.Place, t.ArrivalSequence).
			with("token_id", id).with("arrival_sequence", t.ArrivalSequence).with("place", t.Place)
	}
	return t, nil
}

// fenced refuses a command whose token has moved on, and a result that says too little of
// itself.
func (d *decision) fenced(cmd Command) error {
	switch c := cmd.(type) {
	case Complete:
		return d.completable(c)
	case Fire:
		return d.fence(c.TokenID, c.ArrivalSequence)
	case Update:
		return d.fence(c.TokenID, c.ArrivalSequence)
	}
	return nil
}

// fence refuses a command for a token that has moved on since arrival; 0 is no fence.
func (d *decision) fence(id string, arrival uint64) error {
	if arrival == 0 || id == "" {
		return nil
	}
	_, err := d.token(id, arrival)
	return err
}

func (d *decision) placeExists(field, place string) error {
	if _, ok := d.net.places[place]; !ok {
		return reject(codePlaceMismatch, "the workflow has no place %q", place).with(field, place)
	}
	return nil
}

func (d *decision) event(eventType string) *wire.Event {
	ev := &wire.Event{
		EventType: eventType, TriggeredBy: d.meta.TriggeredBy, Timestamp: d.at,
		RequestID: d.meta.RequestID, RequestDigest: d.meta.Digest,
	}
	if d.state != nil {
		ev.WorkflowID, ev.WorkflowVersion, ev.InstanceID = d.state.WorkflowID, d.state.WorkflowVersion, d.state.ID
	}
	return ev
}

// finish completes an event by folding it, and checks what comes out against the limits.
func (d *decision) finish(ev *wire.Event) (*wire.Event, error) {
	next, err := advance(d.state, ev)
	if err != nil {
		return nil, err
	}
	ev.Completes = completes(d.net, next, ev)
	settle(next, ev)
	ev.Instance = next
	if err := d.limits.fits(ev); err != nil {
		return nil, err
	}
	return ev, nil
}

// completes reports whether the instance is at its end after an event: every token stands
// in a terminal place. While it is suspended it stays that, unless a token is cancelled.
func completes(net *Net, next *wire.State, ev *wire.Event) bool {
	if len(next.Tokens) == 0 {
		return false
	}
	switch ev.EventType {
	case wire.EventType(wire.LifecycleCancelled), wire.EventType(wire.LifecycleResumed):
	case wire.EventType(wire.LifecycleSuspended):
		return false
	default:
		if next.Status != wire.StatusActive {
			return false
		}
	}
	for i := range next.Tokens {
		if !net.Terminal(next.Tokens[i].Place) {
			return false
		}
	}
	return true
}

func (d *decision) create(c Create) (*wire.Event, error) {
	if d.state != nil {
		return nil, reject(codeConflict, "the instance exists already").with("instance_id", d.state.ID)
	}
	if err := d.boundedMeta(); err != nil {
		return nil, err
	}
	if !wire.IsUUID(c.WorkflowID) {
		return nil, invalidField("workflow_id", "must be a lower-case UUID")
	}
	if !wire.IsRoutedID(c.InstanceID) || wire.BirthOf(c.InstanceID) != 0 ||
		wire.WorkflowPrefixOf(c.InstanceID) != c.WorkflowID[:8] {
		return nil, invalidField("instance_id", "is no id of an instance of this workflow")
	}
	if c.Place == "" {
		c.Place = d.net.definition.InitialPlace
	}
	if err := d.placeExists("place", c.Place); err != nil {
		return nil, err
	}
	data, err := document("data", c.Data, d.limits.MaxDepth)
	if err != nil {
		return nil, err
	}
	metadata, err := document("metadata", c.Metadata, d.limits.MaxDepth)
	if err != nil {
		return nil, err
	}
	if len(metadata) == len(emptyObject) {
		metadata = nil
	}
	ev := d.event(wire.EventType(wire.LifecycleCreated))
	ev.WorkflowID, ev.WorkflowVersion, ev.InstanceID = c.WorkflowID, max(c.WorkflowVersion, 1), c.InstanceID
	ev.TokenID, ev.ToPlace = c.InstanceID, c.Place
	ev.Produced = []wire.Produced{{TokenID: c.InstanceID, Place: c.Place}}
	root := wire.Token{
		ID: c.InstanceID, WorkflowID: c.WorkflowID, InstanceID: c.InstanceID, Place: c.Place,
		Data: data, Metadata: metadata, CreatedAt: d.at, UpdatedAt: d.at, ArrivedAt: d.at,
	}
	ev.Instance = &wire.State{
		Instance: wire.Instance{
			ID: c.InstanceID, WorkflowID: c.WorkflowID, WorkflowVersion: ev.WorkflowVersion,
			Status: wire.StatusActive, Tokens: []wire.Token{root}, Visits: map[string]int{c.Place: 1},
			CreatedAt: d.at, UpdatedAt: d.at,
		},
		Births:   1,
		Requests: remember(nil, ev),
	}
	ev.Completes = completes(d.net, ev.Instance, ev)
	settle(ev.Instance, ev)
	if err := d.limits.fits(ev); err != nil {
		return nil, err
	}
	return ev, nil
}

func (d *decision) inject(c Inject) (*wire.Event, error) {
	if err := d.placeExists("place", c.Place); err != nil {
		return nil, err
	}
	data, err := document("data", c.Data, d.limits.MaxDepth)
	if err != nil {
		return nil, err
	}
	metadata, err := document("metadata", c.Metadata, d.limits.MaxDepth)
	if err != nil {
		return nil, err
	}
	if err := d.limits.room(d.state, 0, 1); err != nil {
		return nil, err
	}
	ev := d.event(wire.EventType(wire.LifecycleInjected))
	ev.TokenID, ev.ToPlace = wire.TokenID(d.state.ID, uint16(d.state.Births)), c.Place
	ev.Produced = []wire.Produced{{TokenID: ev.TokenID, Place: c.Place}}
	var p wire.Patch
	if len(data) > len(emptyObject) {
		p.Data = data
	}
	if len(metadata) > len(emptyObject) {
		p.Metadata = metadata
	}
	if p.Data != nil || p.Metadata != nil {
		ev.Patches = map[string]wire.Patch{ev.TokenID: p}
	}
	return d.finish(ev)
}

func (d *decision) update(c Update) (*wire.Event, error) {
	if err := d.current(c.ExpectedSequence); err != nil {
		return nil, err
	}
	t, err := d.token(c.TokenID, c.ArrivalSequence)
	if err != nil {
		return nil, err
	}
	if absent(c.Data) && absent(c.Metadata) {
		return nil, invalidField("data", "give data or metadata to change")
	}
	ch, err := d.change(c.Data, c.Metadata)
	if err != nil {
		return nil, err
	}
	ev := d.about(wire.LifecycleUpdated, t)
	ev.Patches = map[string]wire.Patch{t.ID: {Data: ch.data, Metadata: ch.metadata}}
	return d.finish(ev)
}

// about is a lifecycle event about one token that stays where it is.
func (d *decision) about(lifecycle string, t *wire.Token) *wire.Event {
	ev := d.event(wire.EventType(lifecycle))
	ev.TokenID, ev.FromPlace, ev.ToPlace = t.ID, t.Place, t.Place
	return ev
}

func (d *decision) change(data, metadata json.RawMessage) (c change, err error) {
	if c.data, err = patchOf("data", data, d.limits.MaxDepth); err != nil {
		return change{}, err
	}
	c.metadata, err = patchOf("metadata", metadata, d.limits.MaxDepth)
	return c, err
}

func (d *decision) cancel(c Cancel) (*wire.Event, error) {
	if err := boundedReason(c.Reason); err != nil {
		return nil, err
	}
	ev := d.event(wire.EventType(wire.LifecycleCancelled))
	ev.Reason = c.Reason
	if c.TokenID != "" {
		t, err := d.token(c.TokenID, 0)
		if err != nil {
			return nil, err
		}
		ev.Consumed = []wire.Consumed{{TokenID: t.ID, Place: t.Place}}
	} else {
		for i := range d.state.Tokens {
			ev.Consumed = append(ev.Consumed, wire.Consumed{TokenID: d.state.Tokens[i].ID, Place: d.state.Tokens[i].Place})
		}
	}
	nameFirst(ev)
	return d.finish(ev)
}

// nameFirst names the first token and places of an event where there are several.
func nameFirst(ev *wire.Event) {
	if len(ev.Consumed) > 0 {
		ev.TokenID, ev.FromPlace = ev.Consumed[0].TokenID, ev.Consumed[0].Place
	}
	if len(ev.Produced) > 0 {
		ev.TokenID, ev.ToPlace = ev.Produced[0].TokenID, ev.Produced[0].Place
	}
}

func (d *decision) suspend(c Suspend) (*wire.Event, error) {
	if err := boundedReason(c.Reason); err != nil {
		return nil, err
	}
	if d.state.Status == wire.StatusSuspended {
		return nil, nil
	}
	ev := d.event(wire.EventType(wire.LifecycleSuspended))
	ev.Reason = c.Reason
	return d.finish(ev)
}

func (d *decision) resume() (*wire.Event, error) {
	if d.state.Status == wire.StatusActive {
		return nil, nil
	}
	return d.finish(d.event(wire.EventType(wire.LifecycleResumed)))
}

func (d *decision) migrate(c Migrate) (*wire.Event, error) {
	switch {
	case c.Net == nil || c.Version < 1:
		return nil, invalidField("version", "names no version of the workflow")
	case c.Version == d.state.WorkflowVersion:
		return nil, invalidField("version", "is the version that the instance runs on already")
	}
	var unknown, absentPlaces []string
	for from, to := range c.Places {
		if _, ok := d.net.places[from]; !ok {
			unknown = append(unknown, from)
		}
		if _, ok := c.Net.places[to]; !ok {
			absentPlaces = append(absentPlaces, to)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return nil, invalidField("places", "version %d has no place %s", d.state.WorkflowVersion, quoted(unknown)).
			with("places", unknown)
	}
	ev := d.event(wire.EventType(wire.LifecycleMigrated))
	ev.WorkflowVersion = c.Version
	for i := range d.state.Tokens {
		t := &d.state.Tokens[i]
		to, mapped := c.Places[t.Place]
		if !mapped {
			to = t.Place
		}
		if _, ok := c.Net.places[to]; !ok {
			absentPlaces = append(absentPlaces, to)
			continue
		}
		if to != t.Place {
			ev.Consumed = append(ev.Consumed, wire.Consumed{TokenID: t.ID, Place: t.Place})
			ev.Produced = append(ev.Produced, wire.Produced{TokenID: t.ID, Place: to})
		}
	}
	if len(absentPlaces) > 0 {
		slices.Sort(absentPlaces)
		absentPlaces = slices.Compact(absentPlaces)
		return nil, reject(codePlaceMismatch, "version %d has no place %s; map it to one that it has",
			c.Version, quoted(absentPlaces)).with("places", absentPlaces)
	}
	nameFirst(ev)
	d.net = c.Net
	return d.finish(ev)
}

func quoted(names []string) string {
	var b []byte
	for i, name := range names {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendQuote(b, name)
	}
	return string(b)
}

func number(n int) json.Number { return json.Number(strconv.Itoa(n)) }

func asRejection(err error) *Rejection {
	var r *Rejection
	if errors.As(err, &r) {
		return r
	}
	return reject(codeInvalidField, "%v", err)
}
