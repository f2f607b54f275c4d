package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/rules"
)

const guarded = `{"name":"guarded","initial_place":"draft",
	"places":[{"id":"draft"},{"id":"review","timeout":{"after":"300ms","transition":"escalate"}},{"id":"escalated"},{"id":"done"}],
	"transitions":[
		{"id":"submit","from":"draft","to":"review","rules":["has_reviewer","is_small"],"when":"token.data.pages > 1"},
		{"id":"escalate","from":"review","to":"escalated","when":"token.data.urgent == true"},
		{"id":"finish","from":["draft","review","escalated"],"to":"done"}]}`

func (f *fleet) rule(id, condition string) wire.Rule {
	f.t.Helper()
	return servicetest.Do(f.t, f.RuleCreate, wire.RuleCreateRequest{ID: id, Condition: json.RawMessage(condition), Origin: wire.Origin{TriggeredBy: "alice"}})
}

func (f *fleet) guardedWorkflow() wire.Workflow {
	f.t.Helper()
	f.rule("has_reviewer", `{"field_exists":{"field":"data.reviewer"}}`)
	f.rule("is_small", `{"not":{"field_greater_than":{"field":"data.amount","value":100}}}`)
	return f.deploy(guarded)
}

// results are the rules of a refusal or of an outcome, as the wire has them.
func results(t *testing.T, v any) map[string]wire.RuleResult {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var list []wire.RuleResult
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatal(err)
	}
	byID := map[string]wire.RuleResult{}
	for _, r := range list {
		byID[r.RuleID] = r
	}
	return byID
}

func TestARejectedFiringChangesNothingAndSaysWhy(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.guardedWorkflow()
	root := f.create("guarded", `{"amount":500,"pages":3}`)
	before, stored := f.instance(root.ID), f.Stored(w.Stream, ">")
	refusal := servicetest.Refused(f.t, fault.RuleRejected, f.TransitionFire, wire.FireRequest{TokenID: root.ID, TransitionID: "submit", Origin: wire.Origin{RequestID: "r1"}})
	if refusal.Code.Status() != 422 || refusal.Details["transition_id"] != "submit" {
		t.Errorf("refused with %+v", refusal)
	}
	for _, part := range []string{"submit", "has_reviewer", "data.reviewer is missing", "is_small", "500"} {
		if !strings.Contains(refusal.Message, part) {
			t.Errorf("the message is %q, want it to say %q", refusal.Message, part)
		}
	}
	said := results(t, refusal.Details["rule_results"])
	for id, passed := range map[string]bool{"has_reviewer": false, "is_small": false, "when": true} {
		if r, ok := said[id]; !ok || r.Passed != passed || r.Explanation == "" {
			t.Errorf("of %s it says %+v", id, r)
		}
	}
	if said["has_reviewer"].Version != 1 || said["when"].Version != 0 {
		t.Errorf("the versions are %+v", said)
	}
	if diff := cmp.Diff(before, f.instance(root.ID)); diff != "" {
		t.Errorf("the instance has changed:\n%s", diff)
	}
	if now := f.Stored(w.Stream, ">"); now != stored {
		t.Errorf("the refusal left %d messages", now-stored)
	}
	// The same request id is judged anew, and now it passes.
	servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: root.ID, Data: json.RawMessage(`{"reviewer":"bob","amount":50}`)})
	servicetest.Do(f.t, f.RuleUpdate, wire.RuleUpdateRequest{ID: "is_small", Condition: json.RawMessage(`"token.data.amount < 100"`)})
	reply := servicetest.Do(f.t, f.TransitionFire, wire.FireRequest{
		TokenID: root.ID, TransitionID: "submit", Metadata: json.RawMessage(`{"channel":"web"}`), Origin: wire.Origin{RequestID: "r1"},
	})
	if reply.Token.Place != "review" {
		t.Errorf("it moved to %s", reply.Token.Place)
	}
	// The event says which versions let it pass.
	records := servicetest.Do(f.t, f.TokenHistory, wire.TokenHistoryRequest{TokenID: root.ID}).Records
	if got, want := string(records[1].Metadata), `{"channel":"web","rules":{"has_reviewer":1,"is_small":2}}`; got != want {
		t.Errorf("the event says %s, want %s", got, want)
	}
}

