package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const loop = `{"name":"loop","initial_place":"a","places":[{"id":"a"},{"id":"b"},{"id":"end"}],"transitions":[
	{"id":"go","from":"a","to":"b"},{"id":"back","from":"b","to":"a"},{"id":"finish","from":["a","b"],"to":"end"}]}`

// fleet is what a service has: a connection, a registry and a committer.
type fleet struct {
	t         *testing.T
	bus       *bus.Bus
	registry  *bus.Registry
	committer *bus.Committer
}

func newFleet(t *testing.T, url string, change ...func(*bus.Config)) *fleet {
	t.Helper()
	cfg := bus.DefaultConfig()
	cfg.URLs = []string{url}
	for _, c := range change {
		c(&cfg)
	}
	b, err := bus.Connect(t.Context(), cfg, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.EnsureShared(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := bus.NewRegistry(b)
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	c, err := bus.NewCommitter(b, r)
	if err != nil {
		t.Fatal(err)
	}
	return &fleet{t: t, bus: b, registry: r, committer: c}
}

// deploy puts a workflow on the server, as the transition service does.
func (f *fleet) deploy(definition string) *wire.WorkflowRecord {
	f.t.Helper()
	def, problems := petri.ParseDefinition(json.RawMessage(definition))
	if len(problems) > 0 {
		f.t.Fatalf("definition: %v", problems)
	}
	id := uuid.NewString()
	if _, err := f.bus.EnsureWorkflowStream(f.t.Context(), id); err != nil {
		f.t.Fatal(err)
	}
	now := time.Now().UTC()
	w := wire.Workflow{ID: id, Version: 1, Status: wire.WorkflowActive, Stream: wire.StreamName(id), Definition: *def, CreatedAt: now}
	body, err := json.Marshal(w)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.bus.Publish(f.t.Context(), &nats.Msg{Subject: wire.DefinitionSubject(id), Data: body}); err != nil {
		f.t.Fatal(err)
	}
	record := wire.WorkflowRecord{ID: id, Name: def.Name, Version: 1, Status: wire.WorkflowActive, Stream: w.Stream, CreatedAt: now, UpdatedAt: now}
	if err := f.registry.ClaimName(f.t.Context(), def.Name, id, nil); err != nil {
		f.t.Fatal(err)
	}
	if err := f.registry.Write(f.t.Context(), record, 0); err != nil {
		f.t.Fatal(err)
	}
	return &record
}

func (f *fleet) create(ctx context.Context, workflow, requestID, data string) (*bus.Outcome, error) {
	return f.committer.Create(ctx, bus.Creation{
		WorkflowID: workflow, Create: petri.Create{Data: json.RawMessage(data)},
		Origin: wire.Origin{RequestID: requestID}, Digest: "create" + data,
	})
}

func (f *fleet) mustCreate(workflow string) *bus.Outcome {
	f.t.Helper()
	out, err := f.create(f.t.Context(), workflow, "", `{}`)
	if err != nil {
		f.t.Fatalf("create: %v", err)
	}
	return out
}

func (f *fleet) fire(ctx context.Context, instance, transition, requestID, data string) (*bus.Outcome, error) {
	return f.committer.Commit(ctx, bus.Change{
		Field: "instance_id", InstanceID: instance, Origin: wire.Origin{RequestID: requestID}, Digest: transition + data,
		Command: func(context.Context, *bus.Version, *wire.State) (petri.Command, error) {
			return petri.Fire{TransitionID: transition, Data: json.RawMessage(data)}, nil
		},
	})
}

func (f *fleet) revision(instance string) uint64 {
	f.t.Helper()
	out, err := f.committer.Load(f.t.Context(), "instance_id", instance, "", true)
	if err != nil {
		f.t.Fatalf("load: %v", err)
	}
	return out.Sequence
}

// events counts the stored events of an instance.
func (f *fleet) events(record *wire.WorkflowRecord, instance string) int {
	f.t.Helper()
	n := 0
	err := f.bus.Events(f.t.Context(), record, instance, 1, func(*wire.Event, *bus.Message) bool { n++; return true })
	if err != nil {
		f.t.Fatal(err)
	}
	return n
}

// proxy stands between a client and a server, and can swallow what the server says.
type proxy struct {
	t        *testing.T
	listener net.Listener
	target   string
	mute     atomic.Bool

	mu    sync.Mutex
	conns []net.Conn
	work  sync.WaitGroup
}

func newProxy(t *testing.T, serverURL string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, listener: l, target: strings.TrimPrefix(serverURL, "nats://")}
	p.work.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.cut()
		p.work.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.work.Go(func() { io.Copy(server, client); server.Close() }) //nolint:errcheck // ends with either side
		p.work.Go(func() { p.pump(client, server) })
	}
}

// pump carries the server's words, or swallows them while muted.
func (p *proxy) pump(client, server net.Conn) {
	defer client.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		if p.mute.Load() {
			continue
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// cut ends every connection; clients may come back.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
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

func wantCode(t *testing.T, err error, code error) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Fatalf("got error %v, want %v", err, code)
	}
}

func startServer(t *testing.T) *natstest.Server { return natstest.Start(t) }
