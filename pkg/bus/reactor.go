package bus

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// ReactorConfig says which events of which workflows a service reacts to.
type ReactorConfig struct {
	// Service begins the names of the durable consumers, and is the same in all copies.
	Service string
	// Filters are the subjects of the events that one version of a workflow asks for; none:
	// nothing of it. They depend on nothing else.
	Filters func(*wire.Workflow) []string
	// Concurrency is how many events this copy works on at once, of all workflows together.
	Concurrency int
	// AckWait is how long one event may take before another copy gets it.
	AckWait time.Duration
	// Recheck is how often old versions are asked whether they have live instances; 0 is a
	// minute.
	Recheck time.Duration
}

// Reaction is an event to react to.
type Reaction struct {
	Record  *wire.WorkflowRecord
	Version *Version
	// Event carries its state, filled in as of its sequence.
	Event    *wire.Event
	Sequence uint64
}

// Reactor shares the events of all workflows with the other copies of its service, by a
// durable consumer for each version of a workflow that asks for any:
//
//	version deployed ──► durable, from its definition on ──► handles the events that carry
//	                              ▲          │                       that version
//	  an instance migrated there ─┘          ▼
//	                       a later one came, and no live instance is left ──► deleted
//
// Durables never change: extending the filters of a live one loses events. Their filters
// are part of their name. Of the versions that ask for events the newest keeps its durable
// for good, so that one is always there to see an instance migrate back.
//
// Delivery is at least once, and in no order: an event may come again after it was handled.
type Reactor struct {
	bus      *Bus
	registry *Registry
	cfg      ReactorConfig
	handle   func(context.Context, *Reaction) error
	slots    chan struct{}
	cancel   context.CancelFunc
	done     sync.WaitGroup
	wake     chan struct{}

	mu sync.Mutex
	// workflows are what is known of each workflow, by its id.
	workflows map[string]*reacting
}

// reacting is what the reactor does for one workflow.
type reacting struct {
	record   wire.WorkflowRecord
	versions map[int]*reactingVersion
	// seen is the newest version whose definition was read.
	seen int
}

// reactingVersion is a version that asks for events.
type reactingVersion struct {
	filters  []string
	sequence uint64
	// wanted: it is the newest, or has had live instances when that was last looked at.
	wanted bool
	// summoned: an instance has migrated to it since.
	summoned bool
	// idle counts how often in a row nothing of it was found.
	idle   int
	worker *Worker
}

const (
	reactorRecheck = time.Minute
	reactorRetry   = 2 * time.Second
	// idleChecks is how often in a row a version must look forsaken before its durable goes:
	// the view, which is asked, may be behind.
	idleChecks = 2
)

// NewReactor makes a reactor. What handle returns settles the event, see Worker.
func NewReactor(b *Bus, r *Registry, cfg ReactorConfig, handle func(context.Context, *Reaction) error) *Reactor {
	return &Reactor{
		bus: b, registry: r, cfg: cfg, handle: handle, slots: make(chan struct{}, max(cfg.Concurrency, 1)),
		wake: make(chan struct{}, 1), workflows: map[string]*reacting{},
	}
}

// Start begins to react to what the registry knows; it must have been started. It does not
// wait until every workflow has its durable: there may be thousands.
func (r *Reactor) Start(ctx context.Context) error {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	r.done.Go(func() { r.supervise(running) })
	return nil
}

// Stop takes no more events and waits for those in hand, see Worker.Stop. It repeats safely
// and works without Start.
func (r *Reactor) Stop(ctx context.Context) error {
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	r.done.Wait()
	var faults []error
	for _, w := range r.take(func(string) bool { return true }) {
		faults = append(faults, w.stop(ctx))
	}
	return errors.Join(faults...)
}

// take forgets workflows and hands them over: whoever stops their workers must not hold the
// lock, which events in hand may want.
func (r *Reactor) take(which func(id string) bool) map[string]*reacting {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := map[string]*reacting{}
	for id, w := range r.workflows {
		if which(id) {
			taken[id] = w
			delete(r.workflows, id)
		}
	}
	return taken
}

