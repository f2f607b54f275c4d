package projector

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/seed-42b4788c/circuit-breaker/pkg/audit"
	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const testPatience = 30 * time.Second

// testDefinition has a plain way, a split with its join, and a place with a time-out.
const testDefinition = `{
	"name": "review", "initial_place": "draft",
	"places": [
		{"id": "draft"}, {"id": "desk"}, {"id": "waiting", "timeout": {"after": "%s", "transition": "escalate"}},
		{"id": "legal"}, {"id": "finance"}, {"id": "escalated"}, {"id": "approved"}
	],
	"transitions": [
		{"id": "take", "from": "draft", "to": "desk"},
		{"id": "put", "from": "desk", "to": "draft"},
		{"id": "submit", "from": "draft", "to": "waiting"},
		{"id": "back", "from": "waiting", "to": "draft"},
		{"id": "escalate", "from": "waiting", "to": "escalated"},
		{"id": "check", "inputs": ["draft"], "outputs": ["legal", "finance"]},
		{"id": "conclude", "inputs": ["legal", "finance"], "outputs": ["approved"]}
	],
	"retention": {"completed": "1h"}
}`

// world is a server with one workflow, whose events are published by hand.
type world struct {
	t      testing.TB
	server *natstest.Server
	bus    *bus.Bus
	net    *petri.Net
	// second is version 2, if there is one.
	second   *petri.Net
	workflow wire.WorkflowRecord
	limits   petri.Limits
	members  *testMembers
	log      *testLog
	// deleted is closed when the registry has forgotten the workflow.
	deleted chan struct{}
}

// testLog keeps what was logged.
type testLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *testLog) has(message string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), message)
}

func newTestWorld(t testing.TB, timeout time.Duration) *world {
	t.Helper()
	w := &world{t: t, log: &testLog{}, deleted: make(chan struct{}), server: natstest.Start(t), limits: petri.DefaultLimits(natstest.MaxPayload)}
	w.bus = w.connect()
	ctx := t.Context()
	if err := w.bus.EnsureShared(ctx); err != nil {
		t.Fatal(err)
	}
	definition, problems := petri.ParseDefinition(fmt.Appendf(nil, testDefinition, timeout))
	if len(problems) == 0 {
		w.net, problems = petri.Compile(definition)
	}
	if len(problems) > 0 {
		t.Fatalf("%+v", problems)
	}
	id := uuid.NewString()
	if _, err := w.bus.EnsureWorkflowStream(ctx, id); err != nil {
		t.Fatal(err)
	}
	w.workflow = wire.WorkflowRecord{ID: id, Name: definition.Name, Version: 1, Status: wire.WorkflowActive, Stream: wire.StreamName(id)}
	w.members = &testMembers{changed: make(chan struct{}), live: map[string]bool{}}
	return w
}

func (w *world) connect() *bus.Bus {
	w.t.Helper()
	cfg := bus.DefaultConfig()
	cfg.URLs = []string{w.server.URL()}
	b, err := bus.Connect(w.t.Context(), cfg, telemetry.Discard())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(b.Close)
	return b
}

// project starts a projector of its own, on a connection of its own.
func (w *world) project(options ...func(*Projector)) *Projector {
	w.t.Helper()
	b := w.connect()
	w.members.join(b.Copy)
	p := New(b, w, &testMember{all: w.members, copy: b.Copy}, Config{}, w.tel())
	for _, o := range options {
		o(p)
	}
	if err := p.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(p.Stop)
	return p
}

// tel logs to the test, and keeps what was logged.
func (w *world) tel() *telemetry.Telemetry {
	log := zerolog.New(zerolog.MultiLevelWriter(zerolog.NewTestWriter(w.t), w.log)).With().Timestamp().Logger()
	return telemetry.Assemble(telemetry.Providers{Log: log})
}

// All, Changed and Net make the world the registry.
func (w *world) All() []wire.WorkflowRecord {
	select {
	case <-w.deleted:
		return nil
	default:
		return []wire.WorkflowRecord{w.workflow}
	}
}

func (w *world) Changed() <-chan struct{} {
	select {
	case <-w.deleted:
		return nil
	default:
		return w.deleted
	}
}

func (w *world) Net(_ context.Context, id string, version int) (*petri.Net, *wire.Workflow, error) {
	switch {
	case id == w.workflow.ID && version == 2 && w.second != nil:
		return w.second, &wire.Workflow{ID: id, Version: 2, Definition: *w.second.Definition()}, nil
	case id != w.workflow.ID || version != 1:
		return nil, nil, fault.New(fault.VersionNotFound, "no version %d", version)
	}
	return w.net, &wire.Workflow{ID: id, Version: 1, Definition: *w.net.Definition()}, nil
}

// testMembers are the copies as every one of them sees them; the first owns everything.
type testMembers struct {
	mu      sync.Mutex
	order   []string
	live    map[string]bool
	changed chan struct{}
}

func (m *testMembers) join(copyID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.order = append(m.order, copyID)
	m.live[copyID] = true
	close(m.changed)
	m.changed = make(chan struct{})
}

// own makes a copy the owner of everything. The others are not told when deaf.
func (m *testMembers) own(copyID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.order = slices.DeleteFunc(m.order, func(s string) bool { return s == copyID })
	m.order = append([]string{copyID}, m.order...)
	close(m.changed)
	m.changed = make(chan struct{})
}

// testMember is the members as one copy sees them. A paused one sees what it saw.
type testMember struct {
	all  *testMembers
	copy string

	mu     sync.Mutex
	paused []string
	// lapsed: the lease has run out, and we know.
	lapsed bool
}

