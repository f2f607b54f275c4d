package contract

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
)

const (
	workflow = "550e8400-e29b-41d4-a716-446655440000"
	instance = "0199c4d2-1f00-8a3b-9c4d-0000550e8400"
	stream   = "WORKFLOW_550E8400-E29B-41D4-A716-446655440000"

	// What the runs of samples/ are about, as their subjects say it.
	counted  = ".function.word_count." + workflow + "." + instance + ".7d3c2b1a-90f8-8e6d-a5c4-b3a291807f6e"
	buried   = ".function.pdf_text." + workflow + "." + instance + ".c4b5a697-8879-8a6b-9c5d-4e3f20110a0b"
	reported = ".function.audit.-.-.52a7e0d9-3b64-8f18-a0c2-6d9b8e7f5a41"
	ill      = "$KV.targets.circuit.function.charge.6ba7b810-9dad-41d1-80b4-00c04fd430c8"
)

type testFleet struct {
	t     *testing.T
	nc    *nats.Conn
	js    jetstream.JetStream
	watch *Watcher
}

// newTestFleet is a server with a watch on it, and the streams of a fleet.
func newTestFleet(t *testing.T) *testFleet {
	t.Helper()
	server := natstest.Start(t)
	nc, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for name, subjects := range map[string][]string{
		stream:     {"workflows." + workflow + ".definition", "workflows." + workflow + ".events.>"},
		"PLACES":   {"workflows.*.places.*.tokens.*", "workflows.*.instances.*.*", "workflows.*.projection"},
		"KV_rules": {"$KV.rules.>"},

		"JOBS": {"jobs.*.*.*.*.*", "jobs.wait.*.*.*.*.*"}, "EXECUTIONS": {"executions.*.*.*.*.*"}, "DEAD_LETTERS": {"dead_letters.*.*.*.*.*"},
		"KV_functions": {"$KV.functions.>"}, "KV_targets": {"$KV.targets.>"},
	} {
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: subjects, AllowDirect: true, AllowMsgTTL: true}); err != nil {
			t.Fatal(err)
		}
	}
	return &testFleet{t: t, nc: nc, js: js, watch: Watch(t, server.URL())}
}

func (f *testFleet) sample(path string) []byte {
	f.t.Helper()
	raw, err := os.ReadFile(filepath.Join(f.watch.contract.Root, "samples", path))
	if err != nil {
		f.t.Fatal(err)
	}
	return raw
}

// answer plays a service: it answers requests on a subject with one message.
func (f *testFleet) answer(subject string, reply *nats.Msg) {
	f.t.Helper()
	if _, err := f.nc.Subscribe(subject, func(m *nats.Msg) {
		_ = m.RespondMsg(&nats.Msg{Header: reply.Header, Data: reply.Data})
	}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *testFleet) request(subject string, payload []byte) {
	f.t.Helper()
	if _, err := f.nc.Request(subject, payload, 5*time.Second); err != nil {
		f.t.Fatal(err)
	}
}

func (f *testFleet) publish(subject string, header nats.Header, payload []byte) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 5*time.Second)
	defer cancel()
	if _, err := f.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Header: header, Data: payload}); err != nil {
		f.t.Fatal(err)
	}
}

// found ends the watch and wants exactly one violation that says all the words, or none.
func (f *testFleet) found(words ...string) {
	f.t.Helper()
	violations := f.watch.Stop()
	if len(words) == 0 {
		if len(violations) != 0 {
			f.t.Errorf("got %q, want no violation", violations)
		}
		return
	}
	if len(violations) == 0 {
		f.t.Fatalf("no violation was found, want one with %q", words)
	}
	for _, word := range words {
		if !strings.Contains(violations[0], word) {
			f.t.Errorf("got %q, want it to say %q", violations[0], word)
		}
	}
}

