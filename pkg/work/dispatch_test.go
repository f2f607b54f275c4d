package work

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const testWorkflow = "11111111-1111-4111-8111-111111111111"

// newTestVersion is a net in which two places ask for functions.
func newTestVersion(t *testing.T) *bus.Version {
	t.Helper()
	def, problems := petri.ParseDefinition(json.RawMessage(`{"name":"net","initial_place":"a","places":[
		{"id":"a"},{"id":"b","functions":[{"function":"one","on_success":"on"},{"function":"two","output":"x"}]},{"id":"c","functions":[{"function":"one"}]},{"id":"d"}],
		"transitions":[{"id":"go","from":"a","to":"b"},{"id":"split","inputs":["a"],"outputs":["b","c"]},{"id":"on","from":"b","to":"d"},{"id":"end","from":["a","c"],"to":"d"}]}`))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	v, err := bus.Compile(&wire.Workflow{ID: testWorkflow, Version: 1, Definition: *def})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestEventsAreAskedForThatBringTokensToWork(t *testing.T) {
	t.Parallel()
	v := newTestVersion(t)
	var got []string
	for _, subject := range Filters(v.Workflow, FunctionBindings) {
		parts := strings.Split(subject, ".")
		got = append(got, parts[5])
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"created", "go", "injected", "resumed", "split"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	idle := &wire.Workflow{ID: testWorkflow, Definition: wire.Definition{
		Name: "idle", InitialPlace: "a", Places: []wire.Place{{ID: "a"}, {ID: "b"}}, Transitions: []wire.Transition{{ID: "go", From: wire.StringList{"a"}, To: "b"}},
	}}
	if got := Filters(idle, FunctionBindings); len(got) != 0 {
		t.Errorf("a net without work asks for %v", got)
	}
}

func reaction(v *bus.Version, eventType string, again bool, tokens ...wire.Token) *bus.Reaction {
	return &bus.Reaction{
		Version: v, Sequence: 9, Time: time.Unix(1e9, 0), Again: again,
		Event: &wire.Event{EventType: eventType, Instance: &wire.State{Instance: wire.Instance{
			ID: "i", WorkflowID: testWorkflow, Status: wire.StatusActive, Tokens: tokens,
		}}},
	}
}

func TestAnArrivalIsAJobForEachBinding(t *testing.T) {
	t.Parallel()
	v := newTestVersion(t)
	moved := wire.Token{ID: "t1", Place: "b", ArrivalSequence: 9}
	elsewhere := wire.Token{ID: "t2", Place: "c", ArrivalSequence: 4}
	first := Arrivals(wire.KindFunction, FunctionBindings, reaction(v, wire.EventTransitioned, false, moved, elsewhere))
	if len(first) != 2 || first[0].Target != "one" || first[0].OnSuccess != "on" || first[1].Target != "two" || first[1].Output != "x" ||
		first[0].ArrivalSequence != 9 || !first[0].Bound || first[0].MayHaveRun || first[0].ID == first[1].ID {
		t.Fatalf("jobs are %+v", first)
	}
	// The same event gives the same jobs, and says that it was seen.
	again := Arrivals(wire.KindFunction, FunctionBindings, reaction(v, wire.EventTransitioned, true, moved, elsewhere))
	if again[0].ID != first[0].ID || !again[0].MayHaveRun {
		t.Errorf("the event that came again gives %+v", again[0])
	}
	// Another arrival is other work.
	later := moved
	later.ArrivalSequence = 11
	if other := Arrivals(wire.KindFunction, FunctionBindings, reaction(v, wire.EventType(wire.LifecycleResumed), false, later, elsewhere)); len(other) != 3 || other[0].ID == first[0].ID {
		t.Errorf("after the instance was resumed there are %+v", other)
	}
	suspended := reaction(v, wire.EventTransitioned, false, moved)
	suspended.Event.Instance.Status = wire.StatusSuspended
	if jobs := Arrivals(wire.KindFunction, FunctionBindings, suspended); len(jobs) != 0 {
		t.Errorf("a suspended instance asks for %+v", jobs)
	}
}
