package analytics

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const defaultWindow = 24 * time.Hour

// bounds are what one pass may take.
type bounds struct{ events, tokens int }

// defaultBounds take about 100 MB at the very most.
func defaultBounds() bounds { return bounds{events: 1_000_000, tokens: 1_000_000} }

// Places says how places were used in the window: first the given ones in their order, then
// by name those that only older versions of the workflow had. live is how many tokens stand
// in each place now. It fails with fault.InvalidField when the window is empty, and with
// fault.Unavailable when the events cannot be read.
func Places(
	ctx context.Context, b *bus.Bus, record *wire.WorkflowRecord, places []string, live map[string]int,
	req wire.AnalyticsRequest, now time.Time,
) (wire.AnalyticsPlacesReply, error) {
	return defaultBounds().places(ctx, b, record, places, live, req, now)
}

// Transitions says how transitions were used in the window: first the given ones in their
// order, then by name those that only older versions had. It fails as Places does.
func Transitions(
	ctx context.Context, b *bus.Bus, record *wire.WorkflowRecord, transitions []string,
	req wire.AnalyticsRequest, now time.Time,
) (wire.AnalyticsTransitionsReply, error) {
	return defaultBounds().transitions(ctx, b, record, transitions, req, now)
}

func (l bounds) places(
	ctx context.Context, b *bus.Bus, record *wire.WorkflowRecord, places []string, live map[string]int,
	req wire.AnalyticsRequest, now time.Time,
) (wire.AnalyticsPlacesReply, error) {
	t, window, err := l.count(ctx, b, record, req, now)
	if err != nil {
		return wire.AnalyticsPlacesReply{}, err
	}
	reply := wire.AnalyticsPlacesReply{Window: window, Places: []wire.PlaceFigures{}}
	for _, id := range named(places, slices.Concat(slices.Collect(maps.Keys(t.places)), slices.Collect(maps.Keys(live)))) {
		figures := wire.PlaceFigures{Place: id, Tokens: live[id]}
		if p := t.places[id]; p != nil {
			figures.Arrivals, figures.Departures, figures.TimeInPlace = p.arrivals, p.departures, p.stay.quantiles()
		}
		reply.Places = append(reply.Places, figures)
	}
	return reply, nil
}

func (l bounds) transitions(
	ctx context.Context, b *bus.Bus, record *wire.WorkflowRecord, transitions []string,
	req wire.AnalyticsRequest, now time.Time,
) (wire.AnalyticsTransitionsReply, error) {
	t, window, err := l.count(ctx, b, record, req, now)
	if err != nil {
		return wire.AnalyticsTransitionsReply{}, err
	}
	reply := wire.AnalyticsTransitionsReply{
		Window: window, Transitions: []wire.TransitionFigures{},
		Created: t.created, Completed: t.completed, Cancelled: t.cancelled,
	}
	for _, id := range named(transitions, slices.Collect(maps.Keys(t.transitions))) {
		figures := wire.TransitionFigures{TransitionID: id}
		if f := t.transitions[id]; f != nil {
			figures.Firings, figures.Waited = f.firings, f.waited.quantiles()
		}
		reply.Transitions = append(reply.Transitions, figures)
	}
	return reply, nil
}

// named lists the known ids in their order, and after them the others by name.
func named(known, others []string) []string {
	all := slices.Clone(known)
	slices.Sort(others)
	for _, id := range slices.Compact(others) {
		if !slices.Contains(known, id) {
			all = append(all, id)
		}
	}
	return all
}

// windowOf is the window that a request asks for: from inclusive, to exclusive.
func windowOf(req wire.AnalyticsRequest, now time.Time) (wire.Window, error) {
	w := wire.Window{From: req.From.UTC(), To: req.To.UTC()}
	if req.To.IsZero() {
		w.To = now.UTC()
	}
	if req.From.IsZero() {
		w.From = w.To.Add(-defaultWindow)
	}
	if !w.From.Before(w.To) {
		return w, fault.New(fault.InvalidField, "from must be before to: %s is not before %s",
			w.From.Format(time.RFC3339), w.To.Format(time.RFC3339)).With("field", "from")
	}
	return w, nil
}
