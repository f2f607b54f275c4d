package work

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// PoolConfig says whose jobs a pool does, and how many.
type PoolConfig struct {
	// Kind is that of the targets; Service triggers what follows from results.
	Kind, Service string
	// Concurrency is how many attempts this copy makes at once, of all targets together.
	Concurrency int
	// AckWait is how long a copy that has died keeps its jobs from the others.
	AckWait time.Duration
}

// Pool does the jobs of every target of one kind, as one of the copies that share them.
type Pool struct {
	cfg       PoolConfig
	bus       *bus.Bus
	registry  *bus.Registry
	queue     *Queue
	directory Directory
	client    *client.Client
	tel       *telemetry.Telemetry
	slots     *slots
	now       func() time.Time

	executions metric.Int64Counter
	durations  metric.Float64Histogram
	working    metric.Int64UpDownCounter
	circuits   metric.Int64Gauge

	wake   chan struct{}
	cancel context.CancelFunc
	// end interrupts the jobs in hand.
	end  context.CancelFunc
	done sync.WaitGroup
	// leaving are lanes of targets that have gone, with jobs in hand.
	leaving sync.WaitGroup

	mu    sync.Mutex
	lanes map[string]*lane
	// fetching are ended when the connection was lost: the server has forgotten them.
	fetching   map[int]context.CancelFunc
	fetch      int
	reconnects uint64
}

// completeAttempt is how long the recording of a result waits for its answer before it is asked
// for again: the copy that had it may have been killed.
const completeAttempt = 3 * time.Second

// poolCheck is how often the pool looks whether the connection was lost.
const poolCheck = time.Second

// NewPool makes a pool. The registry must have been started when the pool is.
func NewPool(b *bus.Bus, r *bus.Registry, q *Queue, d Directory, tel *telemetry.Telemetry, cfg PoolConfig) (*Pool, error) {
	p := &Pool{
		cfg: cfg, bus: b, registry: r, queue: q, directory: d, tel: tel, slots: newSlots(max(cfg.Concurrency, 1)), now: time.Now,
		client: client.New(b.NC, client.WithTelemetry(tel), client.WithAttemptTimeout(completeAttempt)),
		wake:   make(chan struct{}, 1), lanes: map[string]*lane{}, fetching: map[int]context.CancelFunc{},
	}
	var faults [4]error
	p.executions, faults[0] = tel.Meter.Int64Counter("breaker.executions", metric.WithDescription("jobs taken, by target and what came of them"))
	p.durations, faults[1] = tel.Meter.Float64Histogram("breaker.execution.duration", metric.WithUnit("s"), metric.WithDescription("how long attempts took, by target"),
		metric.WithExplicitBucketBoundaries(0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 600))
	p.working, faults[2] = tel.Meter.Int64UpDownCounter("breaker.executions.running", metric.WithDescription("jobs in hand"))
	p.circuits, faults[3] = tel.Meter.Int64Gauge("breaker.circuit", metric.WithDescription("circuit of a target: 0 closed, 1 half-open, 2 open"))
	return p, errors.Join(faults[:]...)
}

// Start begins to do jobs.
func (p *Pool) Start(ctx context.Context) error {
	life := context.WithoutCancel(ctx)
	working, end := context.WithCancel(life)
	taking, cancel := context.WithCancel(life)
	p.end, p.cancel = end, cancel
	p.reconnects = p.bus.NC.Stats().Reconnects
	p.reconcile(working)
	p.done.Go(func() { p.supervise(taking, working) })
	return nil
}

// Wake has the pool look which targets there are.
func (p *Pool) Wake() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Stop takes no more jobs and waits for those in hand; when ctx ends first, they are
// interrupted and go back to their stream. It repeats safely and works without Start.
func (p *Pool) Stop(ctx context.Context) error {
	if p.cancel == nil {
		return nil
	}
	p.cancel()
	p.done.Wait()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		p.mu.Lock()
		lanes := p.lanes
		p.lanes = map[string]*lane{}
		p.mu.Unlock()
		for _, l := range lanes {
			l.stopTaking()
		}
		for _, l := range lanes {
			l.taking.Wait()
			l.work.Wait()
		}
		p.leaving.Wait()
	}()
	defer p.end()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		p.end()
		<-finished
		return fmt.Errorf("jobs of the %s were given back unfinished: %w", p.cfg.Service, ctx.Err())
	}
}

func (p *Pool) supervise(taking, working context.Context) {
	tick := time.NewTicker(poolCheck)
	defer tick.Stop()
	for {
		select {
		case <-taking.Done():
			return
		case <-p.wake:
			p.reconcile(working)
		case <-tick.C:
			p.checkConnection()
		}
	}
}

// reconcile brings the lanes to what the directory says.
func (p *Pool) reconcile(working context.Context) {
	wanted := map[string]bool{}
	for _, id := range p.directory.Enabled() {
		wanted[id] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, l := range p.lanes {
		if !wanted[id] {
			// What it has in hand goes on.
			l.stopTaking()
			delete(p.lanes, id)
			p.leaving.Go(func() { l.taking.Wait(); l.work.Wait() })
		}
	}
	for id := range wanted {
		if l := p.lanes[id]; l != nil {
			if l.outdated() {
				p.refetch()
			}
			continue
		}
		l := &lane{pool: p, target: id, label: metric.WithAttributeSet(attribute.NewSet(
			attribute.String("kind", p.cfg.Kind), attribute.String("target", id)))}
		p.lanes[id] = l
		l.start(working)
	}
}

// checkConnection has every lane fetch anew after the connection was lost.
func (p *Pool) checkConnection() {
	now := p.bus.NC.Stats().Reconnects
	p.mu.Lock()
	defer p.mu.Unlock()
	if now != p.reconnects && p.bus.NC.IsConnected() {
		p.reconnects = now
		p.refetch()
	}
}

// refetch ends what is being fetched. Call it with the lock held.
func (p *Pool) refetch() {
	for _, cancel := range p.fetching {
		cancel()
	}
}

// onReconnect remembers what ends a fetch until it is over.
func (p *Pool) onReconnect(cancel context.CancelFunc) (forget func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fetch++
	id := p.fetch
	p.fetching[id] = cancel
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.fetching, id)
	}
}

func (p *Pool) count(ctx context.Context, e *wire.Execution, outcome string) {
	p.executions.Add(ctx, 1, metric.WithAttributes(
		attribute.String("kind", e.Kind), attribute.String("target", e.Target), attribute.String("outcome", outcome)))
}

func (p *Pool) circuitChanged(target string, state gobreaker.State) {
	value := map[gobreaker.State]int64{gobreaker.StateClosed: 0, gobreaker.StateHalfOpen: 1, gobreaker.StateOpen: 2}[state]
	p.circuits.Record(context.Background(), value, metric.WithAttributes(attribute.String("kind", p.cfg.Kind), attribute.String("target", target)))
	p.tel.Log.Info().Str("target", target).Str("state", state.String()).Msg("circuit of a target changed")
}
