package rules_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// fleet is a server with copies of the rules service, and a client.
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
	running, err := service.Open(f.t.Context(), rules.Name, cfg, telemetry.Discard(),
		func(d service.Deps) (service.Part, error) { return rules.New(d, rules.DefaultConfig()) })
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

func (f *fleet) rule(id, condition string) wire.Rule {
	f.t.Helper()
	return do(f, f.RuleCreate, wire.RuleCreateRequest{ID: id, Condition: json.RawMessage(condition)})
}

// deploy puts a workflow on the server, as the transition service does, and makes a state of
// it, as the token service would.
func (f *fleet) deploy(definition, data string) *wire.State {
	f.t.Helper()
	def, problems := petri.ParseDefinition(json.RawMessage(definition))
	if len(problems) > 0 {
		f.t.Fatal(problems)
	}
	b := f.copies[0].Bus()
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
		if _, err := f.js.Publish(f.t.Context(), subject, body); err != nil {
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
