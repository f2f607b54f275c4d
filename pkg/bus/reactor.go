package bus

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	// Since, where it is set, is when the service began to ask for these events, by the server's
	// clock: its durables begin there. Such a Service may come to ask for others: under another
	// set of filters it goes on where it was, and its old durables are deleted.
	Since time.Time
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
	// Time is when the event was stored. Again says that it may have been delivered before: what a
	// server has forgotten in a crash comes as if for the first time.
	Time  time.Time
	Again bool
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
//
// Two goroutines: one brings workers and durables to what is wanted, the other looks now
// and then what that is, which for many instances takes its time.
type Reactor struct {
	bus      *Bus
	registry *Registry
	cfg      ReactorConfig
	handle   func(context.Context, *Reaction) error
	slots    chan struct{}
	cancel   context.CancelFunc
	done     sync.WaitGroup
	// wake has workers brought to what is wanted, look has it looked at.
	wake, look chan struct{}

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

// newest is the newest version that asks for events.
func (w *reacting) newest() int {
	newest := 0
	for version := range w.versions {
		newest = max(newest, version)
	}
	return newest
}

// reactingVersion is a version that asks for events. The lock guards it, but for the worker.
type reactingVersion struct {
	filters  []string
	sequence uint64
	deployed time.Time
	// wanted: it is the newest, or had live instances when that was last looked at, or an
	// instance has migrated to it since.
	wanted bool
	// running: it has a worker; lost: that worker's durable is not there any more.
	running, lost bool
	// idle counts how often in a row nothing of it was found; horizon is where the stream
	// ended the first time.
	idle    int
	horizon uint64
	// worker belongs to the goroutine that starts and stops workers.
	worker *Worker
}

const (
	// longAgo is when an event is so old that it may come again.
	longAgo        = 30 * time.Second
	reactorRecheck = time.Minute
	reactorRetry   = 2 * time.Second
	// idleLooks is how often in a row a version must look forsaken before its durable goes:
	// the view, which is asked, may be behind.
	idleLooks = 2
	// rareLook is every which look asks about versions that have no durable: an instance that
	// came to one was seen as it migrated, unless everything went wrong.
	rareLook = 60
)

// NewReactor makes a reactor. What handle returns settles the event, see Worker.
func NewReactor(b *Bus, r *Registry, cfg ReactorConfig, handle func(context.Context, *Reaction) error) *Reactor {
	return &Reactor{
		bus: b, registry: r, cfg: cfg, handle: handle, slots: make(chan struct{}, max(cfg.Concurrency, 1)),
		wake: make(chan struct{}, 1), look: make(chan struct{}, 1), workflows: map[string]*reacting{},
	}
}

// Start begins to react to what the registry knows; it must have been started. It does not
// wait until every workflow has its durable: there may be thousands.
func (r *Reactor) Start(ctx context.Context) error {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	r.done.Go(func() { r.supervise(running) })
	r.done.Go(func() { r.inspect(running) })
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
	return r.end(ctx, func(string) bool { return true })
}

// end stops the workers of workflows, and forgets them only then: an event in hand may want
// to know its workflow, and takes the lock.
func (r *Reactor) end(ctx context.Context, which func(id string) bool) error {
	ending := map[string]*Worker{}
	var ids []string
	r.mu.Lock()
	for id, w := range r.workflows {
		if !which(id) {
			continue
		}
		ids = append(ids, id)
		for version, v := range w.versions {
			if v.worker != nil {
				ending[fmt.Sprint(id, version)] = v.worker
			}
		}
	}
	r.mu.Unlock()
	var stopping sync.WaitGroup
	faults := make(chan error, len(ending))
	for _, worker := range ending {
		stopping.Go(func() { faults <- worker.Stop(ctx) })
	}
	stopping.Wait()
	close(faults)
	r.mu.Lock()
	for _, id := range ids {
		delete(r.workflows, id)
	}
	r.mu.Unlock()
	var all []error
	for err := range faults {
		all = append(all, err)
	}
	return errors.Join(all...)
}

func (r *Reactor) supervise(ctx context.Context) {
	for {
		changed := r.registry.Changed()
		var retry <-chan time.Time
		if r.reconcile(ctx) {
			retry = time.After(reactorRetry)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-r.wake:
		case <-retry:
		}
	}
}

// reconcile brings the durables and workers to what the registry says, and to what was last
// seen. It reports whether something failed, and is to be tried again.
func (r *Reactor) reconcile(ctx context.Context) (failed bool) {
	known := map[string]bool{}
	for _, record := range r.registry.All() {
		known[record.ID] = true
		if err := r.workflow(ctx, record); err != nil && ctx.Err() == nil {
			failed = true
			r.bus.tel.Log.Warn().Err(err).Str("workflow_id", record.ID).Msg("events of a workflow could not be consumed, trying again")
		}
	}
	if err := r.end(ctx, func(id string) bool { return !known[id] }); err != nil && ctx.Err() == nil {
		r.bus.tel.Log.Warn().Err(err).Msg("events of deleted workflows were given back")
	}
	return failed
}

func (r *Reactor) workflow(ctx context.Context, record wire.WorkflowRecord) error {
	r.mu.Lock()
	w := r.workflows[record.ID]
	if w == nil {
		w = &reacting{versions: map[int]*reactingVersion{}}
		r.workflows[record.ID] = w
	}
	r.mu.Unlock()
	if w.seen < record.Version {
		if err := r.read(ctx, &record, w); err != nil {
			return err
		}
	}
	r.mu.Lock()
	w.record = record
	if newest := w.versions[w.newest()]; newest != nil {
		newest.wanted, newest.idle = true, 0
	}
	r.mu.Unlock()
	var faults []error
	for version, v := range w.versions {
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
			w.versions[d.Version] = &reactingVersion{filters: append(filters, wire.MigratedSubjects(d.ID)), sequence: sequence, deployed: d.DeployedAt}
			r.mu.Unlock()
			if len(w.versions) > 1 {
				signal(r.look)
			}
		}
		return true
	})
}

