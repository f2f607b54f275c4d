package transition_test

import (
	"context"
	"encoding/json"
	"errors"
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
	"github.com/seed-42b4788c/circuit-breaker/services/transition"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// fleet is a server with copies of the transition service, and a client.
type fleet struct {
	*client.Client
	t      *testing.T
	server *natstest.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	copies []*service.Running
}

func newTestFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{t: t, server: natstest.Start(t)}
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

// start adds a copy of the service.
func (f *fleet) start() {
	f.t.Helper()
	cfg := bus.DefaultConfig()
	cfg.URLs = []string{f.server.URL()}
	running, err := service.Open(f.t.Context(), transition.Name, cfg, telemetry.Discard(),
		func(d service.Deps) (service.Part, error) { return transition.New(d, transition.DefaultConfig()) })
	if err != nil {
		f.t.Fatal(err)
	}
	f.copies = append(f.copies, running)
}

func (f *fleet) stop() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, running := range f.copies {
		if err := running.Stop(ctx); err != nil {
			f.t.Errorf("stopping: %v", err)
		}
	}
	f.copies = nil
}

func (f *fleet) restart() {
	f.t.Helper()
	f.stop()
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
		f.t.Errorf("%+v: got %+v and error %v, want %s", request, reply, err, code)
	}
	return fault.From(err)
}

func (f *fleet) deploy(name, requestID string) wire.Workflow {
	f.t.Helper()
	return do(f, f.WorkflowCreate, creation(name, requestID))
}

func creation(name, requestID string) wire.WorkflowCreateRequest {
	return wire.WorkflowCreateRequest{Definition: definition(name, ""), Origin: wire.Origin{RequestID: requestID}}
}

// definition is a small net; the description tells versions apart.
func definition(name, description string) json.RawMessage {
	return json.RawMessage(`{"name":"` + name + `","description":"` + description + `","initial_place":"a",
		"places":[{"id":"a"},{"id":"b"}],"transitions":[{"id":"go","from":"a","to":"b"}]}`)
}

// stored counts what a workflow's stream has on the subjects of a filter.
func (f *fleet) stored(w wire.Workflow, filter string) int {
	f.t.Helper()
	s, err := f.js.Stream(f.t.Context(), w.Stream)
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
