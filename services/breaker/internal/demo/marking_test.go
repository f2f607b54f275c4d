package demo

import (
	"bytes"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

func TestMarkingFollowsMovesInAnyOrder(t *testing.T) {
	t.Parallel()
	const w = "11111111-2222-4333-8444-555555555555"
	m := &marking{standing: map[string]location{}, counts: map[location]int{}}
	at := func(place, token string) string { return wire.PlaceSubject(w, place, token) }
	m.see(at("draft", "a"), 100)
	m.see(at("draft", "b"), 100)
	m.see(at("review", "a"), 100)
	m.see(at("draft", "a"), 0)
	m.see(at("review", "a"), 120)
	m.see(at("draft", "b"), 0)
	m.see(wire.InstanceRecordSubject(w, wire.StatusActive, "a"), 10)
	if got := m.of(w); !maps.Equal(got, map[string]int{"review": 1}) {
		t.Errorf("the marking is %v", got)
	}
	if got := m.of("another"); len(got) != 0 {
		t.Errorf("another workflow has %v", got)
	}
}

func newTestState() state {
	return state{
		done: 30, total: 120, firings: 77, elapsed: 1500 * time.Millisecond,
		markings: []workflowMarking{
			{name: "order", places: []placeCount{{"paid", 3, false}, {"delivered", 9, true}}},
			{name: "idle"},
		},
	}
}

func TestScreenWritesLinesIntoALog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{console: &ui.Console{Err: &out}}
	s.show(newTestState())
	want := "   1.5 s: 30 of 120 documents, 77 firings\n      order" + strings.Repeat(" ", nameWidth-len("order")) + "  paid 3\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestScreenDrawsOverItselfOnATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{console: &ui.Console{Err: &out, ErrTerminal: true}}
	s.show(newTestState())
	if strings.Contains(out.String(), "\x1b[3A") {
		t.Error("the first block moved up")
	}
	out.Reset()
	s.show(newTestState())
	if !strings.HasPrefix(out.String(), "\x1b[3A\r\x1b[2K") {
		t.Errorf("the second block does not begin where the first did: %q", out.String())
	}
	if !strings.Contains(out.String(), "order") || !strings.Contains(out.String(), "delivered 9") {
		t.Errorf("the block lacks the marking: %q", out.String())
	}
}

func TestScreenCutsLongLines(t *testing.T) {
	t.Parallel()
	s := &screen{console: &ui.Console{Err: &bytes.Buffer{}}}
	long := workflowMarking{name: "order"}
	for range 30 {
		long.places = append(long.places, placeCount{"somewhere", 1, false})
	}
	if line := s.marking(long, 60); len([]rune(line)) > 60 || !strings.HasSuffix(line, "…") {
		t.Errorf("%d characters: %q", len([]rune(line)), line)
	}
}