func (m *testMember) pause(paused bool) {
	seen := m.Members()
	m.mu.Lock()
	m.paused = nil
	if paused {
		m.paused = seen
	}
	m.mu.Unlock()
	if !paused {
		m.all.mu.Lock()
		defer m.all.mu.Unlock()
		close(m.all.changed)
		m.all.changed = make(chan struct{})
	}
}

func (m *testMember) lapse(lapsed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lapsed = lapsed
}

func (m *testMember) Copy() string { return m.copy }

func (m *testMember) Live() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.lapsed
}

func (m *testMember) Members() []string {
	m.mu.Lock()
	if m.paused != nil {
		defer m.mu.Unlock()
		return m.paused
	}
	m.mu.Unlock()
	m.all.mu.Lock()
	defer m.all.mu.Unlock()
	return slices.Clone(m.all.order)
}

func (m *testMember) Owner(string) string { return m.Members()[0] }

func (m *testMember) Changed() <-chan struct{} {
	m.all.mu.Lock()
	defer m.all.mu.Unlock()
	return m.all.changed
}

// testInstance is one instance whose events a test publishes.
type testInstance struct {
	w     *world
	state *wire.State
}

func (w *world) create(data string) *testInstance {
	w.t.Helper()
	id, err := wire.NewInstanceID(w.workflow.ID, time.Now().UnixMilli(), rand.Uint32())
	if err != nil {
		w.t.Fatal(err)
	}
	i := &testInstance{w: w}
	i.do(petri.Create{WorkflowID: w.workflow.ID, InstanceID: id, Data: json.RawMessage(data)})
	return i
}

func (i *testInstance) fire(transition string) uint64 {
	i.w.t.Helper()
	return i.do(petri.Fire{TransitionID: transition})
}

// do decides a command and stores its event, as the commit loop does.
func (i *testInstance) do(cmd petri.Command) uint64 {
	i.w.t.Helper()
	ev, err := petri.Decide(i.w.net, i.state, cmd, petri.Meta{Time: time.Now(), RequestID: uuid.NewString()}, i.w.limits)
	if err != nil {
		i.w.t.Fatalf("%T: %v", cmd, err)
	}
	body, err := json.Marshal(ev)
	if err != nil {
		i.w.t.Fatal(err)
	}
	msg := nats.NewMsg(petri.Subject(ev))
	msg.Data = body
	var revision uint64
	if i.state != nil {
		revision = i.state.NatsSequence
	}
	bus.Expect(msg, wire.InstanceSubjects(ev.WorkflowID, ev.InstanceID), revision)
	ack, err := i.w.bus.Publish(i.w.t.Context(), msg)
	if err != nil {
		i.w.t.Fatal(err)
	}
	ev.Instance.Fill(ack.Sequence)
	i.state = ev.Instance
	return ack.Sequence
}

// await waits until a condition holds, and says what for when it does not.
func (w *world) await(what string, holds func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(testPatience)
	for !holds() {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: not within %s", what, testPatience)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// reach waits until a projector has brought the view to a sequence.
func (w *world) reach(p *Projector, sequence uint64) {
	w.t.Helper()
	w.await(fmt.Sprintf("view at %d", sequence), func() bool {
		at, ours := p.Progress(w.workflow.ID)
		return ours && at >= sequence
	})
}

// windBack leaves the checkpoint of a holder that ended before its next one.
func (w *world) windBack(sequence uint64) {
	w.t.Helper()
	body, err := json.Marshal(wire.Checkpoint{WorkflowID: w.workflow.ID, Sequence: sequence, Server: w.bus.NC.ConnectedServerId()})
	if err != nil {
		w.t.Fatal(err)
	}
	msg := nats.NewMsg(wire.ProjectionSubject(w.workflow.ID))
	msg.Data = body
	if _, err := w.bus.Publish(w.t.Context(), msg); err != nil {
		w.t.Fatal(err)
	}
}

// place is where the view has a token, empty if nowhere. It fails when it has it twice.
func (w *world) place(token string) string {
	w.t.Helper()
	var places []string
	_, err := w.bus.Scan(w.t.Context(), bus.TailConfig{Stream: wire.StreamPlaces, Subjects: []string{wire.TokenPlaces(w.workflow.ID, token)}}, func(m *bus.Message) error {
		if len(m.Data) > 0 {
			_, place, _, _ := wire.ParsePlaceSubject(m.Subject)
			places = append(places, place)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(places) > 1 {
		w.t.Fatalf("token %s stands in %v", token, places)
	}
	return strings.Join(places, ",")
}

// verify compares view and truth.
func (w *world) verify() audit.Report {
	w.t.Helper()
	report, err := audit.Verify(w.t.Context(), w.bus, w.workflow, audit.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	if !report.OK() {
		w.t.Errorf("%d differences:", report.Found)
		for _, d := range report.Differences {
			w.t.Errorf("%+v", d)
		}
	}
	return report
}

// timers counts the pending schedules of a kind.
func (w *world) timers(kind string) int {
	w.t.Helper()
	stream, err := w.bus.JS.Stream(w.t.Context(), wire.StreamTimers)
	if err != nil {
		w.t.Fatal(err)
	}
	info, err := stream.Info(w.t.Context(), jetstream.WithSubjectFilter(wire.TimerSetSubject(kind, w.workflow.ID, "*", "*")))
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for subject := range info.State.Subjects {
		m, err := w.bus.Last(w.t.Context(), wire.StreamTimers, subject, true)
		if err == nil && m.Header.Get("Nats-Schedule") != "" {
			n++
		}
	}
	return n
}
