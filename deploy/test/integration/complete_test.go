package integration

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// succeeded is the result of a function's work on a token.
func succeeded(token wire.Token, output string) wire.CompleteRequest {
	return wire.CompleteRequest{
		InstanceID: token.InstanceID, TokenID: token.ID, ArrivalSequence: token.ArrivalSequence,
		Binding: "word_count", Kind: wire.KindFunction, Outcome: wire.OutcomeSuccess, Output: json.RawMessage(output), Attempts: 1, DurationMS: 12,
	}
}

func TestAResultIsRecordedWhereTheTokenStands(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(loop("loop"))
	token := f.create("loop", `{"text":"x"}`)
	request := succeeded(token, `{"words":7.0,"gone":null,"old":true}`)
	request.Data = json.RawMessage(`{"words":7}`)
	reply := servicetest.Do(f.t, f.TransitionComplete, request)
	if !reply.Success || reply.Token.Place != "a" || reply.Token.ArrivalSequence != token.ArrivalSequence || string(reply.Token.Data) != `{"text":"x","words":7}` {
		t.Errorf("have %+v with %s", reply, reply.Token.Data)
	}
	const want = `{"function_outputs":{"word_count":{"attempts":1,"duration_ms":12,"output":{"old":true,"words":7.0},"success":true}}}`
	if string(reply.Token.Metadata) != want {
		t.Errorf("metadata is %s, want %s", reply.Token.Metadata, want)
	}
	if n := f.Stored(w.Stream, wire.LifecycleSubject(w.ID, token.ID, wire.LifecycleFunctionExecuted)); n != 1 {
		t.Errorf("%d events say that a function was executed", n)
	}

	// Another run's result stands in the place of the first; nothing of that is left.
	failed := request
	failed.Outcome, failed.Output, failed.Data, failed.Attempts, failed.DurationMS = wire.OutcomeFailure, nil, nil, 0, 0
	failed.Error = json.RawMessage(`{"message":"no"}`)
	const replaced = `{"function_outputs":{"word_count":{"error":{"message":"no"},"success":false}}}`
	if got := servicetest.Do(f.t, f.TransitionComplete, failed).Token; string(got.Metadata) != replaced {
		t.Errorf("metadata is %s, want %s", got.Metadata, replaced)
	}
	agent := request
	agent.Kind, agent.Binding, agent.Data, agent.Attempts, agent.DurationMS, agent.Output = wire.KindAgent, "summarizer", nil, 0, 0, json.RawMessage(`"short"`)
	both := `{"agent_outputs":{"summarizer":{"output":"short","success":true}},` + replaced[1:]
	if got := servicetest.Do(f.t, f.TransitionComplete, agent).Token; string(got.Metadata) != both {
		t.Errorf("metadata is %s, want %s", got.Metadata, both)
	}
	for _, kind := range []string{wire.LifecycleFunctionFailed, wire.LifecycleAgentProcessed} {
		if n := f.Stored(w.Stream, wire.LifecycleSubject(w.ID, token.ID, kind)); n != 1 {
			t.Errorf("%d events say %s", n, kind)
		}
	}
	if got := f.path(token.ID); got != "create" {
		t.Errorf("work is no move, and the path is %s", got)
	}
}

func TestAResultFiresInTheSameEvent(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(loop("loop"))
	token := f.create("loop", `{}`)
	request := succeeded(token, `1.0`)
	request.TransitionID, request.RequestID = "go", "run-1"
	reply := servicetest.Do(f.t, f.TransitionComplete, request)
	if reply.Token.Place != "b" || string(reply.Token.Metadata) != `{"function_outputs":{"word_count":{"attempts":1,"duration_ms":12,"output":1.0,"success":true}}}` {
		t.Errorf("have %+v with %s", reply, reply.Token.Metadata)
	}
	if n := f.Stored(w.Stream, wire.InstanceSubjects(w.ID, token.ID)); n != 2 {
		t.Errorf("a creation and a result that fired are %d events", n)
	}
	stream, err := f.JS.Stream(t.Context(), w.Stream)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := stream.GetMsg(t.Context(), reply.Instance.NatsSequence)
	if err != nil {
		t.Fatal(err)
	}
	var event wire.Event
	if err := json.Unmarshal(msg.Data, &event); err != nil {
		t.Fatal(err)
	}
	work := &wire.Work{Binding: "word_count", Kind: "function", Outcome: "success", Attempts: 1, DurationMS: 12}
	if diff := cmp.Diff(work, event.Work); diff != "" || msg.Subject != wire.TransitionSubject(w.ID, token.ID, "go") || event.TransitionID != "go" {
		t.Errorf("on %s the event is %+v (-want +have):\n%s", msg.Subject, event, diff)
	}
	// The runner that does not know whether it was heard says it again.
	if again := servicetest.Do(f.t, f.TransitionComplete, request); again.Instance.NatsSequence != reply.Instance.NatsSequence {
		t.Errorf("a repeat made %+v", again)
	}
}

func TestAResultComesTooLateForATokenThatWentOn(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(loop("loop"))
	token := f.create("loop", `{}`)
	late := succeeded(token, `1`)
	f.fire(token.ID, "go")
	servicetest.Refused(f.t, fault.TokenMoved, f.TransitionComplete, late)
	// Back in the same place it has arrived anew: the work belongs to the arrival before.
	f.fire(token.ID, "back")
	servicetest.Refused(f.t, fault.TokenMoved, f.TransitionComplete, late)
	late.TransitionID = "go"
	servicetest.Refused(f.t, fault.TokenMoved, f.TransitionComplete, late)
	if got := f.token(token.ID); got.Place != "a" || len(got.Metadata) != 0 {
		t.Errorf("late results left %+v", got)
	}
	f.fire(token.ID, "finish")
	servicetest.Refused(f.t, fault.TokenMoved, f.TransitionComplete, late)
	late.ArrivalSequence = 0
	servicetest.Refused(f.t, fault.InvalidField, f.TransitionComplete, late)
}

func TestAResultForASuspendedInstanceIsKept(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(loop("loop"))
	token := f.create("loop", `{}`)
	servicetest.Do(f.t, f.InstanceSuspend, wire.InstanceSuspendRequest{InstanceID: token.ID})
	request := succeeded(token, `1`)
	request.TransitionID = "go"
	servicetest.Refused(f.t, fault.InstanceSuspended, f.TransitionComplete, request)
	request.TransitionID = ""
	if got := servicetest.Do(f.t, f.TransitionComplete, request); got.Instance.Status != wire.StatusSuspended || len(got.Token.Metadata) == 0 {
		t.Errorf("have %+v", got)
	}
}
