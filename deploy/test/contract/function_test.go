package contract_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
)

// runner is the service that owns functions and their runs.
const runner = "function-runner"

// function makes a function of samples/.
func (f *liveFleet) function(name string) {
	f.t.Helper()
	var request map[string]any
	if err := json.Unmarshal(f.sample("valid/function_create_request/"+name+".json"), &request); err != nil {
		f.t.Fatal(err)
	}
	f.ask("breaker.function.create", request)
}

// TestTheFleetTakesTheFunctions: the valid functions of samples/ can be made, whatever their
// kind, and the valid updates of one of them.
func TestTheFleetTakesTheFunctions(t *testing.T) {
	t.Parallel()
	f := newLiveFleet(t)
	paths, err := filepath.Glob(filepath.Join(f.c.Root, "samples", "valid", "function_create_request", "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no functions in samples/: %v", err)
	}
	kinds := map[any]bool{}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		f.function(name)
		var made map[string]any
		if err := json.Unmarshal(f.sample("valid/function_create_request/"+name+".json"), &made); err != nil {
			t.Fatal(err)
		}
		kinds[f.ask("breaker.function.get", map[string]any{"id": made["id"]})["kind"]] = true
	}
	if len(kinds) != 5 {
		t.Errorf("the samples are of the kinds %v, want all five", kinds)
	}
	for _, name := range []string{"patience", "disable", "reset", "kind"} {
		if reply := f.send("breaker.function.update", f.sample("valid/function_update_request/"+name+".json")); reply.Header.Get("Nats-Service-Error-Code") != "" {
			t.Errorf("the update %s: %s", name, reply.Data)
		}
	}
}

// seenWork is what travelled through the streams of work.
type seenWork struct {
	mu       sync.Mutex
	statuses map[string]bool
	subjects []string
	// running is closed when a run is seen to be under way.
	running chan struct{}
}

func (f *liveFleet) watchWork() *seenWork {
	f.t.Helper()
	s := &seenWork{statuses: map[string]bool{}, running: make(chan struct{})}
	for _, subject := range []string{"jobs.>", "executions.>", "dead_letters.>", "$KV.targets.>"} {
		_, err := f.nc.Subscribe(subject, func(m *nats.Msg) {
			var record struct{ Status string }
			_ = json.Unmarshal(m.Data, &record) // Jobs have no status, and what was purged no body.
			s.mu.Lock()
			defer s.mu.Unlock()
			s.subjects = append(s.subjects, m.Subject)
			if record.Status == "running" && !s.statuses["running"] {
				close(s.running)
			}
			s.statuses[record.Status] = true
		})
		if err != nil {
			f.t.Fatal(err)
		}
	}
	if err := f.nc.Flush(); err != nil {
		f.t.Fatal(err)
	}
	return s
}

