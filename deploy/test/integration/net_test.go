package integration

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestASplitAndItsJoin(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(`{"name":"review","initial_place":"draft",
		"places":[{"id":"draft"},{"id":"legal"},{"id":"finance"},{"id":"legal_ok"},{"id":"finance_ok"},{"id":"approved"}],
		"transitions":[
			{"id":"check","inputs":["draft"],"outputs":["legal","finance"]},
			{"id":"pass_legal","from":"legal","to":"legal_ok"},{"id":"pass_finance","from":"finance","to":"finance_ok"},
			{"id":"conclude","inputs":["legal_ok","finance_ok"],"outputs":["approved"]}]}`)
	root := f.create("review", `{"n":1,"by":"nobody"}`)
	split := f.fire(root.ID, "check")
	if len(split.Tokens) != 2 || split.Token.ID != split.Tokens[0].ID || split.Tokens[0].Place != "legal" || split.Tokens[1].Place != "finance" || len(split.Instance.Tokens) != 0 {
		t.Fatalf("the split made %+v", split)
	}
	servicetest.Refused(f.t, fault.TokenEnded, f.TokenGet, wire.TokenGetRequest{TokenID: root.ID})
	servicetest.Refused(f.t, fault.TokenEnded, f.TransitionFire, wire.FireRequest{TokenID: root.ID, TransitionID: "check"})
	legal, finance := split.Tokens[0], split.Tokens[1]
	servicetest.Do(f.t, f.TransitionFire, wire.FireRequest{TokenID: legal.ID, TransitionID: "pass_legal", Data: json.RawMessage(`{"by":"legal","legal":true}`)})
	if diff := cmp.Diff(map[string]int{"legal_ok": 1, "finance": 1}, f.marking(root.ID)); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	servicetest.Refused(f.t, fault.TransitionNotEnabled, f.TransitionFire, wire.FireRequest{InstanceID: root.ID, TransitionID: "conclude"})
	enabled := map[string]bool{}
	for _, a := range servicetest.Do(f.t, f.TransitionAvailable, wire.AvailableRequest{InstanceID: root.ID}).Transitions {
		enabled[a.TransitionID] = a.Enabled
	}
	if diff := cmp.Diff(map[string]bool{"conclude": false, "pass_finance": true}, enabled); diff != "" {
		t.Errorf("available (-want +have):\n%s", diff)
	}
	servicetest.Do(f.t, f.TransitionFire, wire.FireRequest{TokenID: finance.ID, TransitionID: "pass_finance", Data: json.RawMessage(`{"by":"finance","n":null}`)})
	joined := f.join(root.ID, "conclude")
	// In the order of the inputs, the later one wins.
	if joined.Instance.Status != wire.StatusCompleted || string(joined.Token.Data) != `{"by":"finance","legal":true,"n":1}` || len(joined.Tokens) != 0 {
		t.Errorf("the join made %+v with %s", joined, joined.Token.Data)
	}
	if got := f.path(joined.Token.ID); got != "create check check pass_legal pass_finance conclude" {
		t.Errorf("the joined token's path is %s", got)
	}
	if diff := cmp.Diff(map[string]int{"approved": 1}, f.marking(root.ID)); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
}

func TestATokenForEachElementAndAJoinOfThemAll(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(`{"name":"order","initial_place":"in","places":[{"id":"in"},{"id":"item"},{"id":"item_done"},{"id":"out"}],
		"transitions":[
			{"id":"unpack","inputs":["in"],"outputs":[{"place":"item","each":"data.items"}]},
			{"id":"work","from":"item","to":"item_done"},
			{"id":"gather","inputs":[{"place":"item_done","count":"all"}],"outputs":["out"]}]}`)
	root := f.create("order", `{"items":["a",{"b":1.0},"c"]}`)
	bad := f.create("order", `{"items":"none"}`)
	servicetest.Refused(f.t, fault.TransitionNotEnabled, f.TransitionFire, wire.FireRequest{TokenID: bad.ID, TransitionID: "unpack"})
	items := f.fire(root.ID, "unpack").Tokens
	if len(items) != 3 {
		t.Fatalf("three elements made %d tokens", len(items))
	}
	for i, want := range []string{`"a"`, `{"b":1.0}`, `"c"`} {
		var data struct {
			Item  json.RawMessage `json:"item"`
			Index int             `json:"item_index"`
		}
		if err := json.Unmarshal(items[i].Data, &data); err != nil || string(data.Item) != want || data.Index != i {
			t.Errorf("token %d holds %s", i, items[i].Data)
		}
	}
	for i, item := range items {
		servicetest.Refused(f.t, fault.TransitionNotEnabled, f.TransitionFire, wire.FireRequest{InstanceID: root.ID, TransitionID: "gather"})
		f.fire(item.ID, "work")
		if diff := cmp.Diff(i+1, f.marking(root.ID)["item_done"]); diff != "" {
			t.Errorf("(-want +have):\n%s", diff)
		}
	}
	if got := f.join(root.ID, "gather"); got.Token.Place != "out" || got.Instance.Status != wire.StatusCompleted {
		t.Errorf("have %+v", got)
	}
	if diff := cmp.Diff(map[string]int{"out": 1}, f.marking(root.ID)); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
}

