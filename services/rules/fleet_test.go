package rules_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet is a server with copies of the rules service, and a client.
type fleet struct {
	*servicetest.Fleet
	t *testing.T
	// newest is the copy started last.
	newest *service.Running
}

func newTestFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{Fleet: servicetest.New(t), t: t}
	f.start()
	return f
}

// start adds a copy of the service.
func (f *fleet) start() {
	f.t.Helper()
	f.newest = f.Open(rules.Name, func(d service.Deps) (service.Part, error) { return rules.New(d, rules.DefaultConfig()) })
}

func (f *fleet) rule(id, condition string) wire.Rule {
	f.t.Helper()
	return servicetest.Do(f.t, f.RuleCreate, wire.RuleCreateRequest{ID: id, Condition: json.RawMessage(condition)})
}

// deploy puts a workflow on the server, as the transition service does, and makes a state of
// it, as the token service would.
func (f *fleet) deploy(definition, data string) *wire.State {
	f.t.Helper()
	def, problems := petri.ParseDefinition(json.RawMessage(definition))
	if len(problems) > 0 {
		f.t.Fatal(problems)
	}
	b := f.newest.Bus()
	id := uuid.NewString()
	if _, err := b.EnsureWorkflowStream(f.t.Context(), id); err != nil {
		f.t.Fatal(err)
	}
	w := wire.Workflow{ID: id, Version: 1, Status: wire.WorkflowActive, Stream: wire.StreamName(id), Definition: *def}
	for subject, v := range map[string]any{
		wire.DefinitionSubject(id): w,
		bus.BucketSubject(wire.BucketWorkflows, id): wire.WorkflowRecord{
			ID: id, Name: def.Name, Version: 1, Status: wire.WorkflowActive, Stream: w.Stream, Places: []string{},
		},
	} {
		body, err := json.Marshal(v)
		if err != nil {
			f.t.Fatal(err)
		}
		if _, err := f.JS.Publish(f.t.Context(), subject, body); err != nil {
			f.t.Fatal(err)
		}
	}
	net, problems := petri.Compile(def)
	if len(problems) > 0 {
		f.t.Fatal(problems)
	}
	instance, err := wire.NewInstanceID(id, time.Now().UnixMilli(), 1)
	if err != nil {
		f.t.Fatal(err)
	}
	ev, err := petri.Decide(net, nil, petri.Create{WorkflowID: id, WorkflowVersion: 1, InstanceID: instance, Data: json.RawMessage(data)},
		petri.Meta{Time: time.Now()}, petri.DefaultLimits(4<<20))
	if err != nil {
		f.t.Fatal(err)
	}
	ev.Instance.Fill(4)
	return ev.Instance
}
