package demo

import (
	"strings"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestBooks(t *testing.T) {
	t.Parallel()
	const w = "11111111-2222-4333-8444-555555555555"
	log := map[string]uint64{
		wire.WorkflowLifecycleSubject(w, wire.LifecycleDeployed): 1,
		wire.LifecycleSubject(w, "one", wire.LifecycleCreated):   1,
		wire.TransitionSubject(w, "one", "pay"):                  2,
		wire.TransitionSubject(w, "one", "ship"):                 1,
		wire.LifecycleSubject(w, "two", wire.LifecycleCreated):   1,
	}
	for name, tc := range map[string]struct {
		expected map[string]map[string]int
		want     string
	}{
		"equal":         {map[string]map[string]int{"one": {"pay": 2, "ship": 1}, "two": {}}, ""},
		"lost":          {map[string]map[string]int{"one": {"pay": 2, "ship": 2}, "two": nil}, "instance one: the log holds ship 1 times, not 2"},
		"doubled":       {map[string]map[string]int{"one": {"pay": 1, "ship": 1}, "two": nil}, "instance one: the log holds pay 2 times, not 1"},
		"another":       {map[string]map[string]int{"one": {"pay": 2, "post": 1}, "two": nil}, "instance one: the log holds post 0 times, not 1; instance one: the log holds ship 1 times, not 0"},
		"never fired":   {map[string]map[string]int{"one": {"pay": 2, "ship": 1}, "two": {"pay": 1}}, "instance two: the log holds pay 0 times, not 1"},
		"not created":   {map[string]map[string]int{"one": {"pay": 2, "ship": 1}, "two": nil, "three": nil}, "instance three was created 0 times"},
		"not asked for": {map[string]map[string]int{"one": {"pay": 2, "ship": 1}}, "instance two was created, and nobody asked for it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(newBooks(log).compare(tc.expected), "; "); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	if created, firings := newBooks(log).totals(); created != 2 || firings != 3 {
		t.Errorf("counted %d created and %d firings", created, firings)
	}
}
