package petri

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const (
	testWorkflow = "0b5e2c7a-0e6b-4a52-9d3b-3f6c1f1f2a10"
	testSeed     = 7
)

// engine runs commands against one instance as the commit loop would, and checks on every
// step that the fold agrees with the snapshot.
type engine struct {
	t      testing.TB
	net    *Net
	state  *wire.State
	seq    uint64
	now    time.Time
	limits Limits
	meta   Meta
	last   *wire.Event
}

func newTestEngine(t testing.TB, definition string) *engine {
	t.Helper()
	return &engine{
		t: t, net: newTestNet(t, definition),
		seq: 10, now: time.Date(2026, 3, 1, 9, 0, 0, 123456789, time.UTC), limits: DefaultLimits(4 << 20),
	}
}

func newTestNet(t testing.TB, definition string) *Net {
	t.Helper()
	def, problems := ParseDefinition([]byte(definition))
	if len(problems) > 0 {
		t.Fatalf("the definition does not parse: %v", problems)
	}
	net, problems := Compile(def)
	if len(problems) > 0 {
		t.Fatalf("the definition does not compile: %v", problems)
	}
	return net
}

func (e *engine) root() string {
	id, err := wire.NewInstanceID(testWorkflow, 1772355600000, testSeed)
	if err != nil {
		e.t.Fatal(err)
	}
	return id
}

func (e *engine) token(birth int) string { return wire.TokenID(e.root(), uint16(birth)) }

// create starts an instance in place (empty for the initial one).
func (e *engine) create(place, data string) *wire.Event {
	e.t.Helper()
	return e.do(Create{WorkflowID: testWorkflow, InstanceID: e.root(), Place: place, Data: json.RawMessage(data)})
}

// try decides, checks that the state is left alone, and applies the event.
func (e *engine) try(cmd Command) (*wire.Event, error) {
	e.t.Helper()
	before := toJSON(e.t, e.state)
	e.seq += 3
	e.now = e.now.Add(time.Second)
	meta := e.meta
	meta.Time = e.now
	ev, err := Decide(e.net, e.state, cmd, meta, e.limits)
	if after := toJSON(e.t, e.state); before != after {
		e.t.Fatalf("Decide changed the state:\n%s\n%s", before, after)
	}
	if err != nil || ev == nil {
		return ev, err
	}
	e.apply(ev)
	if m, ok := cmd.(Migrate); ok {
		e.net = m.Net
	}
	return ev, nil
}

// apply sends the event through JSON, as the stream does, and compares fold and snapshot.
func (e *engine) apply(ev *wire.Event) {
	e.t.Helper()
	var stored, bare wire.Event
	fromJSON(e.t, toJSON(e.t, ev), &stored)
	if diff := cmp.Diff(*ev, stored); diff != "" {
		e.t.Fatalf("the event does not survive JSON (-decided +stored):\n%s", diff)
	}
	bare = stored
	if e.state != nil {
		bare.Instance = nil
	}
	before := toJSON(e.t, e.state)
	folded, err := Apply(e.state, &bare, e.seq)
	if err != nil {
		e.t.Fatalf("the event does not fold: %v\n%s", err, toJSON(e.t, ev))
	}
	if after := toJSON(e.t, e.state); before != after {
		e.t.Fatalf("Apply changed the state:\n%s\n%s", before, after)
	}
	snapshot := stored.Instance
	if snapshot.NatsSequence != 0 {
		e.t.Fatalf("the snapshot claims to know its sequence: %d", snapshot.NatsSequence)
	}
	snapshot.Fill(e.seq)
	if diff := cmp.Diff(snapshot, folded); diff != "" {
		e.t.Fatalf("the fold differs from the snapshot (-snapshot +fold):\n%s", diff)
	}
	if a, b := toJSON(e.t, snapshot), toJSON(e.t, folded); a != b {
		e.t.Fatalf("the fold is spelled differently:\n%s\n%s", a, b)
	}
	e.state, e.last = folded, ev
}

func (e *engine) do(cmd Command) *wire.Event {
	e.t.Helper()
	ev, err := e.try(cmd)
	if err != nil {
		e.t.Fatalf("%T was refused: %v", cmd, err)
	}
	return ev
}