func (w *reacting) stop(ctx context.Context) error {
	var stopping sync.WaitGroup
	faults := make(chan error, len(w.versions))
	for _, v := range w.versions {
		if v.worker != nil {
			stopping.Go(func() { faults <- v.worker.Stop(ctx) })
		}
	}
	stopping.Wait()
	close(faults)
	var all []error
	for err := range faults {
		all = append(all, err)
	}
	return errors.Join(all...)
}

func (r *Reactor) supervise(ctx context.Context) {
	tick := time.NewTicker(cmp.Or(r.cfg.Recheck, reactorRecheck))
	defer tick.Stop()
	changed := r.registry.Changed()
	failed := r.reconcile(ctx, true)
	for {
		var retry <-chan time.Time
		if failed {
			retry = time.After(reactorRetry)
		}
		look := false
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-r.wake:
		case <-retry:
		case <-tick.C:
			look = true
		}
		changed = r.registry.Changed()
		failed = r.reconcile(ctx, look)
	}
}

// reconcile brings the durables and workers to what the registry says. With look it also
// asks which old versions still have live instances. It reports whether something failed,
// and is to be tried again.
func (r *Reactor) reconcile(ctx context.Context, look bool) (failed bool) {
	known := map[string]bool{}
	for _, record := range r.registry.All() {
		known[record.ID] = true
		if err := r.workflow(ctx, record, look); err != nil && ctx.Err() == nil {
			failed = true
			r.bus.tel.Log.Warn().Err(err).Str("workflow_id", record.ID).Msg("events of a workflow could not be consumed, trying again")
		}
	}
	for id, w := range r.take(func(id string) bool { return !known[id] }) {
		if err := w.stop(ctx); err != nil {
			r.bus.tel.Log.Warn().Err(err).Str("workflow_id", id).Msg("events of a deleted workflow were given back")
		}
	}
	return failed
}

func (r *Reactor) workflow(ctx context.Context, record wire.WorkflowRecord, look bool) error {
	r.mu.Lock()
	w := r.workflows[record.ID]
	if w == nil {
		w = &reacting{versions: map[int]*reactingVersion{}}
		r.workflows[record.ID] = w
	}
	r.mu.Unlock()
	first := w.seen == 0
	if w.seen < record.Version {
		if err := r.read(ctx, &record, w); err != nil {
			return err
		}
	}
	newest := 0
	r.mu.Lock()
	w.record = record
	for version, v := range w.versions {
		newest = max(newest, version)
		if v.summoned {
			v.summoned, v.wanted, v.idle = false, true, 0
		}
	}
	r.mu.Unlock()
	var faults []error
	for version, v := range w.versions {
		if version == newest {
			v.wanted, v.idle = true, 0
		} else if look || first {
			faults = append(faults, r.judge(ctx, w, version, v))
		}
		faults = append(faults, r.settle(ctx, w, version, v))
	}
	return errors.Join(faults...)
}

// read reads the definitions that are new.
func (r *Reactor) read(ctx context.Context, record *wire.WorkflowRecord, w *reacting) error {
	return r.bus.Definitions(ctx, record, func(d *wire.Workflow, sequence uint64) bool {
		if d.Version <= w.seen {
			return true
		}
		if d.Version > record.Version {
			return false // Stored, and not deployed yet.
		}
		w.seen = d.Version
		if filters := r.cfg.Filters(d); len(filters) > 0 {
			r.mu.Lock()
			w.versions[d.Version] = &reactingVersion{filters: append(filters, wire.MigratedSubjects(d.ID)), sequence: sequence}
			r.mu.Unlock()
		}
		return true
	})
}

// judge asks whether an old version still has live instances, or events that wait.
func (r *Reactor) judge(ctx context.Context, w *reacting, version int, v *reactingVersion) error {
	live, err := r.bus.LiveOn(ctx, w.record.ID, version)
	if err != nil {
		return err
	}
	if !live {
		consumer, err := r.bus.JS.Consumer(ctx, w.record.Stream, r.durable(version, v))
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound):
			v.wanted = false
			return nil
		case err != nil:
			return err
		}
		info := consumer.CachedInfo()
		live = info.NumPending+uint64(info.NumAckPending) > 0
	}
	if live {
		v.wanted, v.idle = true, 0
		return nil
	}
	v.idle++
	v.wanted = v.idle < idleChecks
	return nil
}

