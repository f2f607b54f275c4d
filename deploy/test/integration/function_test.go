package integration

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// worker is a net whose first place asks for a function.
func worker(name, binding string) string {
	return fmt.Sprintf(`{"name":%q,"initial_place":"in","places":[{"id":"in","functions":[%s]},{"id":"good"},{"id":"bad"},{"id":"end"}],"transitions":[
		{"id":"accept","from":"in","to":"good"},{"id":"park","from":"in","to":"bad"},{"id":"finish","from":["good","bad"],"to":"end"}]}`, name, binding)
}

// program answers for a function of kind nats.
type program struct {
	t     *testing.T
	mu    sync.Mutex
	calls []*nats.Msg
}

// answering runs a program for a function: answer gets each request.
func (f *fleet) answering(function string, answer func(*nats.Msg) *nats.Msg) *program {
	f.t.Helper()
	p := &program{t: f.t}
	sub, err := f.NC.QueueSubscribe(wire.FunctionSubject(function), "program", func(m *nats.Msg) {
		p.mu.Lock()
		p.calls = append(p.calls, m)
		p.mu.Unlock()
		if reply := answer(m); reply != nil {
			reply.Subject = m.Reply
			if err := f.NC.PublishMsg(reply); err != nil {
				f.t.Errorf("answering %s: %v", function, err)
			}
		}
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = sub.Unsubscribe() })
	if err := f.NC.Flush(); err != nil {
		f.t.Fatal(err)
	}
	return p
}

// called is how often the program was asked.
func (p *program) called() []*nats.Msg {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*nats.Msg{}, p.calls...)
}

func said(body string) *nats.Msg { return &nats.Msg{Data: []byte(body)} }

func refusing(code, message string) *nats.Msg {
	return &nats.Msg{Header: nats.Header{fault.HeaderCode: {code}, fault.HeaderMessage: {message}}}
}

func (f *fleet) function(definition string) wire.Function {
	f.t.Helper()
	var req wire.FunctionCreateRequest
	if err := json.Unmarshal([]byte(definition), &req); err != nil {
		f.t.Fatal(err)
	}
	return servicetest.Do(f.t, f.FunctionCreate, req)
}

// standsIn waits until a token has come to a place, and returns it.
func (f *fleet) standsIn(tokenID, place string) wire.Token {
	f.t.Helper()
	var token wire.Token
	servicetest.Eventually(f.t, "the token stands in "+place, func() bool {
		token = f.token(tokenID)
		return token.Place == place
	})
	return token
}

// ended waits until runs of a function have ended, and returns them.
func (f *fleet) ended(function string, runs int) []wire.Execution {
	f.t.Helper()
	var all []wire.Execution
	servicetest.Eventually(f.t, fmt.Sprintf("%d runs of %s have ended", runs, function), func() bool {
		all = servicetest.Do(f.t, f.ExecutionList, wire.ExecutionListRequest{ExecutionFilter: wire.ExecutionFilter{Target: function}}).Executions
		ended := 0
		for _, e := range all {
			if e.Status == wire.ExecutionDropped || e.Settled {
				ended++
			}
		}
		return ended >= runs
	})
	return all
}

func (f *fleet) letters(function string) []wire.Execution {
	f.t.Helper()
	return servicetest.Do(f.t, f.ExecutionList, wire.ExecutionListRequest{ExecutionFilter: wire.ExecutionFilter{Target: function}, DeadLetters: true}).Executions
}

// quick is a retry policy that does not keep a test waiting.
const quick = `"retry":{"attempts":3,"initial":"10ms","max":"20ms"}`

