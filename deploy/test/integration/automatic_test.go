package integration

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/rules"
)

// becomes waits until the marking of an instance is this, and makes sure that it stays so.
func (f *fleet) becomes(instanceID string, want map[string]int) {
	f.t.Helper()
	var got map[string]int
	defer func() {
		if f.t.Failed() {
			f.t.Logf("the marking is %v, wanted %v", got, want)
		}
	}()
	servicetest.Eventually(f.t, fmt.Sprint("the marking becomes ", want), func() bool {
		got = map[string]int{}
		for _, token := range f.instance(instanceID).Tokens {
			got[token.Place]++
		}
		return cmp.Equal(want, got)
	})
	f.settled(instanceID)
	if now := f.marking(instanceID); !cmp.Equal(want, now) {
		f.t.Errorf("later the marking is %v, not %v", now, want)
	}
}

// settled waits until the rules service has worked off every event of the workflow.
func (f *fleet) settled(instanceID string) {
	f.t.Helper()
	stream := servicetest.Do(f.t, f.WorkflowGet, wire.WorkflowGetRequest{WorkflowID: f.instance(instanceID).WorkflowID}).Stream
	servicetest.Eventually(f.t, "every event is worked off", func() bool {
		return len(f.durables(stream)) > 0 && !slices.ContainsFunc(f.durables(stream), func(info *jetstream.ConsumerInfo) bool {
			return info.NumPending+uint64(info.NumAckPending) > 0
		})
	})
}

// durables are those of the rules service on a workflow's stream.
func (f *fleet) durables(stream string) []*jetstream.ConsumerInfo {
	f.t.Helper()
	s, err := f.JS.Stream(f.t.Context(), stream)
	if err != nil {
		f.t.Fatal(err)
	}
	var found []*jetstream.ConsumerInfo
	for info := range s.ListConsumers(f.t.Context()).Info() {
		if strings.HasPrefix(info.Name, rules.Name+"-") {
			found = append(found, info)
		}
	}
	return found
}

func TestTheFirstAutomaticTransitionThatPassesFires(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(`{"name":"sorted","initial_place":"in","places":[{"id":"in"},{"id":"high"},{"id":"middle"},{"id":"low"},{"id":"by_hand"}],"transitions":[
		{"id":"last","from":"in","to":"low","auto":true,"priority":-1,"when":"has(token.data.score)"},
		{"id":"middle","from":"in","to":"middle","auto":true,"when":"token.data.score > 10"},
		{"id":"high","from":"in","to":"high","auto":true,"priority":10,"when":"token.data.score > 100"},
		{"id":"by_hand","from":"in","to":"by_hand"}]}`)
	for data, place := range map[string]string{`{"score":500}`: "high", `{"score":50}`: "middle", `{"score":5}`: "low", `{}`: "in"} {
		root := f.create("sorted", data)
		f.becomes(root.ID, map[string]int{place: 1})
	}
}

// What is enabled and guarded well may still be refused: by a list that is none, by a schema.
func TestARefusedAutomaticTransitionMakesWayForTheNext(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(`{"name":"spreading","initial_place":"in","places":[{"id":"in"},{"id":"item"},{"id":"all"},{"id":"other"}],"transitions":[
		{"id":"spread","inputs":["in"],"outputs":[{"place":"item","each":"data.items"}],"auto":true,"priority":5},
		{"id":"close","from":"item","to":"all"},{"id":"fallback","from":"in","to":"other","auto":true,"when":"token.data.fallback"}]}`)
	for data, place := range map[string]string{
		`{"items":[],"fallback":true}`: "other", `{"items":"x","fallback":true}`: "other", `{"items":[1],"fallback":true}`: "item",
		`{"items":[],"fallback":false}`: "in",
	} {
		f.becomes(f.create("spreading", data).ID, map[string]int{place: 1})
	}
	// Two bodies that together do not fit the schema.
	f.deploy(`{"name":"merging","initial_place":"in","places":[{"id":"in"},{"id":"l"},{"id":"r"},{"id":"out"},{"id":"odd"}],"transitions":[
		{"id":"split","inputs":["in"],"outputs":["l","r"]},{"id":"join","inputs":["l","r"],"outputs":["out"],"auto":true,"priority":5,"when":"has(token.data.a) && has(token.data.b)"},
		{"id":"aside","from":"r","to":"odd","auto":true,"when":"has(token.data.b)"},{"id":"end","from":["l","r"],"to":"out"}],
		"schema":{"not":{"required":["a","b"]}}}`)
	root := f.create("merging", `{}`)
	split := f.fire(root.ID, "split")
	servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: split.Tokens[0].ID, Data: json.RawMessage(`{"a":1}`)})
	servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: split.Tokens[1].ID, Data: json.RawMessage(`{"b":1}`)})
	f.becomes(root.ID, map[string]int{"l": 1, "odd": 1})
}