func TestAGuardSeesThePatchOfTheRequestAndTheResultOfWork(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(`{"name":"patched","initial_place":"a","places":[{"id":"a"},{"id":"b"},{"id":"c"}],"transitions":[
		{"id":"sign","from":"a","to":"b","when":"token.data.approver != token.data.author"},
		{"id":"count","from":"b","to":"c","when":"token.function_succeeded('word_count') && token.function_output('word_count').words > 10"}]}`)
	root := f.create("patched", `{"author":"alice"}`)
	sign := wire.FireRequest{TokenID: root.ID, TransitionID: "sign", Data: json.RawMessage(`{"approver":"alice"}`)}
	servicetest.Refused(f.t, fault.RuleRejected, f.TransitionFire, sign)
	sign.Data = json.RawMessage(`{"approver":"bob"}`)
	token := servicetest.Do(f.t, f.TransitionFire, sign).Token
	result := wire.CompleteRequest{
		InstanceID: root.ID, TokenID: root.ID, ArrivalSequence: token.ArrivalSequence, Binding: "word_count", Kind: wire.KindFunction,
		Outcome: wire.OutcomeSuccess, Output: json.RawMessage(`{"words":7}`), TransitionID: "count",
	}
	refusal := servicetest.Refused(f.t, fault.RuleRejected, f.TransitionComplete, result)
	if !strings.Contains(refusal.Message, "7") {
		t.Errorf("the refusal is %q", refusal.Message)
	}
	result.Output = json.RawMessage(`{"words":12}`)
	if moved := servicetest.Do(f.t, f.TransitionComplete, result); moved.Token.Place != "c" {
		t.Errorf("it moved to %s", moved.Token.Place)
	}
}

func TestADueTimeoutAsksTheGuard(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.guardedWorkflow()
	var calm, urgent wire.Token
	for token, data := range map[*wire.Token]string{&calm: `{"reviewer":"bob","pages":2}`, &urgent: `{"reviewer":"bob","pages":2,"urgent":true}`} {
		*token = f.create("guarded", data)
		f.fire(token.ID, "submit")
	}
	servicetest.Eventually(t, "the urgent one is escalated", func() bool { return f.token(urgent.ID).Place == "escalated" })
	servicetest.Eventually(t, "both time-outs are worked off", func() bool {
		return f.Stored(wire.StreamTimers, "timers.*.timeout."+w.ID+".>") == 0
	})
	if place := f.token(calm.ID).Place; place != "review" {
		t.Errorf("the calm one stands in %s", place)
	}
}