// A cancelled sibling is no longer waited for.
func TestAJoinOfAllWaitsForTheLivingOnly(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(`{"name":"order","initial_place":"in","places":[{"id":"in"},{"id":"item"},{"id":"done"},{"id":"out"}],
		"transitions":[
			{"id":"unpack","inputs":["in"],"outputs":[{"place":"item","count":3}]},{"id":"work","from":"item","to":"done"},
			{"id":"gather","inputs":[{"place":"done","count":"all"}],"outputs":["out"]}]}`)
	root := f.create("order", `{}`)
	items := f.fire(root.ID, "unpack").Tokens
	f.fire(items[0].ID, "work")
	f.fire(items[2].ID, "work")
	servicetest.Refused(f.t, fault.TransitionNotEnabled, f.TransitionFire, wire.FireRequest{InstanceID: root.ID, TransitionID: "gather"})
	servicetest.Do(f.t, f.TokenCancel, wire.TokenCancelRequest{TokenID: items[1].ID})
	if got := f.join(root.ID, "gather"); got.Instance.Status != wire.StatusCompleted {
		t.Errorf("have %+v", got)
	}
}

func TestArcsCountTokens(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(`{"name":"pairs","initial_place":"in","places":[{"id":"in"},{"id":"pool"},{"id":"out"}],
		"transitions":[{"id":"spread","inputs":["in"],"outputs":[{"place":"pool","count":5}]},{"id":"pair","inputs":[{"place":"pool","count":2}],"outputs":["out"]}]}`)
	root := f.create("pairs", `{}`)
	if got := f.fire(root.ID, "spread"); len(got.Tokens) != 5 {
		t.Fatalf("five are %d", len(got.Tokens))
	}
	f.join(root.ID, "pair")
	f.join(root.ID, "pair")
	if diff := cmp.Diff(map[string]int{"pool": 1, "out": 2}, f.marking(root.ID)); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	servicetest.Refused(f.t, fault.TransitionNotEnabled, f.TransitionFire, wire.FireRequest{InstanceID: root.ID, TransitionID: "pair"})
	if got := f.instance(root.ID); got.Status != wire.StatusActive || got.Visits["pool"] != 5 || got.Visits["out"] != 2 {
		t.Errorf("have %+v", got)
	}
}

func TestAFiringIsFenced(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(loop("loop"))
	first := f.create("loop", `{}`)
	moved := servicetest.Do(f.t, f.TransitionFire, wire.FireRequest{
		TokenID: first.ID, TransitionID: "go", FromPlace: "a", ToPlace: "b", ExpectedSequence: first.NatsSequence, ArrivalSequence: first.ArrivalSequence,
		Data: json.RawMessage(`{"n":1.0}`), Metadata: json.RawMessage(`{"why":"test"}`), Origin: wire.Origin{TriggeredBy: "alice"},
	})
	if moved.Token.ID != first.ID || moved.Token.Place != "b" || string(moved.Token.Data) != `{"n":1.0}` || string(moved.Token.Metadata) != `{"why":"test"}` || !moved.Success {
		t.Errorf("have %+v", moved)
	}
	servicetest.Refused(f.t, fault.SequenceMismatch, f.TransitionFire, wire.FireRequest{TokenID: first.ID, TransitionID: "back", ExpectedSequence: first.NatsSequence})
	servicetest.Refused(f.t, fault.TokenMoved, f.TransitionFire, wire.FireRequest{TokenID: first.ID, TransitionID: "back", ArrivalSequence: first.ArrivalSequence})
	servicetest.Refused(f.t, fault.PlaceMismatch, f.TransitionFire, wire.FireRequest{TokenID: first.ID, TransitionID: "back", ToPlace: "end"})
	servicetest.Refused(f.t, fault.TransitionNotEnabled, f.TransitionFire, wire.FireRequest{TokenID: first.ID, TransitionID: "go"})
	servicetest.Refused(f.t, fault.TransitionNotFound, f.TransitionFire, wire.FireRequest{TokenID: first.ID, TransitionID: "jump"})
	servicetest.Refused(f.t, fault.InvalidField, f.TransitionFire, wire.FireRequest{TransitionID: "back"})
	servicetest.Refused(f.t, fault.InvalidField, f.TransitionFire, wire.FireRequest{TokenID: first.ID})
	if got := f.token(first.ID); got.NatsSequence != moved.Token.NatsSequence || got.Place != "b" {
		t.Errorf("refusals left %+v", got)
	}
}

// loop is a net that comes back to where it began.
func loop(name string) string {
	return fmt.Sprintf(`{"name":%q,"initial_place":"a","places":[{"id":"a"},{"id":"b"},{"id":"end"}],"transitions":[
		{"id":"go","from":"a","to":"b"},{"id":"back","from":"b","to":"a"},{"id":"finish","from":["a","b"],"to":"end"}]}`, name)
}
