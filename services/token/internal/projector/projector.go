package projector

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Workflows says which workflows there are; bus.Registry is it.
type Workflows interface {
	All() []wire.WorkflowRecord
	Changed() <-chan struct{}
	Nets
}

// Nets compiles versions of definitions.
type Nets interface {
	Net(ctx context.Context, workflowID string, version int) (*petri.Net, *wire.Workflow, error)
}

// Members says which copies are alive and who owns what; bus.Leases is it.
type Members interface {
	Copy() string
	Live() bool
	Members() []string
	Owner(key string) string
	Changed() <-chan struct{}
}

// Config of a Projector.
type Config struct {
	// MaxAge is how long a finished instance is kept where its definition does not say; 0
	// is for good.
	MaxAge time.Duration
	// Remember is how many items' positions each workflow keeps in memory; 0 is 131,072.
	Remember int
	// Recheck is how often a projection looks whether its checkpoint is still its own; 0 is
	// 30 seconds.
	Recheck time.Duration
}

// Projector keeps the view of every workflow that this copy owns.
type Projector struct {
	bus       *bus.Bus
	workflows Workflows
	nets      Nets
	members   Members
	cfg       Config
	tel       *telemetry.Telemetry
	metrics   *metrics
	gate      *gate
	epoch     time.Time
	pipe      *pipe
	hints     *nats.Subscription
	// hold is called before each write; tests stall a holder with it.
	hold func(*nats.Msg)
	// opening bounds how many projections open at the same time.
	opening chan struct{}

	mu      sync.Mutex
	running map[string]*runner
	at      map[string]uint64
	moved   chan struct{}
	// awaited: somebody waits for moved.
	awaited bool

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// runner is the goroutine that projects one workflow, again and again.
type runner struct {
	workflow wire.WorkflowRecord
	cancel   context.CancelFunc
	done     chan struct{}
	// now is the present projection, nil between two.
	now *projection
}

// maxItems bounds what all projections of the process have in hand; well below the 10,000
// messages at which the server begins to refuse.
const (
	maxItems   = 4096
	maxOpening = 32
)

// New makes a projector; it does no I/O.
func New(b *bus.Bus, workflows Workflows, members Members, cfg Config, tel *telemetry.Telemetry) *Projector {
	if cfg.Remember == 0 {
		cfg.Remember = maxKnown
	}
	if cfg.Recheck == 0 {
		cfg.Recheck = 30 * time.Second
	}
	return &Projector{
		bus: b, workflows: workflows, nets: workflows, members: members, cfg: cfg, tel: tel.For("projector"),
		gate: newGate(maxItems), epoch: time.Now(), running: map[string]*runner{}, at: map[string]uint64{},
		moved: make(chan struct{}), opening: make(chan struct{}, maxOpening),
	}
}

// Start begins to project. The registry and the leases must have been started.
func (p *Projector) Start(ctx context.Context) error {
	m, err := newMetrics(p)
	if err != nil {
		return fmt.Errorf("making the projector's instruments: %w", err)
	}
	p.metrics = m
	if p.pipe, err = newPipe(p.bus.NC); err != nil {
		return fmt.Errorf("opening the projector's inbox: %w", err)
	}
	if p.hints, err = p.bus.NC.Subscribe(wire.ProjectionSubject("*"), p.hinted); err != nil {
		p.pipe.close()
		return fmt.Errorf("listening for checkpoints: %w", err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	p.done.Add(1)
	go p.supervise(running)
	return nil
}

// Stop lets every projection finish what it has begun and write its checkpoint, and waits.
// It repeats safely and works without Start. Stop it before the leases, so that no other
// copy takes over what is still being written.
func (p *Projector) Stop() {
	if p.cancel == nil {
		return
	}
	p.cancel()
	p.cancel = nil
	p.done.Wait()
	_ = p.hints.Unsubscribe()
	p.pipe.close()
	p.metrics.stop()
}

// Progress is the last event that the view of a workflow contains, with all before it, if
// this copy keeps it.
func (p *Projector) Progress(workflowID string) (sequence uint64, ours bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sequence, ours = p.at[workflowID]
	return sequence, ours
}

// Moved is closed at the next progress of any workflow.
func (p *Projector) Moved() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.awaited = true
	return p.moved
}

// supervise runs the projections of what this copy owns, and stops the others.
func (p *Projector) supervise(ctx context.Context) {
	defer p.done.Done()
	for {
		workflows, members := p.workflows.Changed(), p.members.Changed()
		p.assign(ctx)
		select {
		case <-ctx.Done():
			p.stopAll()
			return
		case <-workflows:
		case <-members:
		}
	}
}

func (p *Projector) assign(ctx context.Context) {
	mine := map[string]wire.WorkflowRecord{}
	for _, w := range p.workflows.All() {
		if p.members.Owner(w.ID) == p.members.Copy() {
			mine[w.ID] = w
		}
	}
	p.mu.Lock()
	var stopped []*runner
	for id, r := range p.running {
		if _, ok := mine[id]; !ok {
			r.cancel()
			stopped = append(stopped, r)
			delete(p.running, id)
		}
	}
	p.mu.Unlock()
	// Only one at a time here projects a workflow, so the old must be gone before a new one.
	for _, r := range stopped {
		<-r.done
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, w := range mine {
		if p.running[id] != nil {
			continue
		}
		running, cancel := context.WithCancel(ctx)
		r := &runner{workflow: w, cancel: cancel, done: make(chan struct{})}
		p.running[id] = r
		go p.project(running, r)
	}
}

func (p *Projector) stopAll() {
	p.mu.Lock()
	all := make([]*runner, 0, len(p.running))
	for _, r := range p.running {
		r.cancel()
		all = append(all, r)
	}
	clear(p.running)
	p.mu.Unlock()
	for _, r := range all {
		<-r.done
	}
}

// Pauses between a failed projection and the next.
const (
	pauseLeast = 100 * time.Millisecond
	pauseMost  = 5 * time.Second
)

// project keeps the view of one workflow until the context ends, because this copy stops,
// because another owns the workflow, or because the workflow is no more.
func (p *Projector) project(ctx context.Context, r *runner) {
	defer close(r.done)
	defer r.cancel()
	defer p.leave(ctx, r.workflow)
	log := p.tel.Log.With().Str("workflow", r.workflow.ID).Logger()
	pause := pauseLeast
	// suspects are births that could not be checked yet, see repair.
	suspects := map[key]birth{}
	for {
		projection := newProjection(p, r.workflow, suspects)
		began := time.Now()
		err := p.once(ctx, projection)
		suspects = projection.repair(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > pauseMost {
			pause = pauseLeast
		}
		if errors.Is(err, errGone) {
			// The registry will say so too, unless the server only has not found it yet.
			log.Info().Msg("projection ended with its stream")
			pause = pauseMost
		} else {
			log.Warn().Err(err).Dur("pause", pause).Msg("projection was interrupted and begins again at its checkpoint")
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause + rand.N(pause)):
		}
		pause = min(2*pause, pauseMost)
	}
}

// once runs a projection; only so many open at the same time, because a copy that starts
// may own thousands.
func (p *Projector) once(ctx context.Context, projection *projection) error {
	select {
	case p.opening <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	return projection.run(ctx, func() { <-p.opening })
}

// leave removes the view of a workflow that was deleted: we may have written after the
// deletion had removed it.
func (p *Projector) leave(ctx context.Context, w wire.WorkflowRecord) {
	for _, known := range p.workflows.All() {
		if known.ID == w.ID {
			return
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), repairTimeout)
	defer cancel()
	if err := p.drop(ctx, w.ID); err != nil {
		p.tel.Log.Warn().Err(err).Str("workflow", w.ID).Msg("view of a deleted workflow was not removed")
	}
}

// drop removes the view of a workflow, with its checkpoint.
func (p *Projector) drop(ctx context.Context, workflowID string) error {
	stream, err := p.bus.JS.Stream(ctx, wire.StreamPlaces)
	if err != nil {
		return fmt.Errorf("opening the view: %w", err)
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(wire.ViewSubjects(workflowID))); err != nil {
		return fmt.Errorf("dropping the view of %s: %w", workflowID, err)
	}
	return nil
}

// hinted hears every checkpoint before the stream has taken it, so it is a hint only:
// somebody else writes one for a workflow of ours.
func (p *Projector) hinted(m *nats.Msg) {
	if bytes.Contains(m.Data, []byte(p.members.Copy())) {
		return
	}
	var doc wire.Checkpoint
	if json.Unmarshal(m.Data, &doc) != nil {
		return
	}
	p.mu.Lock()
	r := p.running[doc.WorkflowID]
	var now *projection
	if r != nil {
		now = r.now
	}
	p.mu.Unlock()
	if now != nil {
		now.doubt()
	}
}

// another reports whether a checkpoint's holder is a live copy other than this one.
func (p *Projector) another(holder string) bool {
	if holder == "" || holder == p.members.Copy() {
		return false
	}
	for _, m := range p.members.Members() {
		if m == holder {
			return true
		}
	}
	return false
}

func (p *Projector) opened(now *projection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.running[now.workflow.ID]; r != nil {
		r.now = now
	}
	p.at[now.workflow.ID] = now.window.low
	p.announce()
}

func (p *Projector) ended(now *projection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.running[now.workflow.ID]; r != nil && r.now == now {
		r.now = nil
	}
	delete(p.at, now.workflow.ID)
	p.announce()
}

func (p *Projector) progress(workflowID string, low uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at, ok := p.at[workflowID]; ok && low > at {
		p.at[workflowID] = low
		p.announce()
	}
}

// announce wakes whoever waits for progress. Call it with the lock held.
func (p *Projector) announce() {
	if p.awaited {
		close(p.moved)
		p.moved, p.awaited = make(chan struct{}), false
	}
}