func TestWatchPassesWhatKeepsTheContract(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	commit := nats.Header{headerCommit: {"8d0f3a1e-0c55-4a8e-9a43-6d5d8e0a1f11"}}
	f.answer("breaker.token.create", &nats.Msg{Data: f.sample("valid/token/created.json")})
	f.answer("breaker.transition.fire", &nats.Msg{Data: f.sample("valid/fire_reply/moved.json")})
	f.request("breaker.token.create", f.sample("valid/token_create_request/usual.json"))
	f.request("breaker.transition.fire", f.sample("valid/fire_request/by_token.json"))
	f.publish("workflows."+workflow+".definition", nil, f.sample("valid/workflow/two_steps.json"))
	f.publish("workflows."+workflow+".events.lifecycle.workflow.deployed", commit, f.sample("valid/event/workflow_deployed.json"))
	f.publish("workflows."+workflow+".events.lifecycle."+instance+".created", commit, f.sample("valid/event/created.json"))
	f.publish("workflows."+workflow+".events.transitions."+instance+".submit_for_review", commit, f.sample("valid/event/moved.json"))
	f.publish("workflows."+workflow+".places.draft.tokens."+instance, nats.Header{headerRevision: {"3"}}, f.sample("valid/token/created.json"))
	f.publish("workflows."+workflow+".places.legal.tokens."+instance, nats.Header{headerTTL: {"5s"}}, nil)
	f.publish("workflows."+workflow+".instances.active."+instance, nil, f.sample("valid/instance_record/active.json"))
	f.publish("workflows."+workflow+".projection", nil, f.sample("valid/checkpoint/usual.json"))
	f.publish("$KV.rules.has_reviewer", nil, f.sample("valid/rule/has_reviewer.json"))
	f.publish("$KV.rules.has_reviewer", nats.Header{headerOperation: {"DEL"}}, nil)
	f.publish("jobs"+counted, nil, f.sample("valid/job/place.json"))
	f.publish("jobs.wait"+counted, nil, f.sample("valid/job/third_attempt.json"))
	f.publish("jobs"+reported, nil, f.sample("valid/job/custom.json"))
	f.publish("executions"+counted, nil, f.sample("valid/execution/running.json"))
	f.publish("executions"+counted, nil, f.sample("valid/execution/succeeded.json"))
	f.publish("dead_letters"+buried, nil, f.sample("valid/dead_letter/failed.json"))
	f.publish("$KV.functions.word_count", nil, f.sample("valid/function/word_count.json"))
	f.publish("$KV.functions.word_count", nats.Header{headerOperation: {"DEL"}}, nil)
	f.publish("$KV.targets.rate.function.charge", nil, f.sample("valid/rate/usual.json"))
	f.publish(ill, nil, f.sample("valid/circuit/open.json"))
	f.publish(ill, nats.Header{headerOperation: {"PURGE"}}, nil)
	f.found()
	seen := f.watch.Seen()
	for schema, atLeast := range map[string]int{
		// Published messages are seen twice: on their way, and in their stream.
		"schema/token_create_request.json": 1, "schema/fire_reply.json": 1, "schema/event.json": 6,
		"schema/token.json": 5, "schema/checkpoint.json": 2, "schema/instance_record.json": 2, "schema/workflow.json": 2, "schema/rule.json": 4,
		"schema/job.json": 6, "schema/execution.json": 4, "schema/dead_letter.json": 2, "schema/function.json": 4, "schema/rate.json": 2, "schema/circuit.json": 4,
	} {
		if seen[schema] < atLeast {
			t.Errorf("%s was seen %d times, want at least %d", schema, seen[schema], atLeast)
		}
	}
}