func TestAChangeOfDataLetsAnAutomaticTransitionFire(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.rule("is_ready", `{"field_equals":{"field":"data.ready","value":true}}`)
	f.deploy(`{"name":"waiting","initial_place":"in","places":[{"id":"in"},{"id":"out"}],"transitions":[
		{"id":"go","from":"in","to":"out","auto":true,"rules":["is_ready"]}]}`)
	root := f.create("waiting", `{}`)
	f.becomes(root.ID, map[string]int{"in": 1})
	servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: root.ID, Data: json.RawMessage(`{"note":"not yet"}`)})
	f.becomes(root.ID, map[string]int{"in": 1})
	servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: root.ID, Data: json.RawMessage(`{"ready":true}`)})
	f.becomes(root.ID, map[string]int{"out": 1})
	records := servicetest.Do(f.t, f.TokenHistory, wire.TokenHistoryRequest{TokenID: root.ID}).Records
	last := records[len(records)-1]
	if last.TransitionID != "go" || last.TriggeredBy != "rules" || string(last.Metadata) != `{"rules":{"is_ready":1}}` {
		t.Errorf("the history ends with %+v", last)
	}
}

const joining = `{"name":"joining","initial_place":"in","places":[{"id":"in"},{"id":"l"},{"id":"r"},{"id":"l_ok"},{"id":"r_ok"},{"id":"out"}],"transitions":[
	{"id":"split","from":[],"inputs":["in"],"outputs":["l","r"]},{"id":"left","from":"l","to":"l_ok"},{"id":"right","from":"r","to":"r_ok"},
	{"id":"join","inputs":["l_ok","r_ok"],"outputs":["out"],"auto":true,"when":"token.data.l && token.data.r"}]}`

func TestAnAutomaticJoinFiresWhicheverComesLast(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(strings.Replace(joining, `"from":[],`, "", 1))
	sides := []string{"left", "right"}
	for _, first := range []int{0, 1} {
		root := f.create("joining", `{}`)
		split := f.fire(root.ID, "split")
		for i, side := range []int{first, 1 - first} {
			servicetest.Do(f.t, f.TransitionFire, wire.FireRequest{
				TokenID: split.Tokens[side].ID, TransitionID: sides[side], Data: json.RawMessage(`{"` + sides[side][:1] + `":true}`),
			})
			if i == 0 {
				f.becomes(root.ID, map[string]int{sides[side][:1] + "_ok": 1, sides[1-side][:1]: 1})
			}
		}
		f.becomes(root.ID, map[string]int{"out": 1})
	}
	// Both at the same moment, many times.
	roots := make([]wire.Token, 50)
	fired := make(chan error, 2*len(roots))
	for i := range roots {
		roots[i] = f.create("joining", `{"l":true,"r":true}`)
		split := f.fire(roots[i].ID, "split")
		for side := range sides {
			go func() {
				_, err := f.TransitionFire(t.Context(), wire.FireRequest{TokenID: split.Tokens[side].ID, TransitionID: sides[side]})
				fired <- err
			}()
		}
	}
	for range cap(fired) {
		if err := <-fired; err != nil {
			t.Error(err)
		}
	}
	for _, root := range roots {
		f.becomes(root.ID, map[string]int{"out": 1})
		if n := f.instance(root.ID).Visits["out"]; n != 1 {
			t.Errorf("%d tokens came out", n)
		}
	}
}