func TestWithoutTheRulesServiceGuardedFiringsFailClosed(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.guardedWorkflow()
	one := f.create("guarded", `{"reviewer":"bob","pages":2}`)
	other := f.create("guarded", `{}`)
	f.Stop(rules.Name)

	once := client.New(f.NC, client.WithoutRetry())
	fire := func(token, transition string) error {
		// The time-out of a firing's guard is two seconds.
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		_, err := once.TransitionFire(ctx, wire.FireRequest{TokenID: token, TransitionID: transition})
		return err
	}
	closed := func(how string) {
		t.Helper()
		if err := fire(one.ID, "submit"); !errors.Is(err, fault.RulesMissing) {
			t.Errorf("%s: a guarded firing ended with %v", how, err)
		}
	}
	closed("no copy")
	if err := fire(other.ID, "finish"); err != nil {
		t.Errorf("a firing without guards: %v", err)
	}
	available := servicetest.Do(f.t, f.TransitionAvailable, wire.AvailableRequest{TokenID: one.ID}).Transitions
	if len(available) != 2 || available[0].Enabled || available[0].Explanation == "" || !available[1].Enabled {
		t.Errorf("available are %+v", available)
	}
	servicetest.Refused(f.t, fault.RulesMissing, once.WorkflowCreate, wire.WorkflowCreateRequest{Definition: json.RawMessage(strings.Replace(guarded, `"guarded"`, `"another"`, 1))})
	f.deploy(strings.Replace(strings.Replace(guarded, `"guarded"`, `"unruled"`, 1), `"rules":["has_reviewer","is_small"],`, "", 1))

	// A copy that hangs, and never answers.
	hung, err := f.NC.QueueSubscribe(wire.SubjectRuleGuard, "q", func(*nats.Msg) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	closed("a copy that hangs")
	many := make([]wire.Token, 200)
	for i := range many {
		many[i] = f.create("guarded", `{"reviewer":"bob","pages":2}`)
	}
	done := make(chan error, len(many))
	for _, token := range many {
		go func() { done <- fire(token.ID, "submit") }()
	}
	third := f.create("guarded", `{}`)
	if err := fire(third.ID, "finish"); err != nil {
		t.Errorf("a firing without guards, beside many that wait: %v", err)
	}
	for range cap(done) {
		if err := <-done; !errors.Is(err, fault.RulesMissing) {
			t.Errorf("a guarded firing beside others: %v", err)
		}
	}
	if err := hung.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	if got := f.path(one.ID); got != "create" {
		t.Errorf("the token went %s", got)
	}

	// Once nobody has answered for a while, nobody waits: not even behind those of one's own
	// instance.
	hung, err = f.NC.QueueSubscribe(wire.SubjectRuleGuard, "q", func(*nats.Msg) {})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		go func() { done <- fire(one.ID, "submit") }()
	}
	fourth := f.create("guarded", `{"reviewer":"bob","pages":2}`)
	for range 20 {
		go func() { done <- fire(fourth.ID, "submit") }()
	}
	if err := fire(fourth.ID, "finish"); err != nil {
		t.Errorf("a firing without guards, behind guarded ones of its instance: %v", err)
	}
	for range 120 {
		<-done
	}
	if err := hung.Unsubscribe(); err != nil {
		t.Fatal(err)
	}

	f.startOne(rules.Name)
	servicetest.Eventually(t, "guarded firings go on", func() bool { return fire(one.ID, "submit") == nil })
	if err := fire(one.ID, "finish"); err != nil {
		t.Errorf("with the service back, without guards: %v", err)
	}
}

func TestUnknownRulesAndFaultyConditionsAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.rule("known", `"true"`)
	servicetest.Do(f.t, f.RuleCreate, wire.RuleCreateRequest{ID: "elsewhere", WorkflowID: "another", Condition: json.RawMessage(`"true"`)})
	servicetest.Do(f.t, f.RuleCreate, wire.RuleCreateRequest{ID: "ours", WorkflowID: "strict", Condition: json.RawMessage(`"true"`)})
	definition := `{"name":"strict","initial_place":"a","places":[{"id":"a"},{"id":"b"}],"transitions":[
		{"id":"go","from":"a","to":"b","rules":["known","unknown","elsewhere","ours"],"when":"token.plce == 'a'"},
		{"id":"on","from":"a","to":"b","rules":["when"],"when":"token.data.x >"}]}`
	want := map[string]string{
		"transitions[0].rules[1]": "unknown_rule", "transitions[0].rules[2]": "unknown_rule", "transitions[1].rules[0]": "unknown_rule",
		"transitions[0].when": "invalid_condition", "transitions[1].when": "invalid_condition",
	}
	reply := servicetest.Do(f.t, f.WorkflowValidate, wire.WorkflowValidateRequest{Definition: json.RawMessage(definition)})
	got := map[string]string{}
	for _, p := range reply.Problems {
		got[p.Path] = p.Code
	}
	if diff := cmp.Diff(want, got); diff != "" || reply.Valid {
		t.Errorf("problems (-want +got):\n%s\n%+v", diff, reply.Problems)
	}
	servicetest.Refused(f.t, fault.InvalidDefinition, f.WorkflowCreate, wire.WorkflowCreateRequest{Definition: json.RawMessage(definition)})
	sound := strings.NewReplacer(`,"unknown","elsewhere"`, "", `"rules":["when"],`, "", "token.plce", "token.place", "token.data.x >", "token.data.x > 1").Replace(definition)
	f.deploy(sound)
	token := f.create("strict", `{}`)
	f.fire(token.ID, "go")
	// A rule of the workflow itself, by its UUID: for the next version.
	servicetest.Do(f.t, f.RuleCreate, wire.RuleCreateRequest{ID: "own", WorkflowID: token.WorkflowID, Condition: json.RawMessage(`"true"`)})
	next := strings.Replace(sound, `"ours"`, `"own"`, 1)
	if reply := servicetest.Do(f.t, f.WorkflowValidate, wire.WorkflowValidateRequest{Definition: json.RawMessage(next)}); !reply.Valid {
		t.Errorf("the next version: %+v", reply.Problems)
	}
	servicetest.Do(f.t, f.WorkflowUpdate, wire.WorkflowUpdateRequest{WorkflowID: "strict", Definition: json.RawMessage(next)})
}