// settle starts the worker of a version that is wanted, and deletes the durable of one
// that no longer is.
func (r *Reactor) settle(ctx context.Context, w *reacting, version int, v *reactingVersion) error {
	gone := false
	if v.worker != nil {
		select {
		case <-v.worker.Closed():
			// The durable was deleted: by another copy, or with its stream.
			gone = true
		default:
		}
	}
	r.mu.Lock()
	gone, v.lost = gone || v.lost, false
	if gone && version != w.newest() {
		// Whoever deleted it had looked; before it is made again, so do we.
		v.wanted = false
		signal(r.look)
	}
	wanted, forsaken := v.wanted, !v.wanted && v.idle >= idleLooks
	if forsaken {
		v.idle = 0
	}
	r.mu.Unlock()
	if v.worker != nil && (gone || forsaken) {
		worker := v.worker
		v.worker = nil
		r.runs(v, false)
		if err := worker.Stop(ctx); err != nil {
			return err
		}
	}
	switch {
	case wanted && v.worker == nil:
		return r.begin(ctx, w, version, v)
	case forsaken:
		err := r.bus.JS.DeleteConsumer(ctx, w.record.Stream, r.durable(version, v))
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil
		}
		return err
	}
	return nil
}

// inspect looks, at once and then now and then, which versions are wanted.
func (r *Reactor) inspect(ctx context.Context) {
	every := cmp.Or(r.cfg.Recheck, reactorRecheck)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for round := 0; ; round++ {
		failed := false
		r.mu.Lock()
		all := maps.Clone(r.workflows)
		r.mu.Unlock()
		for id, w := range all {
			if err := r.inspectOne(ctx, id, w, round%rareLook == 0); err != nil && ctx.Err() == nil {
				failed = true
				r.bus.tel.Log.Warn().Err(err).Str("workflow_id", id).Msg("old versions of a workflow could not be looked at, trying again")
			}
		}
		signal(r.wake)
		var retry <-chan time.Time
		if failed {
			retry = time.After(min(reactorRetry, every))
		}
		select {
		case <-ctx.Done():
			return
		case <-r.look:
			round = -1
		case <-retry:
			round = -1
		case <-tick.C:
		}
	}
}

