package petri

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// The nets are drawn without a thought for sense: unreachable places, no end, loops. What
// must hold, holds on these too.
func TestRandomCommandsOnRandomNets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		w := &walk{T: r, net: drawNet(r), limits: Limits{MaxStateBytes: 40_000, MaxTokens: 12, MaxBirths: 60, MaxDepth: 12}}
		w.step(Create{WorkflowID: testWorkflow, InstanceID: w.root(), Data: drawObject(r, "data"), Place: w.place("place")})
		if w.state == nil {
			return
		}
		for range rapid.IntRange(0, 25).Draw(r, "steps") {
			w.step(w.command())
		}
	})
}

// walk runs random commands and holds every step against rules that know nothing of how
// the engine works.
type walk struct {
	*rapid.T
	net    *Net
	limits Limits
	state  *wire.State
	seq    uint64
	seen   []string
}

func (w *walk) root() string {
	id, err := wire.NewInstanceID(testWorkflow, 1772355600000, testSeed)
	if err != nil {
		w.Fatal(err)
	}
	return id
}

func (w *walk) step(cmd Command) {
	w.seq += uint64(rapid.IntRange(1, 3).Draw(w.T, "gap"))
	meta := Meta{Time: time.Unix(1772355600, int64(w.seq)), TriggeredBy: "rapid"}
	if rapid.Bool().Draw(w.T, "idempotent") {
		meta.RequestID, meta.Digest = fmt.Sprint("r", w.seq), fmt.Sprint("d", w.seq)
	}
	before := w.json(w.state)
	ev, err := Decide(w.net, w.state, cmd, meta, w.limits)
	again, errAgain := Decide(w.net, w.state, cmd, meta, w.limits)
	if w.json(ev) != w.json(again) || fmt.Sprint(err) != fmt.Sprint(errAgain) {
		w.Fatalf("the same command gave two events:\n%s, %v\n%s, %v", w.json(ev), err, w.json(again), errAgain)
	}
	if after := w.json(w.state); before != after {
		w.Fatalf("deciding %T changed the state:\n%s\n%s", cmd, before, after)
	}
	if fire, ok := cmd.(Fire); ok && w.state != nil {
		w.agreesWithBind(fire, ev)
	}
	switch {
	case err != nil:
		w.isRejection(err)
	case ev != nil:
		w.accept(cmd, meta, ev)
	}
}

func (w *walk) isRejection(err error) {
	r, ok := err.(*Rejection)
	if !ok {
		w.Fatalf("the refusal has no code: %v", err)
	}
	if _, known := fault.Codes()[fault.Code(r.Code)]; !known || r.Message == "" {
		w.Fatalf("no such code, or no message: %+v", r)
	}
}

func (w *walk) agreesWithBind(fire Fire, ev *wire.Event) {
	binding, err := Bind(w.net, w.state, fire, w.limits)
	if ev == nil {
		return
	}
	if err != nil || len(binding.Consumed) != len(ev.Consumed) {
		w.Fatalf("Bind says %+v, %v; the event %v", binding, err, ev.Consumed)
	}
	for i, t := range binding.Consumed {
		if t.ID != ev.Consumed[i].TokenID || t.Place != ev.Consumed[i].Place {
			w.Fatalf("Bind says %s; the event %v", t.ID, ev.Consumed[i])
		}
	}
	if w.net.transitions[fire.TransitionID].spreads {
		return
	}
	for _, p := range ev.Produced {
		t := ev.Instance.Token(p.TokenID)
		bound := binding.Metadata
		if string(bound) == "{}" {
			bound = nil
		}
		if string(t.Data) != string(binding.Data) || string(t.Metadata) != string(bound) {
			w.Fatalf("Bind says that the firing carries on %s %s; it was %s %s", binding.Data, binding.Metadata, t.Data, t.Metadata)
		}
	}
}

