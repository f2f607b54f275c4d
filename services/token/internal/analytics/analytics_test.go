package analytics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testWorkflow   = "0b5e2c7a-0e6b-4a52-9d3b-3f6c1f1f2a10"
	testDefinition = `{
		"name": "document_review", "initial_place": "draft",
		"places": [{"id": "draft"}, {"id": "review"}, {"id": "legal"}, {"id": "finance"}, {"id": "approved"}, {"id": "shelf"}],
		"transitions": [
			{"id": "submit", "from": "draft", "to": "review"},
			{"id": "return", "from": "review", "to": "draft"},
			{"id": "check", "inputs": ["review"], "outputs": ["legal", "finance"]},
			{"id": "conclude", "inputs": ["legal", "finance"], "outputs": ["approved"]},
			{"id": "shelve", "from": "draft", "to": "shelf"}
		]}`
)

// world is a workflow's stream on a real server, and the engine that writes it.
type world struct {
	t      *testing.T
	server *natstest.Server
	bus    *bus.Bus
	record *wire.WorkflowRecord
	net    *petri.Net
	// clock is the time of the next event as the services tell it; tests move it at will.
	clock       time.Time
	instances   int
	places      []string
	transitions []string
}

func newTestWorld(t *testing.T) *world {
	t.Helper()
	s := natstest.Start(t)
	cfg := bus.DefaultConfig()
	cfg.URLs = []string{s.URL()}
	b, err := bus.Connect(t.Context(), cfg, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if _, err := b.EnsureWorkflowStream(t.Context(), testWorkflow); err != nil {
		t.Fatal(err)
	}
	def, problems := petri.ParseDefinition([]byte(testDefinition))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	net, problems := petri.Compile(def)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	w := &world{
		t: t, server: s, bus: b, net: net, clock: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC),
		record: &wire.WorkflowRecord{ID: testWorkflow, Stream: wire.StreamName(testWorkflow)},
	}
	for _, p := range def.Places {
		w.places = append(w.places, p.ID)
	}
	for _, tr := range def.Transitions {
		w.transitions = append(w.transitions, tr.ID)
	}
	// What else stands in the stream is not counted.
	w.publish(wire.DefinitionSubject(testWorkflow), []byte(testDefinition))
	w.publish(wire.WorkflowLifecycleSubject(testWorkflow, wire.LifecycleDeployed), []byte(`{"event_type":"workflow_deployed"}`))
	return w
}

func (w *world) publish(subject string, data []byte) uint64 {
	w.t.Helper()
	ack, err := w.bus.Publish(w.t.Context(), &nats.Msg{Subject: subject, Data: data})
	if err != nil {
		w.t.Fatal(err)
	}
	return ack.Sequence
}

// instance is one run.
type instance struct {
	*world
	state *wire.State
}

func (w *world) create() *instance {
	w.t.Helper()
	w.instances++
	id, err := wire.NewInstanceID(testWorkflow, w.clock.UnixMilli(), uint32(w.instances))
	if err != nil {
		w.t.Fatal(err)
	}
	i := &instance{world: w}
	return i.do(petri.Create{WorkflowID: testWorkflow, InstanceID: id, Data: json.RawMessage(`{"title":"a"}`)})
}

func (i *instance) do(cmd petri.Command) *instance {
	i.t.Helper()
	ev, err := petri.Decide(i.net, i.state, cmd, petri.Meta{Time: i.clock}, petri.DefaultLimits(natstest.MaxPayload))
	if err != nil {
		i.t.Fatal(err)
	}
	data, err := json.Marshal(ev)
	if err != nil {
		i.t.Fatal(err)
	}
	i.state = ev.Instance
	i.state.Fill(i.publish(petri.Subject(ev), data))
	return i
}

func (i *instance) fire(transition string) *instance {
	i.t.Helper()
	return i.do(petri.Fire{TransitionID: transition})
}

// after moves the clock of the services.
func (i *instance) after(d time.Duration) *instance {
	i.clock = i.clock.Add(d)
	return i
}

