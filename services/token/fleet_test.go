package token_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const reviewNet = `{"name":"review","initial_place":"draft",
	"places":[{"id":"draft"},{"id":"desk"},{"id":"legal"},{"id":"finance"},{"id":"done"}],
	"transitions":[
		{"id":"submit","from":"draft","to":"desk"},{"id":"back","from":"desk","to":"draft"},
		{"id":"check","inputs":["desk"],"outputs":["legal","finance"]},
		{"id":"finish","from":["draft","desk","legal","finance"],"to":"done"}]}`

// fleet is a server, copies of the token service on it, and a client. Workflows and firings,
// which another service owns, are made by hand through a connection of the test's own.
type fleet struct {
	*servicetest.Fleet
	t         *testing.T
	bus       *bus.Bus
	registry  *bus.Registry
	committer *bus.Committer
}

func newTestFleet(t *testing.T, change ...func(*token.Config)) *fleet {
	t.Helper()
	f := &fleet{Fleet: servicetest.New(t), t: t}
	cfg := bus.DefaultConfig()
	cfg.URLs, cfg.Options = []string{f.Server.URL()}, []nats.Option{nats.ReconnectWait(20 * time.Millisecond)}
	var err error
	if f.bus, err = bus.Connect(t.Context(), cfg, telemetry.Discard()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.bus.Close)
	if err := f.bus.EnsureShared(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.registry = bus.NewRegistry(f.bus)
	if err := f.registry.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.registry.Stop)
	if f.committer, err = bus.NewCommitter(f.bus, f.registry); err != nil {
		t.Fatal(err)
	}
	f.start(change...)
	return f
}

// start adds a copy of the service.
func (f *fleet) start(change ...func(*token.Config)) {
	f.t.Helper()
	cfg := token.DefaultConfig()
	for _, c := range change {
		c(&cfg)
	}
	f.Open(token.Name, func(d service.Deps) (service.Part, error) { return token.New(d, cfg) })
}

func (f *fleet) restart() {
	f.t.Helper()
	f.Stop()
	f.start()
}

// restartAll restarts the copies and, while there are none, the server; then the test has
// its say.
func (f *fleet) restartAll(meanwhile func()) {
	f.t.Helper()
	f.RestartServer()
	servicetest.Eventually(f.t, "the test's bus is connected again", func() bool { return f.bus.NC.FlushTimeout(time.Second) == nil })
	meanwhile()
	f.start()
}

// deploy puts a workflow on the server, as the transition service does.
func (f *fleet) deploy(definition string) *wire.WorkflowRecord {
	f.t.Helper()
	id := uuid.NewString()
	if _, err := f.bus.EnsureWorkflowStream(f.t.Context(), id); err != nil {
		f.t.Fatal(err)
	}
	record := wire.WorkflowRecord{ID: id, Status: wire.WorkflowActive, Stream: wire.StreamName(id), CreatedAt: time.Now().UTC()}
	f.publish(&record, definition)
	if err := f.registry.ClaimName(f.t.Context(), record.Name, id, nil); err != nil {
		f.t.Fatal(err)
	}
	if err := f.registry.Write(f.t.Context(), record, 0); err != nil {
		f.t.Fatal(err)
	}
	return &record
}

// redeploy makes the next version of a workflow; the copies hear of it a moment later.
func (f *fleet) redeploy(record *wire.WorkflowRecord, definition string) {
	f.t.Helper()
	before, revision, err := f.registry.Read(f.t.Context(), record.ID)
	if err != nil {
		f.t.Fatal(err)
	}
	f.publish(before, definition)
	if err := f.registry.Write(f.t.Context(), *before, revision); err != nil {
		f.t.Fatal(err)
	}
}

// publish stores the next version of a definition, and names it in the record.
func (f *fleet) publish(record *wire.WorkflowRecord, definition string) {
	f.t.Helper()
	def, problems := petri.ParseDefinition(json.RawMessage(definition))
	if len(problems) > 0 {
		f.t.Fatalf("definition: %v", problems)
	}
	record.Name, record.UpdatedAt = def.Name, time.Now().UTC()
	record.Version++
	body, err := json.Marshal(wire.Workflow{
		ID: record.ID, Version: record.Version, Status: wire.WorkflowActive, Stream: record.Stream, Definition: *def, CreatedAt: record.CreatedAt,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.bus.Publish(f.t.Context(), &nats.Msg{Subject: wire.DefinitionSubject(record.ID), Data: body}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) create(workflow, data string) wire.Token {
	f.t.Helper()
	return servicetest.Do(f.t, f.TokenCreate, wire.TokenCreateRequest{WorkflowID: workflow, Data: json.RawMessage(data)})
}

func (f *fleet) token(id string) wire.Token {
	f.t.Helper()
	return servicetest.Do(f.t, f.TokenGet, wire.TokenGetRequest{TokenID: id})
}

func (f *fleet) instance(id string) wire.Instance {
	f.t.Helper()
	return servicetest.Do(f.t, f.InstanceGet, wire.InstanceGetRequest{InstanceID: id})
}

// fire moves tokens as the transition service does; it gives the tokens produced.
func (f *fleet) fire(tokenID, transition string) []wire.Token {
	f.t.Helper()
	out, err := f.committer.Commit(f.t.Context(), bus.Change{
		Field: "token_id", InstanceID: tokenID, Digest: transition,
		Command: func(context.Context, *bus.Version, *wire.State) (petri.Command, error) {
			return petri.Fire{TokenID: tokenID, TransitionID: transition}, nil
		},
	})
	if err != nil {
		f.t.Fatalf("fire %s: %v", transition, err)
	}
	tokens, err := out.Produced()
	if err != nil {
		f.t.Fatal(err)
	}
	return tokens
}

// ask sends a request as any program does, once, and gives the reply as it came.
func (f *fleet) ask(subject, body string) *nats.Msg {
	f.t.Helper()
	msg, err := f.NC.Request(subject, []byte(body), servicetest.Patience)
	if err != nil {
		f.t.Fatalf("%s %s: %v", subject, body, err)
	}
	return msg
}

// must is ask for a reply that is no refusal.
func (f *fleet) must(subject, body string) string {
	f.t.Helper()
	msg := f.ask(subject, body)
	if code := msg.Header.Get(fault.HeaderCode); code != "" {
		f.t.Fatalf("%s %s: %s %s", subject, body, code, msg.Data)
	}
	return string(msg.Data)
}

// events counts the stored events of an instance.
func (f *fleet) events(record *wire.WorkflowRecord, instance string) int {
	f.t.Helper()
	return f.Stored(record.Stream, wire.InstanceSubjects(record.ID, instance))
}