func TestARuleInUseIsNotDeleted(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.guardedWorkflow()
	root := f.create("guarded", `{"reviewer":"bob","pages":2}`)
	refusal := servicetest.Refused(f.t, fault.RuleInUse, f.RuleDelete, wire.RuleDeleteRequest{ID: "has_reviewer"})
	if !strings.Contains(refusal.Message, "guarded") || cmp.Diff([]any{"guarded"}, refusal.Details["workflows"]) != "" {
		t.Errorf("refused with %+v", refusal)
	}
	// The next version does without it, but an instance still runs on the first.
	servicetest.Do(f.t, f.WorkflowUpdate, wire.WorkflowUpdateRequest{
		WorkflowID: "guarded", Definition: json.RawMessage(strings.Replace(guarded, `"has_reviewer",`, "", 1)),
	})
	servicetest.Refused(f.t, fault.RuleInUse, f.RuleDelete, wire.RuleDeleteRequest{ID: "has_reviewer"})
	f.fire(root.ID, "finish")
	deletion := wire.RuleDeleteRequest{ID: "has_reviewer", Origin: wire.Origin{RequestID: "d1"}}
	first := servicetest.Do(f.t, f.RuleDelete, deletion)
	if again := servicetest.Do(f.t, f.RuleDelete, deletion); cmp.Diff(first, again) != "" {
		t.Errorf("the repeat answered %+v", again)
	}
	servicetest.Refused(f.t, fault.RuleNotFound, f.RuleGet, wire.RuleGetRequest{ID: "has_reviewer"})
	servicetest.Refused(f.t, fault.RuleNotFound, f.RuleDelete, wire.RuleDeleteRequest{ID: "has_reviewer"})
	// What was once a version stays one.
	if again := f.rule("has_reviewer", `"true"`); again.Version != 2 {
		t.Errorf("made anew it has version %d", again.Version)
	}
	if again := servicetest.Do(f.t, f.RuleDelete, deletion); cmp.Diff(first, again) != "" {
		t.Errorf("the late repeat answered %+v", again)
	}
	if now := servicetest.Do(f.t, f.RuleGet, wire.RuleGetRequest{ID: "has_reviewer"}); now.Version != 2 {
		t.Errorf("after the late repeat the rule is %+v", now)
	}
	versions := servicetest.Do(f.t, f.RuleHistory, wire.RuleHistoryRequest{ID: "has_reviewer"}).Versions
	if len(versions) != 2 || versions[0].Version != 1 || versions[1].Version != 2 {
		t.Errorf("its history is %+v", versions)
	}
}