func TestAFunctionRunsWhenATokenArrives(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.function(`{"id":"word_count","kind":"nats","input":{"text":"=token.data.text","n":1.0}}`)
	p := f.answering("word_count", func(*nats.Msg) *nats.Msg { return said(`{"words": 2.0}`) })
	w := f.deploy(worker("counting", `{"function":"word_count","output":"counted","on_success":"accept","on_failure":"park"}`))
	token := f.create("counting", `{"text":"two words"}`)
	got := f.standsIn(token.ID, "good")
	if string(got.Data) != `{"counted":{"words":2.0},"text":"two words"}` {
		t.Errorf("data is %s", got.Data)
	}
	calls := p.called()
	if len(calls) != 1 || string(calls[0].Data) != `{"text":"two words","n":1.0}` {
		t.Fatalf("the program was asked %d times: %s", len(calls), calls[0].Data)
	}
	run := f.ended("word_count", 1)[0]
	want := map[string]string{
		wire.HeaderIdempotencyKey: run.ID, wire.HeaderExecution: run.ID, wire.HeaderAttempt: "1",
		wire.HeaderWorkflow: w.ID, wire.HeaderInstance: token.ID, wire.HeaderToken: token.ID,
	}
	for name, value := range want {
		if have := calls[0].Header.Get(name); have != value {
			t.Errorf("header %s is %q, want %q", name, have, value)
		}
	}
	// Result and firing are one event.
	if n := f.Stored(w.Stream, wire.InstanceSubjects(w.ID, token.ID)); n != 2 {
		t.Errorf("a creation and a result that fired are %d events", n)
	}
	if run.Status != wire.ExecutionSucceeded || run.TransitionID != "accept" || run.NatsSequence != got.NatsSequence || run.Attempt != 1 ||
		run.Copy == "" || run.InputBytes == 0 || run.OutputBytes == 0 || run.StartedAt.Before(run.QueuedAt) || run.FinishedAt.Before(run.StartedAt) {
		t.Errorf("the record is %+v", run)
	}
	var metadata struct {
		Outputs map[string]struct {
			Success  bool            `json:"success"`
			Output   json.RawMessage `json:"output"`
			Attempts int             `json:"attempts"`
		} `json:"function_outputs"`
	}
	if err := json.Unmarshal(got.Metadata, &metadata); err != nil {
		t.Fatal(err)
	}
	if out := metadata.Outputs["word_count"]; !out.Success || out.Attempts != 1 || string(out.Output) != `{"words":2.0}` {
		t.Errorf("metadata is %s", got.Metadata)
	}
}

func TestAFunctionThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.function(`{"id":"flaky","kind":"nats",` + quick + `}`)
	tries := 0
	p := f.answering("flaky", func(*nats.Msg) *nats.Msg {
		if tries++; tries < 3 {
			return refusing("500", "not yet")
		}
		return said(`true`)
	})
	f.deploy(worker("flaky_flow", `{"function":"flaky","on_success":"accept","on_failure":"park"}`))
	token := f.create("flaky_flow", `{}`)
	f.standsIn(token.ID, "good")
	keys := map[string]bool{}
	for i, m := range p.called() {
		keys[m.Header.Get(wire.HeaderIdempotencyKey)] = true
		if got := m.Header.Get(wire.HeaderAttempt); got != fmt.Sprint(i+1) {
			t.Errorf("attempt %d is called %s", i+1, got)
		}
	}
	if len(p.called()) != 3 || len(keys) != 1 {
		t.Errorf("%d attempts with %d idempotency keys", len(p.called()), len(keys))
	}
	if run := f.ended("flaky", 1)[0]; run.Attempt != 3 || run.Status != wire.ExecutionSucceeded {
		t.Errorf("the record is %+v", run)
	}
	if letters := f.letters("flaky"); len(letters) != 0 {
		t.Errorf("dead letters: %+v", letters)
	}
}