// accept folds the event as read from the stream, and holds fold, snapshot and event
// against each other.
func (w *walk) accept(cmd Command, meta Meta, ev *wire.Event) {
	var stored, bare wire.Event
	if err := json.Unmarshal([]byte(w.json(ev)), &stored); err != nil {
		w.Fatal(err)
	}
	if diff := cmp.Diff(*ev, stored); diff != "" {
		w.Fatalf("the event does not survive JSON:\n%s", diff)
	}
	bare = stored
	if w.state != nil {
		bare.Instance = nil
	}
	folded, err := Apply(w.state, &bare, w.seq)
	if err != nil {
		w.Fatalf("the event does not fold: %v\n%s", err, w.json(ev))
	}
	stored.Instance.Fill(w.seq)
	if diff := cmp.Diff(stored.Instance, folded); diff != "" {
		w.Fatalf("the fold differs from the snapshot:\n%s", diff)
	}
	if a, b := w.json(stored.Instance), w.json(folded); a != b {
		w.Fatalf("the fold is spelled differently:\n%s\n%s", a, b)
	}
	w.conserves(ev, folded)
	if fired := ev.EventType == wire.EventTransitioned; fired {
		w.obeysTheNet(ev)
	}
	net := w.net
	if m, ok := cmd.(Migrate); ok {
		net = m.Net
	}
	w.standsRight(net, folded)
	w.remembers(meta, folded)
	w.state, w.net = folded, net
}

// conserves: the marking after is the marking before, less what was consumed, plus what was
// produced, and nothing else.
func (w *walk) conserves(ev *wire.Event, after *wire.State) {
	want := map[string]string{}
	if w.state != nil {
		for _, t := range w.state.Tokens {
			want[t.ID] = t.Place
		}
	}
	for _, c := range ev.Consumed {
		if want[c.TokenID] != c.Place {
			w.Fatalf("token %s was taken from %s but stood in %q", c.TokenID, c.Place, want[c.TokenID])
		}
		delete(want, c.TokenID)
	}
	for _, p := range ev.Produced {
		if want[p.TokenID] != "" {
			w.Fatalf("token %s stands in two places", p.TokenID)
		}
		moved := slices.ContainsFunc(ev.Consumed, func(c wire.Consumed) bool { return c.TokenID == p.TokenID })
		if !moved && slices.Contains(w.seen, p.TokenID) {
			w.Fatalf("the id of token %s is used a second time", p.TokenID)
		}
		w.seen = append(w.seen, p.TokenID)
		want[p.TokenID] = p.Place
	}
	got := map[string]string{}
	for _, t := range after.Tokens {
		got[t.ID] = t.Place
	}
	if len(got) != len(after.Tokens) {
		w.Fatalf("a token is listed twice: %v", after.Tokens)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.Fatalf("tokens are not conserved (-want +got):\n%s\n%s", diff, w.json(ev))
	}
}

// obeysTheNet: a firing takes and gives what the arcs say.
func (w *walk) obeysTheNet(ev *wire.Event) {
	t, ok := w.net.Transition(ev.TransitionID)
	if !ok {
		w.Fatalf("transition %s does not exist", ev.TransitionID)
	}
	taken, given := map[string]int{}, map[string]int{}
	for _, c := range ev.Consumed {
		taken[c.Place]++
	}
	for _, p := range ev.Produced {
		given[p.Place]++
	}
	if len(t.From) > 0 {
		if len(ev.Consumed) != 1 || !slices.Contains(t.From, ev.Consumed[0].Place) || given[t.To] != 1 || len(ev.Produced) != 1 {
			w.Fatalf("%v made %s", t, w.json(ev))
		}
		if ev.Consumed[0].TokenID != ev.Produced[0].TokenID {
			w.Fatalf("a move changed the token: %s", w.json(ev))
		}
		return
	}
	gathers := false
	for _, arc := range t.Inputs {
		gathers = gathers || arc.Count == wire.CountAll
		if arc.Count != wire.CountAll && taken[arc.Place] != max(arc.Count, 1) {
			w.Fatalf("the input %v took %d", arc, taken[arc.Place])
		}
		delete(taken, arc.Place)
	}
	for _, arc := range t.Outputs {
		if arc.Each == "" && given[arc.Place] != max(arc.Count, 1) || given[arc.Place] == 0 {
			w.Fatalf("the output %v gave %d", arc, given[arc.Place])
		}
		delete(given, arc.Place)
	}
	if len(taken)+len(given) > 0 {
		w.Fatalf("beside its arcs it took %v and gave %v", taken, given)
	}
	if gathers {
		w.leftNobodyBehind(ev)
	}
}

