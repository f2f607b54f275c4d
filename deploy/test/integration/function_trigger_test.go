package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestChainsGoOnAfterARun(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.function(`{"id":"first","kind":"expression","expression":"{'sum': input.a + input.b}","chains":[
		{"function":"double","input":{"n":"=output.sum","from":"=input.a"}},
		{"function":"never","when":"output.sum > 100"},
		{"function":"mourn","on":"failure","input":{"code":"=error.code"}},
		{"function":"late","on":"always","delay":"50ms"}]}`)
	f.function(`{"id":"double","kind":"expression","expression":"{'twice': input.n * 2, 'from': input.from}"}`)
	f.function(`{"id":"never","kind":"expression","expression":"1"}`)
	f.function(`{"id":"mourn","kind":"expression","expression":"input.code"}`)
	f.function(`{"id":"late","kind":"expression","expression":"input"}`)
	// One more follows because it wants to.
	f.function(`{"id":"follower","kind":"expression","expression":"input","triggers":[{"event":"function_completed","function":"double","outcome":"success","input":"=output.twice"}]}`)
	f.deploy(worker("chained", `{"function":"first","on_success":"accept"}`))
	token := f.create("chained", `{"a":1,"b":2}`)
	double, follower, late := f.ended("double", 1)[0], f.ended("follower", 1)[0], f.ended("late", 1)[0]
	if string(double.Output) != `{"from":1,"twice":6}` || string(follower.Output) != `6` || string(late.Output) != `{"sum":3}` {
		t.Errorf("outputs are %s, %s and %s", double.Output, follower.Output, late.Output)
	}
	first := f.ended("first", 1)[0]
	if double.Parent != first.ID || double.Position != 1 || follower.Parent != double.ID || follower.Position != 2 || double.Cause != wire.CauseChain {
		t.Errorf("the chain is %+v, %+v", double, follower)
	}
	// What follows is told to the token where it went.
	if got := f.standsIn(token.ID, "good"); double.NatsSequence == 0 || double.Place != "good" {
		t.Errorf("the token is %+v, and the record %+v", got, double)
	}
	failing := f.create("chained", `{"a":1}`)
	if mourn := f.ended("mourn", 1)[0]; string(mourn.Output) != `"invalid_input"` || mourn.TokenID != failing.ID {
		t.Errorf("the record is %+v", mourn)
	}
	f.ended("late", 2)
	if all := servicetest.Do(t, f.ExecutionList, wire.ExecutionListRequest{ExecutionFilter: wire.ExecutionFilter{Target: "never"}}).Executions; len(all) != 0 {
		t.Errorf("a chain went on against its condition: %+v", all)
	}
}

func TestAFunctionCannotComeAfterItself(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.function(`{"id":"a","kind":"nats","chains":[{"function":"b"}]}`)
	f.function(`{"id":"b","kind":"nats","chains":[{"function":"c"}]}`)
	for _, definition := range []string{
		`{"id":"c","kind":"nats","chains":[{"function":"a"}]}`,
		`{"id":"a2","kind":"nats","chains":[{"function":"a2"}]}`,
		`{"id":"d","kind":"nats","triggers":[{"event":"function_completed"}]}`,
	} {
		var req wire.FunctionCreateRequest
		if err := json.Unmarshal([]byte(definition), &req); err != nil {
			t.Fatal(err)
		}
		servicetest.Refused(t, fault.InvalidField, f.FunctionCreate, req)
	}
	f.function(`{"id":"c","kind":"nats","triggers":[{"event":"function_completed","function":"a"}]}`)
	servicetest.Refused(t, fault.FunctionInUse, f.FunctionDelete, wire.FunctionDeleteRequest{ID: "b"})
}

