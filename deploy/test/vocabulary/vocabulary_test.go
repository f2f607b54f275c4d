// Package vocabulary produces every error of the vocabulary through NATS, as a program in
// any language meets it.
package vocabulary

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	functionrunner "github.com/seed-42b4788c/circuit-breaker/services/function-runner"
	"github.com/seed-42b4788c/circuit-breaker/services/rules"
	"github.com/seed-42b4788c/circuit-breaker/services/token"
	"github.com/seed-42b4788c/circuit-breaker/services/transition"
)

const definition = `{"name":%q,"initial_place":"draft",
	"places":[{"id":"draft"},{"id":"review"},{"id":"left"},{"id":"right"},{"id":"done"}],
	"transitions":[
		{"id":"submit","from":"draft","to":"review"},
		{"id":"split","inputs":["review"],"outputs":["left","right"]},
		{"id":"guarded","from":"draft","to":"done","when":"token.data.n > 1"},
		{"id":"finish","from":["draft","review","left","right"],"to":"done"}],
	"schema":{"type":"object","properties":{"n":{"type":"number"}}}}`

// world is a fleet in this process, and a plain NATS connection to it.
type world struct {
	t   *testing.T
	nc  *nats.Conn
	js  jetstream.JetStream
	url string
	wf  wire.Workflow

	mu   sync.Mutex
	seen map[fault.Code]bool
}

// newTestWorld starts a fleet, without some of its services, and deploys the definition.
func newTestWorld(t *testing.T, token token.Config, change func(*bus.Config), without ...string) *world {
	t.Helper()
	server := natstest.Start(t)
	startFleet(t, server.URL(), token, change, without)
	nc := server.Connect()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, nc: nc, js: js, url: server.URL(), seen: map[fault.Code]bool{}}
	w.decode(w.must(wire.SubjectWorkflowCreate, `{"definition":`+fmt.Sprintf(definition, "review")+`}`), &w.wf)
	return w
}

func startFleet(t *testing.T, url string, tokens token.Config, change func(*bus.Config), without []string) {
	t.Helper()
	parts := map[string]func(service.Deps) (service.Part, error){
		token.Name:      func(d service.Deps) (service.Part, error) { return token.New(d, tokens) },
		rules.Name:      func(d service.Deps) (service.Part, error) { return rules.New(d, rules.DefaultConfig()) },
		transition.Name: func(d service.Deps) (service.Part, error) { return transition.New(d, transition.DefaultConfig()) },
		functionrunner.Name: func(d service.Deps) (service.Part, error) {
			return functionrunner.New(d, functionrunner.DefaultConfig())
		},
	}
	for name, build := range parts {
		if slices.Contains(without, name) {
			continue
		}
		cfg := bus.DefaultConfig()
		cfg.URLs = []string{url}
		if change != nil {
			change(&cfg)
		}
		running, err := service.Open(t.Context(), name, cfg, telemetry.Discard(), build)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { running.Stop(t.Context()) }) //nolint:errcheck // the test's context may have ended
	}
}

// ask sends a request as any client would.
func (w *world) ask(subject, body string) *nats.Msg {
	w.t.Helper()
	msg, err := w.nc.Request(subject, []byte(body), 15*time.Second)
	if err != nil {
		w.t.Fatalf("%s %s: %v", subject, body, err)
	}
	return msg
}

func (w *world) must(subject, body string) *nats.Msg {
	w.t.Helper()
	msg := w.ask(subject, body)
	if code := msg.Header.Get(fault.HeaderCode); code != "" {
		w.t.Fatalf("%s %s: %s %s", subject, body, code, msg.Data)
	}
	return msg
}

func (w *world) decode(msg *nats.Msg, into any) {
	w.t.Helper()
	if err := json.Unmarshal(msg.Data, into); err != nil {
		w.t.Fatalf("%s: %v", msg.Data, err)
	}
}

func (w *world) create(data string) wire.Token {
	w.t.Helper()
	var token wire.Token
	w.decode(w.must(wire.SubjectTokenCreate, `{"workflow_id":"review","data":`+data+`}`), &token)
	return token
}

func (w *world) fire(id, transition string) {
	w.t.Helper()
	w.must(wire.SubjectTransitionFire, fmt.Sprintf(`{"instance_id":%q,"transition_id":%q}`, id, transition))
}

// refused asserts the whole form of a refusal: headers as ADR-32 has them, and the body.
func (w *world) refused(code fault.Code, subject, body string) {
	w.t.Helper()
	w.isRefusal(w.ask(subject, body), code, subject+" "+body)
}