// inspectOne looks which durables of a workflow are there, and which of its old versions
// have live instances or events that wait. rarely asks about those without a durable too.
func (r *Reactor) inspectOne(ctx context.Context, id string, w *reacting, rarely bool) error {
	r.mu.Lock()
	stream, newest := w.record.Stream, w.newest()
	names, running := map[int]string{}, map[int]bool{}
	for version, v := range w.versions {
		names[version], running[version] = r.durable(version, v), v.running
	}
	r.mu.Unlock()
	if stream == "" {
		return nil // Its definitions could not be read yet.
	}
	durables := map[int]*jetstream.ConsumerInfo{}
	var asked []int
	for version, name := range names {
		consumer, err := r.bus.JS.Consumer(ctx, stream, name)
		switch {
		case err == nil:
			durables[version] = consumer.CachedInfo()
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return nil // Deleted; the registry will say so.
		case !errors.Is(err, jetstream.ErrConsumerNotFound):
			return err
		}
		if version != newest && (durables[version] != nil || rarely) {
			asked = append(asked, version)
		}
	}
	var live map[int]bool
	var ends uint64
	if len(asked) > 0 {
		info, err := r.bus.JS.Stream(ctx, stream)
		if err != nil {
			return err
		}
		ends = info.CachedInfo().State.LastSeq
		if live, err = r.bus.LiveVersions(ctx, id, asked); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for version := range names {
		v, durable := w.versions[version], durables[version]
		// One that began while we looked has made its durable since.
		v.lost = v.lost || durable == nil && running[version] && v.running
		if version != newest && slices.Contains(asked, version) {
			v.see(live[version], durable, ends)
		}
	}
	return nil
}

// see takes in what was found of an old version. Call it with the lock held.
func (v *reactingVersion) see(live bool, durable *jetstream.ConsumerInfo, ends uint64) {
	switch {
	case live:
		v.wanted, v.idle = true, 0
	case durable == nil:
		v.wanted = false
	case v.idle == 0:
		v.wanted, v.idle, v.horizon = true, 1, ends
	case durable.NumPending+uint64(durable.NumAckPending) > 0 && durable.AckFloor.Stream < v.horizon:
		v.wanted = true // Its own events may be among those that wait.
	default:
		v.idle++
		v.wanted = v.idle < idleLooks
	}
}

func (r *Reactor) begin(ctx context.Context, w *reacting, version int, v *reactingVersion) error {
	record := w.record
	from, since, before, err := r.beginning(ctx, record.Stream, version, v)
	if err != nil {
		return err
	}
	worker := NewWorker(r.bus, WorkerConfig{
		Stream: record.Stream, Durable: r.durable(version, v), Filters: v.filters, From: from, Since: since,
		Concurrency: min(cap(r.slots), workerBatch), Slots: r.slots, AckWait: r.cfg.AckWait,
	}, func(ctx context.Context, msg jetstream.Msg) error { return r.receive(ctx, &record, version, msg) })
	if err := worker.Start(ctx); err != nil {
		return err
	}
	v.worker = worker
	r.runs(v, true)
	return r.forget(ctx, record.Stream, before)
}

func (r *Reactor) runs(v *reactingVersion, running bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v.running, v.lost = running, false
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
	return r.handle(ctx, &Reaction{
		Record: record, Version: compiled, Event: &ev,
		Sequence: meta.Sequence.Stream, Time: meta.Timestamp, Again: meta.NumDelivered > 1 || time.Since(meta.Timestamp) > longAgo,
	})
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
	v.wanted, v.idle = true, 0
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
