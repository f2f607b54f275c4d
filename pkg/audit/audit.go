package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Verify reads everything that there is of a workflow and reports what does not fit. The
// error is for what kept it from looking; what it found is in the report.
func Verify(ctx context.Context, b *bus.Bus, w wire.WorkflowRecord, options Options) (Report, error) {
	a := &audit{
		bus: b, workflow: w, options: options.withDefaults(), report: Report{WorkflowID: w.ID},
		instances: map[id]instance{}, tokens: map[id]uint64{}, records: map[id]uint64{}, requests: map[uint64]struct{}{},
	}
	a.states.limit = a.options.CacheBytes
	if err := a.readEvents(ctx); err != nil {
		return a.report, fmt.Errorf("reading the events: %w", err)
	}
	caughtUp, err := a.awaitView(ctx)
	if err != nil {
		return a.report, fmt.Errorf("waiting for the view: %w", err)
	}
	if caughtUp {
		if err := a.readView(ctx); err != nil {
			return a.report, fmt.Errorf("reading the view: %w", err)
		}
	}
	a.settleSuspicions(ctx)
	return a.report, ctx.Err()
}

// id is a UUID as bytes.
type id [16]byte

// instance is what is kept of an instance between its events.
type instance struct {
	last uint64
	// broken: a difference was reported, and what follows from it is not.
	broken bool
}

type audit struct {
	bus      *bus.Bus
	workflow wire.WorkflowRecord
	options  Options
	report   Report

	instances map[id]instance
	states    states
	// tokens and records are the fingerprints of what the view must hold, seen once found.
	tokens, records map[id]uint64
	requests        map[uint64]struct{}

	suspicions []suspicion
	// lastEvent is the last event of an instance, for the view to reach.
	lastEvent uint64
}

// seen replaces the fingerprint of what was found in the view.
const seen = 0

// suspicion is a difference that counts only if its instance has stood still since.
type suspicion struct {
	Difference
	// check looks again; false means that the difference is no more.
	check func(context.Context) (bool, error)
}

// maxSuspicions bounds what is looked at again; beyond it differences count at once.
const maxSuspicions = 10000

func (a *audit) found(d Difference) {
	a.report.Found++
	if len(a.report.Differences) < a.options.MaxDifferences {
		a.report.Differences = append(a.report.Differences, d)
	}
}

func (a *audit) suspect(d Difference, check func(context.Context) (bool, error)) {
	if len(a.suspicions) >= maxSuspicions {
		a.found(d)
		return
	}
	a.suspicions = append(a.suspicions, suspicion{Difference: d, check: check})
}

// settleSuspicions looks again at what did not fit: its instance may have gone on, or have
// been purged.
func (a *audit) settleSuspicions(ctx context.Context) {
	moving := map[string]bool{}
	for _, s := range a.suspicions {
		last, err := a.bus.Last(ctx, a.workflow.Stream, wire.InstanceSubjects(a.workflow.ID, s.InstanceID), true)
		switch {
		case errors.Is(err, bus.ErrNoMessage), errors.Is(err, bus.ErrNoStream):
			if s.Kind != ViewGhost {
				// It was purged meanwhile.
				continue
			}
		case err != nil:
			a.found(s.Difference)
			continue
		case last.Sequence > a.report.Sequence:
			moving[s.InstanceID] = true
			continue
		}
		if s.check != nil {
			if still, err := s.check(ctx); err == nil && !still {
				continue
			}
		}
		a.found(s.Difference)
	}
	a.report.Moving = len(moving)
}
