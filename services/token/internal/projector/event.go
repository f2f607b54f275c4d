package projector

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// event is as much of wire.Event as the view needs; the rest is not decoded.
type event struct {
	EventType       string             `json:"event_type"`
	WorkflowVersion int                `json:"workflow_version"`
	Consumed        []wire.Consumed    `json:"consumed"`
	Produced        []produced         `json:"produced"`
	Patches         map[string]skipped `json:"patches"`
	Instance        *snapshot          `json:"instance"`
}

type produced struct {
	TokenID string `json:"token_id"`
}

type snapshot struct {
	ID              string       `json:"id"`
	WorkflowID      string       `json:"workflow_id"`
	WorkflowVersion int          `json:"workflow_version"`
	Status          wire.Status  `json:"status"`
	Tokens          []wire.Token `json:"tokens"`
	CreatedAt       time.Time    `json:"created_at"`
	UpdatedAt       time.Time    `json:"updated_at"`
}

// skipped is a value that is passed over without copying it.
type skipped struct{}

func (*skipped) UnmarshalJSON([]byte) error { return nil }

// decode reads an event about an instance. It refuses whatever would make a subject that
// is not ours.
func decode(workflowID string, subject wire.EventSubject, data []byte) (*event, error) {
	var e event
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, err
	}
	if e.Instance == nil {
		return nil, fmt.Errorf("the event has no snapshot")
	}
	if e.Instance.ID != subject.InstanceID || e.Instance.WorkflowID != workflowID {
		return nil, fmt.Errorf("the event is about instance %s of %s", e.Instance.ID, e.Instance.WorkflowID)
	}
	if _, ok := parseID(e.Instance.ID); !ok {
		return nil, fmt.Errorf("the instance's id %q is no UUID", e.Instance.ID)
	}
	switch e.Instance.Status {
	case wire.StatusActive, wire.StatusSuspended, wire.StatusCompleted, wire.StatusCancelled:
	default:
		return nil, fmt.Errorf("the instance has the status %q", e.Instance.Status)
	}
	for i := range e.Instance.Tokens {
		t := &e.Instance.Tokens[i]
		if wire.InstanceOf(t.ID) != e.Instance.ID || t.InstanceID != e.Instance.ID || t.WorkflowID != workflowID {
			return nil, fmt.Errorf("token %q belongs elsewhere", t.ID)
		}
		if err := safe(t.ID, t.Place); err != nil {
			return nil, err
		}
	}
	for _, c := range e.Consumed {
		if err := safe(c.TokenID, c.Place); err != nil {
			return nil, err
		}
	}
	return &e, nil
}

func safe(token, place string) error {
	if _, ok := parseID(token); !ok {
		return fmt.Errorf("the token's id %q is no UUID", token)
	}
	if place == "" || len(place) > 64 {
		return fmt.Errorf("the place %q cannot be", place)
	}
	for i := range len(place) {
		if c := place[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return fmt.Errorf("the place %q cannot be", place)
		}
	}
	return nil
}

// change is what one event makes of one item of the view.
type change struct {
	key      key
	id       string
	instance string
	revision uint64
	// subject is where the item stands from now on, empty if nowhere, and payload what
	// stands there.
	subject string
	payload []byte
	// left are the subjects on which it may have stood before.
	left []string
	// born: there was nothing before.
	born bool
	// due is when a timer fires, target where it is delivered.
	due    time.Time
	target string
}

// timeouts says after how long which transition fires in which place, for one version.
type timeouts map[string]wire.Timeout

// policy is what the event's version of the definition says beyond the event itself.
type policy struct {
	timeouts timeouts
	// completed and cancelled are how long a finished instance is kept; 0 is for good.
	completed, cancelled time.Duration
}

// changes lists what an event changes in the view, each item once. kind is the type of a
// lifecycle event and empty for a firing.
func changes(m *bus.Message, kind string, e *event, p *policy) ([]change, error) {
	c := changeSet{message: m, event: e, policy: p, kind: kind}
	if err := c.tokens(); err != nil {
		return nil, err
	}
	if err := c.record(); err != nil {
		return nil, err
	}
	if err := c.timers(); err != nil {
		return nil, err
	}
	return c.list, nil
}

