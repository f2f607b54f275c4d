package audit

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// progressEvery is how many messages go by between two reports of progress.
const progressEvery = 1000

func (a *audit) readEvents(ctx context.Context) error {
	info, err := a.bus.JS.Stream(ctx, a.workflow.Stream)
	if err != nil {
		return err
	}
	total := info.CachedInfo().State.Msgs
	until, err := a.bus.Scan(ctx, bus.TailConfig{Stream: a.workflow.Stream}, func(m *bus.Message) error {
		if m.Subject == wire.DefinitionSubject(a.workflow.ID) {
			return nil
		}
		a.report.Events++
		if a.report.Events%progressEvery == 0 {
			a.options.Progress(StageEvents, a.report.Events, total)
		}
		return a.event(ctx, m)
	})
	a.report.Sequence = until
	a.report.Instances, a.report.Tokens = len(a.instances), len(a.tokens)
	a.options.Progress(StageEvents, a.report.Events, a.report.Events)
	return err
}

// event compares one event with all that came before it.
func (a *audit) event(ctx context.Context, m *bus.Message) error {
	subject, ok := wire.ParseEventSubject(m.Subject)
	if !ok {
		a.found(Difference{Kind: Malformed, Sequence: m.Sequence, Subject: m.Subject, Message: "the subject is not that of an event"})
		return nil
	}
	if subject.AboutWorkflow() {
		return nil
	}
	a.lastEvent = m.Sequence
	if subject.Transitions {
		a.report.Firings++
	}
	differ := func(k Kind, format string, args ...any) {
		a.suspect(Difference{
			Kind: k, InstanceID: subject.InstanceID, Sequence: m.Sequence, Subject: m.Subject, Message: fmt.Sprintf(format, args...),
		}, nil)
	}
	key, ok := parse(subject.InstanceID)
	var ev wire.Event
	if err := json.Unmarshal(m.Data, &ev); err != nil || !ok || ev.Instance == nil || ev.InstanceID != subject.InstanceID {
		differ(Malformed, "the message is not an event of this instance: %v", err)
		return nil
	}
	if at := petri.Subject(&ev); at != m.Subject {
		differ(Malformed, "the event belongs on %s", at)
	}

	before, known := a.instances[key]
	if want := m.Header.Get(jetstream.ExpectedLastSubjSeqHeader); want != "" && want != strconv.FormatUint(before.last, 10) && !before.broken {
		differ(BrokenChain, "the event was committed after %s, but the one before it is %d", want, before.last)
	}
	var state *wire.State
	if known {
		var err error
		if state, err = a.state(ctx, key, before.last); err != nil {
			return err
		}
	}
	a.request(&ev, state, differ)

	snapshot := *ev.Instance
	snapshot.Tokens = append([]wire.Token(nil), snapshot.Tokens...)
	snapshot.Requests = append([]wire.RememberedRequest(nil), snapshot.Requests...)
	snapshot.Fill(m.Sequence)
	after := instance{last: m.Sequence, broken: before.broken}
	if state == nil && known {
		// It was purged while we read.
		after.broken = true
	} else if folded, err := petri.Apply(state, &ev, m.Sequence); err != nil {
		if !before.broken {
			differ(Unfoldable, "%v", err)
		}
		after.broken = true
	} else if !sameJSON(folded, &snapshot) {
		differ(WrongSnapshot, "folding gives another state than the snapshot: %s", firstDifference(folded, &snapshot))
	}
	a.instances[key] = after
	a.states.put(key, &snapshot, len(m.Data))
	a.expect(m, subject, &ev, &snapshot, state)
	return nil
}

// state is the state after an instance's event at a sequence, nil when it is gone.
func (a *audit) state(ctx context.Context, key id, sequence uint64) (*wire.State, error) {
	if state := a.states.get(key); state != nil {
		return state, nil
	}
	m, err := a.bus.At(ctx, a.workflow.Stream, sequence)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, nil
	}
	var ev wire.Event
	if err := json.Unmarshal(m.Data, &ev); err != nil || ev.Instance == nil {
		return nil, nil
	}
	ev.Instance.Fill(sequence)
	return ev.Instance, nil
}