func (w *world) isRefusal(msg *nats.Msg, code fault.Code, what string) {
	w.t.Helper()
	var refusal struct {
		Code    fault.Code
		Message string
	}
	if err := json.Unmarshal(msg.Data, &refusal); err != nil {
		w.t.Errorf("%s: body %q: %v", what, msg.Data, err)
	}
	if refusal.Code != code || refusal.Message == "" {
		w.t.Errorf("%s: got %s, want code %s and a message", what, msg.Data, code)
	}
	if got, want := msg.Header.Get(fault.HeaderCode), fmt.Sprint(code.Status()); got != want {
		w.t.Errorf("%s: status %q, want %q", what, got, want)
	}
	if msg.Header.Get(fault.HeaderMessage) == "" {
		w.t.Errorf("%s: no %s header", what, fault.HeaderMessage)
	}
	w.mu.Lock()
	w.seen[code] = true
	w.mu.Unlock()
}

func TestEveryErrorIsProducedThroughNATS(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t, token.DefaultConfig(), nil)
	never := "01a208de-04d3-8903-ae35-0000" + w.wf.ID[:8]

	// 400
	w.refused(fault.BadRequest, wire.SubjectTokenCreate, `{"workflow_id":`)
	w.refused(fault.UnknownField, wire.SubjectTokenCreate, `{"workflow":"review"}`)
	w.refused(fault.InvalidField, wire.SubjectTokenList, `{"limit":5000}`)
	w.refused(fault.InvalidDefinition, wire.SubjectWorkflowCreate, `{"definition":{"name":"x","initial_place":"nowhere","places":[],"transitions":[]}}`)

	// 404
	w.refused(fault.WorkflowNotFound, wire.SubjectTokenCreate, `{"workflow_id":"no_such"}`)
	w.refused(fault.VersionNotFound, wire.SubjectWorkflowGet, `{"workflow_id":"review","version":7}`)
	w.refused(fault.InstanceNotFound, wire.SubjectInstanceGet, `{"instance_id":"`+never+`"}`)
	w.refused(fault.TokenNotFound, wire.SubjectTokenGet, `{"token_id":"`+never+`"}`)
	one := w.create(`{"n":1}`)
	w.refused(fault.TransitionNotFound, wire.SubjectTransitionFire, `{"token_id":"`+one.ID+`","transition_id":"no_such"}`)
	w.refused(fault.RuleNotFound, wire.SubjectRuleGet, `{"id":"no_such"}`)
	w.refused(fault.FunctionNotFound, wire.SubjectFunctionGet, `{"id":"no_such"}`)
	w.refused(fault.ExecutionNotFound, wire.SubjectExecutionGet, `{"id":"`+uuid.NewString()+`"}`)

	// 409
	w.refused(fault.SequenceMismatch, wire.SubjectTransitionFire, `{"token_id":"`+one.ID+`","transition_id":"submit","expected_sequence":1}`)
	w.refused(fault.VersionMismatch, wire.SubjectWorkflowUpdate, `{"workflow_id":"review","expected_version":9,"definition":`+fmt.Sprintf(definition, "review")+`}`)
	w.must(wire.SubjectTransitionFire, `{"token_id":"`+one.ID+`","transition_id":"submit","request_id":"r1"}`)
	w.refused(fault.RequestIDReused, wire.SubjectTransitionFire, `{"token_id":"`+one.ID+`","transition_id":"finish","request_id":"r1"}`)
	w.refused(fault.TokenMoved, wire.SubjectTransitionComplete, fmt.Sprintf(
		`{"instance_id":%q,"token_id":%q,"arrival_sequence":%d,"binding":"f","kind":"function","outcome":"success"}`, one.ID, one.ID, one.ArrivalSequence))
	w.refused(fault.WorkflowExists, wire.SubjectWorkflowCreate, `{"definition":`+fmt.Sprintf(definition, "review")+`}`)
	w.must(wire.SubjectRuleCreate, `{"id":"reviewed","condition":{"field_exists":"data.reviewer"}}`)
	w.refused(fault.RuleExists, wire.SubjectRuleCreate, `{"id":"reviewed","condition":"true"}`)
	w.must(wire.SubjectWorkflowCreate, `{"definition":{"name":"ruled","initial_place":"draft","places":[{"id":"draft"},{"id":"done"}],
		"transitions":[{"id":"finish","from":"draft","to":"done","rules":["reviewed"]}]}}`)
	w.inUse()
	w.functions()
	resting := w.create(`{}`)
	w.must(wire.SubjectInstanceSuspend, `{"instance_id":"`+resting.ID+`"}`)
	w.refused(fault.InstanceSuspended, wire.SubjectTransitionFire, `{"token_id":"`+resting.ID+`","transition_id":"submit"}`)
	w.contend()
	w.replaceStream()

	// 410
	over := w.create(`{}`)
	w.fire(over.ID, "finish")
	w.refused(fault.InstanceFinished, wire.SubjectTransitionFire, `{"token_id":"`+over.ID+`","transition_id":"submit"}`)
	w.fire(one.ID, "split")
	w.refused(fault.TokenEnded, wire.SubjectTokenGet, `{"token_id":"`+one.ID+`"}`)
	var old wire.Workflow
	w.decode(w.must(wire.SubjectWorkflowCreate, `{"definition":`+fmt.Sprintf(definition, "old")+`}`), &old)
	w.must(wire.SubjectWorkflowArchive, `{"workflow_id":"old"}`)
	// The token service hears of it a moment later.
	create := `{"workflow_id":"` + old.ID + `"}`
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		if w.ask(wire.SubjectTokenCreate, create).Header.Get(fault.HeaderCode) != "" {
			break
		}
	}
	w.refused(fault.WorkflowArchived, wire.SubjectTokenCreate, create)

	// 422
	w.refused(fault.RuleRejected, wire.SubjectTransitionFire, `{"token_id":"`+w.create(`{"n":1}`).ID+`","transition_id":"guarded"}`)
	w.refused(fault.TransitionNotEnabled, wire.SubjectTransitionFire, `{"instance_id":"`+one.ID+`","transition_id":"submit"}`)
	w.refused(fault.PlaceMismatch, wire.SubjectTokenCreate, `{"workflow_id":"review","place":"nowhere"}`)
	w.refused(fault.SchemaViolation, wire.SubjectTokenCreate, `{"workflow_id":"review","data":{"n":"seven"}}`)
	w.refused(fault.LimitExceeded, wire.SubjectTokenCreate, `{"workflow_id":"review","data":{"text":"`+strings.Repeat("x", 2_000_000)+`"}}`)

	// 5xx
	w.refused(fault.Timeout, wire.SubjectTokenList, `{"workflow_id":"review","min_sequence":1000000}`)
	w.corrupt()
	w.loseStream()

	// These need fleets of their own.
	w.overload()
	w.fill()
	w.unguarded()

	for code := range fault.Codes() {
		if !w.seen[code] {
			t.Errorf("no request produced %s", code)
		}
	}
}

