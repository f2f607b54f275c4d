package demo

import (
	"fmt"
	"slices"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// books counts what the log of one workflow holds, by instance.
type books struct {
	created map[string]int
	firings map[string]int
}

// newBooks counts messages by subject, which says what each event is.
func newBooks(messages map[string]uint64) books {
	b := books{created: map[string]int{}, firings: map[string]int{}}
	for subject, n := range messages {
		parsed, ok := wire.ParseEventSubject(subject)
		switch {
		case !ok || parsed.AboutWorkflow():
		case parsed.Transitions:
			b.firings[parsed.InstanceID] += int(n)
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
	for _, n := range b.firings {
		firings += n
	}
	return created, firings
}

// compare lists where the log differs from what was acknowledged: firings by instance.
func (b books) compare(acknowledged map[string]int) []string {
	var differences []string
	for id, firings := range acknowledged {
		if n := b.created[id]; n != 1 {
			differences = append(differences, fmt.Sprintf("instance %s was created %d times", id, n))
		}
		if n := b.firings[id]; n != firings {
			differences = append(differences, fmt.Sprintf("instance %s: the log holds %d firings, %d were acknowledged", id, n, firings))
		}
	}
	for id := range b.created {
		if _, ok := acknowledged[id]; !ok {
			differences = append(differences, fmt.Sprintf("instance %s was created, and nobody asked for it", id))
		}
	}
	slices.Sort(differences)
	return differences
}