// settle starts the worker of a version that is wanted, and deletes the durable of one
// that no longer is.
func (r *Reactor) settle(ctx context.Context, w *reacting, version int, v *reactingVersion) error {
	if v.worker != nil {
		select {
		case <-v.worker.Closed():
			// The durable was deleted: by another copy, or with its stream.
			if err := v.worker.Stop(ctx); err != nil {
				return err
			}
			v.worker = nil
		default:
		}
	}
	switch {
	case v.wanted && v.worker == nil:
		return r.begin(ctx, w, version, v, v.sequence)
	case !v.wanted && v.idle >= idleChecks:
		if v.worker != nil {
			if err := v.worker.Stop(ctx); err != nil {
				return err
			}
			v.worker = nil
		}
		err := r.bus.JS.DeleteConsumer(ctx, w.record.Stream, r.durable(version, v))
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil
		}
		return err
	}
	return nil
}

func (r *Reactor) begin(ctx context.Context, w *reacting, version int, v *reactingVersion, from uint64) error {
	record := w.record
	worker := NewWorker(r.bus, WorkerConfig{
		Stream: record.Stream, Durable: r.durable(version, v), Filters: v.filters, From: from,
		Concurrency: min(cap(r.slots), workerBatch), Slots: r.slots, AckWait: r.cfg.AckWait,
	}, func(ctx context.Context, msg jetstream.Msg) error { return r.receive(ctx, &record, version, msg) })
	if err := worker.Start(ctx); err != nil {
		return err
	}
	v.worker = worker
	return nil
}

// workerBatch bounds what is fetched ahead for one version: there may be thousands.
const workerBatch = 32

// durable names a version's consumer: another version of this program that asks for other
// events makes another.
func (r *Reactor) durable(version int, v *reactingVersion) string {
	sum := sha256.Sum256([]byte(strings.Join(v.filters, "\n")))
	return fmt.Sprintf("%s-v%d-%s", r.cfg.Service, version, hex.EncodeToString(sum[:4]))
}

func (r *Reactor) receive(ctx context.Context, record *wire.WorkflowRecord, version int, msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	var ev wire.Event
	if err := json.Unmarshal(msg.Data(), &ev); err != nil || ev.Instance == nil {
		return fault.New(fault.BadRequest, "message %d is no event of an instance", meta.Sequence.Stream).Because(err)
	}
	if ev.WorkflowVersion != version {
		if ev.EventType == wire.EventType(wire.LifecycleMigrated) {
			return r.migrated(ctx, record.ID, ev.WorkflowVersion, meta.Sequence.Stream)
		}
		return nil // Another durable's.
	}
	ev.Instance.Fill(meta.Sequence.Stream)
	compiled, err := r.registry.Version(ctx, record, version)
	if err != nil {
		return err
	}
	return r.handle(ctx, &Reaction{Record: record, Version: compiled, Event: &ev, Sequence: meta.Sequence.Stream})
}

// migrated makes sure that somebody reacts to an instance that has come to a version whose
// durable may have gone.
func (r *Reactor) migrated(ctx context.Context, workflowID string, version int, sequence uint64) error {
	r.mu.Lock()
	var v *reactingVersion
	var stream string
	if w := r.workflows[workflowID]; w != nil {
		v, stream = w.versions[version], w.record.Stream
	}
	if v == nil {
		r.mu.Unlock()
		return nil // It asks for nothing.
	}
	v.summoned = true
	r.mu.Unlock()
	// The durable is made here, from this event on, and worked on by reconcile.
	worker := NewWorker(r.bus, WorkerConfig{
		Stream: stream, Durable: r.durable(version, v), Filters: v.filters, From: sequence, AckWait: r.cfg.AckWait,
	}, nil)
	if _, err := worker.consumer(ctx); err != nil {
		return fault.New(fault.Unavailable, "the events of version %d cannot be consumed", version).Because(err)
	}
	signal(r.wake)
	return nil
}