func TestAFunctionThatFailsForGood(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.function(`{"id":"broken","kind":"nats",` + quick + `}`)
	healed := make(chan struct{})
	f.answering("broken", func(*nats.Msg) *nats.Msg {
		select {
		case <-healed:
			return said(`"well"`)
		default:
			return refusing("500", "out of order")
		}
	})
	w := f.deploy(worker("breaking", `{"function":"broken","input":{"n":"=token.data.n"},"on_success":"accept"}`))
	token := f.create("breaking", `{"n":7}`)
	run := f.ended("broken", 1)[0]
	if run.Status != wire.ExecutionFailed || run.Attempt != 3 || run.Error == nil || run.Error.Code != wire.FailureFailed {
		t.Errorf("the record is %+v", run)
	}
	// The token stands where it stood, and says what happened.
	failed := f.token(token.ID)
	if failed.Place != "in" || f.Stored(w.Stream, wire.LifecycleSubject(w.ID, token.ID, wire.LifecycleFunctionFailed)) != 1 {
		t.Errorf("the token is %+v", failed)
	}
	// Everything about it can be seen.
	letters := f.letters("broken")
	if len(letters) != 1 || letters[0].ID != run.ID {
		t.Fatalf("dead letters: %+v", letters)
	}
	seen := servicetest.Do(t, f.ExecutionGet, wire.ExecutionGetRequest{ID: run.ID})
	if string(seen.Input) != `{"n":7}` || len(seen.Failures) != 3 || seen.Failures[2].Code != wire.FailureFailed {
		t.Errorf("the dead letter is %+v", seen)
	}

	close(healed)
	redriven := servicetest.Do(t, f.ExecutionRedrive, wire.ExecutionRedriveRequest{ExecutionFilter: wire.ExecutionFilter{Target: "broken"}})
	if diff := cmp.Diff(wire.ExecutionChangeReply{Executions: []string{run.ID}}, redriven); diff != "" {
		t.Errorf("redriven (-want +have):\n%s", diff)
	}
	f.standsIn(token.ID, "good")
	if again := f.ended("broken", 1)[0]; again.ID != run.ID || again.Redrives != 1 || again.Status != wire.ExecutionSucceeded {
		t.Errorf("after the redrive the record is %+v", again)
	}
	if letters := f.letters("broken"); len(letters) != 0 {
		t.Errorf("dead letters: %+v", letters)
	}
	servicetest.Refused(t, fault.ExecutionNotFound, f.ExecutionRedrive, wire.ExecutionRedriveRequest{ID: run.ID})
}

func TestADeadLetterIsDiscardedWithAReason(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.function(`{"id":"refuses","kind":"nats"}`)
	f.answering("refuses", func(*nats.Msg) *nats.Msg { return refusing("422", "not this one") })
	f.deploy(worker("refusing", `{"function":"refuses","on_success":"accept","on_failure":"park"}`))
	token := f.create("refusing", `{}`)
	f.standsIn(token.ID, "bad")
	run := f.ended("refuses", 1)[0]
	if run.Attempt != 1 || run.TransitionID != "park" || run.Error.Code != wire.FailureRejected {
		t.Errorf("what will not pass is not tried again, and the record is %+v", run)
	}
	// The token has gone on, so there is nothing to run again for.
	servicetest.Refused(t, fault.TokenMoved, f.ExecutionRedrive, wire.ExecutionRedriveRequest{ID: run.ID})
	refused := servicetest.Do(t, f.ExecutionRedrive, wire.ExecutionRedriveRequest{ExecutionFilter: wire.ExecutionFilter{Target: "refuses"}})
	if len(refused.Executions) != 0 || len(refused.Refused) != 1 || refused.Refused[0].Code != string(fault.TokenMoved) {
		t.Errorf("have %+v", refused)
	}
	servicetest.Refused(t, fault.InvalidField, f.ExecutionDiscard, wire.ExecutionDiscardRequest{ID: run.ID})
	request := wire.ExecutionDiscardRequest{ID: run.ID, Reason: "the order was withdrawn", Origin: wire.Origin{RequestID: "discard-1", TriggeredBy: "alice"}}
	servicetest.Do(t, f.ExecutionDiscard, request)
	servicetest.Do(t, f.ExecutionDiscard, request) // A repeat.
	if e := servicetest.Do(t, f.ExecutionGet, wire.ExecutionGetRequest{ID: run.ID}); e.Status != wire.ExecutionDiscarded || e.Reason != "the order was withdrawn" || e.TriggeredBy != "alice" {
		t.Errorf("the record is %+v", e)
	}
	if letters := f.letters("refuses"); len(letters) != 0 {
		t.Errorf("dead letters: %+v", letters)
	}
}