// inUse deletes a rule that a workflow uses. The rules service hears of the workflow a
// moment later.
func (w *world) inUse() {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		msg := w.ask(wire.SubjectRuleDelete, `{"id":"reviewed"}`)
		if msg.Header.Get(fault.HeaderCode) != "" {
			w.isRefusal(msg, fault.RuleInUse, "the deletion of a rule that is in use")
			return
		}
		w.must(wire.SubjectRuleCreate, `{"id":"reviewed","condition":"true"}`)
	}
	w.t.Error("a rule that a workflow uses was deleted again and again")
}

// functions are made twice, deleted while a place asks for one, and invoked while disabled.
func (w *world) functions() {
	w.t.Helper()
	w.must(wire.SubjectFunctionCreate, `{"id":"count","kind":"expression","expression":"1 + 1"}`)
	w.refused(fault.FunctionExists, wire.SubjectFunctionCreate, `{"id":"count","kind":"nats"}`)
	w.must(wire.SubjectWorkflowCreate, `{"definition":{"name":"counted","initial_place":"draft","places":[{"id":"draft","functions":[{"function":"count"}]},{"id":"done"}],
		"transitions":[{"id":"finish","from":"draft","to":"done"}]}}`)
	w.refused(fault.FunctionInUse, wire.SubjectFunctionDelete, `{"id":"count"}`)
	w.must(wire.SubjectFunctionUpdate, `{"id":"count","enabled":false}`)
	w.refused(fault.FunctionDisabled, wire.SubjectFunctionInvoke, `{"id":"count","input":1}`)
}

// unguarded has nobody to judge a guard: what is guarded waits, and the rest goes on.
func (w *world) unguarded() {
	w.t.Helper()
	alone := newTestWorld(w.t, token.DefaultConfig(), nil, rules.Name)
	id := alone.create(`{"n":2}`).ID
	for what, msg := range map[string]*nats.Msg{
		"a guarded firing": alone.ask(wire.SubjectTransitionFire, `{"token_id":"`+id+`","transition_id":"guarded"}`),
		"a deployment that names rules": alone.ask(wire.SubjectWorkflowCreate, `{"definition":{"name":"ruled","initial_place":"a",
			"places":[{"id":"a"},{"id":"b"}],"transitions":[{"id":"t","from":"a","to":"b","rules":["reviewed"]}]}}`),
	} {
		w.isRefusal(msg, fault.RulesMissing, what)
	}
	alone.fire(id, "submit")
}

