package functionrunner

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/catalog"
	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// triggers reacts to events of workflows for the functions that they trigger: a reactor for
// each such function, so that the server filters for it alone.
type triggers struct {
	service *Service
	woken   chan struct{}
	cancel  context.CancelFunc
	done    sync.WaitGroup
	// onEnds: some function is triggered by the end of another.
	onEnds atomic.Bool
	// reactors belong to the goroutine that follows.
	reactors map[string]*triggered
}

// triggered is the reactor of one function, for one set of triggers.
type triggered struct {
	reactor *bus.Reactor
	digest  [sha256.Size]byte
}

func newTriggers(s *Service) *triggers {
	return &triggers{service: s, woken: make(chan struct{}, 1), reactors: map[string]*triggered{}}
}

// wake has the reactors brought to what the store knows.
func (t *triggers) wake() {
	t.onEnds.Store(slices.ContainsFunc(t.service.store.All(), func(e *catalog.Entry[wire.Function, *function]) bool {
		return slices.ContainsFunc(e.Definition.Triggers, func(t wire.Trigger) bool { return t.Event == wire.TriggerFunctionCompleted })
	}))
	select {
	case t.woken <- struct{}{}:
	default:
	}
}

func (t *triggers) start(ctx context.Context) error {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	t.cancel = cancel
	t.done.Go(func() {
		for {
			t.reconcile(running)
			select {
			case <-running.Done():
				return
			case <-t.woken:
			}
		}
	})
	return nil
}

func (t *triggers) stop(ctx context.Context) error {
	if t.cancel == nil {
		return nil
	}
	t.cancel()
	t.done.Wait()
	var faults []error
	for _, one := range t.reactors {
		faults = append(faults, one.reactor.Stop(ctx))
	}
	clear(t.reactors)
	return errors.Join(faults...)
}

const (
	// triggerRetry is the pause before a function's triggers are begun again.
	triggerRetry = 2 * time.Second
	// triggerSlack is how much older an event may be than the triggers that judge it: it was
	// waiting when they came.
	triggerSlack = time.Minute
)

// asksSince is when the function began to ask for the events that it asks for now: its triggers
// were the same ever since, and it was enabled.
func (s *Service) asksSince(ctx context.Context, f *function) (since time.Time, err error) {
	same, want := false, digestOf(f.Triggers)
	err = s.store.Versions(ctx, f.ID, func(e *catalog.Entry[wire.Function, *function]) bool {
		asks := !e.Deleted && e.Definition.IsEnabled() && digestOf(e.Definition.Triggers) == want
		if asks && !same {
			since = e.Stored
		}
		same = asks
		return true
	})
	return since, err
}

// retireTimeout bounds the stopping of a reactor whose function has changed.
const retireTimeout = 30 * time.Second

func (t *triggers) reconcile(ctx context.Context) {
	s := t.service
	wanted := map[string]*function{}
	for _, e := range s.store.All() {
		if f := e.Prepared; f != nil && f.IsEnabled() && slices.ContainsFunc(f.triggers, onEvents) {
			wanted[e.Definition.ID] = f
		}
	}
	for id, one := range t.reactors {
		f := wanted[id]
		if f != nil && one.digest == digestOf(f.Triggers) {
			continue
		}
		limit, cancel := context.WithTimeout(ctx, retireTimeout)
		end := one.reactor.Stop // Under other filters it goes on where it was.
		if f == nil {
			end = one.reactor.Retire
		}
		if err := end(limit); err != nil {
			s.tel.Log.Warn().Err(err).Str("function_id", id).Msg("triggers of a function were not ended in order")
		}
		cancel()
		delete(t.reactors, id)
	}
	for id, f := range wanted {
		if t.reactors[id] != nil || ctx.Err() != nil {
			continue
		}
		since, err := s.asksSince(ctx, f)
		if err != nil {
			s.tel.Log.Warn().Err(err).Str("function_id", id).Msg("triggers of a function could not be begun")
			time.AfterFunc(triggerRetry, t.wake)
			continue
		}
		reactor := bus.NewReactor(s.bus, s.registry, bus.ReactorConfig{
			Service: "trigger-" + id, Since: since, Concurrency: s.cfg.EventConcurrency, AckWait: s.cfg.AckWait,
			Filters: func(w *wire.Workflow) []string { return filters(w, f.triggers) },
		}, func(ctx context.Context, r *bus.Reaction) error {
			if r.Time.Before(since.Add(-triggerSlack)) {
				return nil // A durable that was left behind brings what nobody asked for.
			}
			return s.react(ctx, id, r)
		})
		if err := reactor.Start(ctx); err != nil {
			s.tel.Log.Warn().Err(err).Str("function_id", id).Msg("triggers of a function could not be begun")
			continue
		}
		t.reactors[id] = &triggered{reactor: reactor, digest: digestOf(f.Triggers)}
	}
}

