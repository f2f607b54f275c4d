package petri

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestCreateChecksItsIDs(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.refused("instance_not_found", Fire{TransitionID: "submit"})
	e.refused("invalid_field", Create{WorkflowID: "review", InstanceID: e.root()})
	e.refused("invalid_field", Create{WorkflowID: testWorkflow, InstanceID: e.token(1)})
	e.refused("invalid_field", Create{WorkflowID: testWorkflow, InstanceID: testWorkflow})
	e.refused("place_mismatch", Create{WorkflowID: testWorkflow, InstanceID: e.root(), Place: "nowhere"})
	for _, data := range []string{`[1]`, `"x"`, `{`, `{} {}`} {
		if d := e.refused("invalid_field", Create{WorkflowID: testWorkflow, InstanceID: e.root(), Data: json.RawMessage(data)}); d["field"] != "data" {
			t.Errorf("%s: details are %v", data, d)
		}
	}
	ev := e.create("", `null`)
	e.data(0, `{}`)
	if ev.Completes || e.state.WorkflowVersion != 1 || len(ev.Patches) != 0 {
		t.Errorf("created %s", toJSON(t, ev))
	}
	e.refused("conflict", Create{WorkflowID: testWorkflow, InstanceID: e.root()})
}

func TestCreateInATerminalPlaceCompletes(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	if ev := e.create("approved", `{}`); !ev.Completes || e.state.Status != wire.StatusCompleted {
		t.Fatalf("the instance is %s", e.state.Status)
	}
}

func TestInjectAddsATokenOfNoSplit(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.create("", `{"a": 1}`)
	ev := e.do(Inject{Place: "review", Data: json.RawMessage(`{"b": {"n": null}}`), Metadata: json.RawMessage(`{"m": 1}`)})
	e.at(map[int]string{0: "draft", 1: "review"})
	e.data(1, `{"b":{}}`)
	e.metadata(1, `{"m":1}`)
	if ev.EventType != "token_injected" || ev.TokenID != e.token(1) || ev.ToPlace != "review" {
		t.Errorf("the event is %s", toJSON(t, ev))
	}
	e.refused("place_mismatch", Inject{Place: "nowhere"})
	e.refused("invalid_field", Inject{Place: "draft", Data: json.RawMessage(`1`)})
}

func TestUpdatePatchesInPlace(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.create("", `{"a": 1, "b": {"c": 2, "d": 3}}`)
	arrived := e.state.Tokens[0].ArrivalSequence
	e.do(Suspend{})
	ev := e.do(Update{
		TokenID: e.root(), Data: json.RawMessage(`{"a": null, "b": {"c": 1e2}, "l": [{"x": null}]}`),
		Metadata: json.RawMessage(`{"k": "<v>"}`), ExpectedSequence: e.state.NatsSequence, ArrivalSequence: arrived,
	})
	e.data(0, `{"b":{"c":1e2,"d":3},"l":[{}]}`)
	e.metadata(0, `{"k":"\u003cv\u003e"}`)
	if want := `{"a":null,"b":{"c":1e2},"l":[{}]}`; string(ev.Patches[e.root()].Data) != want {
		t.Errorf("the patch is %s, not %s", ev.Patches[e.root()].Data, want)
	}
	if e.state.Tokens[0].ArrivalSequence != arrived || !e.state.Tokens[0].UpdatedAt.Equal(e.now) {
		t.Errorf("the token is %+v", e.state.Tokens[0])
	}
	e.do(Update{TokenID: e.root(), Metadata: json.RawMessage(`{"k": null}`)})
	e.metadata(0, ``)
	e.do(Update{TokenID: e.root(), Data: json.RawMessage(`{}`)})
	e.refused("invalid_field", Update{TokenID: e.root()})
	e.refused("invalid_field", Update{TokenID: e.root(), Data: json.RawMessage(`[]`)})
}