// Who waits for all tokens of a split goes on as well when one of them is cancelled, or
// comes to an end elsewhere.
func TestAnAutomaticGatheringWaitsForNobodyWhoIsGone(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(`{"name":"parcel","initial_place":"paid","places":[{"id":"paid"},{"id":"to_pick"},{"id":"picked"},{"id":"dropped"},{"id":"packed"}],"transitions":[
		{"id":"fulfil","inputs":["paid"],"outputs":[{"place":"to_pick","each":"data.items"}]},
		{"id":"pick","from":"to_pick","to":"picked"},{"id":"drop","from":"to_pick","to":"dropped"},
		{"id":"pack","inputs":[{"place":"picked","count":"all"}],"outputs":["packed"],"auto":true}]}`)
	ends := map[string]struct {
		end  func(token string)
		left map[string]int
	}{
		"picked":    {func(id string) { f.fire(id, "pick") }, map[string]int{"packed": 1}},
		"cancelled": {func(id string) { servicetest.Do(f.t, f.TokenCancel, wire.TokenCancelRequest{TokenID: id}) }, map[string]int{"packed": 1}},
		"dropped":   {func(id string) { f.fire(id, "drop") }, map[string]int{"packed": 1, "dropped": 1}},
	}
	for name, end := range ends {
		root := f.create("parcel", `{"items":[1,2,3]}`)
		tokens := f.fire(root.ID, "fulfil").Tokens
		f.fire(tokens[0].ID, "pick")
		f.fire(tokens[2].ID, "pick")
		f.becomes(root.ID, map[string]int{"picked": 2, "to_pick": 1})
		end.end(tokens[1].ID)
		f.becomes(root.ID, end.left)
		if status := f.instance(root.ID).Status; status != wire.StatusCompleted {
			t.Errorf("%s: the instance is %s", name, status)
		}
	}
}

// A join of tokens from several splits takes them out of the inner one: who waits for all of
// that one goes on then.
func TestAnAutomaticGatheringIsToldOfAJoinThatLeavesTheSplit(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(`{"name":"leaving","initial_place":"in","places":[{"id":"in"},{"id":"left"},{"id":"right"},{"id":"item"},{"id":"picked"},{"id":"z"},{"id":"end"},{"id":"packed"}],"transitions":[
		{"id":"split","inputs":["in"],"outputs":["left","right"]},{"id":"spread","inputs":["left"],"outputs":[{"place":"item","each":"data.items"}]},
		{"id":"pick","from":"item","to":"picked"},{"id":"merge","inputs":["item","right"],"outputs":["z"]},{"id":"finish","from":"z","to":"end"},
		{"id":"pack","inputs":[{"place":"picked","count":"all"}],"outputs":["packed"],"auto":true}]}`)
	root := f.create("leaving", `{"items":[1,2]}`)
	sides := f.fire(root.ID, "split").Tokens
	items := f.fire(sides[0].ID, "spread").Tokens
	f.fire(items[1].ID, "pick")
	f.becomes(root.ID, map[string]int{"right": 1, "item": 1, "picked": 1})
	f.fire(items[0].ID, "merge")
	f.becomes(root.ID, map[string]int{"packed": 1, "z": 1})
}

// Of several tokens that a guarded join could take, it takes those with which it passes.
func TestAGuardedJoinFindsThePartnerThatPasses(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(`{"name":"pairs","initial_place":"in","places":[{"id":"in"},{"id":"l"},{"id":"r"},{"id":"out"}],"transitions":[
		{"id":"start","from":"in","to":"out"},{"id":"la","from":"in","to":"l"},{"id":"ra","from":"in","to":"r"},
		{"id":"join","inputs":["l","r"],"outputs":["out"],"auto":true,"when":"token.data.ok"}]}`)
	tokens := map[string]wire.TokenInjectRequest{
		"bad":   {Place: "l", Data: json.RawMessage(`{"ok":false}`)},
		"good":  {Place: "l", Data: json.RawMessage(`{"ok":true}`)},
		"right": {Place: "r"},
	}
	for _, order := range [][]string{{"bad", "right", "good"}, {"bad", "good", "right"}, {"right", "bad", "good"}} {
		root := f.create("pairs", `{}`)
		for _, name := range order {
			r := tokens[name]
			r.WorkflowID, r.InstanceID = "pairs", root.ID
			servicetest.Do(f.t, f.TokenInject, r)
			f.settled(root.ID)
		}
		f.becomes(root.ID, map[string]int{"in": 1, "l": 1, "out": 1})
	}
}

