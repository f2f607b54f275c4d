package petri

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const itemsNet = `{"name": "order", "initial_place": "new",
 "places": [{"id": "new"}, {"id": "item"}, {"id": "rest"}, {"id": "packed"}, {"id": "labelled"}, {"id": "picking"},
            {"id": "labelling"}, {"id": "item_done"}, {"id": "dropped"}, {"id": "ready"}, {"id": "sent"}],
 "transitions": [
  {"id": "spread", "inputs": ["new"], "outputs": [{"place": "item", "each": "data.order.items"}]},
  {"id": "spread_meta", "inputs": ["new"], "outputs": [{"place": "item", "each": "metadata.list"}, "rest"]},
  {"id": "again", "inputs": ["item"], "outputs": [{"place": "item", "each": "data.item.parts"}]},
  {"id": "split", "inputs": ["item"], "outputs": ["picking", "labelling"]},
  {"id": "pick", "from": "picking", "to": "packed"},
  {"id": "label", "from": "labelling", "to": "labelled"},
  {"id": "combine", "inputs": ["packed", "labelled"], "outputs": ["item_done"]},
  {"id": "finish", "from": ["item", "rest"], "to": "item_done"},
  {"id": "drop", "from": "item", "to": "dropped"},
  {"id": "gather", "inputs": [{"place": "item_done", "count": "all"}], "outputs": ["ready"]},
  {"id": "send", "from": "ready", "to": "sent"}]}`