func TestTokensAndSequencesAreFenced(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.create("review", `{}`)
	first := e.seq
	e.do(Fire{TransitionID: "return"})
	second := e.seq
	for name, cmd := range map[string]func(id string, arrival, expected uint64) Command{
		"fire": func(id string, arrival, expected uint64) Command {
			return Fire{TokenID: id, TransitionID: "submit", ArrivalSequence: arrival, ExpectedSequence: expected}
		},
		"update": func(id string, arrival, expected uint64) Command {
			return Update{TokenID: id, Data: json.RawMessage(`{}`), ArrivalSequence: arrival, ExpectedSequence: expected}
		},
	} {
		d := e.refused("sequence_mismatch", cmd(e.root(), 0, first))
		if d["expected"] != first || d["actual"] != second {
			t.Errorf("%s: details are %v", name, d)
		}
		d = e.refused("token_moved", cmd(e.root(), first, 0))
		if d["arrival_sequence"] != second || d["place"] != "draft" {
			t.Errorf("%s: details are %v", name, d)
		}
		e.refused("token_not_found", cmd(e.token(1), 0, 0))
		e.refused("token_not_found", cmd(testWorkflow, 0, 0))
		e.refused("token_not_found", cmd("x", 0, 0))
		e.refused("token_not_found", cmd(strings.ToUpper(e.root()), 0, 0))
	}
	e.refused("invalid_field", Fire{TransitionID: "submit", ArrivalSequence: second})
	e.do(Fire{TransitionID: "submit", TokenID: e.root(), ArrivalSequence: second, ExpectedSequence: second})
	e.do(Fire{TransitionID: "check"})
	e.refused("token_ended", Fire{TokenID: e.root(), TransitionID: "submit"})
	e.refused("token_moved", Fire{TokenID: e.root(), TransitionID: "submit", ArrivalSequence: second})
	e.refused("token_ended", Cancel{TokenID: e.root()})
}

func TestSuspendedInstancesStandStill(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.create("", `{}`)
	arrived := e.seq
	if ev, err := e.try(Resume{}); ev != nil || err != nil {
		t.Fatalf("resuming an active instance gave %v, %v", ev, err)
	}
	ev := e.do(Suspend{Reason: "audit"})
	if e.state.Status != wire.StatusSuspended || e.state.Reason != "audit" || Subject(ev) != wire.LifecycleSubject(testWorkflow, e.root(), "suspended") {
		t.Fatalf("the instance is %s, %q", e.state.Status, e.state.Reason)
	}
	if ev, err := e.try(Suspend{}); ev != nil || err != nil {
		t.Fatalf("suspending again gave %v, %v", ev, err)
	}
	work := Complete{TokenID: e.root(), ArrivalSequence: arrived, Binding: "f", Kind: "function", Outcome: "success"}
	withFiring := work
	withFiring.TransitionID = "submit"
	e.refused("instance_suspended", Fire{TransitionID: "submit"})
	e.refused("instance_suspended", Inject{Place: "draft"})
	e.refused("instance_suspended", withFiring)
	e.do(work)
	e.do(Update{TokenID: e.root(), Data: json.RawMessage(`{"a": 1}`)})
	if e.state.Status != wire.StatusSuspended {
		t.Fatalf("the instance is %s", e.state.Status)
	}
	e.do(Resume{})
	if e.state.Status != wire.StatusActive || e.state.Reason != "" {
		t.Fatalf("the instance is %s, %q", e.state.Status, e.state.Reason)
	}
	e.do(withFiring)
}

func TestCancel(t *testing.T) {
	t.Parallel()
	t.Run("of the instance ends every token", func(t *testing.T) {
		t.Parallel()
		e := newTestEngine(t, reviewNet)
		e.create("review", `{}`)
		e.do(Fire{TransitionID: "check"})
		e.do(Suspend{Reason: "s"})
		ev := e.do(Cancel{Reason: "no budget"})
		if e.state.Status != wire.StatusCancelled || e.state.Reason != "no budget" || e.state.Tokens != nil || len(ev.Consumed) != 2 || ev.Completes {
			t.Fatalf("the event is %s", toJSON(t, ev))
		}
		e.refused("instance_finished", Cancel{})
		e.refused("instance_finished", Resume{})
	})
	t.Run("of the last token cancels", func(t *testing.T) {
		t.Parallel()
		e := newTestEngine(t, reviewNet)
		e.create("", `{}`)
		e.do(Cancel{TokenID: e.root(), Reason: "r"})
		if e.state.Status != wire.StatusCancelled || e.state.Reason != "r" {
			t.Fatalf("the instance is %s", e.state.Status)
		}
	})
	t.Run("of one of several goes on", func(t *testing.T) {
		t.Parallel()
		e := newTestEngine(t, reviewNet)
		e.create("review", `{}`)
		e.do(Inject{Place: "draft"})
		e.do(Cancel{TokenID: e.root()})
		if e.state.Status != wire.StatusActive {
			t.Fatalf("the instance is %s", e.state.Status)
		}
	})
	for _, suspended := range []bool{false, true} {
		t.Run(fmt.Sprintf("of the last that lives completes, suspended %v", suspended), func(t *testing.T) {
			t.Parallel()
			e := newTestEngine(t, reviewNet)
			e.create("", `{}`)
			e.do(Inject{Place: "approved"})
			if suspended {
				e.do(Suspend{Reason: "wait"})
			}
			ev := e.do(Cancel{TokenID: e.root(), Reason: "r"})
			if e.state.Status != wire.StatusCompleted || !ev.Completes || e.state.Reason != "" || ev.Reason != "r" {
				t.Fatalf("the instance is %s", e.state.Status)
			}
		})
	}
}