// request finds a request id that took effect before.
func (a *audit) request(ev *wire.Event, state *wire.State, differ func(Kind, string, ...any)) {
	if ev.RequestID == "" {
		return
	}
	if state != nil {
		for _, r := range state.Requests {
			if r.ID == ev.RequestID {
				differ(Doubled, "request %q had taken effect at %d already", r.ID, r.Sequence)
				return
			}
		}
	}
	if len(a.requests) >= a.options.MaxRequests {
		return
	}
	// A create is doubled by a second instance, anything else by a second event in one.
	scope := ev.InstanceID
	if state == nil {
		scope = "create"
	}
	hash := fingerprint(scope, []byte(ev.RequestID))
	if _, again := a.requests[hash]; again {
		differ(Doubled, "request %q had taken effect already", ev.RequestID)
	}
	a.requests[hash] = struct{}{}
}

// expect notes what the view must hold after the event.
func (a *audit) expect(m *bus.Message, subject wire.EventSubject, ev *wire.Event, snapshot, before *wire.State) {
	touched := map[string]bool{}
	for _, p := range ev.Produced {
		touched[p.TokenID] = true
	}
	for token := range ev.Patches {
		touched[token] = true
	}
	created := !subject.Transitions && subject.Kind == wire.LifecycleCreated
	for i := range snapshot.Tokens {
		t := &snapshot.Tokens[i]
		if key, ok := parse(t.ID); ok && (created || touched[t.ID]) {
			a.tokens[key] = tokenPrint(t.Positioned(m.Sequence, m.Time))
		}
	}
	if before != nil {
		for i := range before.Tokens {
			if key, ok := parse(before.Tokens[i].ID); ok && snapshot.Token(before.Tokens[i].ID) == nil {
				delete(a.tokens, key)
			}
		}
	}
	kind := subject.Kind
	if subject.Transitions {
		kind = ""
	}
	switch {
	case snapshot.Status.Finished():
		a.report.Finished++
	case created, kind == wire.LifecycleSuspended, kind == wire.LifecycleResumed, kind == wire.LifecycleMigrated:
	default:
		return
	}
	if key, ok := parse(snapshot.ID); ok {
		a.records[key] = recordPrint(wire.InstanceRecord{
			ID: snapshot.ID, WorkflowID: snapshot.WorkflowID, WorkflowVersion: snapshot.WorkflowVersion,
			Status: snapshot.Status, CreatedAt: snapshot.CreatedAt, UpdatedAt: snapshot.UpdatedAt, NatsSequence: m.Sequence,
		})
	}
}

func sameJSON(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// firstDifference shows where two states part, with a little around it.
func firstDifference(a, b any) string {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	n := 0
	for n < len(x) && n < len(y) && x[n] == y[n] {
		n++
	}
	cut := func(s []byte) string { return strings.ToValidUTF8(string(s[max(0, n-40):min(len(s), n+80)]), "?") }
	return fmt.Sprintf("%q and %q", cut(x), cut(y))
}

func parse(s string) (key id, ok bool) {
	digits := strings.ReplaceAll(s, "-", "")
	if len(s) != 36 || len(digits) != 32 {
		return key, false
	}
	_, err := hex.Decode(key[:], []byte(digits))
	return key, err == nil
}

var seed = maphash.MakeSeed()

func fingerprint(subject string, content []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	_, _ = h.WriteString(subject)
	_ = h.WriteByte(0)
	_, _ = h.Write(content)
	return max(h.Sum64(), seen+1)
}

// tokenPrint covers the whole token, in the spelling of our encoder.
func tokenPrint(t wire.Token) uint64 {
	content, err := json.Marshal(&t)
	if err != nil {
		content = []byte(err.Error())
	}
	return fingerprint(t.NatsSubject, content)
}

func recordPrint(r wire.InstanceRecord) uint64 {
	content, err := json.Marshal(r)
	if err != nil {
		content = []byte(err.Error())
	}
	return fingerprint(wire.InstanceRecordSubject(r.WorkflowID, r.Status, r.ID), content)
}

// states is a bounded cache of states in two generations.
type states struct {
	young, old map[id]*wire.State
	bytes      int
	limit      int
}

func (s *states) get(key id) *wire.State {
	if state := s.young[key]; state != nil {
		return state
	}
	return s.old[key]
}

func (s *states) put(key id, state *wire.State, size int) {
	if s.young == nil || s.bytes > s.limit/2 {
		s.old, s.young, s.bytes = s.young, map[id]*wire.State{}, 0
	}
	delete(s.old, key)
	if state.Status.Finished() {
		delete(s.young, key)
		return
	}
	s.young[key] = state
	s.bytes += size
}