func TestAMoveKeepsTheToken(t *testing.T) {
	t.Parallel()
	for name, transition := range map[string]string{
		"from and to": `{"id": "go", "from": "a", "to": "b"}`,
		"one arc":     `{"id": "go", "inputs": ["a"], "outputs": ["b"]}`,
		"any of":      `{"id": "go", "from": ["b", "a"], "to": "b"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newTestEngine(t, `{"name": "n", "initial_place": "a", "places": [{"id": "a"}, {"id": "b"}, {"id": "c"}],
				"transitions": [`+transition+`, {"id": "end", "from": "b", "to": "c"}]}`)
			e.create("", `{"x": 1}`)
			born := e.state.Tokens[0].CreatedAt
			ev := e.do(Fire{TransitionID: "go"})
			tok := e.state.Tokens[0]
			if tok.ID != e.root() || tok.Place != "b" || !tok.CreatedAt.Equal(born) || !tok.ArrivedAt.Equal(e.now) ||
				!tok.UpdatedAt.Equal(e.now) || tok.ArrivalSequence != e.seq || e.state.Births != 1 {
				t.Fatalf("the token did not just move: %+v", tok)
			}
			if len(ev.Patches) != 0 || ev.Produced[0].Parents != nil {
				t.Fatalf("a move needs no patches and no parents: %s", toJSON(t, ev))
			}
			if want := map[string]int{"a": 1, "b": 1}; !cmp.Equal(want, e.state.Visits) {
				t.Fatalf("visits are %v", e.state.Visits)
			}
		})
	}
}

func TestFireNamesWhatItDid(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.meta = Meta{TriggeredBy: "ann", RequestID: "r1", Digest: "d1"}
	ev := e.create("review", `{}`)
	if got := Subject(ev); got != wire.LifecycleSubject(testWorkflow, e.root(), "created") {
		t.Errorf("created is published on %s", got)
	}
	ev = e.do(Fire{TransitionID: "check", Metadata: json.RawMessage(`{"why": "now", "not": null}`)})
	if got := Subject(ev); got != wire.TransitionSubject(testWorkflow, e.root(), "check") {
		t.Errorf("a firing is published on %s", got)
	}
	ev.Instance = nil
	want := &wire.Event{
		EventType: "token_transitioned", WorkflowID: testWorkflow, WorkflowVersion: 1, InstanceID: e.root(),
		TokenID: e.token(1), FromPlace: "review", ToPlace: "legal", TransitionID: "check",
		Consumed: []wire.Consumed{{TokenID: e.root(), Place: "review"}},
		Produced: []wire.Produced{
			{TokenID: e.token(1), Place: "legal", Parents: []string{e.root()}, Lineage: []int{1}},
			{TokenID: e.token(2), Place: "finance", Parents: []string{e.root()}, Lineage: []int{1}},
		},
		Patches: map[string]wire.Patch{
			e.token(1): {Metadata: json.RawMessage(`{"not":null,"why":"now"}`)},
			e.token(2): {Metadata: json.RawMessage(`{"not":null,"why":"now"}`)},
		},
		TriggeredBy: "ann", Timestamp: e.now, RequestID: "r1", RequestDigest: "d1",
		Metadata: json.RawMessage(`{"why":"now"}`),
	}
	if diff := cmp.Diff(want, ev); diff != "" {
		t.Fatalf("the event differs (-want +got):\n%s", diff)
	}
}

func TestAFiringWithoutATokenTakesWhoCameFirst(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.create("review", `{}`)
	e.do(Inject{Place: "draft"})             // 1
	e.do(Inject{Place: "draft"})             // 2
	e.do(Fire{TransitionID: "return"})       // 0 is the last to come to draft
	ev := e.do(Fire{TransitionID: "submit"}) // takes 1
	if ev.TokenID != e.token(1) {
		t.Fatalf("took %s", ev.TokenID)
	}
	ev = e.do(Fire{TransitionID: "withdraw", FromPlace: "review"})
	if ev.TokenID != e.token(1) {
		t.Fatalf("from_place did not narrow: %s", ev.TokenID)
	}
	ev = e.do(Fire{TransitionID: "withdraw"})
	if ev.TokenID != e.token(2) {
		t.Fatalf("took %s, not who came first", ev.TokenID)
	}
	ev = e.do(Fire{TransitionID: "withdraw", TokenID: e.root(), ToPlace: "withdrawn"})
	if ev.TokenID != e.root() || !ev.Completes {
		t.Fatalf("took %s", ev.TokenID)
	}
}

func TestTwinsAreTakenByID(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, `{"name": "n", "initial_place": "a", "places": [{"id": "a"}, {"id": "b"}, {"id": "c"}],
		"transitions": [{"id": "two", "inputs": ["a"], "outputs": [{"place": "b", "count": 3}]},
			{"id": "join", "inputs": [{"place": "b", "count": 2}], "outputs": ["c"]}]}`)
	e.create("", `{"n": 1}`)
	e.do(Fire{TransitionID: "two"})
	e.at(map[int]string{1: "b", 2: "b", 3: "b"})
	ev := e.do(Fire{TransitionID: "join", TokenID: e.token(3)})
	if diff := cmp.Diff([]wire.Consumed{{TokenID: e.token(1), Place: "b"}, {TokenID: e.token(3), Place: "b"}}, ev.Consumed); diff != "" {
		t.Fatal(diff)
	}
	e.at(map[int]string{2: "b", 4: "c"})
	e.lineage(4, 1)
	if d := e.refused("transition_not_enabled", Fire{TransitionID: "join"}); d["place"] != "b" {
		t.Errorf("details are %v", d)
	}
}

func TestAJoinMergesInTheOrderOfItsInputs(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.create("review", `{"v": 0, "keep": [1, null]}`)
	e.do(Fire{TransitionID: "check"})
	e.do(Fire{TransitionID: "finance_agrees", Data: json.RawMessage(`{"v": "finance", "o": {"f": 1}}`), Metadata: json.RawMessage(`{"m": 1}`)})
	e.do(Fire{TransitionID: "legal_agrees", Data: json.RawMessage(`{"v": "legal", "o": {"l": 1}}`)})
	ev := e.do(Fire{TransitionID: "conclude", TokenID: e.token(2), Data: json.RawMessage(`{"o": {"l": null}}`)})
	e.data(3, `{"keep":[1,null],"o":{"f":1},"v":"finance"}`)
	e.metadata(3, `{"m":1}`)
	if diff := cmp.Diff([]string{e.token(1), e.token(2)}, ev.Produced[0].Parents); diff != "" {
		t.Fatal(diff)
	}
}

func TestEachMakesATokenOfEveryElement(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, itemsNet)
	e.create("", `{"item": "old", "order": {"id": 7, "items": [{"sku": "a"}, "b", 3.0]}}`)
	e.do(Fire{TransitionID: "spread", Data: json.RawMessage(`{"late": true}`)})
	e.at(map[int]string{1: "item", 2: "item", 3: "item"})
	e.data(1, `{"item":{"sku":"a"},"item_index":0,"late":true,"order":{"id":7}}`)
	e.data(2, `{"item":"b","item_index":1,"late":true,"order":{"id":7}}`)
	e.data(3, `{"item":3.0,"item_index":2,"late":true,"order":{"id":7}}`)
	e.lineage(3, 1)
}

func TestEachReadsTheMetadataToo(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, itemsNet)
	e.do(Create{WorkflowID: testWorkflow, InstanceID: e.root(), Metadata: json.RawMessage(`{"list": [1, 2], "m": "x"}`)})
	e.do(Fire{TransitionID: "spread_meta"})
	e.at(map[int]string{1: "item", 2: "item", 3: "rest"})
	e.data(2, `{"item":2,"item_index":1}`)
	e.metadata(2, `{"m":"x"}`)
	e.metadata(3, `{"list":[1,2],"m":"x"}`)
}

func TestEachNeedsAListWithElements(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"missing": `{}`, "empty": `{"order": {"items": []}}`, "no list": `{"order": {"items": {"a": 1}}}`, "no object on the way": `{"order": 3}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newTestEngine(t, itemsNet)
			e.create("", data)
			if d := e.refused("transition_not_enabled", Fire{TransitionID: "spread"}); d["path"] != "data.order.items" {
				t.Errorf("details are %v", d)
			}
		})
	}
}