func digestOf(all []wire.Trigger) [sha256.Size]byte {
	text, _ := json.Marshal(all) // They came as JSON.
	return sha256.Sum256(text)
}

// onEvents reports whether a trigger is about events of workflows.
func onEvents(t trigger) bool {
	return t.Event != wire.TriggerCustom && t.Event != wire.TriggerFunctionCompleted
}

// filters are the subjects of a workflow's events that triggers are about.
func filters(w *wire.Workflow, all []trigger) []string {
	net, problems := petri.Compile(&w.Definition)
	if len(problems) > 0 {
		return nil
	}
	subjects := map[string]bool{}
	add := func(more ...string) {
		for _, s := range more {
			subjects[s] = true
		}
	}
	for i := range all {
		t := &all[i]
		if t.Workflow != "" && t.Workflow != w.ID && t.Workflow != w.Name {
			continue
		}
		switch t.Event {
		case wire.TriggerCreated:
			add(wire.LifecycleSubject(w.ID, "*", wire.LifecycleCreated))
		case wire.TriggerInjected:
			add(wire.LifecycleSubject(w.ID, "*", wire.LifecycleInjected))
		case wire.TriggerUpdated:
			add(wire.LifecycleSubject(w.ID, "*", wire.LifecycleUpdated))
		case wire.TriggerTransitioned:
			add(work.Firings(w, net, func(tr *wire.Transition) bool { return leads(net, tr, t) })...)
		case wire.TriggerCompleted:
			// Whatever brings the last token to its end completes the instance.
			add(work.Firings(w, net, func(tr *wire.Transition) bool {
				_, outputs, _ := net.Arcs(tr.ID)
				return slices.ContainsFunc(outputs, func(a wire.OutputArc) bool { return net.Terminal(a.Place) })
			})...)
			for _, kind := range []string{wire.LifecycleCreated, wire.LifecycleResumed, wire.LifecycleCancelled} { // The reactor adds migrated.
				add(wire.LifecycleSubject(w.ID, "*", kind))
			}
		}
	}
	return slices.Sorted(func(yield func(string) bool) {
		for s := range subjects {
			if !yield(s) {
				return
			}
		}
	})
}

// leads reports whether a firing of a transition can be what a trigger is about.
func leads(net *petri.Net, tr *wire.Transition, t *trigger) bool {
	inputs, outputs, _ := net.Arcs(tr.ID)
	return (t.Transition == "" || t.Transition == tr.ID) &&
		(t.From == "" || slices.ContainsFunc(inputs, func(a wire.InputArc) bool { return a.Place == t.From })) &&
		(t.To == "" || slices.ContainsFunc(outputs, func(a wire.OutputArc) bool { return a.Place == t.To })) &&
		(t.Place == "" || slices.ContainsFunc(outputs, func(a wire.OutputArc) bool { return a.Place == t.Place }))
}

// event is what conditions and mappings can ask about an event.
type event struct {
	Type         string          `json:"type"`
	Name         string          `json:"name,omitempty"`
	TransitionID string          `json:"transition_id,omitempty"`
	FromPlace    string          `json:"from_place,omitempty"`
	ToPlace      string          `json:"to_place,omitempty"`
	TriggeredBy  string          `json:"triggered_by,omitempty"`
	Sequence     uint64          `json:"sequence,omitempty"`
	Time         time.Time       `json:"time,omitzero"`
	Data         json.RawMessage `json:"data,omitempty"`
}