func TestEventsTriggerFunctions(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(loop("watched"))
	f.deploy(loop("unwatched"))
	f.create("watched", `{"n":0}`) // Before anybody asked.
	for _, trigger := range []struct{ id, trigger string }{
		{"on_created", `{"event":"created","workflow":"watched"}`},
		{"on_big", `{"event":"created","when":"token.data.n > 10"}`},
		{"on_go", `{"event":"transitioned","workflow":"watched","from":"a","to":"b"}`},
		{"on_back", `{"event":"transitioned","workflow":"watched","transition":"back"}`},
		{"on_updated", `{"event":"updated","workflow":"watched","place":"b"}`},
		{"on_completed", `{"event":"completed","workflow":"watched"}`},
	} {
		f.function(fmt.Sprintf(`{"id":%q,"kind":"expression","expression":"input","input":{"event":"=event.type","n":"=token.data.n"},"triggers":[%s]}`, trigger.id, trigger.trigger))
	}
	token := f.create("watched", `{"n":1}`)
	f.create("unwatched", `{"n":11}`)
	f.fire(token.ID, "go")
	servicetest.Do(t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: token.ID, Data: json.RawMessage(`{"n":2}`)})
	f.fire(token.ID, "back")
	servicetest.Do(t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: token.ID, Data: json.RawMessage(`{"n":3}`)})
	f.fire(token.ID, "finish")
	for id, want := range map[string]string{
		"on_created": "", "on_big": `{"event":"created","n":11}`, "on_go": "", "on_back": "", "on_updated": "", "on_completed": `{"event":"completed","n":3}`,
	} {
		runs := f.ended(id, 1)
		if len(runs) != 1 || want != "" && string(runs[0].Output) != want {
			t.Errorf("%s ran %d times: %+v", id, len(runs), runs)
		}
	}
	// Each asks the server for its own events only.
	names := map[string]bool{}
	stream, err := f.JS.Stream(t.Context(), servicetest.Do(t, f.WorkflowGet, wire.WorkflowGetRequest{WorkflowID: "unwatched"}).Stream)
	if err != nil {
		t.Fatal(err)
	}
	consumers := stream.ConsumerNames(t.Context())
	for name := range consumers.Name() {
		if strings.HasPrefix(name, "trigger-") {
			names[strings.SplitN(name, "-v", 2)[0]] = true
		}
	}
	if len(names) != 1 || !names["trigger-on_big"] {
		t.Errorf("the workflow that is not watched has the durables %v", names)
	}
}

func TestTriggersFollowTheirFunction(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(loop("changing"))
	f.function(`{"id":"watcher","kind":"expression","expression":"input","input":"=event.type","triggers":[{"event":"created","workflow":"changing"}]}`)
	first := f.create("changing", `{}`)
	f.ended("watcher", 1)
	triggers := []wire.Trigger{{Event: wire.TriggerTransitioned, Workflow: "changing", Transition: "go"}}
	servicetest.Do(t, f.FunctionUpdate, wire.FunctionUpdateRequest{ID: "watcher", FunctionSpec: wire.FunctionSpec{Triggers: triggers}})
	f.fire(first.ID, "go")
	f.ended("watcher", 2)
	stream, err := f.JS.Stream(t.Context(), w.Stream)
	if err != nil {
		t.Fatal(err)
	}
	durables := func() (n int) {
		for name := range stream.ConsumerNames(t.Context()).Name() {
			if strings.HasPrefix(name, "trigger-") {
				n++
			}
		}
		return n
	}
	servicetest.Eventually(t, "one durable is left", func() bool { return durables() == 1 })
	disabled := false
	servicetest.Do(t, f.FunctionUpdate, wire.FunctionUpdateRequest{ID: "watcher", FunctionSpec: wire.FunctionSpec{Enabled: &disabled}})
	servicetest.Eventually(t, "no durable is left", func() bool { return durables() == 0 })
}

func TestACustomEventTriggersFunctions(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(loop("custom"))
	token := f.create("custom", `{"n":5}`)
	f.function(`{"id":"paid","kind":"expression","expression":"input","triggers":[{"event":"custom","name":"payment","input":{"sum":"=event.data.sum","n":"=token.data.n"}}]}`)
	f.function(`{"id":"picky","kind":"expression","expression":"input","triggers":[{"event":"custom","name":"payment","when":"event.data.sum > 100"}]}`)
	f.function(`{"id":"other","kind":"expression","expression":"input","triggers":[{"event":"custom","name":"refund"}]}`)
	request := wire.FunctionTriggerRequest{Event: "payment", Data: json.RawMessage(`{"sum":7.50}`), TokenID: token.ID, Origin: wire.Origin{RequestID: "payment-1"}}
	reply := servicetest.Do(t, f.FunctionTrigger, request)
	if again := servicetest.Do(t, f.FunctionTrigger, request); cmp.Diff(reply, again) != "" || len(reply.Executions) != 2 {
		t.Errorf("triggered %+v, and once more %+v", reply, again)
	}
	if runs := f.ended("paid", 1); len(runs) != 1 || string(runs[0].Output) != `{"sum":7.50,"n":5}` || runs[0].TokenID != token.ID {
		t.Errorf("runs: %+v", runs)
	}
	if runs := f.ended("picky", 1); runs[0].Status != wire.ExecutionDropped {
		t.Errorf("runs: %+v", runs)
	}
}