// A chain is as long as the way of a token, however many tokens go.
func TestAWideSplitIsNoEndlessChain(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.Stop(rules.Name)
	f.rules.ChainLimit = 10
	f.startOne(rules.Name)
	f.deploy(`{"name":"wide","initial_place":"in","places":[{"id":"in"},{"id":"a"},{"id":"b"},{"id":"c"},{"id":"all"}],"transitions":[
		{"id":"spread","inputs":["in"],"outputs":[{"place":"a","each":"data.items"}],"auto":true},
		{"id":"ab","from":"a","to":"b","auto":true},{"id":"bc","from":"b","to":"c","auto":true},
		{"id":"gather","inputs":[{"place":"c","count":"all"}],"outputs":["all"],"auto":true}]}`)
	root := f.create("wide", `{"items":[`+strings.TrimSuffix(strings.Repeat("1,", 40), ",")+`]}`)
	f.becomes(root.ID, map[string]int{"all": 1})
}

func TestEveryTokenOfASplitGoesItsOwnWay(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(`{"name":"sorting","initial_place":"in","places":[{"id":"in"},{"id":"item"},{"id":"large"},{"id":"small"}],"transitions":[
		{"id":"spread","inputs":["in"],"outputs":[{"place":"item","each":"data.sizes"}],"auto":true},
		{"id":"large","from":"item","to":"large","auto":true,"when":"token.data.item > 5","priority":1},
		{"id":"small","from":"item","to":"small","auto":true}]}`)
	root := f.create("sorting", `{"sizes":[1,9,2,8,3,7,4,6,5,10]}`)
	f.becomes(root.ID, map[string]int{"large": 5, "small": 5})
	if visits := f.instance(root.ID).Visits; visits["large"]+visits["small"] != 10 || visits["item"] != 10 {
		t.Errorf("the visits are %v", visits)
	}
}

func TestResumingInjectingAndMigratingLetAutomaticTransitionsFire(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	net := func(auto bool) string {
		return fmt.Sprintf(`{"name":"moving","initial_place":"in","places":[{"id":"in"},{"id":"mid"},{"id":"out"}],"transitions":[
			{"id":"step","from":"in","to":"mid"},{"id":"go","from":"mid","to":"out","auto":%t}]}`, auto)
	}
	f.deploy(net(false))
	old := f.create("moving", `{}`)
	f.fire(old.ID, "step")
	waiting := f.create("moving", `{}`)
	f.fire(waiting.ID, "step")
	servicetest.Do(f.t, f.WorkflowUpdate, wire.WorkflowUpdateRequest{WorkflowID: "moving", Definition: json.RawMessage(net(true))})
	f.becomes(old.ID, map[string]int{"mid": 1})

	servicetest.Do(f.t, f.InstanceMigrate, wire.InstanceMigrateRequest{InstanceID: old.ID, Version: 2})
	f.becomes(old.ID, map[string]int{"out": 1})
	f.becomes(waiting.ID, map[string]int{"mid": 1})

	resting := f.create("moving", `{}`)
	servicetest.Do(f.t, f.InstanceSuspend, wire.InstanceSuspendRequest{InstanceID: resting.ID})
	servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: resting.ID, Data: json.RawMessage(`{"a":1}`)})
	servicetest.Do(f.t, f.InstanceResume, wire.InstanceResumeRequest{InstanceID: resting.ID})
	f.fire(resting.ID, "step")
	f.becomes(resting.ID, map[string]int{"out": 1})

	into := f.create("moving", `{}`)
	servicetest.Do(f.t, f.TokenInject, wire.TokenInjectRequest{WorkflowID: "moving", InstanceID: into.ID, Place: "mid"})
	f.becomes(into.ID, map[string]int{"in": 1, "out": 1})

	elsewhere := servicetest.Do(f.t, f.TokenCreate, wire.TokenCreateRequest{WorkflowID: "moving", Place: "mid"})
	f.becomes(elsewhere.ID, map[string]int{"out": 1})
}

// An instance that was suspended while something could have fired goes on when it is resumed.
func TestASuspendedInstanceFiresNothingUntilItIsResumed(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(`{"name":"resting","initial_place":"in","places":[{"id":"in"},{"id":"out"}],"transitions":[
		{"id":"go","from":"in","to":"out","auto":true,"when":"token.data.ready"}]}`)
	root := f.create("resting", `{}`)
	servicetest.Do(f.t, f.InstanceSuspend, wire.InstanceSuspendRequest{InstanceID: root.ID})
	servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: root.ID, Data: json.RawMessage(`{"ready":true}`)})
	f.settled(root.ID)
	f.becomes(root.ID, map[string]int{"in": 1})
	servicetest.Do(f.t, f.InstanceResume, wire.InstanceResumeRequest{InstanceID: root.ID})
	f.becomes(root.ID, map[string]int{"out": 1})
}

