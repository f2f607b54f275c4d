package projector

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/jsonscan"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// event is as much of wire.Event as the view needs. Its parts are parts of the message.
type event struct {
	version  uint64
	consumed []wire.Consumed
	// produced and patched are the ids of tokens.
	produced, patched []string
	instance          instance
}

type instance struct {
	present              bool
	id, workflow         string
	version              uint64
	status               wire.Status
	createdAt, updatedAt []byte
	tokens               []token
}

// token is a token of the snapshot.
type token struct {
	// text is the whole token as the event has it.
	text                          []byte
	id, workflow, instance, place string
	arrivedAt                     string
	arrival                       uint64
}

// decode reads an event about an instance. It refuses whatever would make a subject that
// is not ours.
func decode(workflowID string, subject wire.EventSubject, data []byte) (*event, error) {
	var e event
	s := jsonscan.New(data)
	if err := e.scan(s); err != nil {
		return nil, err
	}
	if err := s.End(); err != nil {
		return nil, err
	}
	i := &e.instance
	if !i.present {
		return nil, fmt.Errorf("the event has no snapshot")
	}
	if i.id != subject.InstanceID || i.workflow != workflowID {
		return nil, fmt.Errorf("the event is about instance %s of %s", i.id, i.workflow)
	}
	if _, ok := parseID(i.id); !ok {
		return nil, fmt.Errorf("the instance's id %q is no UUID", i.id)
	}
	switch i.status {
	case wire.StatusActive, wire.StatusSuspended, wire.StatusCompleted, wire.StatusCancelled:
	default:
		return nil, fmt.Errorf("the instance has the status %q", i.status)
	}
	if len(i.createdAt) == 0 || len(i.updatedAt) == 0 {
		return nil, fmt.Errorf("the snapshot does not say when it is from")
	}
	for k := range i.tokens {
		t := &i.tokens[k]
		if err := safe(t.id, t.place); err != nil {
			return nil, err
		}
		if wire.InstanceOf(t.id) != i.id || t.instance != i.id || t.workflow != workflowID {
			return nil, fmt.Errorf("token %s belongs elsewhere", t.id)
		}
	}
	for _, c := range e.consumed {
		if err := safe(c.TokenID, c.Place); err != nil {
			return nil, err
		}
	}
	return &e, nil
}

func (e *event) scan(s *jsonscan.Scanner) error {
	return s.Object(func(key []byte) error {
		switch string(key) {
		case "workflow_version":
			return s.Natural(&e.version)
		case "consumed":
			return s.Array(func() error {
				var c wire.Consumed
				err := s.Object(func(key []byte) error {
					switch string(key) {
					case "token_id":
						return s.String(&c.TokenID)
					case "place":
						return s.String(&c.Place)
					}
					_, err := s.Value()
					return err
				})
				e.consumed = append(e.consumed, c)
				return err
			})
		case "produced":
			return s.Array(func() error {
				return s.Object(func(key []byte) error {
					if string(key) == "token_id" {
						e.produced = append(e.produced, "")
						return s.String(&e.produced[len(e.produced)-1])
					}
					_, err := s.Value()
					return err
				})
			})
		case "patches":
			return s.Object(func(key []byte) error {
				e.patched = append(e.patched, string(key))
				_, err := s.Value()
				return err
			})
		case "instance":
			return e.instance.scan(s)
		}
		_, err := s.Value()
		return err
	})
}

var errNoToken = errors.New("the snapshot has a token that is no object")

func (i *instance) scan(s *jsonscan.Scanner) error {
	i.present = s.Next() == '{'
	return s.Object(func(key []byte) (err error) {
		switch string(key) {
		case "id":
			return s.String(&i.id)
		case "workflow_id":
			return s.String(&i.workflow)
		case "workflow_version":
			return s.Natural(&i.version)
		case "status":
			return s.String((*string)(&i.status))
		case "created_at":
			i.createdAt, err = s.Value()
			return err
		case "updated_at":
			i.updatedAt, err = s.Value()
			return err
		case "tokens":
			return s.Array(func() error {
				var t token
				if s.Next() != '{' {
					return errNoToken
				}
				begin := s.Mark()
				err := t.scan(s)
				t.text = s.Since(begin)
				i.tokens = append(i.tokens, t)
				return err
			})
		}
		_, err = s.Value()
		return err
	})
}