// react queues a job for each trigger of a function that an event meets.
func (s *Service) react(ctx context.Context, id string, r *bus.Reaction) error {
	e := s.store.Known(id)
	if e == nil || e.Deleted || !e.Definition.IsEnabled() || e.Prepared == nil {
		return nil
	}
	for i := range e.Prepared.triggers {
		t := &e.Prepared.triggers[i]
		if !s.meets(t, r) {
			continue
		}
		token := about(t, r)
		said, err := json.Marshal(event{
			Type: t.Event, TransitionID: r.Event.TransitionID, FromPlace: r.Event.FromPlace, ToPlace: r.Event.ToPlace,
			TriggeredBy: r.Event.TriggeredBy, Sequence: r.Sequence, Time: r.Time.UTC(),
		})
		if err != nil {
			return err
		}
		job := wire.Job{
			ID: work.ID(wire.KindFunction, id, t.Event, r.Record.ID, sequence(r.Sequence), contentOf(t.Trigger)), Kind: wire.KindFunction, Target: id, Cause: t.Event,
			WorkflowID: r.Record.ID, InstanceID: r.Event.InstanceID, Event: said, Mapping: t.Input,
			Attempt: 1, MayHaveRun: r.Again, TriggeredBy: r.Event.TriggeredBy, QueuedAt: r.Time.UTC(),
		}
		if token != nil {
			job.TokenID, job.Place, job.ArrivalSequence = token.ID, token.Place, token.ArrivalSequence
		}
		if t.when != nil {
			in := condition.NewInput(condition.Subject{
				Token: token, Instance: &r.Event.Instance.Instance, Now: r.Time, Values: map[string]json.RawMessage{"event": said},
			})
			passed, err := t.when.Passes(ctx, in)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				s.tel.Logger(ctx).Warn().Str("function_id", id).Int("trigger", i).Msg("condition of a trigger could not be evaluated")
			}
			if err != nil || !passed {
				continue
			}
		}
		if err := s.queue.Publish(ctx, &job, ""); err != nil {
			return err
		}
	}
	return nil
}

// meets reports whether an event is what a trigger is about.
func (s *Service) meets(t *trigger, r *bus.Reaction) bool {
	if !onEvents(*t) || t.Workflow != "" && t.Workflow != r.Record.ID && t.Workflow != r.Record.Name {
		return false
	}
	ev := r.Event
	came := func(place string) bool {
		return place == "" || ev.ToPlace == place || slices.ContainsFunc(ev.Produced, func(p wire.Produced) bool { return p.Place == place })
	}
	switch t.Event {
	case wire.TriggerCreated:
		return ev.EventType == wire.EventType(wire.LifecycleCreated) && came(t.Place)
	case wire.TriggerInjected:
		return ev.EventType == wire.EventType(wire.LifecycleInjected) && came(t.Place)
	case wire.TriggerUpdated:
		return ev.EventType == wire.EventType(wire.LifecycleUpdated) && came(t.Place)
	case wire.TriggerTransitioned:
		return ev.EventType == wire.EventTransitioned && (t.Transition == "" || ev.TransitionID == t.Transition) && came(t.To) && came(t.Place) &&
			(t.From == "" || slices.ContainsFunc(ev.Consumed, func(c wire.Consumed) bool { return c.Place == t.From }))
	case wire.TriggerCompleted:
		return ev.Completes && ev.Instance.Status == wire.StatusCompleted
	}
	return false
}

// about is the token that a trigger's function sees: the one that came to the place that the
// trigger names, else the first one of the event.
func about(t *trigger, r *bus.Reaction) *wire.Token {
	state := r.Event.Instance
	if place := cmp.Or(t.To, t.Place); place != "" {
		for _, p := range r.Event.Produced {
			if p.Place == place {
				return state.Token(p.TokenID)
			}
		}
	}
	if token := state.Token(r.Event.TokenID); token != nil {
		return token
	}
	if len(state.Tokens) > 0 {
		return &state.Tokens[0]
	}
	return nil
}

// isWorkflow reports whether a workflow has this id or name.
func (s *Service) isWorkflow(idOrName, id string) bool {
	if strings.EqualFold(idOrName, id) {
		return true
	}
	for _, record := range s.registry.All() {
		if record.ID == id {
			return record.Name == idOrName
		}
	}
	return false
}