func TestAvailableExplainsEveryTransition(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.guardedWorkflow()
	root := f.create("guarded", `{"reviewer":"bob","amount":500,"pages":2}`)
	byID := func() map[string]wire.AvailableTransition {
		all := map[string]wire.AvailableTransition{}
		for _, a := range servicetest.Do(f.t, f.TransitionAvailable, wire.AvailableRequest{TokenID: root.ID}).Transitions {
			all[a.TransitionID] = a
		}
		return all
	}
	all := byID()
	submit, finish := all["submit"], all["finish"]
	if len(all) != 2 || submit.Enabled || !finish.Enabled || len(finish.RuleResults) != 0 || finish.Explanation == "" {
		t.Fatalf("available are %+v", all)
	}
	said := results(t, submit.RuleResults)
	if !said["has_reviewer"].Passed || !strings.Contains(said["has_reviewer"].Explanation, `"bob"`) ||
		said["is_small"].Passed || !strings.Contains(said["is_small"].Explanation, "500") || !said["when"].Passed {
		t.Errorf("submit says %+v", said)
	}
	servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: root.ID, Data: json.RawMessage(`{"amount":5}`)})
	if submit = byID()["submit"]; !submit.Enabled || len(submit.RuleResults) != 3 || submit.RuleResults[1].Explanation == "" {
		t.Errorf("now submit says %+v", submit)
	}
}

// What fits into an instance can be asked about.
func TestAvailableExplainsALargeInstance(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(`{"name":"large","initial_place":"in","places":[{"id":"in"},{"id":"l"},{"id":"r"},{"id":"out"}],"transitions":[
		{"id":"split","inputs":["in"],"outputs":["l","r"]},
		{"id":"one","inputs":["l","r"],"outputs":["out"],"when":"has(token.data.l)"},{"id":"two","inputs":["l","r"],"outputs":["out"],"when":"has(token.data.none)"}]}`)
	root := f.create("large", `{}`)
	split := f.fire(root.ID, "split").Tokens
	text := strings.Repeat("x", 800_000)
	servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: split[0].ID, Data: json.RawMessage(`{"l":"` + text + `"}`)})
	servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: split[1].ID, Data: json.RawMessage(`{"r":"` + text + `"}`)})
	all := servicetest.Do(f.t, f.TransitionAvailable, wire.AvailableRequest{InstanceID: root.ID}).Transitions
	if len(all) != 2 || !all[0].Enabled || all[1].Enabled || len(all[1].RuleResults) != 1 {
		t.Errorf("available are %+v", all)
	}
	f.join(root.ID, "one")
}

// A token that has changed very often is asked where it has been, all the same.
func TestAGuardOfHistoryReadsNoUpdates(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(`{"name":"often","initial_place":"a","places":[{"id":"a"},{"id":"l"},{"id":"r"},{"id":"end"}],"transitions":[
		{"id":"split","inputs":["a"],"outputs":["l","r"]},{"id":"go","from":"l","to":"end","when":"token.has_transitioned_from('a')"}]}`)
	root := f.create("often", `{"text":"`+strings.Repeat("x", 100_000)+`"}`)
	split := f.fire(root.ID, "split").Tokens
	for n := range 250 { // 50 MB of events
		servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: split[0].ID, Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))})
	}
	f.fire(split[0].ID, "go")
}

