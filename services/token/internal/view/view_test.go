package view

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testProjector says what a test wants it to say.
type testProjector struct {
	mu    sync.Mutex
	at    uint64
	ours  bool
	moved chan struct{}
}

func (p *testProjector) Progress(string) (uint64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at, p.ours
}

func (p *testProjector) Moved() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.moved
}

func (p *testProjector) move(at uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.ours = at, true
	close(p.moved)
	p.moved = make(chan struct{})
}

type viewTest struct {
	*View
	t         *testing.T
	workflow  string
	projector *testProjector
}

func newTestView(t *testing.T) *viewTest {
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
	p := &testProjector{moved: make(chan struct{})}
	return &viewTest{View: New(b, p), t: t, workflow: uuid.NewString(), projector: p}
}

func (v *viewTest) store(subject string, doc any) {
	v.t.Helper()
	msg := nats.NewMsg(subject)
	if doc != nil {
		body, err := json.Marshal(doc)
		if err != nil {
			v.t.Fatal(err)
		}
		msg.Data = body
	}
	if _, err := v.bus.Publish(v.t.Context(), msg); err != nil {
		v.t.Fatal(err)
	}
}

func (v *viewTest) put(place, id, data string) {
	v.t.Helper()
	v.store(wire.PlaceSubject(v.workflow, place, id), wire.Token{ID: id, WorkflowID: v.workflow, Place: place, Data: json.RawMessage(data)})
}

// all reads every page and returns the tokens' ids, and how many pages there were.
func (v *viewTest) all(workflow, place string, limit int) (ids []string, pages int) {
	v.t.Helper()
	for cursor := ""; ; pages++ {
		tokens, next, err := v.Tokens(v.t.Context(), workflow, place, limit, cursor)
		if err != nil {
			v.t.Fatal(err)
		}
		if len(tokens) > limit {
			v.t.Errorf("a page has %d tokens, %d were asked for", len(tokens), limit)
		}
		for _, token := range tokens {
			ids = append(ids, token.ID)
		}
		if cursor = next; cursor == "" {
			return ids, pages + 1
		}
	}
}

func TestListPagesThroughWhatStandsThere(t *testing.T) {
	t.Parallel()
	v := newTestView(t)
	for n := range 25 {
		v.put([]string{"draft", "review"}[n%2], fmt.Sprintf("t%d", n), `{}`)
		v.store(wire.PlaceSubject(v.workflow, "draft", fmt.Sprintf("gone%d", n)), nil)
	}
	if ids, pages := v.all(v.workflow, "", 10); len(ids) != 25 || pages != 3 {
		t.Errorf("%d tokens on %d pages, want 25 on 3", len(ids), pages)
	}
	if ids, _ := v.all("", "review", 5); len(ids) != 12 {
		t.Errorf("%d tokens in review of any workflow, want 12", len(ids))
	}
	if ids, pages := v.all(v.workflow, "elsewhere", 5); len(ids) != 0 || pages != 1 {
		t.Errorf("an empty place has %v on %d pages", ids, pages)
	}
	counts, err := v.Count(t.Context(), v.workflow)
	if err != nil || counts["draft"] != 13 || counts["review"] != 12 || len(counts) != 2 {
		t.Errorf("counted %v, %v", counts, err)
	}
}

func TestPageEndsAtItsBytes(t *testing.T) {
	t.Parallel()
	v := newTestView(t)
	big := `{"x":"` + strings.Repeat("x", 100<<10) + `"}`
	for n := range 5 {
		v.put("draft", fmt.Sprintf("t%d", n), big)
	}
	if ids, pages := v.all(v.workflow, "draft", 100); len(ids) != 5 || pages != 3 {
		t.Errorf("%d tokens of 100 KB on %d pages, want 5 on 3", len(ids), pages)
	}
}