func TestCompleteRecordsTheResult(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.do(Create{WorkflowID: testWorkflow, InstanceID: e.root(), Metadata: json.RawMessage(
		`{"function_outputs": {"count": {"success": false, "error": "late", "old": 1}, "other": 1}}`)})
	done := Complete{
		TokenID: e.root(), ArrivalSequence: e.seq, Binding: "count", Kind: "function", Outcome: "success",
		Output: json.RawMessage(`{"words": 12, "x": null}`), Data: json.RawMessage(`{"words": 12}`), Attempts: 2, DurationMS: 40,
	}
	ev := e.do(done)
	e.data(0, `{"words":12}`)
	e.metadata(0, `{"function_outputs":{"count":{"attempts":2,"duration_ms":40,"output":{"words":12},"success":true},"other":1}}`)
	if diff := cmp.Diff(&wire.Work{Binding: "count", Kind: "function", Outcome: "success", Attempts: 2, DurationMS: 40}, ev.Work); diff != "" {
		t.Error(diff)
	}
	for _, c := range []struct{ kind, outcome, event string }{
		{"function", "success", "function_executed"},
		{"function", "failure", "function_failed"},
		{"agent", "success", "agent_processed"},
		{"agent", "failure", "agent_failed"},
	} {
		next := done
		next.Kind, next.Outcome = c.kind, c.outcome
		if ev := e.do(next); ev.EventType != c.event || Subject(ev) != wire.LifecycleSubject(testWorkflow, e.root(), c.event) {
			t.Errorf("%s %s became %s", c.kind, c.outcome, ev.EventType)
		}
	}
	for field, spoil := range map[string]func(*Complete){
		"arrival_sequence": func(c *Complete) { c.ArrivalSequence = 0 },
		"binding":          func(c *Complete) { c.Binding = "A b" },
		"kind":             func(c *Complete) { c.Kind = "robot" },
		"outcome":          func(c *Complete) { c.Outcome = "maybe" },
		"attempts":         func(c *Complete) { c.Attempts = -1 },
		"duration_ms":      func(c *Complete) { c.DurationMS = -1 },
		"output":           func(c *Complete) { c.Output = json.RawMessage(`{`) },
		"data":             func(c *Complete) { c.Data = json.RawMessage(`7`) },
	} {
		bad := done
		spoil(&bad)
		if d := e.refused("invalid_field", bad); d["field"] != field {
			t.Errorf("%s: details are %v", field, d)
		}
	}
}

func TestCompleteFiresInTheSameEvent(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.create("legal_ok", `{"a": 1}`)
	arrived := e.seq
	e.do(Inject{Place: "finance_ok", Data: json.RawMessage(`{"b": 1}`), Metadata: json.RawMessage(`{"agent_outputs": {"sum": {"stale": true}}}`)})
	done := Complete{
		TokenID: e.root(), ArrivalSequence: arrived, Binding: "sum", Kind: "agent", Outcome: "failure",
		Error: json.RawMessage(`"too long"`), Data: json.RawMessage(`{"c": 1}`), TransitionID: "conclude",
	}
	missing := done
	missing.TransitionID = "nope"
	e.refused("transition_not_found", missing)
	ev := e.do(done)
	if ev.EventType != wire.EventTransitioned || ev.Work == nil || ev.Work.Outcome != "failure" || !ev.Completes {
		t.Fatalf("the event is %s", toJSON(t, ev))
	}
	e.data(2, `{"a":1,"b":1,"c":1}`)
	e.metadata(2, `{"agent_outputs":{"sum":{"error":"too long","success":false}}}`)
	if d := e.refused("token_moved", done); d["token_id"] != e.root() {
		t.Errorf("late work learns %v", d)
	}
	foreign := done
	foreign.TokenID = testWorkflow
	e.refused("token_not_found", foreign)
	standing := done
	standing.TokenID, standing.ArrivalSequence = e.token(2), e.seq
	standing.ArrivalSequence = e.state.Tokens[0].ArrivalSequence
	e.refused("instance_finished", standing)
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	next := newTestNet(t, `{"name": "review", "initial_place": "draft",
		"places": [{"id": "draft"}, {"id": "reading"}, {"id": "finance"}, {"id": "approved"}],
		"transitions": [{"id": "submit", "from": "draft", "to": "reading"}, {"id": "x", "from": "reading", "to": "finance"},
			{"id": "y", "from": "finance", "to": "approved"}]}`)
	e := newTestEngine(t, reviewNet)
	e.create("review", `{"a": 1}`)
	e.do(Fire{TransitionID: "check"})
	e.do(Inject{Place: "draft"})
	e.refused("invalid_field", Migrate{Net: next, Version: 1})
	e.refused("invalid_field", Migrate{Net: next, Version: 0})
	e.refused("invalid_field", Migrate{Version: 2})
	if d := e.refused("invalid_field", Migrate{Net: next, Version: 2, Places: map[string]string{"reading": "draft"}}); !cmp.Equal(d["places"], []string{"reading"}) {
		t.Errorf("details are %v", d)
	}
	if d := e.refused("place_mismatch", Migrate{Net: next, Version: 2}); !cmp.Equal(d["places"], []string{"legal"}) {
		t.Errorf("details are %v", d)
	}
	e.refused("place_mismatch", Migrate{Net: next, Version: 2, Places: map[string]string{"legal": "nowhere"}})
	visits, before := e.state.Visits, e.state.Token(e.token(2)).ArrivalSequence
	ev := e.do(Migrate{Net: next, Version: 2, Places: map[string]string{"legal": "reading"}})
	e.at(map[int]string{1: "reading", 2: "finance", 3: "draft"})
	e.lineage(1, 1)
	if e.state.WorkflowVersion != 2 || ev.WorkflowVersion != 2 || len(ev.Produced) != 1 || !cmp.Equal(visits, e.state.Visits) {
		t.Errorf("the event is %s", toJSON(t, ev))
	}
	if got := e.state.Token(e.token(2)).ArrivalSequence; got != before {
		t.Errorf("a token that stays has arrived anew, at %d", got)
	}
	if got := e.state.Token(e.token(1)).ArrivalSequence; got != e.seq {
		t.Errorf("a token that moves arrived at %d", got)
	}
}