func TestWorkIsDroppedWhenItsTokenHasLeft(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	// The job waits, because the function is disabled.
	f.function(`{"id":"later","kind":"nats","enabled":false}`)
	p := f.answering("later", func(*nats.Msg) *nats.Msg { return said(`1`) })
	f.deploy(worker("leaving", `{"function":"later","on_success":"accept"}`))
	token := f.create("leaving", `{}`)
	servicetest.Eventually(t, "the job is queued", func() bool { return f.Stored(wire.StreamJobs, "jobs.function.later.>") == 1 })
	f.fire(token.ID, "park")
	enabled := true
	servicetest.Do(t, f.FunctionUpdate, wire.FunctionUpdateRequest{ID: "later", FunctionSpec: wire.FunctionSpec{Enabled: &enabled}})
	run := f.ended("later", 1)[0]
	if run.Status != wire.ExecutionDropped || len(p.called()) != 0 {
		t.Errorf("the program was asked %d times, and the record is %+v", len(p.called()), run)
	}
}

func TestProgressKeepsALongCallAlive(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.function(`{"id":"slow","kind":"nats","timeout":"300ms","retry":{"attempts":1}}`)
	f.function(`{"id":"silent","kind":"nats","timeout":"300ms","retry":{"attempts":1}}`)
	f.answering("silent", func(*nats.Msg) *nats.Msg { return nil })
	f.answering("slow", func(m *nats.Msg) *nats.Msg {
		for range 5 {
			progress := &nats.Msg{Subject: m.Reply, Header: nats.Header{wire.HeaderProgress: {"still at it"}}}
			if err := f.NC.PublishMsg(progress); err != nil {
				t.Error(err)
			}
			<-time.After(150 * time.Millisecond) // The work takes its time; that is what is tested.
		}
		return said(`"done"`)
	})
	slow := servicetest.Do(t, f.FunctionInvoke, wire.FunctionInvokeRequest{ID: "slow"})
	if slow.Status != wire.ExecutionSucceeded || string(slow.Output) != `"done"` || slow.DurationMS < 700 {
		t.Errorf("have %+v", slow)
	}
	silent := servicetest.Do(t, f.FunctionInvoke, wire.FunctionInvokeRequest{ID: "silent"})
	if silent.Status != wire.ExecutionFailed || silent.Error.Code != wire.FailureTimeout {
		t.Errorf("have %+v", silent)
	}
	if gone := servicetest.Do(t, f.FunctionInvoke, wire.FunctionInvokeRequest{ID: f.function(`{"id":"nobody","kind":"nats","retry":{"attempts":1}}`).ID}); gone.Error == nil || gone.Error.Code != wire.FailureUnreachable {
		t.Errorf("have %+v", gone)
	}
}

func TestSeveralFunctionsOfAPlaceDoTheirPartsAlone(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	// One of them waits long for its next attempt, and nobody waits for that.
	f.function(`{"id":"left","kind":"nats","retry":{"attempts":5,"initial":"1h","max":"1h"}}`)
	f.function(`{"id":"middle","kind":"expression","expression":"input.n + 1"}`)
	f.function(`{"id":"right","kind":"nats"}`)
	f.answering("left", func(*nats.Msg) *nats.Msg { return refusing("503", "busy") })
	f.answering("right", func(*nats.Msg) *nats.Msg { return said(`"right"`) })
	f.deploy(worker("several", `{"function":"left"},{"function":"middle"},{"function":"right"}`))
	token := f.create("several", `{"n":1}`)
	f.ended("middle", 1)
	f.ended("right", 1)
	var metadata struct {
		Outputs map[string]struct {
			Output json.RawMessage `json:"output"`
		} `json:"function_outputs"`
	}
	if err := json.Unmarshal(f.token(token.ID).Metadata, &metadata); err != nil {
		t.Fatal(err)
	}
	if len(metadata.Outputs) != 2 || string(metadata.Outputs["middle"].Output) != "2" || string(metadata.Outputs["right"].Output) != `"right"` {
		t.Errorf("metadata has %v", metadata.Outputs)
	}
	waiting := servicetest.Do(t, f.ExecutionList, wire.ExecutionListRequest{ExecutionFilter: wire.ExecutionFilter{Target: "left"}, Status: wire.ExecutionWaiting})
	if len(waiting.Executions) != 1 || waiting.Executions[0].Attempt != 1 || time.Until(waiting.Executions[0].NextAttemptAt) < 30*time.Minute {
		t.Errorf("waiting: %+v", waiting.Executions)
	}
}