func (t *token) scan(s *jsonscan.Scanner) error {
	return s.Object(func(key []byte) error {
		switch string(key) {
		case "id":
			return s.String(&t.id)
		case "workflow_id":
			return s.String(&t.workflow)
		case "instance_id":
			return s.String(&t.instance)
		case "place":
			return s.String(&t.place)
		case "arrived_at":
			return s.String(&t.arrivedAt)
		case "arrival_sequence":
			return s.Natural(&t.arrival)
		}
		_, err := s.Value()
		return err
	})
}

// positioned is the token as the view shows it: wire.Token.Positioned, without decoding it.
func (t *token) positioned(subject string, sequence uint64, at time.Time) []byte {
	b := make([]byte, 0, len(t.text)+len(subject)+128)
	b = append(b, t.text[:len(t.text)-1]...)
	if t.arrival == 0 {
		b = strconv.AppendUint(append(b, `,"arrival_sequence":`...), sequence, 10)
	}
	b = strconv.AppendUint(append(b, `,"nats_sequence":`...), sequence, 10)
	b = append(b, `,"nats_timestamp":"`...)
	b = at.UTC().AppendFormat(b, time.RFC3339Nano)
	b = append(b, `","nats_subject":"`...)
	b = append(b, subject...)
	return append(b, `"}`...)
}

// record is the short record of the instance, a wire.InstanceRecord.
func (i *instance) record(sequence uint64) []byte {
	b := append(make([]byte, 0, 320), `{"id":"`...)
	b = append(b, i.id...)
	b = append(b, `","workflow_id":"`...)
	b = append(b, i.workflow...)
	b = strconv.AppendUint(append(b, `","workflow_version":`...), i.version, 10)
	b = append(b, `,"status":"`...)
	b = append(b, i.status...)
	b = append(append(b, `","created_at":`...), i.createdAt...)
	b = append(append(b, `,"updated_at":`...), i.updatedAt...)
	b = strconv.AppendUint(append(b, `,"nats_sequence":`...), sequence, 10)
	return append(b, '}')
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
	c.tokens()
	c.record()
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
	// decode has looked at every id.
	ch.key.kind = k
	ch.key.id, _ = parseID(id)
	ch.id, ch.instance, ch.revision = id, c.event.instance.id, c.message.Sequence
	c.list = append(c.list, ch)
}

// from is the place that the event took a token from, empty if it took it from none.
func (c *changeSet) from(token string) string {
	for i := range c.event.consumed {
		if c.event.consumed[i].TokenID == token {
			return c.event.consumed[i].Place
		}
	}
	return ""
}

func (c *changeSet) standing(token string) bool {
	for i := range c.event.instance.tokens {
		if c.event.instance.tokens[i].id == token {
			return true
		}
	}
	return false
}

func (c *changeSet) tokens() {
	w := c.event.instance.workflow
	for i := range c.event.instance.tokens {
		t := &c.event.instance.tokens[i]
		created, produced := c.kind == wire.LifecycleCreated, slices.Contains(c.event.produced, t.id)
		if !created && !produced && !slices.Contains(c.event.patched, t.id) {
			continue
		}
		subject, from := wire.PlaceSubject(w, t.place, t.id), c.from(t.id)
		ch := change{
			subject: subject, payload: t.positioned(subject, c.message.Sequence, c.message.Time),
			born: created || produced && from == "",
		}
		if from != "" && from != t.place {
			ch.left = []string{wire.PlaceSubject(w, from, t.id)}
		}
		c.add(tokenItem, t.id, ch)
	}
	for _, consumed := range c.event.consumed {
		if !c.standing(consumed.TokenID) {
			c.add(tokenItem, consumed.TokenID, change{left: []string{wire.PlaceSubject(w, consumed.Place, consumed.TokenID)}})
		}
	}
}

// record is written when the status changes.
func (c *changeSet) record() {
	i := &c.event.instance
	var before []wire.Status
	switch {
	case c.kind == wire.LifecycleCreated:
	case i.status.Finished():
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
		return
	}
	ch := change{
		subject: wire.InstanceRecordSubject(i.workflow, i.status, i.id), payload: i.record(c.message.Sequence),
		born: c.kind == wire.LifecycleCreated,
	}
	for _, status := range before {
		ch.left = append(ch.left, wire.InstanceRecordSubject(i.workflow, status, i.id))
	}
	c.add(recordItem, i.id, ch)
}