func TestWatchFinds(t *testing.T) {
	t.Parallel()
	failed := func(code, body string) *nats.Msg {
		return &nats.Msg{Header: nats.Header{headerErrorCode: {code}, headerError: {"no"}}, Data: []byte(body)}
	}
	const create = "breaker.token.create"
	replies := map[string]struct {
		request string
		reply   *nats.Msg
		words   []string
	}{
		"a reply without a required member":   {`{"workflow_id":"a"}`, &nats.Msg{Data: []byte(`{"id":"` + instance + `"}`)}, []string{create, "missing properties"}},
		"a reply that is no JSON":             {`{"workflow_id":"a"}`, &nats.Msg{Data: []byte(`oops`)}, []string{create, "no JSON"}},
		"an accepted request with a typo":     {`{"workflow":"a"}`, &nats.Msg{Data: []byte(`{}`)}, []string{"accepted", "workflow"}},
		"an error that nobody knows":          {`{}`, failed("400", `{"code":"bad_luck","message":"no"}`), []string{"bad_luck"}},
		"an error with another status":        {`{}`, failed("404", `{"code":"token_moved","message":"no"}`), []string{"token_moved", "404", "409"}},
		"a refusal of what the schema allows": {`{"workflow_id":"a"}`, failed("400", `{"code":"unknown_field","message":"no"}`), []string{"unknown_field", "lets pass"}},
		"an error without a message":          {`{}`, failed("400", `{"code":"bad_request"}`), []string{"message"}},
		"an error whose body is no envelope":  {`{}`, failed("500", `internal error`), []string{"no JSON"}},
	}
	for name, test := range replies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newTestFleet(t)
			f.answer(create, test.reply)
			f.request(create, []byte(test.request))
			f.found(test.words...)
		})
	}

	commit := nats.Header{headerCommit: {"1"}}
	messages := map[string]struct {
		subject string // %s is the workflow.
		header  nats.Header
		sample  string
		words   []string
	}{
		"an event without its commit":        {"workflows.%s.events.lifecycle." + instance + ".created", nil, "valid/event/created.json", []string{headerCommit}},
		"an event on another's subject":      {"workflows.%s.events.lifecycle." + instance + ".resumed", commit, "valid/event/created.json", []string{"resumed", "token_created"}},
		"a firing of another transition":     {"workflows.%s.events.transitions." + instance + ".withdraw", commit, "valid/event/moved.json", []string{"transition_id", "withdraw"}},
		"an event without its snapshot":      {"workflows.%s.events.transitions." + instance + ".submit_for_review", commit, "invalid/event/no_snapshot.json", []string{"instance"}},
		"a token in another place":           {"workflows.%s.places.review.tokens." + instance, nats.Header{headerRevision: {"3"}}, "valid/token/created.json", []string{"place", "review", "draft"}},
		"a token of an unknown revision":     {"workflows.%s.places.draft.tokens." + instance, nil, "valid/token/created.json", []string{headerRevision}},
		"a token with a null member":         {"workflows.%s.places.draft.tokens." + instance, nats.Header{headerRevision: {"3"}}, "invalid/token/null_member.json", []string{"null"}},
		"a member that the schema forgot":    {"workflows.%s.definition", nil, "valid/workflow/of_a_later_version.json", []string{"later"}},
		"a tombstone that would stay":        {"workflows.%s.places.draft.tokens." + instance, nil, "", []string{headerTTL}},
		"a rule under another name":          {"$KV.rules.stock_checked", nil, "valid/rule/has_reviewer.json", []string{"rule_id", "stock_checked"}},
		"a rule that is not canonical":       {"$KV.rules.stock_checked", nil, "invalid/rule/bare_expression.json", []string{"condition"}},
		"a rule that just vanished":          {"$KV.rules.has_reviewer", nil, "", []string{"empty"}},
		"a subject that nobody described":    {"workflows.%s.events.lifecycle." + instance + ".exploded", commit, "valid/event/created.json", []string{"subject"}},
		"a job for another function":         {"jobs" + strings.Replace(counted, "word_count", "total", 1), nil, "valid/job/place.json", []string{"target", "total", "word_count"}},
		"a job about a token, said of none":  {"jobs.function.word_count.-.-.7d3c2b1a-90f8-8e6d-a5c4-b3a291807f6e", nil, "valid/job/place.json", []string{"workflow", `"-"`}},
		"a job of no kind":                   {"jobs.wait.rule" + counted[len(".function"):], nil, "valid/job/place.json", []string{"subject"}},
		"a run that waits for ever":          {"executions" + counted, nil, "invalid/execution/waiting_for_ever.json", []string{"next_attempt_at"}},
		"another run's record":               {"executions" + buried, nil, "valid/execution/succeeded.json", []string{"the message"}},
		"a record that just vanished":        {"executions" + counted, nil, "", []string{"empty"}},
		"a dead letter in another's place":   {"dead_letters" + counted, nil, "valid/dead_letter/failed.json", []string{"the message"}},
		"a dead letter without its job":      {"dead_letters" + buried, nil, "invalid/dead_letter/no_job.json", []string{"job"}},
		"a function of two kinds":            {"$KV.functions.total", nil, "invalid/function/two_kinds.json", []string{"oneOf"}},
		"a circuit of another copy":          {"$KV.targets.circuit.function.charge.7d3c2b1a-90f8-8e6d-a5c4-b3a291807f6e", nil, "valid/circuit/open.json", []string{"copy"}},
		"an instance record of other status": {"workflows.%s.instances.completed." + instance, nil, "valid/instance_record/active.json", []string{"status", "completed"}},
	}
	for name, test := range messages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newTestFleet(t)
			var payload []byte
			if test.sample != "" {
				payload = f.sample(test.sample)
			}
			f.publish(strings.ReplaceAll(test.subject, "%s", workflow), test.header, payload)
			f.found(test.words...)
		})
	}
}