func (w *world) placesOf(req wire.AnalyticsRequest, live map[string]int) wire.AnalyticsPlacesReply {
	w.t.Helper()
	reply, err := Places(w.t.Context(), w.bus, w.record, w.places, live, req, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return reply
}

func (w *world) transitionsOf(req wire.AnalyticsRequest) wire.AnalyticsTransitionsReply {
	w.t.Helper()
	reply, err := Transitions(w.t.Context(), w.bus, w.record, w.transitions, req, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return reply
}

func constant(count int, d time.Duration) wire.Quantiles {
	ms := milliseconds(d)
	return wire.Quantiles{Count: count, P50: ms, P90: ms, P99: ms, Max: ms}
}

// expect compares, with the error that the sketches may have.
func expect(t *testing.T, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(relativeError, 1e-9)); diff != "" {
		t.Errorf("other figures (-want +got):\n%s", diff)
	}
}

func TestFiguresOfAWorkflow(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	// One goes back once, is split and joined; one is cancelled; one stays; one is shelved.
	w.create().after(time.Minute).fire("submit").after(time.Hour).fire("return").after(time.Minute).fire("submit").
		after(time.Hour).fire("check").after(2 * time.Hour).fire("conclude")
	w.create().after(time.Minute).fire("submit").after(time.Hour).do(petri.Cancel{Reason: "no more"})
	w.create()
	w.create().after(time.Minute).do(petri.Suspend{}).after(time.Hour).do(petri.Resume{}).fire("shelve")

	places := w.placesOf(wire.AnalyticsRequest{}, map[string]int{"draft": 1, "attic": 2})
	expect(t, []wire.PlaceFigures{
		{
			Place: "draft", Tokens: 1, Arrivals: 5, Departures: 4,
			TimeInPlace: wire.Quantiles{Count: 4, P50: 60_000, P90: 60_000, P99: 60_000, Max: 61 * 60_000},
		},
		{Place: "review", Arrivals: 3, Departures: 3, TimeInPlace: constant(3, time.Hour)},
		{Place: "legal", Arrivals: 1, Departures: 1, TimeInPlace: constant(1, 2*time.Hour)},
		{Place: "finance", Arrivals: 1, Departures: 1, TimeInPlace: constant(1, 2*time.Hour)},
		{Place: "approved", Arrivals: 1},
		{Place: "shelf", Arrivals: 1},
		{Place: "attic", Tokens: 2},
	}, places.Places)

	transitions := w.transitionsOf(wire.AnalyticsRequest{})
	expect(t, []wire.TransitionFigures{
		{TransitionID: "submit", Firings: 3, Waited: constant(3, time.Minute)},
		{TransitionID: "return", Firings: 1, Waited: constant(1, time.Hour)},
		{TransitionID: "check", Firings: 1, Waited: constant(1, time.Hour)},
		{TransitionID: "conclude", Firings: 1, Waited: constant(2, 2*time.Hour)},
		{TransitionID: "shelve", Firings: 1, Waited: constant(1, 61*time.Minute)},
	}, transitions.Transitions)
	if got := [3]int{transitions.Created, transitions.Completed, transitions.Cancelled}; got != [3]int{4, 2, 1} {
		t.Errorf("created, completed and cancelled are %v", got)
	}
	for _, window := range []wire.Window{places.Window, transitions.Window} {
		if window.Events != 14 || window.Truncated || window.To.Sub(window.From) != 24*time.Hour {
			t.Errorf("the window is %+v", window)
		}
	}
}

func TestWhatNobodyUsedIsZero(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	places := w.placesOf(wire.AnalyticsRequest{}, nil)
	want := []wire.PlaceFigures{}
	for _, id := range w.places {
		want = append(want, wire.PlaceFigures{Place: id})
	}
	expect(t, want, places.Places)
	transitions := w.transitionsOf(wire.AnalyticsRequest{})
	if len(transitions.Transitions) != len(w.transitions) || transitions.Window.Events != 0 || transitions.Window.Truncated {
		t.Errorf("got %+v", transitions)
	}
	w.places, w.transitions = nil, nil
	if text, err := json.Marshal(w.placesOf(wire.AnalyticsRequest{}, nil).Places); err != nil || string(text) != "[]" {
		t.Errorf("no places are %s, %v", text, err)
	}
}

func TestTheWindow(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	first, second := w.create(), w.create()
	from := time.Now()
	w.clock = w.clock.Add(time.Hour)
	// The first one's arrival is unknown; of the second one an event is seen before it moves.
	first.fire("submit")
	second.do(petri.Update{TokenID: second.state.Tokens[0].ID, Data: json.RawMessage(`{"x":1}`)}).fire("submit")
	to := time.Now()
	first.fire("return")

	got := w.placesOf(wire.AnalyticsRequest{From: from, To: to}, nil)
	expect(t, []wire.PlaceFigures{
		{Place: "draft", Departures: 2, TimeInPlace: constant(1, time.Hour)},
		{Place: "review", Arrivals: 2},
	}, got.Places[:2])
	if got.Window.Events != 3 || got.Window.Truncated || !got.Window.From.Equal(from) || !got.Window.To.Equal(to) {
		t.Errorf("the window is %+v", got.Window)
	}
	if all := w.placesOf(wire.AnalyticsRequest{}, nil); all.Window.Events != 6 || all.Places[0].TimeInPlace.Count != 2 {
		t.Errorf("a window over everything gives %+v", all)
	}
	late := wire.AnalyticsRequest{From: time.Now(), To: time.Now().Add(time.Hour)}
	if none := w.placesOf(late, nil); none.Window.Events != 0 || none.Window.Truncated {
		t.Errorf("a window after the last event gives %+v", none)
	}
}

func TestWindowOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.FixedZone("", 3600))
	tests := map[string]struct {
		req      wire.AnalyticsRequest
		from, to time.Time
		refused  bool
	}{
		"nothing given": {from: now.Add(-24 * time.Hour), to: now},
		"only from":     {req: wire.AnalyticsRequest{From: now.Add(-time.Minute)}, from: now.Add(-time.Minute), to: now},
		"only to":       {req: wire.AnalyticsRequest{To: now.Add(-time.Hour)}, from: now.Add(-25 * time.Hour), to: now.Add(-time.Hour)},
		"both":          {req: wire.AnalyticsRequest{From: now.Add(-9), To: now.Add(9)}, from: now.Add(-9), to: now.Add(9)},
		"empty":         {req: wire.AnalyticsRequest{From: now, To: now}, refused: true},
		"backwards":     {req: wire.AnalyticsRequest{From: now, To: now.Add(-1)}, refused: true},
		"in the future": {req: wire.AnalyticsRequest{From: now.Add(1)}, refused: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := windowOf(test.req, now)
			if test.refused {
				var refusal *fault.Error
				if !errors.As(err, &refusal) || refusal.Code != fault.InvalidField || refusal.Details["field"] != "from" {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil || !got.From.Equal(test.from) || !got.To.Equal(test.to) || got.To.Location() != time.UTC {
				t.Fatalf("got %+v, %v", got, err)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	for range 10 {
		w.create().after(time.Second).fire("submit")
	}
	tests := map[string]struct {
		bounds    bounds
		events    int
		truncated bool
	}{
		"all events":   {bounds{events: 20, tokens: 10}, 20, false},
		"fewer events": {bounds{events: 7, tokens: 10}, 7, true},
		"fewer tokens": {bounds{events: 20, tokens: 3}, 7, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := time.Now()
			got, err := test.bounds.transitions(t.Context(), w.bus, w.record, w.transitions, wire.AnalyticsRequest{}, now)
			if err != nil {
				t.Fatal(err)
			}
			if got.Window.Events != test.events || got.Window.Truncated != test.truncated {
				t.Fatalf("the window is %+v", got.Window)
			}
			if got.Created+got.Transitions[0].Firings != test.events {
				t.Errorf("%d events became %+v", test.events, got)
			}
			if test.truncated && !(got.Window.To.After(got.Window.From) && got.Window.To.Before(now)) {
				t.Errorf("a cut window ends at %s", got.Window.To)
			}
		})
	}
}

func TestTokensOfFinishedInstancesAreForgotten(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	for range 4 {
		w.create().fire("shelve")
		w.create().do(petri.Cancel{})
	}
	got, err := bounds{events: 100, tokens: 1}.places(t.Context(), w.bus, w.record, w.places, nil, wire.AnalyticsRequest{}, time.Now())
	if err != nil || got.Window.Truncated || got.Window.Events != 16 {
		t.Fatalf("got %+v, %v", got.Window, err)
	}
}

func TestTheDeadlineCutsThePass(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	const events = 3000
	i := w.create()
	data, err := json.Marshal(wire.Event{
		EventType: "token_updated", InstanceID: i.state.ID, Timestamp: w.clock, Instance: i.state,
	})
	if err != nil {
		t.Fatal(err)
	}
	for range events {
		if _, err := w.bus.JS.PublishAsync(wire.LifecycleSubject(testWorkflow, i.state.ID, wire.LifecycleUpdated), data); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-w.bus.JS.PublishAsyncComplete():
	case <-time.After(20 * time.Second):
		t.Fatal("the events were not stored")
	}
	// How fast the machine is decides which of these deadlines cuts a pass in the middle.
	for allowed := minMargin + time.Millisecond; allowed < 20*time.Second; allowed += allowed / 20 {
		ctx, cancel := context.WithTimeout(t.Context(), allowed)
		got, err := Places(ctx, w.bus, w.record, w.places, nil, wire.AnalyticsRequest{}, time.Now())
		late := ctx.Err() != nil
		cancel()
		switch {
		case err != nil && !errors.Is(err, context.DeadlineExceeded):
			t.Fatal(err)
		case err != nil:
			continue
		case !got.Window.Truncated:
			t.Fatalf("a pass of %d events was never cut; with %s it read them all", got.Window.Events, allowed)
		}
		if got.Window.Events == 0 || got.Window.Events > events || late || !got.Window.To.After(got.Window.From) {
			t.Fatalf("cut at %+v, too late: %v", got.Window, late)
		}
		return
	}
	t.Fatal("no deadline was long enough to read an event")
}

func TestWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	elsewhere := &wire.WorkflowRecord{ID: testWorkflow, Stream: "WORKFLOW_NOWHERE"}
	if _, err := Places(t.Context(), w.bus, elsewhere, nil, nil, wire.AnalyticsRequest{}, time.Now()); !errors.Is(err, fault.Unavailable) {
		t.Errorf("a stream that is not there gives %v", err)
	}
	w.publish(wire.LifecycleSubject(testWorkflow, w.create().state.ID, wire.LifecycleUpdated), []byte(`{"event_type":`))
	if _, err := Places(t.Context(), w.bus, w.record, nil, nil, wire.AnalyticsRequest{}, time.Now()); err == nil {
		t.Error("an event that is no JSON was passed over")
	}
	w.server.Shutdown()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Places(ctx, w.bus, w.record, nil, nil, wire.AnalyticsRequest{}, time.Now()); err == nil {
		t.Error("a server that is away gives figures")
	}
}

func TestNothingIsLeftOnTheServer(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	w.create().fire("submit")
	for range 3 {
		w.placesOf(wire.AnalyticsRequest{}, nil)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		stream, err := w.bus.JS.Stream(t.Context(), w.record.Stream)
		if err != nil {
			t.Fatal(err)
		}
		left := stream.CachedInfo().State.Consumers
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d consumers are left", left)
		}
	}
}

func TestDurations(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		from, step    time.Duration
		n             int
		p50, p90, p99 time.Duration
	}{
		"none":               {},
		"all at once":        {n: 10},
		"microseconds":       {from: time.Microsecond, step: time.Microsecond, n: 1000, p50: 500 * time.Microsecond, p90: 900 * time.Microsecond, p99: 990 * time.Microsecond},
		"hours":              {from: time.Hour, step: time.Hour, n: 1000, p50: 500 * time.Hour, p90: 900 * time.Hour, p99: 990 * time.Hour},
		"from 1 ns on":       {from: 1, step: 100 * 24 * time.Hour, n: 1000, p50: 49950 * 24 * time.Hour, p90: 89950 * 24 * time.Hour, p99: 98950 * 24 * time.Hour},
		"one, much repeated": {from: time.Minute, n: 5, p50: time.Minute, p90: time.Minute, p99: time.Minute},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d durations
			longest := time.Duration(0)
			for i := range test.n {
				longest = test.from + time.Duration(i)*test.step
				if err := d.add(longest); err != nil {
					t.Fatal(err)
				}
			}
			got := d.quantiles()
			if got.Count != test.n || got.Max != milliseconds(longest) {
				t.Errorf("count and max are %+v", got)
			}
			for _, q := range []struct {
				got  float64
				want time.Duration
			}{{got.P50, test.p50}, {got.P90, test.p90}, {got.P99, test.p99}} {
				// A rank more or less, and the sketch's own error.
				if want := milliseconds(q.want); math.Abs(q.got-want) > want*1.2*relativeError || q.got > got.Max {
					t.Errorf("got %v, want %v: %+v", q.got, want, got)
				}
			}
		})
	}
}

func BenchmarkAdd(b *testing.B) {
	tokens := make([]wire.Token, 3)
	for i := range tokens {
		tokens[i] = wire.Token{
			ID: fmt.Sprintf("019caa2d-6f00-8000-8000-%04x0b5e2c7a", i), Place: "review",
			Data: json.RawMessage(`{"text":"some text"}`), ArrivedAt: time.Now(),
		}
	}
	data, err := json.Marshal(wire.Event{
		EventType: "token_updated", Timestamp: time.Now(), Instance: &wire.State{Instance: wire.Instance{Tokens: tokens}},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	t := newTally(100)
	for b.Loop() {
		if err := t.add(data); err != nil {
			b.Fatal(err)
		}
	}
}