func TestARuleIsEvaluatedWithoutSideEffects(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.guardedWorkflow()
	root := f.create("guarded", `{"amount":500,"pages":2}`)
	then := servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: root.ID, Data: json.RawMessage(`{"reviewer":"bob"}`)})
	stands := f.token(root.ID).NatsTimestamp
	now := servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: root.ID, Data: json.RawMessage(`{"reviewer":null,"amount":5}`)})
	stored := f.Stored(w.Stream, ">")
	tests := map[string]struct {
		request wire.RuleEvaluateRequest
		passed  bool
		says    string
	}{
		"a live token":    {wire.RuleEvaluateRequest{RuleID: "is_small", TokenID: root.ID}, true, "5"},
		"its past":        {wire.RuleEvaluateRequest{RuleID: "is_small", TokenID: root.ID, AsOf: wire.AsOf{Sequence: then.NatsSequence}}, false, "500"},
		"missing now":     {wire.RuleEvaluateRequest{RuleID: "has_reviewer", TokenID: root.ID}, false, "data.reviewer is missing"},
		"there then":      {wire.RuleEvaluateRequest{RuleID: "has_reviewer", TokenID: root.ID, AsOf: wire.AsOf{Time: stands}}, true, `"bob"`},
		"a document":      {wire.RuleEvaluateRequest{RuleID: "has_reviewer", Token: &wire.GivenToken{Data: json.RawMessage(`{"reviewer":"eve"}`)}}, true, `"eve"`},
		"an expression":   {wire.RuleEvaluateRequest{Condition: json.RawMessage(`"token.place == 'draft' && token.visits('draft') == 1"`), TokenID: root.ID}, true, "draft"},
		"a tree":          {wire.RuleEvaluateRequest{Condition: json.RawMessage(`{"and":[{"field_exists":"data.amount"},{"field_exists":"data.none"}]}`), TokenID: root.ID}, false, "data.none is missing"},
		"it never left":   {wire.RuleEvaluateRequest{Condition: json.RawMessage(`"token.has_transitioned_from('draft')"`), TokenID: root.ID}, false, "draft"},
		"the whole state": {wire.RuleEvaluateRequest{Condition: json.RawMessage(`"instance.status == 'active' && instance.tokens.all(t, t.place == 'draft')"`), TokenID: root.ID}, true, ""},
		"of age":          {wire.RuleEvaluateRequest{Condition: json.RawMessage(`"token.age() < duration('1h') && token.time_in_place() < duration('1h')"`), TokenID: root.ID}, true, ""},
	}
	for name, test := range tests {
		reply := servicetest.Do(f.t, f.RuleEvaluate, test.request)
		if reply.Passed != test.passed || !strings.Contains(reply.Explanation, test.says) || reply.Explanation == "" {
			t.Errorf("%s: got %+v", name, reply)
		}
		if test.request.TokenID != "" && reply.NatsSequence == 0 {
			t.Errorf("%s: no revision in %+v", name, reply)
		}
	}
	if reply := servicetest.Do(f.t, f.RuleEvaluate, tests["a tree"].request); len(reply.SubResults) != 2 || !reply.SubResults[0].Passed || reply.SubResults[1].Passed {
		t.Errorf("the parts of a tree are %+v", reply.SubResults)
	}
	if again := f.token(root.ID); again.NatsSequence != now.NatsSequence || f.Stored(w.Stream, ">") != stored {
		t.Error("evaluating has left something")
	}
	// A token that was read can be given as it is, and a document is taken as it would be stored.
	pasted := wire.GivenToken{ID: now.ID, Place: now.Place, Data: now.Data, NatsSequence: now.NatsSequence, NatsSubject: now.NatsSubject}
	if reply := servicetest.Do(f.t, f.RuleEvaluate, wire.RuleEvaluateRequest{RuleID: "is_small", Token: &pasted}); !reply.Passed {
		t.Errorf("a pasted token: %+v", reply)
	}
	pasted.Data = json.RawMessage(`{"reviewer":null}`)
	if reply := servicetest.Do(f.t, f.RuleEvaluate, wire.RuleEvaluateRequest{RuleID: "has_reviewer", Token: &pasted}); reply.Passed {
		t.Errorf("what is null is not there: %+v", reply)
	}
	pasted.Data = json.RawMessage(`[1]`)
	for name, request := range map[string]wire.RuleEvaluateRequest{
		"a list":     {RuleID: "is_small", Token: &pasted},
		"no version": {Version: 1, Condition: json.RawMessage(`"true"`), TokenID: root.ID},
		"neither":    {TokenID: root.ID},
		"both":       {RuleID: "is_small", Condition: json.RawMessage(`"true"`), TokenID: root.ID},
		"no token":   {RuleID: "is_small"},
		"two tokens": {RuleID: "is_small", TokenID: root.ID, Token: &wire.GivenToken{}},
		"no past":    {RuleID: "is_small", Token: &wire.GivenToken{}, AsOf: wire.AsOf{Sequence: 1}},
	} {
		if _, err := f.RuleEvaluate(t.Context(), request); !errors.Is(err, fault.InvalidField) {
			t.Errorf("%s: %v", name, err)
		}
	}
	servicetest.Refused(f.t, fault.RuleNotFound, f.RuleEvaluate, wire.RuleEvaluateRequest{RuleID: "no_such", TokenID: root.ID})
	servicetest.Refused(f.t, fault.VersionNotFound, f.RuleEvaluate, wire.RuleEvaluateRequest{RuleID: "is_small", Version: 9, TokenID: root.ID})
}

