package demo

import (
	"fmt"
	"maps"
	"slices"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// books counts what the log of one workflow holds: by instance, firings by transition too.
type books struct {
	created map[string]int
	firings map[string]map[string]int
}

// newBooks counts messages by subject, which says what each event is.
func newBooks(messages map[string]uint64) books {
	b := books{created: map[string]int{}, firings: map[string]map[string]int{}}
	for subject, n := range messages {
		parsed, ok := wire.ParseEventSubject(subject)
		switch {
		case !ok || parsed.AboutWorkflow():
		case parsed.Transitions:
			if b.firings[parsed.InstanceID] == nil {
				b.firings[parsed.InstanceID] = map[string]int{}
			}
			b.firings[parsed.InstanceID][parsed.Kind] += int(n)
		case parsed.Kind == wire.LifecycleCreated:
			b.created[parsed.InstanceID] += int(n)
		}
	}
	return b
}

func (b books) totals() (created, firings int) {
	for _, n := range b.created {
		created += n
	}
	for _, byTransition := range b.firings {
		for _, n := range byTransition {
			firings += n
		}
	}
	return created, firings
}

// compare lists where the log differs from what is expected: of each instance the firings
// that were acknowledged, and those that the sample says come by themselves.
func (b books) compare(expected map[string]map[string]int) []string {
	var differences []string
	for id, firings := range expected {
		if n := b.created[id]; n != 1 {
			differences = append(differences, fmt.Sprintf("instance %s was created %d times", id, n))
		}
		all := maps.Clone(b.firings[id])
		if all == nil {
			all = map[string]int{}
		}
		for transition := range firings {
			all[transition] += 0 // Those that the log lacks are compared, too.
		}
		for transition, n := range all {
			if n != firings[transition] {
				differences = append(differences, fmt.Sprintf("instance %s: the log holds %s %d times, not %d", id, transition, n, firings[transition]))
			}
		}
	}
	for id := range b.created {
		if _, ok := expected[id]; !ok {
			differences = append(differences, fmt.Sprintf("instance %s was created, and nobody asked for it", id))
		}
	}
	slices.Sort(differences)
	return differences
}
