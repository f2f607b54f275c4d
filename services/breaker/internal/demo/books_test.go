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
		acknowledged map[string]int
		want         string
	}{
		"equal":       {map[string]int{"one": 3, "two": 0}, ""},
		"lost":        {map[string]int{"one": 4, "two": 0}, "instance one: the log holds 3 firings, 4 were acknowledged"},
		"doubled":     {map[string]int{"one": 2, "two": 0}, "instance one: the log holds 3 firings, 2 were acknowledged"},
		"not created": {map[string]int{"one": 3, "two": 0, "three": 0}, "instance three was created 0 times"},
		"not asked":   {map[string]int{"one": 3}, "instance two was created, and nobody asked for it"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(newBooks(log).compare(tc.acknowledged), "; "); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	if created, firings := newBooks(log).totals(); created != 2 || firings != 3 {
		t.Errorf("counted %d created and %d firings", created, firings)
	}
}