// leftNobodyBehind: what a gathering transition took holds all live tokens of some split.
func (w *walk) leftNobodyBehind(ev *wire.Event) {
	consumed := map[string]bool{}
	splits := []int{wholeInstance}
	for _, c := range ev.Consumed {
		consumed[c.TokenID] = true
		splits = append(splits, w.state.Token(c.TokenID).Lineage...)
	}
	for _, split := range splits {
		missing := false
		for _, t := range w.state.Tokens {
			missing = missing || !consumed[t.ID] && !w.net.Terminal(t.Place) && within(t.Lineage, split)
		}
		if !missing {
			return
		}
	}
	w.Fatalf("no split was gathered completely: %s\n%s", w.json(ev), w.json(w.state))
}

// standsRight: what is true of every state.
func (w *walk) standsRight(net *Net, s *wire.State) {
	ended := len(s.Tokens) > 0
	visits := 0
	for i, t := range s.Tokens {
		if _, ok := net.Place(t.Place); !ok || t.ArrivalSequence == 0 || t.ArrivalSequence > s.NatsSequence {
			w.Fatalf("token %+v", t)
		}
		if i > 0 && wire.BirthOf(s.Tokens[i-1].ID) >= wire.BirthOf(t.ID) {
			w.Fatalf("the tokens are not in the order of their birth")
		}
		if normal, err := Normalize(t.Data, w.limits.MaxDepth); err != nil || string(normal) != string(t.Data) || t.Data[0] != '{' {
			w.Fatalf("the data is not normal: %s, %v", t.Data, err)
		}
		if t.Metadata != nil {
			if normal, err := Normalize(t.Metadata, w.limits.MaxDepth); err != nil || string(normal) != string(t.Metadata) || string(normal) == "{}" {
				w.Fatalf("the metadata is not normal: %s, %v", t.Metadata, err)
			}
		}
		ended = ended && net.Terminal(t.Place)
	}
	for _, n := range s.Visits {
		visits += n
	}
	if visits < s.Births || len(s.Tokens) > w.limits.MaxTokens || s.Births > w.limits.MaxBirths {
		w.Fatalf("%d visits, %d births, %d tokens", visits, s.Births, len(s.Tokens))
	}
	if len(w.json(s)) > w.limits.MaxStateBytes+1000 {
		w.Fatalf("the state is %d bytes", len(w.json(s)))
	}
	switch s.Status {
	case wire.StatusActive:
		if ended || len(s.Tokens) == 0 {
			w.Fatalf("an active instance is at its end: %s", w.json(s))
		}
	case wire.StatusCompleted:
		if !ended {
			w.Fatalf("a completed instance is not at its end: %s", w.json(s))
		}
	case wire.StatusCancelled:
		if len(s.Tokens) > 0 {
			w.Fatalf("a cancelled instance holds tokens: %s", w.json(s))
		}
	case wire.StatusSuspended:
		if len(s.Tokens) == 0 {
			w.Fatalf("a suspended instance holds no token: %s", w.json(s))
		}
	}
}

func (w *walk) remembers(meta Meta, s *wire.State) {
	if len(s.Requests) > wire.MaxRememberedRequests {
		w.Fatalf("%d requests are remembered", len(s.Requests))
	}
	if meta.RequestID == "" {
		return
	}
	want := wire.RememberedRequest{ID: meta.RequestID, Digest: meta.Digest, Sequence: w.seq, Time: s.UpdatedAt.Unix()}
	if last := s.Requests[len(s.Requests)-1]; last != want {
		w.Fatalf("remembered %v, not %v", last, want)
	}
}

func (w *walk) json(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		w.Fatal(err)
	}
	return string(b)
}
