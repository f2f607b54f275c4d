package transition_test

import (
	"encoding/json"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/transition"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet is a server with copies of the transition service, and a client.
type fleet struct {
	*servicetest.Fleet
	t *testing.T
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
	f.Open(transition.Name, func(d service.Deps) (service.Part, error) { return transition.New(d, transition.DefaultConfig()) })
}

func (f *fleet) restart() {
	f.t.Helper()
	f.Stop()
	f.start()
}

func (f *fleet) deploy(name, requestID string) wire.Workflow {
	f.t.Helper()
	return servicetest.Do(f.t, f.WorkflowCreate, creation(name, requestID))
}

func creation(name, requestID string) wire.WorkflowCreateRequest {
	return wire.WorkflowCreateRequest{Definition: definition(name, ""), Origin: wire.Origin{RequestID: requestID}}
}

// definition is a small net; the description tells versions apart.
func definition(name, description string) json.RawMessage {
	return json.RawMessage(`{"name":"` + name + `","description":"` + description + `","initial_place":"a",
		"places":[{"id":"a"},{"id":"b"}],"transitions":[{"id":"go","from":"a","to":"b"}]}`)
}
