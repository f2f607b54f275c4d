// Package integration tests what the services do together, in one process and through NATS.
package integration

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/rules"
	"github.com/seed-42b4788c/circuit-breaker/services/token"
	"github.com/seed-42b4788c/circuit-breaker/services/transition"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// fleet is a server with all services, and a client.
type fleet struct {
	*client.Client
	t      *testing.T
	server *natstest.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	// rules is the configuration of the rules service.
	rules   rules.Config
	running map[string][]*service.Running
}

func newTestFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, server: natstest.Start(t), rules: rules.DefaultConfig(), running: map[string][]*service.Running{}}
	f.nc = f.server.Connect(nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	f.Client = client.New(f.nc)
	var err error
	if f.js, err = jetstream.New(f.nc); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.stop)
	f.start()
	return f
}

func (f *fleet) start() {
	f.t.Helper()
	for _, name := range []string{token.Name, rules.Name, transition.Name} {
		f.startOne(name)
	}
}

// startOne adds a copy of a service.
func (f *fleet) startOne(name string) {
	f.t.Helper()
	build := map[string]func(service.Deps) (service.Part, error){
		token.Name:      func(d service.Deps) (service.Part, error) { return token.New(d, token.DefaultConfig()) },
		rules.Name:      func(d service.Deps) (service.Part, error) { return rules.New(d, f.rules) },
		transition.Name: func(d service.Deps) (service.Part, error) { return transition.New(d, transition.DefaultConfig()) },
	}[name]
	cfg := bus.DefaultConfig()
	cfg.URLs = []string{f.server.URL()}
	running, err := service.Open(f.t.Context(), name, cfg, telemetry.Discard(), build)
	if err != nil {
		f.t.Fatal(err)
	}
	f.running[name] = append(f.running[name], running)
}

func (f *fleet) stop() {
	f.t.Helper()
	for name := range f.running {
		f.stopAll(name)
	}
}

// stopAll stops every copy of a service.
func (f *fleet) stopAll(name string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, running := range f.running[name] {
		if err := running.Stop(ctx); err != nil {
			f.t.Errorf("stopping %s: %v", name, err)
		}
	}
	delete(f.running, name)
}

// restart stops everything, the server too, and starts it again.
func (f *fleet) restart() {
	f.t.Helper()
	f.stop()
	f.server.Restart()
	eventually(f.t, "the test is connected again", func() bool { return f.nc.FlushTimeout(time.Second) == nil })
	f.start()
}

// do calls an endpoint that must not refuse.
func do[Req, Rep any](f *fleet, call func(context.Context, Req) (Rep, error), request Req) Rep {
	f.t.Helper()
	reply, err := call(f.t.Context(), request)
	if err != nil {
		f.t.Fatalf("%+v: %v", request, err)
	}
	return reply
}

// refused calls an endpoint that must refuse.
func refused[Req, Rep any](f *fleet, code fault.Code, call func(context.Context, Req) (Rep, error), request Req) *fault.Error {
	f.t.Helper()
	reply, err := call(f.t.Context(), request)
	if !errors.Is(err, code) {
		f.t.Fatalf("%+v: got %+v and error %v, want %s", request, reply, err, code)
	}
	return fault.From(err)
}

func (f *fleet) deploy(definition string) wire.Workflow {
	f.t.Helper()
	return do(f, f.WorkflowCreate, wire.WorkflowCreateRequest{Definition: json.RawMessage(definition)})
}

func (f *fleet) create(workflow, data string) wire.Token {
	f.t.Helper()
	return do(f, f.TokenCreate, wire.TokenCreateRequest{WorkflowID: workflow, Data: json.RawMessage(data)})
}

func (f *fleet) fire(tokenID, transition string) wire.FireReply {
	f.t.Helper()
	return do(f, f.TransitionFire, wire.FireRequest{TokenID: tokenID, TransitionID: transition})
}

// join fires where the instance alone says which tokens are meant.
func (f *fleet) join(instanceID, transition string) wire.FireReply {
	f.t.Helper()
	return do(f, f.TransitionFire, wire.FireRequest{InstanceID: instanceID, TransitionID: transition})
}

func (f *fleet) token(id string) wire.Token {
	f.t.Helper()
	return do(f, f.TokenGet, wire.TokenGetRequest{TokenID: id})
}

func (f *fleet) instance(id string) wire.Instance {
	f.t.Helper()
	return do(f, f.InstanceGet, wire.InstanceGetRequest{InstanceID: id})
}

// path is how a token came to where it is: its transitions.
func (f *fleet) path(tokenID string) string {
	f.t.Helper()
	var steps []string
	for _, record := range do(f, f.TokenHistory, wire.TokenHistoryRequest{TokenID: tokenID}).Records {
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
	listed := do(f, f.TokenList, wire.TokenListRequest{WorkflowID: instance.WorkflowID, MinSequence: instance.NatsSequence, Page: wire.Page{Limit: wire.MaxPage}})
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

// stored counts what a stream has on the subjects of a filter.
func (f *fleet) stored(stream, filter string) int {
	f.t.Helper()
	s, err := f.js.Stream(f.t.Context(), stream)
	if err != nil {
		f.t.Fatal(err)
	}
	info, err := s.Info(f.t.Context(), jetstream.WithSubjectFilter(filter))
	if err != nil {
		f.t.Fatal(err)
	}
	n := 0
	for _, count := range info.State.Subjects {
		n += int(count)
	}
	return n
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}
