package audit

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const definition = `{"name": "n", "initial_place": "a", "places": [{"id": "a"}, {"id": "b"}, {"id": "c"}, {"id": "end"}],
	"transitions": [{"id": "go", "from": "a", "to": "b"}, {"id": "back", "from": "b", "to": "a"}, {"id": "finish", "from": "b", "to": "end"},
		{"id": "split", "inputs": ["a"], "outputs": ["b", "c"]}, {"id": "join", "inputs": ["b", "c"], "outputs": ["end"]}]}`

// auditTest is a workflow whose events and view a test writes itself.
type auditTest struct {
	t        *testing.T
	bus      *bus.Bus
	net      *petri.Net
	workflow wire.WorkflowRecord
	state    *wire.State
	last     uint64
}

func newTestAudit(t *testing.T) *auditTest {
	t.Helper()
	s := natstest.Start(t)
	cfg := bus.DefaultConfig()
	cfg.URLs = []string{s.URL()}
	b, err := bus.Connect(t.Context(), cfg, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.EnsureShared(t.Context()); err != nil {
		t.Fatal(err)
	}
	id := uuid.NewString()
	if _, err := b.EnsureWorkflowStream(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	parsed, problems := petri.ParseDefinition([]byte(definition))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	net, problems := petri.Compile(parsed)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return &auditTest{t: t, bus: b, net: net, workflow: wire.WorkflowRecord{ID: id, Name: "n", Version: 1, Stream: wire.StreamName(id)}}
}

// do stores the event of a command after spoil has had its way with it. The view follows,
// as a projector would keep it.
func (a *auditTest) do(cmd petri.Command, spoil func(*wire.Event)) {
	a.t.Helper()
	if create, ok := cmd.(petri.Create); ok && create.InstanceID == "" {
		id, err := wire.NewInstanceID(a.workflow.ID, time.Now().UnixMilli(), rand.Uint32())
		if err != nil {
			a.t.Fatal(err)
		}
		create.InstanceID, create.WorkflowID = id, a.workflow.ID
		cmd, a.state = create, nil
	}
	ev, err := petri.Decide(a.net, a.state, cmd, petri.Meta{Time: time.Now(), RequestID: uuid.NewString()}, petri.DefaultLimits(1<<20))
	if err != nil {
		a.t.Fatal(err)
	}
	if spoil != nil {
		spoil(ev)
	}
	body, err := json.Marshal(ev)
	if err != nil {
		a.t.Fatal(err)
	}
	msg := &nats.Msg{Subject: petri.Subject(ev), Data: body}
	var revision uint64
	before := a.state
	if before != nil {
		revision = before.NatsSequence
	}
	bus.Expect(msg, wire.InstanceSubjects(ev.WorkflowID, ev.InstanceID), revision)
	ack, err := a.bus.Publish(a.t.Context(), msg)
	if err != nil {
		a.t.Fatal(err)
	}
	m, err := a.bus.At(a.t.Context(), a.workflow.Stream, ack.Sequence)
	if err != nil {
		a.t.Fatal(err)
	}
	ev.Instance.Fill(ack.Sequence)
	a.state, a.last = ev.Instance, ack.Sequence
	a.project(ev, before, m.Time)
}

func (a *auditTest) project(ev *wire.Event, before *wire.State, at time.Time) {
	a.t.Helper()
	touched := map[string]bool{}
	for _, p := range ev.Produced {
		touched[p.TokenID] = true
	}
	for id := range ev.Patches {
		touched[id] = true
	}
	for _, c := range ev.Consumed {
		a.place(wire.PlaceSubject(a.workflow.ID, c.Place, c.TokenID), nil, 0)
	}
	for i := range ev.Instance.Tokens {
		token := &ev.Instance.Tokens[i]
		if before == nil || touched[token.ID] {
			a.place(wire.PlaceSubject(a.workflow.ID, token.Place, token.ID), token.Positioned(a.last, at), a.last)
		}
	}
	if before == nil || ev.Instance.Status != before.Status {
		if before != nil {
			a.place(wire.InstanceRecordSubject(a.workflow.ID, before.Status, ev.InstanceID), nil, 0)
		}
		a.place(wire.InstanceRecordSubject(a.workflow.ID, ev.Instance.Status, ev.InstanceID), wire.InstanceRecord{
			ID: ev.InstanceID, WorkflowID: a.workflow.ID, WorkflowVersion: ev.Instance.WorkflowVersion, Status: ev.Instance.Status,
			CreatedAt: ev.Instance.CreatedAt, UpdatedAt: ev.Instance.UpdatedAt, NatsSequence: a.last,
		}, a.last)
	}
	a.checkpoint(a.last)
}

func (a *auditTest) checkpoint(sequence uint64) {
	a.t.Helper()
	a.place(wire.ProjectionSubject(a.workflow.ID), wire.Checkpoint{WorkflowID: a.workflow.ID, Sequence: sequence}, sequence)
}

func (a *auditTest) place(subject string, doc any, revision uint64) {
	a.t.Helper()
	msg := nats.NewMsg(subject)
	if doc != nil {
		body, err := json.Marshal(doc)
		if err != nil {
			a.t.Fatal(err)
		}
		msg.Data = body
		msg.Header.Set(wire.HeaderRevision, strconv.FormatUint(revision, 10))
	}
	if _, err := a.bus.Publish(a.t.Context(), msg); err != nil {
		a.t.Fatal(err)
	}
}

// expect verifies and wants exactly these kinds of differences, each at least once.
func (a *auditTest) expect(kinds ...Kind) Report {
	a.t.Helper()
	report, err := Verify(a.t.Context(), a.bus, a.workflow, Options{Wait: 300 * time.Millisecond})
	if err != nil {
		a.t.Fatal(err)
	}
	got := map[Kind]bool{}
	for _, d := range report.Differences {
		got[d.Kind] = true
	}
	for _, kind := range kinds {
		if !got[kind] {
			a.t.Errorf("%s was not found", kind)
		}
		delete(got, kind)
	}
	for kind := range got {
		a.t.Errorf("%s was found: %+v", kind, report.Differences)
	}
	if report.OK() != (len(kinds) == 0) {
		a.t.Errorf("OK is %t with %d found", report.OK(), report.Found)
	}
	return report
}

// run does a plain life of an instance.
func (a *auditTest) run() {
	a.do(petri.Create{Data: json.RawMessage(`{"n":1}`)}, nil)
	a.do(petri.Fire{TransitionID: "split", Data: json.RawMessage(`{"x":2}`)}, nil)
	a.do(petri.Suspend{}, nil)
	a.do(petri.Update{TokenID: a.state.Tokens[0].ID, Metadata: json.RawMessage(`{"y":3}`)}, nil)
	a.do(petri.Resume{}, nil)
	a.do(petri.Fire{TransitionID: "join"}, nil)
}

func TestSoundWorkflow(t *testing.T) {
	t.Parallel()
	a := newTestAudit(t)
	a.expect()
	a.run()
	a.do(petri.Create{}, nil)
	a.do(petri.Fire{TransitionID: "go"}, nil)
	a.do(petri.Create{}, nil)
	a.do(petri.Cancel{}, nil)
	r := a.expect()
	if r.Instances != 3 || r.Finished != 2 || r.Events != 10 || r.Firings != 3 || r.Tokens != 2 || r.ViewTokens != 2 || r.ViewRecords != 3 {
		t.Errorf("counted %+v", r)
	}
}

func TestDifferencesAreFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*auditTest)
		kinds []Kind
	}{
		"a snapshot with other data": {func(a *auditTest) {
			a.do(petri.Fire{TransitionID: "go"}, func(ev *wire.Event) { ev.Instance.Tokens[0].Data = json.RawMessage(`{"forged":true}`) })
		}, []Kind{WrongSnapshot}},
		"a token from nowhere": {func(a *auditTest) {
			a.do(petri.Fire{TransitionID: "go"}, func(ev *wire.Event) { ev.Consumed[0].Place = "c" })
		}, []Kind{Unfoldable, ViewWrong, ViewGhost}},
		"a request twice": {func(a *auditTest) {
			var id string
			a.do(petri.Fire{TransitionID: "go"}, func(ev *wire.Event) { id = ev.RequestID })
			a.do(petri.Fire{TransitionID: "back"}, func(ev *wire.Event) {
				ev.RequestID = id
				ev.Instance.Requests[len(ev.Instance.Requests)-1].ID = id
			})
		}, []Kind{Doubled}},
		"a create twice": {func(a *auditTest) {
			again := func(ev *wire.Event) {
				ev.RequestID = "once"
				ev.Instance.Requests[0].ID = "once"
			}
			a.do(petri.Create{}, again)
			a.do(petri.Create{}, again)
		}, []Kind{Doubled}},
		"an event lost": {func(a *auditTest) {
			a.do(petri.Fire{TransitionID: "go"}, nil)
			lost := a.last
			a.do(petri.Fire{TransitionID: "back"}, nil)
			stream, err := a.bus.JS.Stream(a.t.Context(), a.workflow.Stream)
			if err != nil {
				a.t.Fatal(err)
			}
			if err := stream.DeleteMsg(a.t.Context(), lost); err != nil {
				a.t.Fatal(err)
			}
		}, []Kind{BrokenChain, Unfoldable}},
		"no event": {func(a *auditTest) {
			if _, err := a.bus.JS.Publish(a.t.Context(), wire.LifecycleSubject(a.workflow.ID, a.state.ID, "updated"), []byte("{")); err != nil {
				a.t.Fatal(err)
			}
			a.checkpoint(a.last + 1)
		}, []Kind{Malformed}},
		"a ghost in the view": {func(a *auditTest) {
			a.place(wire.PlaceSubject(a.workflow.ID, "c", a.state.ID), a.state.Tokens[0].Positioned(a.last, time.Now()), a.last)
		}, []Kind{ViewGhost}},
		"the ghost of an instance": {func(a *auditTest) {
			const nobody = "01958a7e-0000-8abc-8def-000011111111"
			a.place(wire.InstanceRecordSubject(a.workflow.ID, wire.StatusActive, nobody), wire.InstanceRecord{ID: nobody}, 1)
		}, []Kind{ViewGhost}},
		"a token missing": {func(a *auditTest) {
			a.place(wire.PlaceSubject(a.workflow.ID, "a", a.state.ID), nil, 0)
		}, []Kind{ViewMissing}},
		"a record missing": {func(a *auditTest) {
			a.place(wire.InstanceRecordSubject(a.workflow.ID, wire.StatusActive, a.state.ID), nil, 0)
		}, []Kind{ViewMissing}},
		"an old token": {func(a *auditTest) {
			old := a.state.Tokens[0].Positioned(a.last, time.Now())
			old.Data = json.RawMessage(`{"old":true}`)
			a.place(wire.PlaceSubject(a.workflow.ID, "a", a.state.ID), old, a.last)
		}, []Kind{ViewWrong}},
		"a view that is behind": {func(a *auditTest) { a.checkpoint(a.last - 1) }, []Kind{ViewBehind}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newTestAudit(t)
			a.run()
			a.do(petri.Create{}, nil)
			c.spoil(a)
			a.expect(c.kinds...)
		})
	}
}

func TestPurgedInstanceIsNoDifference(t *testing.T) {
	t.Parallel()
	a := newTestAudit(t)
	a.run()
	a.do(petri.Create{}, nil)
	a.do(petri.Cancel{}, nil)
	a.place(wire.InstanceRecordSubject(a.workflow.ID, wire.StatusCancelled, a.state.ID), nil, 0)
	stream, err := a.bus.JS.Stream(t.Context(), a.workflow.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject(wire.InstanceSubjects(a.workflow.ID, a.state.ID))); err != nil {
		t.Fatal(err)
	}
	a.expect()
}

func TestSmallCacheReadsTheStream(t *testing.T) {
	t.Parallel()
	a := newTestAudit(t)
	a.run()
	report, err := Verify(t.Context(), a.bus, a.workflow, Options{CacheBytes: 1, Wait: time.Second})
	if err != nil || !report.OK() {
		t.Errorf("%+v, %v", report, err)
	}
}
