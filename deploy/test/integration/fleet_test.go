// Package integration tests what the services do together, in one process and through NATS.
package integration

import (
	"encoding/json"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	functionrunner "github.com/seed-42b4788c/circuit-breaker/services/function-runner"
	"github.com/seed-42b4788c/circuit-breaker/services/rules"
	"github.com/seed-42b4788c/circuit-breaker/services/token"
	"github.com/seed-42b4788c/circuit-breaker/services/transition"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fleet is a server with all services, and a client.
type fleet struct {
	*servicetest.Fleet
	t *testing.T
	// rules is the configuration of the rules service.
	rules rules.Config
	// functions is that of the function-runner.
	functions functionrunner.Config
}

func newTestFleet(t *testing.T) *fleet {
	t.Helper()
	return newTestFleetFor(t, func(*functionrunner.Config) {})
}

// newTestFleetFor is a fleet whose operator has allowed something to functions.
func newTestFleetFor(t *testing.T, allow func(*functionrunner.Config)) *fleet {
	t.Helper()
	f := &fleet{Fleet: servicetest.New(t), t: t, rules: rules.DefaultConfig(), functions: functionrunner.DefaultConfig()}
	allow(&f.functions)
	f.start()
	return f
}

func (f *fleet) start() {
	f.t.Helper()
	for _, name := range []string{token.Name, rules.Name, transition.Name, functionrunner.Name} {
		f.startOne(name)
	}
}

// startOne adds a copy of a service.
func (f *fleet) startOne(name string) {
	f.t.Helper()
	f.Open(name, map[string]func(service.Deps) (service.Part, error){
		token.Name:          func(d service.Deps) (service.Part, error) { return token.New(d, token.DefaultConfig()) },
		rules.Name:          func(d service.Deps) (service.Part, error) { return rules.New(d, f.rules) },
		functionrunner.Name: func(d service.Deps) (service.Part, error) { return functionrunner.New(d, f.functions) },
		transition.Name:     func(d service.Deps) (service.Part, error) { return transition.New(d, transition.DefaultConfig()) },
	}[name])
}

// restart stops everything, the server too, and starts it again.
func (f *fleet) restart() {
	f.t.Helper()
	f.RestartServer()
	f.start()
}

func (f *fleet) deploy(definition string) wire.Workflow {
	f.t.Helper()
	return servicetest.Do(f.t, f.WorkflowCreate, wire.WorkflowCreateRequest{Definition: json.RawMessage(definition)})
}

func (f *fleet) create(workflow, data string) wire.Token {
	f.t.Helper()
	return servicetest.Do(f.t, f.TokenCreate, wire.TokenCreateRequest{WorkflowID: workflow, Data: json.RawMessage(data)})
}

func (f *fleet) fire(tokenID, transition string) wire.FireReply {
	f.t.Helper()
	return servicetest.Do(f.t, f.TransitionFire, wire.FireRequest{TokenID: tokenID, TransitionID: transition})
}

// join fires where the instance alone says which tokens are meant.
func (f *fleet) join(instanceID, transition string) wire.FireReply {
	f.t.Helper()
	return servicetest.Do(f.t, f.TransitionFire, wire.FireRequest{InstanceID: instanceID, TransitionID: transition})
}

func (f *fleet) token(id string) wire.Token {
	f.t.Helper()
	return servicetest.Do(f.t, f.TokenGet, wire.TokenGetRequest{TokenID: id})
}

func (f *fleet) instance(id string) wire.Instance {
	f.t.Helper()
	return servicetest.Do(f.t, f.InstanceGet, wire.InstanceGetRequest{InstanceID: id})
}

// path is how a token came to where it is: its transitions.
func (f *fleet) path(tokenID string) string {
	f.t.Helper()
	var steps []string
	for _, record := range servicetest.Do(f.t, f.TokenHistory, wire.TokenHistoryRequest{TokenID: tokenID}).Records {
		steps = append(steps, record.TransitionID)
	}
	return strings.Join(steps, " ")
}

// marking is where tokens stand, as the instance and as the view have it; both must agree.
func (f *fleet) marking(instanceID string) map[string]int {
	f.t.Helper()
	instance := f.instance(instanceID)
	truth, view := map[string]int{}, map[string]int{}
	for _, token := range instance.Tokens {
		truth[token.Place]++
	}
	listed := servicetest.Do(f.t, f.TokenList, wire.TokenListRequest{WorkflowID: instance.WorkflowID, MinSequence: instance.NatsSequence, Page: wire.Page{Limit: wire.MaxPage}})
	for _, token := range listed.Tokens {
		if token.InstanceID == instanceID {
			view[token.Place]++
		}
	}
	if len(truth) != len(view) {
		f.t.Errorf("the view has %v of %v", view, truth)
	}
	for place, n := range truth {
		if view[place] != n {
			f.t.Errorf("the view has %v of %v", view, truth)
		}
	}
	return truth
}