func TestGatherWaitsForEverybodyOfTheSplit(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, itemsNet)
	e.create("", `{"order": {"items": ["a", "b", "c"]}}`)
	e.do(Fire{TransitionID: "spread"})
	e.do(Fire{TransitionID: "finish", TokenID: e.token(2)})
	d := e.refused("transition_not_enabled", Fire{TransitionID: "gather"})
	if diff := cmp.Diff(map[string]int{"item": 2}, d["missing"]); diff != "" {
		t.Errorf("missing differs: %s", diff)
	}
	e.do(Fire{TransitionID: "drop", TokenID: e.token(1)})
	e.refused("transition_not_enabled", Fire{TransitionID: "gather"})
	e.do(Fire{TransitionID: "finish", TokenID: e.token(3)})
	ev := e.do(Fire{TransitionID: "gather"})
	if len(ev.Consumed) != 2 || ev.Completes {
		t.Fatalf("took %v", ev.Consumed)
	}
	e.at(map[int]string{1: "dropped", 4: "ready"})
	e.lineage(4)
	e.do(Fire{TransitionID: "send"})
	if e.state.Status != wire.StatusCompleted {
		t.Fatalf("the instance is %s", e.state.Status)
	}
}

func TestGatherAnswersForEachSplitAlone(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, itemsNet)
	e.create("", `{"order": {"items": [{"parts": [1, 2]}, {"parts": [3]}]}}`)
	e.do(Fire{TransitionID: "spread"})                     // 1, 2 of split 1
	e.do(Fire{TransitionID: "again", TokenID: e.token(2)}) // 3 of a split of one
	e.lineage(3, 1, 3)
	e.do(Fire{TransitionID: "again", TokenID: e.token(1)}) // 4, 5 of split 4; its sibling 3 lives
	e.lineage(4, 1, 4)
	e.do(Fire{TransitionID: "finish", TokenID: e.token(5)})
	e.refused("transition_not_enabled", Fire{TransitionID: "gather"})
	e.do(Fire{TransitionID: "finish", TokenID: e.token(3)})
	ev := e.do(Fire{TransitionID: "gather"}) // 5 came first but waits for 4; 3 is alone
	if diff := cmp.Diff([]wire.Consumed{{TokenID: e.token(3), Place: "item_done"}}, ev.Consumed); diff != "" {
		t.Fatal(diff)
	}
	e.lineage(6, 1)
	e.do(Fire{TransitionID: "finish", TokenID: e.token(4)})
	if d := e.refused("transition_not_enabled", Fire{TransitionID: "gather", TokenID: e.token(6)}); d["place"] != "ready" {
		t.Errorf("details are %v", d)
	}
	e.do(Fire{TransitionID: "gather", TokenID: e.token(4)})
	e.at(map[int]string{6: "ready", 7: "ready"})
	e.lineage(7, 1)
}

func TestTokensOfNoSplitAreTheWholeInstance(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, itemsNet)
	e.create("rest", `{"a": 1}`)
	e.do(Inject{Place: "rest", Data: json.RawMessage(`{"b": 2}`)})
	e.do(Inject{Place: "sent"})
	e.do(Fire{TransitionID: "finish"})
	e.refused("transition_not_enabled", Fire{TransitionID: "gather"})
	e.do(Fire{TransitionID: "finish"})
	e.do(Fire{TransitionID: "gather"})
	e.at(map[int]string{2: "sent", 3: "ready"})
	e.data(3, `{"a":1,"b":2}`)
}