func TestAnEndlessChainIsSuspendedWithAReason(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.Stop(rules.Name)
	f.rules.ChainLimit = 25
	f.startOne(rules.Name)
	f.deploy(`{"name":"circle","initial_place":"a","places":[{"id":"a"},{"id":"b"},{"id":"end"}],"transitions":[
		{"id":"to","from":"a","to":"b","auto":true},{"id":"fro","from":"b","to":"a","auto":true},{"id":"leave","from":["a","b"],"to":"end"}]}`)
	root := f.create("circle", `{}`)
	firings := func() int {
		visits := f.instance(root.ID).Visits
		return visits["a"] + visits["b"] - 1
	}
	suspended := func(want int) {
		t.Helper()
		servicetest.Eventually(t, "it is suspended", func() bool { return f.instance(root.ID).Status == wire.StatusSuspended })
		if got := firings(); got != want {
			t.Errorf("%d firings, want %d", got, want)
		}
		if reason := f.instance(root.ID).Reason; !strings.Contains(reason, "25 automatic transitions") {
			t.Errorf("the reason is %q", reason)
		}
	}
	suspended(25)
	servicetest.Do(f.t, f.InstanceResume, wire.InstanceResumeRequest{InstanceID: root.ID})
	suspended(50)
	servicetest.Do(f.t, f.InstanceResume, wire.InstanceResumeRequest{InstanceID: root.ID})
	suspended(75)
}

// What happened while no copy was there is made up for.
func TestEventsWaitForTheRulesService(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	auto := `{"name":"later","initial_place":"in","places":[{"id":"in"},{"id":"out"}],"transitions":[{"id":"go","from":"in","to":"out","auto":true}]}`
	f.deploy(auto)
	first := f.create("later", `{}`)
	f.becomes(first.ID, map[string]int{"out": 1})
	f.Stop(rules.Name)
	second := f.create("later", `{}`)
	// A workflow that was deployed meanwhile has no durable yet.
	f.deploy(strings.Replace(auto, "later", "new", 1))
	third := f.create("new", `{}`)
	f.startOne(rules.Name)
	f.becomes(second.ID, map[string]int{"out": 1})
	f.becomes(third.ID, map[string]int{"out": 1})
}

func TestAWorkflowWithoutAutomaticTransitionsHasNoDurable(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	plain := f.deploy(`{"name":"plain","initial_place":"in","places":[{"id":"in"},{"id":"out"}],"transitions":[{"id":"go","from":"in","to":"out"}]}`)
	auto := f.deploy(`{"name":"auto","initial_place":"in","places":[{"id":"in"},{"id":"mid"},{"id":"out"}],"transitions":[
		{"id":"go","from":"in","to":"mid"},{"id":"on","from":"mid","to":"out","auto":true}]}`)
	servicetest.Eventually(t, "the durable is there", func() bool { return len(f.durables(auto.Stream)) == 1 })
	// The server filters: what leads elsewhere is not asked for.
	for _, subject := range f.durables(auto.Stream)[0].Config.FilterSubjects {
		if strings.HasSuffix(subject, ".on") {
			t.Errorf("the durable asks for %s", subject)
		}
	}
	if found := f.durables(plain.Stream); len(found) > 0 {
		t.Errorf("there are %d durables", len(found))
	}
	servicetest.Do(f.t, f.WorkflowDelete, wire.WorkflowDeleteRequest{WorkflowID: "auto", Confirm: "auto"})
	root := f.create("plain", `{}`)
	f.fire(root.ID, "go")
}

func TestAutomaticFiringsGoOnAfterARestartOfEverything(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.rule("is_ready", `"token.data.ready == true"`)
	f.deploy(`{"name":"lasting","initial_place":"in","places":[{"id":"in"},{"id":"out"}],"transitions":[
		{"id":"go","from":"in","to":"out","auto":true,"rules":["is_ready"]}]}`)
	root := f.create("lasting", `{}`)
	f.becomes(root.ID, map[string]int{"in": 1})
	f.restart()
	servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: root.ID, Data: json.RawMessage(`{"ready":true}`)})
	f.becomes(root.ID, map[string]int{"out": 1})
	if rule := servicetest.Do(f.t, f.RuleGet, wire.RuleGetRequest{ID: "is_ready"}); rule.Version != 1 || rule.Author != "alice" {
		t.Errorf("the rule is %+v", rule)
	}
}