// refused expects a rejection with this code and gives its details.
func (e *engine) refused(code string, cmd Command) map[string]any {
	e.t.Helper()
	_, err := e.try(cmd)
	if err == nil {
		e.t.Fatalf("%#v was accepted, not refused with %s", cmd, code)
	}
	r := asRejection(err)
	if r.Code != code {
		e.t.Fatalf("%#v was refused with %s (%s), not %s", cmd, r.Code, r.Message, code)
	}
	return r.Details
}

// places maps each token's birth number to its place.
func (e *engine) places() map[int]string {
	places := map[int]string{}
	for _, t := range e.state.Tokens {
		places[int(wire.BirthOf(t.ID))] = t.Place
	}
	return places
}

func (e *engine) at(want map[int]string) {
	e.t.Helper()
	if diff := cmp.Diff(want, e.places()); diff != "" {
		e.t.Fatalf("the marking differs (-want +got):\n%s", diff)
	}
}

func (e *engine) data(birth int, want string) {
	e.t.Helper()
	t := e.state.Token(e.token(birth))
	if t == nil || string(t.Data) != want {
		e.t.Fatalf("token %d has data %s, not %s", birth, dataOf(t), want)
	}
}

func (e *engine) metadata(birth int, want string) {
	e.t.Helper()
	if got := string(e.state.Token(e.token(birth)).Metadata); got != want {
		e.t.Fatalf("token %d has metadata %s, not %s", birth, got, want)
	}
}

func (e *engine) lineage(birth int, want ...int) {
	e.t.Helper()
	if diff := cmp.Diff(want, e.state.Token(e.token(birth)).Lineage); diff != "" {
		e.t.Fatalf("token %d has another lineage (-want +got):\n%s", birth, diff)
	}
}

func dataOf(t *wire.Token) string {
	if t == nil {
		return "(no such token)"
	}
	return string(t.Data)
}

func toJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func fromJSON(t testing.TB, s string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(s), into); err != nil {
		t.Fatal(err)
	}
}

const reviewNet = `{"name": "review", "initial_place": "draft",
 "places": [{"id": "draft"}, {"id": "review"}, {"id": "legal"}, {"id": "finance"}, {"id": "legal_ok"},
            {"id": "finance_ok"}, {"id": "approved"}, {"id": "withdrawn"}],
 "transitions": [
  {"id": "submit", "from": "draft", "to": "review"},
  {"id": "return", "from": "review", "to": "draft"},
  {"id": "withdraw", "from": ["draft", "review"], "to": "withdrawn"},
  {"id": "check", "inputs": ["review"], "outputs": ["legal", "finance"]},
  {"id": "legal_agrees", "inputs": ["legal"], "outputs": ["legal_ok"]},
  {"id": "finance_agrees", "from": "finance", "to": "finance_ok"},
  {"id": "conclude", "inputs": ["legal_ok", "finance_ok"], "outputs": ["approved"]}]}`

func TestADocumentIsReviewedByTwoAtOnce(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.create("", `{"title": "Q3", "gone": null}`)
	e.data(0, `{"title":"Q3"}`)
	e.do(Fire{TransitionID: "submit", Data: json.RawMessage(`{"by": "ann"}`)})
	e.at(map[int]string{0: "review"})
	e.do(Fire{TokenID: e.root(), TransitionID: "check"})
	e.at(map[int]string{1: "legal", 2: "finance"})
	e.lineage(1, 1)
	e.lineage(2, 1)
	e.do(Fire{TransitionID: "legal_agrees", Data: json.RawMessage(`{"legal": "fine", "by": null}`)})
	e.do(Fire{TransitionID: "finance_agrees", Data: json.RawMessage(`{"finance": 1.50}`)})
	e.do(Fire{TransitionID: "conclude"})
	e.at(map[int]string{3: "approved"})
	e.data(3, `{"by":"ann","finance":1.50,"legal":"fine","title":"Q3"}`)
	e.lineage(3)
	if e.state.Status != wire.StatusCompleted || !e.last.Completes {
		t.Fatalf("the instance is %s", e.state.Status)
	}
	e.refused("instance_finished", Fire{TransitionID: "submit"})
}
