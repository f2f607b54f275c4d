package petri

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const guardedNet = `{"name":"n","initial_place":"draft",
	"places":[{"id":"draft"},{"id":"left"},{"id":"right"},{"id":"done"},{"id":"loop"}],
	"transitions":[
		{"id":"split","inputs":["draft"],"outputs":["left","right"]},
		{"id":"join","inputs":["left","right"],"outputs":["done"]},
		{"id":"begin","from":"draft","to":"loop"},
		{"id":"again","from":"loop","to":"loop","auto":true},
		{"id":"leave","from":"loop","to":"done"}]}`

func TestAGuardSeesWhatTheFiringWouldCarryOn(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, guardedNet)
	e.create("", `{"title":"x","by":"alice"}`)
	e.do(Fire{TransitionID: "split"})
	e.do(Update{TokenID: e.token(1), Data: json.RawMessage(`{"legal":true,"by":"bob"}`), Metadata: json.RawMessage(`{"a":1}`)})
	e.do(Update{TokenID: e.token(2), Data: json.RawMessage(`{"finance":true,"by":"carol"}`)})
	before := toJSON(t, e.state)
	b, err := Bind(e.net, e.state, Fire{TransitionID: "join", Data: json.RawMessage(`{"title":null,"n":1.50}`), Metadata: json.RawMessage(`{"b":2}`)}, e.limits)
	if err != nil {
		t.Fatal(err)
	}
	// The right token comes second, so it has the last word, and the request's patch after it.
	if want := `{"by":"carol","finance":true,"legal":true,"n":1.50}`; string(b.Data) != want {
		t.Errorf("data is %s, want %s", b.Data, want)
	}
	if want := `{"a":1,"b":2}`; string(b.Metadata) != want {
		t.Errorf("metadata is %s, want %s", b.Metadata, want)
	}
	if len(b.Consumed) != 2 || b.Consumed[0].Place != "left" || b.Consumed[1].Place != "right" {
		t.Errorf("it takes %+v", b.Consumed)
	}
	if after := toJSON(t, e.state); after != before {
		t.Errorf("the state has changed:\n%s\n%s", before, after)
	}
}

func TestAGuardSeesTheResultThatLetsTheTokenGo(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, guardedNet)
	e.create("", `{}`)
	arrival := e.state.Tokens[0].ArrivalSequence
	complete := Complete{
		TokenID: e.root(), ArrivalSequence: arrival, Binding: "count", Kind: wire.KindFunction, Outcome: wire.OutcomeSuccess,
		Output: json.RawMessage(`{"words":7}`), TransitionID: "begin", Data: json.RawMessage(`{"counted":true}`),
	}
	b, err := Bind(e.net, e.state, complete, e.limits)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"function_outputs":{"count":{"output":{"words":7},"success":true}}}`; string(b.Metadata) != want {
		t.Errorf("metadata is %s, want %s", b.Metadata, want)
	}
	if want := `{"counted":true}`; string(b.Data) != want {
		t.Errorf("data is %s, want %s", b.Data, want)
	}
	complete.ArrivalSequence++
	if _, err := Bind(e.net, e.state, complete, e.limits); asRejection(err).Code != codeTokenMoved {
		t.Errorf("a late result: %v", err)
	}
	complete.ArrivalSequence, complete.Outcome = arrival, "maybe"
	if _, err := Bind(e.net, e.state, complete, e.limits); asRejection(err).Code != codeInvalidField {
		t.Errorf("a result that says nothing: %v", err)
	}
	if _, err := Bind(e.net, e.state, Suspend{}, e.limits); asRejection(err).Code != codeInvalidField {
		t.Errorf("what is no firing: %v", err)
	}
	if _, err := Bind(e.net, nil, complete, e.limits); asRejection(err).Code != codeInstanceNotFound {
		t.Errorf("without a state: %v", err)
	}
	e.do(Suspend{})
	if _, err := Bind(e.net, e.state, Fire{TransitionID: "begin"}, e.limits); asRejection(err).Code != codeInstanceSuspended {
		t.Errorf("a suspended instance: %v", err)
	}
}

func TestNobodyButTheGuardsSaysWhichRulesPassed(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, guardedNet)
	e.create("", `{}`)
	forged := json.RawMessage(`{"rules":{"approved":9},"channel":"web"}`)
	ev := e.do(Fire{TransitionID: "begin", Metadata: forged, Guards: json.RawMessage(`{"has_title":3}`)})
	if want := `{"channel":"web","rules":{"has_title":3}}`; string(ev.Metadata) != want {
		t.Errorf("the event says %s, want %s", ev.Metadata, want)
	}
	ev = e.do(Fire{TransitionID: "again", Metadata: forged})
	if want := `{"channel":"web"}`; string(ev.Metadata) != want {
		t.Errorf("the event says %s, want %s", ev.Metadata, want)
	}
	// The token keeps what the request said.
	e.metadata(0, `{"channel":"web","rules":{"approved":9}}`)
}

func TestAutomaticFiringsInARowAreCounted(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, guardedNet)
	e.create("", `{}`)
	chain := func(birth, want int) {
		t.Helper()
		if got := e.state.AutomaticChain(e.token(birth)); got != want {
			t.Errorf("the chain of token %d is %d long, want %d: %v", birth, got, want, e.state.AutomaticChains)
		}
	}
	e.do(Fire{TransitionID: "begin"})
	chain(0, 0)
	for i := range 3 {
		if ev := e.do(Fire{TransitionID: "again", Automatic: true}); !ev.Automatic {
			t.Error("the event does not say that the firing was automatic")
		}
		chain(0, i+1)
	}
	e.do(Inject{Place: "loop"})
	e.do(Fire{TokenID: e.token(1), TransitionID: "again", Automatic: true})
	chain(0, 3)
	chain(1, 1)
	e.do(Update{TokenID: e.token(1), Data: json.RawMessage(`{"a":1}`)})
	chain(0, 3)
	chain(1, 0)
	e.do(Fire{TokenID: e.root(), TransitionID: "again"})
	chain(0, 0)
	e.do(Fire{TokenID: e.root(), TransitionID: "again", Automatic: true})
	e.do(Suspend{})
	chain(0, 1)
	e.do(Resume{})
	chain(0, 0)
	if d := e.refused(codeInvalidField, Fire{TransitionID: "leave", Automatic: true}); d["field"] != "automatic" {
		t.Errorf("details are %v", d)
	}
}

// A chain goes through splits and joins: what comes out has the longest of what went in.
func TestAChainGoesThroughSplitsAndJoins(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, `{"name":"n","initial_place":"a","places":[{"id":"a"},{"id":"l"},{"id":"r"},{"id":"end"}],"transitions":[
		{"id":"split","inputs":["a"],"outputs":["l","r"],"auto":true},{"id":"stay","from":"l","to":"l","auto":true},
		{"id":"join","inputs":["l","r"],"outputs":["a"],"auto":true},{"id":"leave","from":"a","to":"end"}]}`)
	e.create("", `{}`)
	auto := func(transition string) { e.do(Fire{TransitionID: transition, Automatic: true}) }
	auto("split")
	auto("stay")
	auto("stay")
	auto("join")
	auto("split")
	want := map[string]int{"4": 5, "5": 5}
	if diff := cmp.Diff(want, e.state.AutomaticChains); diff != "" {
		t.Errorf("the chains (-want +got):\n%s", diff)
	}
	e.do(Cancel{TokenID: e.token(5)})
	if diff := cmp.Diff(map[string]int{"4": 5}, e.state.AutomaticChains); diff != "" {
		t.Errorf("after a cancellation (-want +got):\n%s", diff)
	}
}