func TestAResultIsKeptWhenItsTransitionIsRefused(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.function(`{"id":"checker","kind":"expression","expression":"input.n"}`)
	f.deploy(`{"name":"guarded_work","initial_place":"in","places":[{"id":"in","functions":[{"function":"checker","on_success":"go"}]},{"id":"out"}],
		"transitions":[{"id":"go","from":"in","to":"out","when":"token.data.n > 10"}]}`)
	token := f.create("guarded_work", `{"n":1}`)
	run := f.ended("checker", 1)[0]
	got := f.token(token.ID)
	if run.Status != wire.ExecutionSucceeded || run.NatsSequence == 0 || run.TransitionID != "" || run.Reason == "" || got.Place != "in" || len(got.Metadata) == 0 {
		t.Errorf("the record is %+v, and the token %+v", run, got)
	}
}

func TestWorkRestsWithItsInstance(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.function(`{"id":"resting","kind":"nats"}`)
	asked, release := make(chan struct{}, 8), make(chan struct{})
	p := f.answering("resting", func(*nats.Msg) *nats.Msg {
		asked <- struct{}{}
		<-release
		return said(`1`)
	})
	f.deploy(worker("rest", `{"function":"resting","on_success":"accept"}`))
	during := f.create("rest", `{}`)
	<-asked
	servicetest.Do(t, f.InstanceSuspend, wire.InstanceSuspendRequest{InstanceID: during.ID})
	close(release)
	servicetest.Eventually(t, "the result is stored", func() bool {
		all := servicetest.Do(t, f.ExecutionList, wire.ExecutionListRequest{ExecutionFilter: wire.ExecutionFilter{Target: "resting"}}).Executions
		return len(all) == 1 && all[0].Status == wire.ExecutionSucceeded
	})
	if got := f.token(during.ID); got.Place != "in" {
		t.Fatalf("a suspended instance has moved: %+v", got)
	}
	servicetest.Do(t, f.InstanceResume, wire.InstanceResumeRequest{InstanceID: during.ID})
	f.standsIn(during.ID, "good")
	if n := len(p.called()); n != 1 {
		t.Errorf("the program was asked %d times", n)
	}

	// Suspended before its work began.
	disabled, enabled := false, true
	servicetest.Do(t, f.FunctionUpdate, wire.FunctionUpdateRequest{ID: "resting", FunctionSpec: wire.FunctionSpec{Enabled: &disabled}})
	before := f.create("rest", `{}`)
	servicetest.Do(t, f.InstanceSuspend, wire.InstanceSuspendRequest{InstanceID: before.ID})
	servicetest.Do(t, f.FunctionUpdate, wire.FunctionUpdateRequest{ID: "resting", FunctionSpec: wire.FunctionSpec{Enabled: &enabled}})
	servicetest.Eventually(t, "the work rests", func() bool {
		return len(servicetest.Do(t, f.ExecutionList, wire.ExecutionListRequest{ExecutionFilter: wire.ExecutionFilter{Target: "resting"}, Status: wire.ExecutionSuspended}).Executions) == 1
	})
	servicetest.Do(t, f.InstanceResume, wire.InstanceResumeRequest{InstanceID: before.ID})
	f.standsIn(before.ID, "good")
	if n := len(p.called()); n != 2 {
		t.Errorf("the program was asked %d times", n)
	}
}

func TestWorkOfATerminalPlaceIsDone(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.function(`{"id":"farewell","kind":"expression","expression":"{'bye': token.place}"}`)
	f.deploy(`{"name":"ending","initial_place":"in","places":[{"id":"in"},{"id":"out","functions":[{"function":"farewell"}]}],"transitions":[{"id":"go","from":"in","to":"out"}]}`)
	token := f.create("ending", `{}`)
	f.fire(token.ID, "go")
	run := f.ended("farewell", 1)[0]
	if run.Status != wire.ExecutionSucceeded || string(run.Output) != `{"bye":"out"}` || run.NatsSequence != 0 || run.Reason == "" {
		t.Errorf("the record is %+v", run)
	}
}