// answers counts words for word_count as README.md describes it: it shows progress for a slow
// document, over which it sits until its record says so, fails at first with a flaky one, and
// refuses an empty one.
func (f *liveFleet) answers(work *seenWork) {
	f.t.Helper()
	_, err := f.nc.QueueSubscribe("functions.word_count", "word_count", func(m *nats.Msg) {
		if problem := promised(m.Header); problem != "" {
			f.t.Errorf("the request to the function: %s: %v", problem, m.Header)
		}
		var input struct{ Text string }
		if err := json.Unmarshal(m.Data, &input); err != nil {
			f.t.Errorf("the input is %s: %v", m.Data, err)
		}
		reply := nats.NewMsg(m.Reply)
		if input.Text == "slow" {
			progress := nats.NewMsg(m.Reply)
			progress.Header.Set("Breaker-Progress", "half of it")
			_ = m.RespondMsg(progress)
			select {
			case <-work.running:
			case <-time.After(4 * time.Second):
			}
		}
		switch {
		case input.Text == "":
			reply.Header.Set("Nats-Service-Error-Code", "422")
			reply.Header.Set("Nats-Service-Error", "there is no text")
		case input.Text == "flaky" && m.Header.Get("Breaker-Attempt") == "1":
			reply.Header.Set("Nats-Service-Error-Code", "500")
			reply.Header.Set("Nats-Service-Error", "try again")
		default:
			reply.Data = fmt.Appendf(nil, `{"words": %d}`, len(strings.Fields(input.Text)))
		}
		_ = m.RespondMsg(reply)
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if err := f.nc.Flush(); err != nil {
		f.t.Fatal(err)
	}
}

// promised says what is wrong with the headers of a request to a function.
func promised(h nats.Header) string {
	deadline, err := time.Parse(time.RFC3339Nano, h.Get("Breaker-Deadline"))
	switch {
	case len(h.Get("Idempotency-Key")) != 36 || h.Get("Breaker-Execution") != h.Get("Idempotency-Key"):
		return "the key is not that of the execution"
	case h.Get("Breaker-Attempt") == "":
		return "which attempt is it?"
	case err != nil || time.Until(deadline) > time.Minute:
		return "no deadline"
	case (h.Get("Breaker-Token") == "") != (h.Get("Breaker-Instance") == "") || (h.Get("Breaker-Token") == "") != (h.Get("Breaker-Workflow") == ""):
		return "which token is it about?"
	}
	return ""
}

// TestAFunctionsLifeKeepsTheContract goes with a function from its creation to its end, and
// with its runs through all that can become of one.
func TestAFunctionsLifeKeepsTheContract(t *testing.T) {
	t.Parallel()
	f := newLiveFleet(t)
	type object = map[string]any
	work := f.watchWork()
	function := object{
		"id": "word_count", "kind": "nats", "timeout": "5s", "input": object{"text": "=token.data.text"},
		"retry": object{"attempts": 2, "initial": "1s", "jitter": 0}, "rate_limit": object{"count": 1000, "per": "1s"},
		"circuit_breaker": object{"failures": 2, "cooldown": "500ms"}, "chains": []any{object{"function": "audit", "input": object{"words": "=output.words"}}},
		"triggered_by": "alice@example.com", "request_id": "f1", "tags": []any{"review"},
	}
	f.ask("breaker.function.create", function)
	f.ask("breaker.function.create", object{
		"id": "audit", "kind": "expression", "expression": "{'seen': input}", "triggers": []any{
			object{"event": "created", "workflow": "counting"},
			object{"event": "custom", "name": "audited", "when": "event.data.n > 1"},
			object{"event": "function_completed", "function": "word_count", "outcome": "failure"},
		},
	})
	f.ask("breaker.function.update", object{"id": "word_count", "description": "Counts words.", "expected_version": 1})
	f.ask("breaker.function.get", object{"id": "word_count", "version": 1})
	f.ask("breaker.function.list", object{"tag": "review", "kind": "nats", "limit": 1})
	f.ask("breaker.workflow.create", object{"definition": object{
		"name": "counting", "initial_place": "in", "places": []any{
			object{"id": "in", "functions": []any{object{"function": "word_count", "output": "counted", "on_success": "accept"}}}, object{"id": "good"}, object{"id": "bad"},
		},
		"transitions": []any{object{"id": "accept", "from": "in", "to": "good"}, object{"id": "park", "from": "in", "to": "bad"}},
	}})

	f.buried(f.token("three words here"), "unreachable")
	f.answers(work)
	f.redriven(f.letters()[0])
	f.discarded()
	f.leftBehind()
	f.rested()
	f.asked()
	f.refused("function_in_use", "breaker.function.delete", object{"id": "word_count"})
	f.ask("breaker.function.create", object{"id": "passing", "kind": "nats", "enabled": false})
	f.refused("function_disabled", "breaker.function.invoke", object{"id": "passing"})
	f.ask("breaker.function.update", object{"id": "passing", "reset": []any{"enabled"}, "expected_version": 1})
	f.ask("breaker.function.delete", object{"id": "passing", "expected_version": 2, "triggered_by": "alice@example.com", "request_id": "f9"})

	for _, violation := range f.seen.Stop() {
		t.Errorf("contract: %s", violation)
	}
	f.covered(func(service string) bool { return service == runner })
	work.holds(t)
}

// covered makes sure that the watch has seen all that the services in question answer and
// publish.
func (f *liveFleet) covered(by func(service string) bool) {
	f.t.Helper()
	seen := f.seen.Seen()
	for _, e := range f.c.Endpoints {
		if by(e.Service) && e.Subject != "breaker.workflow.delete" && seen[e.Request] == 0 || by(e.Service) && seen[e.Reply] == 0 {
			f.t.Errorf("%s was not seen with its reply", e.Subject)
		}
	}
	for _, m := range f.c.Messages {
		publisher, _, _ := strings.Cut(m.Publisher, ",")
		if by(publisher) && seen[m.Payload] == 0 {
			f.t.Errorf("no %s was seen on %s", m.Payload, m.Subject)
		}
	}
}

// holds makes sure that everything which can become of a run has been on the wire.
func (s *seenWork) holds(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, status := range []string{"queued", "running", "waiting", "suspended", "succeeded", "failed", "dropped", "discarded"} {
		if !s.statuses[status] {
			t.Errorf("no record of a run that is %s was seen", status)
		}
	}
	all := strings.Join(s.subjects, "\n")
	for _, beginning := range []string{
		"jobs.function.word_count.", "jobs.wait.function.word_count.", "jobs.function.audit.-.-.", "executions.function.word_count.", "executions.function.word_count.-.-.",
		"dead_letters.function.word_count.", "$KV.targets.circuit.function.word_count.", "$KV.targets.rate.function.word_count",
	} {
		if !strings.Contains(all, beginning) {
			t.Errorf("nothing was seen on %s", beginning)
		}
	}
}

// token starts an instance with a document.
func (f *liveFleet) token(text string) any {
	f.t.Helper()
	return f.ask("breaker.token.create", map[string]any{"workflow_id": "counting", "data": map[string]any{"text": text}})["id"]
}

func (f *liveFleet) stands(token any, place string) {
	f.t.Helper()
	servicetest.Eventually(f.t, "the token stands in "+place, func() bool {
		return f.ask("breaker.token.get", map[string]any{"token_id": token})["place"] == place
	})
}

// letters are the ids of the dead letters.
func (f *liveFleet) letters() []any {
	f.t.Helper()
	var ids []any
	for _, e := range f.ask("breaker.execution.list", map[string]any{"dead_letters": true, "target": "word_count"})["executions"].([]any) {
		ids = append(ids, e.(map[string]any)["id"])
	}
	return ids
}

// buried waits until the work for a token has failed for good.
func (f *liveFleet) buried(token any, code string) {
	f.t.Helper()
	type object = map[string]any
	servicetest.Eventually(f.t, "the run lies among the dead letters", func() bool { return len(f.letters()) == 1 })
	run := f.ask("breaker.execution.get", object{"id": f.letters()[0]})
	said, _ := run["error"].(object)
	if run["status"] != "failed" || run["token_id"] != token || said["code"] != code || run["input"] == nil || run["failures"] == nil {
		f.t.Errorf("the execution is %v, want one that failed with %s", run, code)
	}
}

// redriven runs a dead letter again, while its circuit is still open.
func (f *liveFleet) redriven(id any) {
	f.t.Helper()
	type object = map[string]any
	reply := f.ask("breaker.execution.redrive", object{"id": id, "triggered_by": "bob@example.com", "request_id": "again"})
	if changed := reply["executions"].([]any); len(changed) != 1 || changed[0] != id {
		f.t.Errorf("the redrive says %v", reply)
	}
	servicetest.Eventually(f.t, "the redriven run has succeeded", func() bool {
		run := f.ask("breaker.execution.get", object{"id": id})
		return run["status"] == "succeeded" && run["redrives"] == 1.0 && run["transition_id"] == "accept"
	})
	f.refused("execution_not_found", "breaker.execution.redrive", object{"id": id})
}

// discarded gives up work that the function refuses.
func (f *liveFleet) discarded() {
	f.t.Helper()
	type object = map[string]any
	token := f.token("")
	f.buried(token, "rejected")
	id := f.letters()[0]
	f.refused("invalid_field", "breaker.execution.discard", object{"id": id, "reason": " "})
	f.ask("breaker.execution.discard", object{"target": "word_count", "workflow_id": "counting", "reason": "nobody wrote it", "triggered_by": "bob@example.com"})
	if run := f.ask("breaker.execution.get", object{"id": id}); run["status"] != "discarded" || run["reason"] != "nobody wrote it" {
		f.t.Errorf("the execution is %v", run)
	}
}

// leftBehind has a token go on without the function: what has failed cannot be redriven, and
// what waits is dropped.
func (f *liveFleet) leftBehind() {
	f.t.Helper()
	type object = map[string]any
	failing := f.token("")
	f.buried(failing, "rejected")
	f.ask("breaker.transition.fire", object{"token_id": failing, "transition_id": "park"})
	reply := f.ask("breaker.execution.redrive", object{"target": "word_count"})
	if refused, _ := reply["refused"].([]any); len(refused) != 1 || refused[0].(object)["code"] != "token_moved" {
		f.t.Errorf("the redrive of what was left behind says %v", reply)
	}
	f.ask("breaker.execution.discard", object{"id": f.letters()[0], "reason": "it was parked"})

	gone := f.token("flaky")
	f.becomes(gone, "waiting")
	f.ask("breaker.transition.fire", object{"token_id": gone, "transition_id": "park"})
	f.becomes(gone, "dropped")
}

// rested suspends an instance while its function waits, and resumes it.
func (f *liveFleet) rested() {
	f.t.Helper()
	type object = map[string]any
	token := f.token("flaky")
	f.becomes(token, "waiting")
	f.ask("breaker.instance.suspend", object{"instance_id": token})
	f.becomes(token, "suspended")
	f.ask("breaker.instance.resume", object{"instance_id": token})
	f.becomes(token, "succeeded")
	f.stands(token, "good")
}

// becomes waits until the run for an instance has a status.
func (f *liveFleet) becomes(instance any, status string) {
	f.t.Helper()
	servicetest.Eventually(f.t, "the run for the token is "+status, func() bool {
		list := f.ask("breaker.execution.list", map[string]any{"target": "word_count", "workflow_id": "counting", "instance_id": instance, "status": status})
		return len(list["executions"].([]any)) == 1
	})
}

// asked invokes functions, and says that something has happened.
func (f *liveFleet) asked() {
	f.t.Helper()
	type object = map[string]any
	run := f.ask("breaker.function.invoke", object{"id": "word_count", "input": object{"text": "slow"}, "triggered_by": "alice@example.com", "request_id": "i1"})
	if output, _ := run["output"].(object); run["status"] != "succeeded" || output["words"] != 1.0 {
		f.t.Errorf("the invocation says %v", run)
	}
	if repeated := f.ask("breaker.function.invoke", object{"id": "word_count", "input": object{"text": "slow"}, "triggered_by": "alice@example.com", "request_id": "i1"}); repeated["id"] != run["id"] {
		f.t.Errorf("a repeat runs again: %v", repeated)
	}
	if queued := f.ask("breaker.function.invoke", object{"id": "word_count", "token_id": f.token("four words are here"), "async": true}); queued["status"] != "queued" {
		f.t.Errorf("the invocation says %v", queued)
	}
	begun := f.ask("breaker.function.trigger", object{"event": "audited", "data": object{"n": 2}, "triggered_by": "bob@example.com"})["executions"].([]any)
	if len(begun) != 1 {
		f.t.Fatalf("the event began %v", begun)
	}
	servicetest.Eventually(f.t, "the triggered run has ended", func() bool {
		reply := f.send("breaker.execution.get", fmt.Appendf(nil, `{"id":%q}`, begun[0].(object)["id"]))
		return strings.Contains(string(reply.Data), `"succeeded"`)
	})
}
