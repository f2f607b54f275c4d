package demo

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/deploy/examples"
	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/functionset"
)

// newTestRuns is one run that succeeded at the second attempt, one that failed, and one of a
// chain after that, with what is expected of them.
func newTestRuns() (runs, map[string]map[string]examples.Runs) {
	records := []wire.Execution{
		{ID: "a", Target: "check", InstanceID: "one", TokenID: "one-0", ArrivalSequence: 4, Status: wire.ExecutionSucceeded, Attempt: 2, NatsSequence: 6, TransitionID: "accept"},
		{ID: "b", Target: "check", InstanceID: "two", TokenID: "two-0", ArrivalSequence: 5, Status: wire.ExecutionFailed, Attempt: 1, NatsSequence: 7, TransitionID: "park"},
		{ID: "c", Target: "note", InstanceID: "two", TokenID: "two-0", ArrivalSequence: 7, Status: wire.ExecutionSucceeded, Attempt: 1, NatsSequence: 8, Parent: "b"},
	}
	all := runs{records: records, letters: []wire.Execution{{
		ID: "b", Target: "check", InstanceID: "two", Error: &wire.Failure{Code: wire.FailureRejected, Message: "no"},
	}}}
	for i := range records {
		all.results = append(all.results, resultOf(&records[i]))
	}
	return all, map[string]map[string]examples.Runs{
		"one": {"check": {Succeeded: 1, Retries: 1}}, "two": {"check": {Failed: 1}, "note": {Succeeded: 1}}, "idle": nil,
	}
}

func TestRunsAreCompared(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(r *runs, expected map[string]map[string]examples.Runs)
		want   string
	}{
		"equal": {func(*runs, map[string]map[string]examples.Runs) {}, ""},
		"lost": {func(r *runs, _ map[string]map[string]examples.Runs) {
			r.records[2].NatsSequence, r.records[2].Reason, r.results = 0, "token_moved", r.results[:2]
		}, "run c of note is succeeded, and the log holds no result of its own: token_moved"},
		"doubled": {func(r *runs, _ map[string]map[string]examples.Runs) {
			r.results = append(r.results, result{sequence: 9, instance: "one", function: "check"})
		}, "instance one: no run has the result of check in event 9"},
		"shared": {func(r *runs, _ map[string]map[string]examples.Runs) {
			r.records[2].NatsSequence, r.results = 7, r.results[:2]
		}, "run c of note is succeeded, and the log holds no result of its own: "},
		"another firing": {func(r *runs, _ map[string]map[string]examples.Runs) {
			r.results[0].transition = "park"
		}, "run a of check: the log holds {sequence:6 instance:one transition:park function:check outcome:success attempts:2}, " +
			"not {sequence:6 instance:one transition:accept function:check outcome:success attempts:2}"},
		"twice for an arrival": {func(r *runs, expected map[string]map[string]examples.Runs) {
			again := r.records[0]
			again.ID, again.NatsSequence = "d", 9
			r.records, r.results = append(r.records, again), append(r.results, resultOf(&again))
			expected["one"] = map[string]examples.Runs{"check": {Succeeded: 2, Retries: 2}}
		}, "runs a and d of check are about the same arrival"},
		"no dead letter": {func(r *runs, _ map[string]map[string]examples.Runs) {
			r.letters = nil
		}, "run b has failed, and has no dead letter"},
		"a letter too many": {func(r *runs, _ map[string]map[string]examples.Runs) {
			r.letters = append(r.letters, wire.Execution{ID: "a", Target: "check"})
		}, "run a of check has a dead letter, and has not failed"},
		"more retries": {func(_ *runs, expected map[string]map[string]examples.Runs) {
			expected["one"] = map[string]examples.Runs{"check": {Succeeded: 1}}
		}, "instance one: the functions ran map[check:{Succeeded:1 Failed:0 Retries:1}], not map[check:{Succeeded:1 Failed:0 Retries:0}]"},
		"not asked for": {func(_ *runs, expected map[string]map[string]examples.Runs) {
			delete(expected, "one")
		}, "instance one: functions ran, and nobody asked for it"},
		"never ran": {func(_ *runs, expected map[string]map[string]examples.Runs) {
			expected["idle"] = map[string]examples.Runs{"note": {Succeeded: 1}}
		}, "instance idle: the functions ran map[], not map[note:{Succeeded:1 Failed:0 Retries:0}]"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, expected := newTestRuns()
			r.records = slices.Clone(r.records)
			tc.change(&r, expected)
			if got := strings.Join(r.compare(expected), "; "); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestRefusalIsTheOneThatWasExplained(t *testing.T) {
	t.Parallel()
	r, _ := newTestRuns()
	if got := r.refusal(); got == nil || got.instance != "two" || got.Function != "check" || got.Next != "note" || got.Message != "no" {
		t.Errorf("got %+v", got)
	}
	r.records[2].Parent = ""
	if got := r.refusal(); got != nil {
		t.Errorf("got %+v", got)
	}
}

func TestProgramsAnswer(t *testing.T) {
	t.Parallel()
	attempts := 0
	program := func(input json.RawMessage, attempt int) (json.RawMessage, *examples.ProgramError) {
		attempts = attempt
		if string(input) != `{}` {
			return nil, &examples.ProgramError{Code: 422, Message: "not this one"}
		}
		return json.RawMessage(`1`), nil
	}
	said := reply(program, &nats.Msg{Data: []byte(`{}`), Header: nats.Header{wire.HeaderAttempt: {"3"}}})
	if string(said.Data) != "1" || len(said.Header) != 0 || attempts != 3 {
		t.Errorf("attempt %d was answered with %+v", attempts, said)
	}
	refused := reply(program, &nats.Msg{Data: []byte(`[]`)})
	if refused.Header.Get(fault.HeaderCode) != "422" || refused.Header.Get(fault.HeaderMessage) != "not this one" || attempts != 1 {
		t.Errorf("attempt %d was answered with %+v", attempts, refused)
	}
}

// What the example's README says to put is what put takes, and the same as the demo creates.
func TestReadyFunctionsCanBePut(t *testing.T) {
	t.Parallel()
	language, err := condition.New()
	if err != nil {
		t.Fatal(err)
	}
	library, err := examples.FunctionLibrary()
	if err != nil {
		t.Fatal(err)
	}
	for _, fn := range library {
		file, err := functionset.Read(language, "../../../../deploy/examples/functions/"+fn.ID+".yaml", nil)
		if err != nil || len(file.Problems) > 0 || len(file.Functions) != 1 {
			t.Errorf("%s: %+v, %v", fn.ID, file, err)
			continue
		}
		if !file.Functions[0].Same(&wire.Function{ID: fn.ID, FunctionSpec: fn.FunctionSpec}) {
			t.Errorf("%s is read in two ways: %+v and %+v", fn.ID, file.Functions[0], fn)
		}
	}
}