func TestWatchSeesWhatWasStoredBeforeIt(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	before := f.watch
	f.publish("workflows."+workflow+".projection", nil, []byte(`{"sequence":"one"}`))
	f.watch = Watch(t, f.nc.ConnectedUrl())
	f.found("projection", "missing properties")
	if len(before.Stop()) == 0 {
		t.Error("the watch that listened saw nothing")
	}
}

// TestWatchLeavesConsumersAlone: what the server sends to a consumer was seen when it was
// published, and may come without its data.
func TestWatchLeavesConsumersAlone(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.publish("workflows."+workflow+".projection", nil, f.sample("valid/checkpoint/usual.json"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	consumer, err := f.js.OrderedConsumer(ctx, "PLACES", jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	m, err := consumer.Next()
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Data()) != 0 || m.Subject() != "workflows."+workflow+".projection" {
		t.Fatalf("got %q with %d bytes, want the headers of the checkpoint", m.Subject(), len(m.Data()))
	}
	f.found()
}

func TestMatch(t *testing.T) {
	t.Parallel()
	c := Load(t)
	for subject, want := range map[string]string{
		"workflows." + workflow + ".events.lifecycle.workflow.deployed":        "workflows.{workflow_id}.events.lifecycle.workflow.{workflow_lifecycle}",
		"workflows." + workflow + ".events.lifecycle." + instance + ".created": "workflows.{workflow_id}.events.lifecycle.{instance_id}.{lifecycle}",
		"timers.due.purge." + workflow + "." + instance + "." + instance:       "timers.due.{timer}.{workflow_id}.{instance_id}.{token_id}",
		"$KV.workflows.name.a": "$KV.workflows.name.{name}",
		"jobs" + counted:       "jobs.{kind}.{target}.{workflow}.{instance}.{execution_id}",
		"jobs.wait" + counted:  "jobs.wait.{kind}.{target}.{workflow}.{instance}.{execution_id}",
		"jobs.alarm.a.-.-.b":   "",
		ill:                    "$KV.targets.circuit.{kind}.{target}.{copy}",
		"timers.due.alarm." + workflow + "." + instance + "." + instance: "",
		"workflows." + workflow: "",
	} {
		got, _, _ := c.message(subject)
		if got.Subject != want {
			t.Errorf("%s: got %q, want %q", subject, got.Subject, want)
		}
	}
}