// contend has somebody else change an instance all the time.
func (w *world) contend() {
	w.t.Helper()
	token := w.create(`{}`)
	msg, err := w.js.Stream(w.t.Context(), w.wf.Stream)
	if err != nil {
		w.t.Fatal(err)
	}
	last, err := msg.GetLastMsgForSubject(w.t.Context(), wire.LifecycleSubject(w.wf.ID, token.ID, wire.LifecycleCreated))
	if err != nil {
		w.t.Fatal(err)
	}
	stop := make(chan struct{})
	var rivals sync.WaitGroup
	defer rivals.Wait()
	defer close(stop)
	for range 4 {
		nc, err := nats.Connect(w.url)
		if err != nil {
			w.t.Fatal(err)
		}
		rivals.Go(func() {
			defer nc.Close()
			subject := wire.LifecycleSubject(w.wf.ID, token.ID, wire.LifecycleUpdated)
			for n := 1; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				// Bounded in flight: every hundredth waits for its acknowledgement.
				if n%100 == 0 {
					nc.Request(subject, last.Data, time.Second) //nolint:errcheck // a rival need not succeed
				} else {
					nc.Publish(subject, last.Data) //nolint:errcheck // same
				}
			}
		})
	}
	// The rivals put the first state back all the time. When the firing gets through between
	// two of them, or comes before they have put it back, the next one may be luckier.
	for range 100 {
		msg := w.ask(wire.SubjectTransitionFire, `{"token_id":"`+token.ID+`","transition_id":"submit"}`)
		if msg.Header.Get(fault.HeaderCode) == fmt.Sprint(fault.Conflict.Status()) {
			w.isRefusal(msg, fault.Conflict, "a firing among rivals")
			return
		}
	}
}

// replaceStream has an operator put a stream with other settings into the place of ours.
func (w *world) replaceStream() {
	w.t.Helper()
	var wf wire.Workflow
	w.decode(w.must(wire.SubjectWorkflowCreate, `{"definition":`+fmt.Sprintf(definition, "replaced")+`}`), &wf)
	if err := w.js.DeleteStream(w.t.Context(), wf.Stream); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.js.CreateStream(w.t.Context(), jetstream.StreamConfig{
		Name: wf.Stream, Subjects: wire.WorkflowStreamSubjects(wf.ID), Storage: jetstream.MemoryStorage,
	}); err != nil {
		w.t.Fatal(err)
	}
	w.refused(fault.StreamMismatch, wire.SubjectWorkflowCreate, `{"definition":`+fmt.Sprintf(definition, "replaced")+`}`)
}

// corrupt puts something into the stream that no service ever wrote.
func (w *world) corrupt() {
	w.t.Helper()
	token := w.create(`{}`)
	if _, err := w.js.Publish(w.t.Context(), wire.LifecycleSubject(w.wf.ID, token.ID, wire.LifecycleUpdated), []byte("garbage")); err != nil {
		w.t.Fatal(err)
	}
	w.refused(fault.Internal, wire.SubjectTokenGet, `{"token_id":"`+token.ID+`"}`)
}

// loseStream takes a workflow's stream away behind the fleet's back.
func (w *world) loseStream() {
	w.t.Helper()
	var wf wire.Workflow
	w.decode(w.must(wire.SubjectWorkflowCreate, `{"definition":`+fmt.Sprintf(definition, "lost")+`}`), &wf)
	if err := w.js.DeleteStream(w.t.Context(), wf.Stream); err != nil {
		w.t.Fatal(err)
	}
	w.refused(fault.Unavailable, wire.SubjectTokenCreate, `{"workflow_id":"lost"}`)
}

// overload asks more of a copy than it takes at once: the answer is 429, never silence.
func (w *world) overload() {
	w.t.Helper()
	cfg := token.DefaultConfig()
	cfg.Concurrency = 1
	tiny := newTestWorld(w.t, cfg, nil)
	// One request that waits, and another beside it.
	waiting := make(chan *nats.Msg, 1)
	go func() {
		msg, _ := tiny.nc.Request(wire.SubjectTokenList, []byte(`{"workflow_id":"review","min_sequence":1000000}`), 15*time.Second)
		waiting <- msg
	}()
	deadline := time.Now().Add(10 * time.Second)
	for time.Now().Before(deadline) {
		msg := tiny.ask(wire.SubjectTokenGet, `{}`)
		if msg.Header.Get(fault.HeaderCode) == "429" {
			w.isRefusal(msg, fault.Overloaded, "a request to a busy copy")
			break
		}
	}
	if msg := <-waiting; msg == nil {
		w.t.Error("the request that kept the copy busy got no answer")
	}
}

// fill fills a workflow up to its limit.
func (w *world) fill() {
	w.t.Helper()
	small := newTestWorld(w.t, token.DefaultConfig(), func(c *bus.Config) { c.MaxMessages = 20 })
	for range 30 {
		msg := small.ask(wire.SubjectTokenCreate, `{"workflow_id":"review"}`)
		if msg.Header.Get(fault.HeaderCode) != "" {
			w.isRefusal(msg, fault.WorkflowFull, "a create in a full workflow")
			return
		}
	}
	w.t.Error("a workflow with room for 20 messages took 30 instances")
}