type changeSet struct {
	message *bus.Message
	kind    string
	event   *event
	policy  *policy
	list    []change
}

func (c *changeSet) add(k kind, id string, ch change) {
	// decode and safe have looked at every id.
	ch.key.kind = k
	ch.key.id, _ = parseID(id)
	ch.id, ch.instance, ch.revision = id, c.event.Instance.ID, c.message.Sequence
	c.list = append(c.list, ch)
}

// from is the place that the event took a token from, empty if it took it from none.
func (c *changeSet) from(token string) string {
	for i := range c.event.Consumed {
		if c.event.Consumed[i].TokenID == token {
			return c.event.Consumed[i].Place
		}
	}
	return ""
}

func (c *changeSet) produced(token string) bool {
	for i := range c.event.Produced {
		if c.event.Produced[i].TokenID == token {
			return true
		}
	}
	return false
}

func (c *changeSet) standing(token string) *wire.Token {
	for i := range c.event.Instance.Tokens {
		if c.event.Instance.Tokens[i].ID == token {
			return &c.event.Instance.Tokens[i]
		}
	}
	return nil
}

func (c *changeSet) tokens() error {
	w := c.event.Instance.WorkflowID
	for i := range c.event.Instance.Tokens {
		t := &c.event.Instance.Tokens[i]
		_, patched := c.event.Patches[t.ID]
		created, produced := c.kind == wire.LifecycleCreated, c.produced(t.ID)
		if !created && !produced && !patched {
			continue
		}
		positioned := t.Positioned(c.message.Sequence, c.message.Time)
		payload, err := json.Marshal(&positioned)
		if err != nil {
			return fmt.Errorf("token %s: %w", t.ID, err)
		}
		from := c.from(t.ID)
		ch := change{subject: positioned.NatsSubject, payload: payload, born: created || produced && from == ""}
		if from != "" && from != t.Place {
			ch.left = []string{wire.PlaceSubject(w, from, t.ID)}
		}
		c.add(tokenItem, t.ID, ch)
	}
	for _, consumed := range c.event.Consumed {
		if c.standing(consumed.TokenID) == nil {
			c.add(tokenItem, consumed.TokenID, change{left: []string{wire.PlaceSubject(w, consumed.Place, consumed.TokenID)}})
		}
	}
	return nil
}

// record is written when the status changes.
func (c *changeSet) record() error {
	i := c.event.Instance
	var before []wire.Status
	switch {
	case c.kind == wire.LifecycleCreated:
	case i.Status.Finished():
		before = []wire.Status{wire.StatusActive, wire.StatusSuspended}
		if c.kind == "" {
			// Nothing fires in a suspended instance.
			before = before[:1]
		}
	case c.kind == wire.LifecycleSuspended:
		before = []wire.Status{wire.StatusActive}
	case c.kind == wire.LifecycleResumed:
		before = []wire.Status{wire.StatusSuspended}
	case c.kind == wire.LifecycleMigrated:
	default:
		return nil
	}
	payload, err := json.Marshal(wire.InstanceRecord{
		ID: i.ID, WorkflowID: i.WorkflowID, WorkflowVersion: i.WorkflowVersion, Status: i.Status,
		CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt, NatsSequence: c.message.Sequence,
	})
	if err != nil {
		return fmt.Errorf("record of %s: %w", i.ID, err)
	}
	ch := change{
		subject: wire.InstanceRecordSubject(i.WorkflowID, i.Status, i.ID), payload: payload,
		born: c.kind == wire.LifecycleCreated,
	}
	for _, status := range before {
		ch.left = append(ch.left, wire.InstanceRecordSubject(i.WorkflowID, status, i.ID))
	}
	c.add(recordItem, i.ID, ch)
	return nil
}