func TestAMigrationMayComplete(t *testing.T) {
	t.Parallel()
	next := newTestNet(t, `{"name": "review", "initial_place": "x", "places": [{"id": "x"}, {"id": "draft"}],
		"transitions": [{"id": "t", "from": "x", "to": "draft"}]}`)
	for _, suspended := range []bool{false, true} {
		e := newTestEngine(t, reviewNet)
		e.create("", `{}`)
		if suspended {
			e.do(Suspend{})
			e.do(Migrate{Net: next, Version: 2})
			if e.state.Status != wire.StatusSuspended {
				t.Fatalf("the instance is %s", e.state.Status)
			}
			if ev := e.do(Resume{}); !ev.Completes {
				t.Fatal("resuming an instance at its end did not complete it")
			}
		} else if ev := e.do(Migrate{Net: next, Version: 2}); !ev.Completes {
			t.Fatal("the migration did not complete")
		}
		if e.state.Status != wire.StatusCompleted {
			t.Fatalf("the instance is %s", e.state.Status)
		}
	}
}

func TestTheLastSixteenRequestsAreRemembered(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.meta = Meta{RequestID: "r0", Digest: "d0"}
	e.create("", `{}`)
	created := e.seq
	if diff := cmp.Diff([]wire.RememberedRequest{{ID: "r0", Digest: "d0", Sequence: created, Time: e.state.CreatedAt.Unix()}}, e.state.Requests); diff != "" {
		t.Fatal(diff)
	}
	for i := 1; i <= 20; i++ {
		e.meta = Meta{RequestID: fmt.Sprint("r", i), Digest: fmt.Sprint("d", i)}
		e.do(Update{TokenID: e.root(), Data: json.RawMessage(`{}`)})
		e.meta = Meta{}
		e.do(Update{TokenID: e.root(), Data: json.RawMessage(`{}`)})
	}
	if n := len(e.state.Requests); n != 16 || e.state.Requests[0].ID != "r5" || e.state.Requests[15].ID != "r20" {
		t.Fatalf("%d are remembered: %v", n, e.state.Requests)
	}
	if got := e.state.Requests[15].Sequence; got != e.seq-3 {
		t.Errorf("r20 is remembered at %d, not %d", got, e.seq-3)
	}
}

// Two commands decided on one state must not write into what they share with it.
func TestDecisionsOnOneStateAreApart(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.meta = Meta{RequestID: "r0", Digest: "d0"}
	e.create("", `{}`)
	e.state.Requests = append(make([]wire.RememberedRequest, 0, 8), e.state.Requests...)
	e.state.Tokens = append(make([]wire.Token, 0, 8), e.state.Tokens...)
	decide := func(request, place string) *wire.Event {
		ev, err := Decide(e.net, e.state, Inject{Place: place}, Meta{Time: e.now, RequestID: request}, e.limits)
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}
	first := decide("r1", "draft")
	before := toJSON(t, first)
	decide("r2", "review").Instance.Fill(99)
	if after := toJSON(t, first); before != after {
		t.Fatalf("the second decision changed the first:\n%s\n%s", before, after)
	}
}
