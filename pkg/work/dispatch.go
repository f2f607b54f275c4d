package work

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Binding is work that a place asks for, whatever its kind.
type Binding struct {
	Target               string
	Input                json.RawMessage
	Output               string
	OnSuccess, OnFailure string
}

// Bindings lists what a place asks for of one kind.
type Bindings func(*wire.Place) []Binding

// FunctionBindings are a place's functions.
func FunctionBindings(p *wire.Place) []Binding {
	all := make([]Binding, len(p.Functions))
	for i, b := range p.Functions {
		all[i] = Binding{Target: b.Function, Input: b.Input, Output: b.Output, OnSuccess: b.OnSuccess, OnFailure: b.OnFailure}
	}
	return all
}

// maxFilters is how many subjects a durable names before it takes all firings.
const maxFilters = 64

// Filters are the subjects of the events that bring a token into a place that asks for work,
// or let one that stands there go on.
func Filters(w *wire.Workflow, of Bindings) []string {
	net, problems := petri.Compile(&w.Definition)
	if len(problems) > 0 {
		return nil
	}
	bound := map[string]bool{}
	for i := range w.Places {
		bound[w.Places[i].ID] = len(of(&w.Places[i])) > 0
	}
	if !slices.ContainsFunc(w.Places, func(p wire.Place) bool { return bound[p.ID] }) {
		return nil
	}
	subjects := Firings(w, net, func(t *wire.Transition) bool {
		_, outputs, _ := net.Arcs(t.ID)
		return slices.ContainsFunc(outputs, func(a wire.OutputArc) bool { return bound[a.Place] })
	})
	for _, kind := range []string{wire.LifecycleCreated, wire.LifecycleInjected, wire.LifecycleResumed} {
		subjects = append(subjects, wire.LifecycleSubject(w.ID, "*", kind))
	}
	return subjects
}

// Firings are the subjects of the firings of those transitions that are wanted.
func Firings(w *wire.Workflow, net *petri.Net, wanted func(*wire.Transition) bool) []string {
	var subjects []string
	for i := range w.Transitions {
		if t, ok := net.Transition(w.Transitions[i].ID); ok && wanted(t) {
			subjects = append(subjects, wire.TransitionSubject(w.ID, "*", t.ID))
		}
	}
	if len(subjects) > maxFilters {
		return []string{wire.TransitionSubject(w.ID, "*", "*")}
	}
	return subjects
}

// Arrivals are the jobs of one kind that an event asks for: one for each binding of each place
// that a token has come to. When an instance is resumed, or has changed its version, every
// token counts, and the jobs may have run before.
func Arrivals(kind string, of Bindings, r *bus.Reaction) []wire.Job {
	state := r.Event.Instance
	if state.Status == wire.StatusSuspended {
		return nil // Resuming is an event of its own.
	}
	all := r.Event.EventType == wire.EventType(wire.LifecycleResumed) || r.Event.EventType == wire.EventType(wire.LifecycleMigrated)
	var jobs []wire.Job
	for i := range state.Tokens {
		t := &state.Tokens[i]
		place, ok := r.Version.Net.Place(t.Place)
		if !ok || !all && t.ArrivalSequence != r.Sequence {
			continue
		}
		for _, b := range of(place) {
			jobs = append(jobs, wire.Job{
				ID: ID(kind, b.Target, t.Place, t.ID, sequence(t.ArrivalSequence)), Kind: kind, Target: b.Target, Cause: wire.CausePlace,
				WorkflowID: state.WorkflowID, InstanceID: state.ID, TokenID: t.ID, Place: t.Place, ArrivalSequence: t.ArrivalSequence,
				Bound: true, OnSuccess: b.OnSuccess, OnFailure: b.OnFailure, Output: b.Output, Mapping: b.Input,
				Attempt: 1, MayHaveRun: all || r.Again, TriggeredBy: r.Event.TriggeredBy, QueuedAt: r.Time.UTC(),
			})
		}
	}
	return jobs
}

// Dispatch queues the jobs that an event asks for.
func (q *Queue) Dispatch(ctx context.Context, kind string, of Bindings, r *bus.Reaction) error {
	jobs := Arrivals(kind, of, r)
	for i := range jobs {
		occasion := ""
		if jobs[i].ArrivalSequence != r.Sequence {
			occasion = "-" + sequence(r.Sequence)
		}
		if err := q.Publish(ctx, &jobs[i], occasion); err != nil {
			return err
		}
	}
	return nil
}