func TestAGatheringTransitionPrefersItsOwnSplitInOtherInputs(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, `{"name": "n", "initial_place": "a",
		"places": [{"id": "a"}, {"id": "w"}, {"id": "k"}, {"id": "done"}, {"id": "end"}],
		"transitions": [
		 {"id": "split", "inputs": ["a"], "outputs": [{"place": "w", "count": 2}, "k"]},
		 {"id": "work", "from": "w", "to": "done"},
		 {"id": "back", "from": "done", "to": "a"},
		 {"id": "close", "inputs": ["k", {"place": "done", "count": "all"}], "outputs": ["end"]}]}`)
	e.create("", `{}`)
	e.do(Inject{Place: "k"})          // 1 came before the k of any split
	e.do(Inject{Place: "a"})          // 2
	e.do(Fire{TransitionID: "split"}) // 3, 4 in w, 5 in k
	e.do(Fire{TransitionID: "split"}) // 6, 7 in w, 8 in k
	for range 4 {
		e.do(Fire{TransitionID: "work"})
	}
	ev := e.do(Fire{TransitionID: "close", TokenID: e.token(7)})
	want := []wire.Consumed{
		{TokenID: e.token(8), Place: "k"},
		{TokenID: e.token(6), Place: "done"},
		{TokenID: e.token(7), Place: "done"},
	}
	if diff := cmp.Diff(want, ev.Consumed); diff != "" {
		t.Fatal(diff)
	}
	ev = e.do(Fire{TransitionID: "close", FromPlace: "done"})
	if ev.Consumed[0].TokenID != e.token(5) {
		t.Fatalf("took %v", ev.Consumed)
	}
}

func TestAJoinForATokenPrefersItsOwnFamily(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, itemsNet)
	e.create("", `{"order": {"items": ["a", "b"]}}`)
	e.do(Fire{TransitionID: "spread"})                     // 1 is a, 2 is b
	e.do(Fire{TransitionID: "split", TokenID: e.token(1)}) // 3 and 4 are of a
	e.do(Fire{TransitionID: "split", TokenID: e.token(2)}) // 5 and 6 are of b
	for _, id := range []int{4, 6} {
		e.do(Fire{TransitionID: "label", TokenID: e.token(id)})
	}
	for _, id := range []int{5, 3} {
		e.do(Fire{TransitionID: "pick", TokenID: e.token(id)})
	}
	ev := e.do(Fire{TransitionID: "combine", TokenID: e.token(5)})
	if diff := cmp.Diff([]wire.Consumed{{TokenID: e.token(5), Place: "packed"}, {TokenID: e.token(6), Place: "labelled"}}, ev.Consumed); diff != "" {
		t.Fatal(diff)
	}
	e.data(7, `{"item":"b","item_index":1,"order":{}}`)
	e.lineage(7, 1)
}

func TestTheWrongPlaceIsNamed(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.create("", `{}`)
	e.refused("transition_not_found", Fire{TransitionID: "nope"})
	if d := e.refused("transition_not_enabled", Fire{TransitionID: "check"}); d["place"] != "review" {
		t.Errorf("details are %v", d)
	}
	if d := e.refused("transition_not_enabled", Fire{TokenID: e.root(), TransitionID: "conclude"}); d["place"] != "draft" {
		t.Errorf("details are %v", d)
	}
	e.refused("transition_not_enabled", Fire{TransitionID: "return"})
	e.refused("transition_not_enabled", Fire{TransitionID: "withdraw", FromPlace: "review"})
	e.refused("place_mismatch", Fire{TransitionID: "submit", FromPlace: "review"})
	e.refused("place_mismatch", Fire{TokenID: e.root(), TransitionID: "withdraw", FromPlace: "review"})
	if d := e.refused("place_mismatch", Fire{TransitionID: "submit", ToPlace: "approved"}); d["to_place"] != "approved" {
		t.Errorf("details are %v", d)
	}
	if _, err := Bind(e.net, e.state, Fire{TransitionID: "check"}, Limits{}); asRejection(err).Code != "transition_not_enabled" {
		t.Errorf("Bind said %v", err)
	}
	binding, err := Bind(e.net, e.state, Fire{TransitionID: "submit"}, Limits{})
	if err != nil || len(binding.Consumed) != 1 || binding.Consumed[0].ID != e.root() {
		t.Errorf("Bind said %v, %v", binding, err)
	}
}