func TestCursorBelongsToItsList(t *testing.T) {
	t.Parallel()
	v := newTestView(t)
	for n := range 3 {
		v.put("draft", fmt.Sprintf("t%d", n), `{}`)
	}
	_, next, err := v.Tokens(t.Context(), v.workflow, "draft", 1, "")
	if err != nil || next == "" {
		t.Fatalf("no second page: %v", err)
	}
	for name, cursor := range map[string]string{"garbage": "%%%", "short": "AAAA", "cut": next[:len(next)-2]} {
		if _, _, err := v.Tokens(t.Context(), v.workflow, "draft", 1, cursor); !errors.Is(err, fault.InvalidField) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := v.Tokens(t.Context(), v.workflow, "review", 1, next); !errors.Is(err, fault.InvalidField) {
		t.Errorf("the cursor of another list: %v", err)
	}
}

func TestInstancesByStatus(t *testing.T) {
	t.Parallel()
	v := newTestView(t)
	for n, status := range []wire.Status{wire.StatusActive, wire.StatusCompleted, wire.StatusActive} {
		id := fmt.Sprintf("i%d", n)
		v.store(wire.InstanceRecordSubject(v.workflow, status, id), wire.InstanceRecord{ID: id, Status: status})
	}
	for status, want := range map[wire.Status]int{"": 3, wire.StatusActive: 2, wire.StatusCancelled: 0} {
		records, next, err := v.Instances(t.Context(), v.workflow, status, 10, "")
		if err != nil || next != "" || len(records) != want {
			t.Errorf("status %q: %d records, %q, %v; want %d", status, len(records), next, err, want)
		}
	}
}

func TestWaitForTheViewOfThisCopy(t *testing.T) {
	t.Parallel()
	v := newTestView(t)
	v.projector.move(5)
	reached := make(chan error, 1)
	go func() { reached <- v.WaitFor(t.Context(), v.workflow, 9) }()
	v.projector.move(9)
	select {
	case err := <-reached:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(4 * time.Second):
		t.Error("the wait did not end when the view was there")
	}
}

func TestWaitForTheViewOfAnotherCopy(t *testing.T) {
	t.Parallel()
	v := newTestView(t)
	v.store(wire.ProjectionSubject(v.workflow), wire.Checkpoint{WorkflowID: v.workflow, Sequence: 7})
	if err := v.WaitFor(t.Context(), v.workflow, 7); err != nil {
		t.Error(err)
	}
	err := v.WaitFor(t.Context(), v.workflow, 8)
	if !errors.Is(err, fault.Timeout) || fault.From(err).Details["reached"] != uint64(7) {
		t.Errorf("waiting for what does not come: %v", err)
	}
}

func TestPurgeLeavesNothingOfTheInstance(t *testing.T) {
	t.Parallel()
	v := newTestView(t)
	state := wire.State{Instance: wire.Instance{ID: "i", Status: wire.StatusCompleted, NatsSequence: 9}}
	for _, id := range []string{"i", "j"} {
		v.put("approved", id, `{}`)
		state.Tokens = append(state.Tokens, wire.Token{ID: id, Place: "approved"})
	}
	v.put("approved", "other", `{}`)
	v.store(wire.InstanceRecordSubject(v.workflow, wire.StatusCompleted, "i"), wire.InstanceRecord{ID: "i"})
	for range 2 {
		if err := v.Purge(t.Context(), v.workflow, &state); err != nil {
			t.Fatal(err)
		}
	}
	if ids, _ := v.all(v.workflow, "", 10); len(ids) != 1 || ids[0] != "other" {
		t.Errorf("after the purge the view has %v", ids)
	}
	if records, _, err := v.Instances(t.Context(), v.workflow, "", 10, ""); err != nil || len(records) != 0 {
		t.Errorf("after the purge the view has the records %v, %v", records, err)
	}
	m, err := v.bus.Last(t.Context(), wire.StreamPlaces, wire.TokenPlaces(v.workflow, "i"), true)
	if err != nil || m.Header.Get(wire.HeaderRevision) != "9" {
		t.Errorf("the tombstone says %v, %v: a replay could not tell that it is newer", m, err)
	}
}