// A token knows where it came from also through a split, and not where its sibling went.
func TestHistoryGoesThroughSplits(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(`{"name":"branches","initial_place":"a","places":[{"id":"a"},{"id":"b"},{"id":"l"},{"id":"m"},{"id":"r"},{"id":"end"}],"transitions":[
		{"id":"begin","from":"a","to":"b"},{"id":"split","inputs":["b"],"outputs":["l","r"]},{"id":"move","from":"l","to":"m"},
		{"id":"join","inputs":["m","r"],"outputs":["end"],"when":"token.has_transitioned_from('l') && tokens.size() == 2"}]}`)
	root := f.create("branches", `{}`)
	f.fire(root.ID, "begin")
	split := f.fire(root.ID, "split")
	f.fire(split.Tokens[0].ID, "move")
	left := func(token, place string) bool {
		return servicetest.Do(f.t, f.RuleEvaluate, wire.RuleEvaluateRequest{
			Condition: json.RawMessage(`"token.has_transitioned_from('` + place + `')"`), TokenID: token,
		}).Passed
	}
	for _, place := range []string{"a", "b", "l", "m", "r"} {
		if got, want := left(split.Tokens[0].ID, place), place == "a" || place == "b" || place == "l"; got != want {
			t.Errorf("the left token has left %s: %v", place, got)
		}
		if got, want := left(split.Tokens[1].ID, place), place == "a" || place == "b"; got != want {
			t.Errorf("the right token has left %s: %v", place, got)
		}
	}
	f.join(root.ID, "join")
}

// Whoever has made a rule can use it at once, whichever copy is asked.
func TestARuleHoldsForEveryCopyAtOnce(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.startOne(rules.Name)
	f.startOne(rules.Name)
	f.rule("gate", `"false"`)
	f.deploy(`{"name":"gated","initial_place":"a","places":[{"id":"a"},{"id":"b"},{"id":"c"}],"transitions":[
		{"id":"go","from":"a","to":"b","rules":["gate"]},{"id":"back","from":"b","to":"a"},{"id":"end","from":"b","to":"c"}]}`)
	root := f.create("gated", `{}`)
	for range 20 {
		servicetest.Refused(f.t, fault.RuleRejected, f.TransitionFire, wire.FireRequest{TokenID: root.ID, TransitionID: "go"})
		servicetest.Do(f.t, f.RuleUpdate, wire.RuleUpdateRequest{ID: "gate", Condition: json.RawMessage(`"true"`)})
		f.fire(root.ID, "go")
		servicetest.Do(f.t, f.RuleUpdate, wire.RuleUpdateRequest{ID: "gate", Condition: json.RawMessage(`"false"`)})
		f.fire(root.ID, "back")
		servicetest.Eventually(t, "every copy knows", func() bool {
			for range 6 {
				if r := servicetest.Do(f.t, f.TransitionAvailable, wire.AvailableRequest{TokenID: root.ID}).Transitions[0]; r.Enabled {
					return false
				}
			}
			return true
		})
	}
	if v := servicetest.Do(f.t, f.RuleGet, wire.RuleGetRequest{ID: "gate"}).Version; v != 41 {
		t.Errorf("the rule has version %d", v)
	}
}
