package projector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// projection brings the view of one workflow up to its events, from one checkpoint on
// until it ends, for whatever reason. It is never resumed: the next one begins at the
// checkpoint again.
type projection struct {
	owner    *Projector
	workflow wire.WorkflowRecord
	metrics  *metrics
	// ctx ends with the projection.
	ctx    context.Context
	cancel context.CancelFunc
	// server is the run of the nats-server that the projection began on.
	server string
	// horizon is the last event that someone before this projection can have written.
	horizon uint64
	// policies are kept by version. Only the reading goroutine uses them.
	policies map[int]*policy

	// doubts: somebody else may have written the checkpoint.
	doubts chan struct{}

	mu    sync.Mutex
	moved *sync.Cond
	// cause is why the projection has failed; nothing is written from then on.
	cause  error
	failed chan struct{}
	// closing: nothing new is taken in; what has begun goes on.
	closing bool

	window  window
	items   map[key]*item
	known   known
	pending uint64
	// rested is how many events were done when rest looked last.
	rested uint64
	// flying counts the requests on their way, held the places in the owner's gate.
	flying, held int
	// births are the items that were put as new since the last accepted checkpoint.
	births map[key]birth

	checkpoint checkpoint
}

// birth is an item that was put where nothing was before, the one kind of write that a
// late writer cannot be kept from.
type birth struct{ id, instance string }

// Reasons for the end of a projection.
var (
	errLeaseLost = errors.New("the lease of this copy has run out")
	errGone      = errors.New("the workflow's stream is gone")
	errRestarted = errors.New("the nats-server is another, or was started again")
)

// Bounds of one projection.
const (
	maxActive = 1024
	maxEvents = 4096
	maxKnown  = 128 << 10
)

func newProjection(owner *Projector, workflow wire.WorkflowRecord, suspects map[key]birth) *projection {
	p := &projection{
		owner: owner, workflow: workflow, metrics: owner.metrics, policies: map[int]*policy{},
		failed: make(chan struct{}), doubts: make(chan struct{}, 1), items: map[key]*item{}, known: newKnown(owner.cfg.Remember), births: suspects,
	}
	p.moved = sync.NewCond(&p.mu)
	p.checkpoint.p = p
	return p
}

// run projects until the context ends, the stream is gone or something fails. It returns
// when nothing of it is left running. opened is called once it has begun or failed to.
func (p *projection) run(ctx context.Context, opened func()) error {
	opened = sync.OnceFunc(opened)
	defer opened()
	p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer p.cancel()
	p.server = p.owner.bus.NC.ConnectedServerId()
	if err := p.checkpoint.open(ctx); err != nil {
		return err
	}
	p.owner.opened(p)
	defer p.owner.ended(p)
	tail, err := p.owner.bus.Tail(ctx, bus.TailConfig{
		// Without a filter, which the server would have to count the matches of: the stream
		// has little else than events.
		Stream: p.workflow.Stream, From: p.checkpoint.sequence + 1,
	}, p.receive)
	if err != nil {
		if errors.Is(err, bus.ErrNoStream) {
			return errGone
		}
		return err
	}
	opened()
	var sweeping sync.WaitGroup
	sweep, stop := context.WithCancel(ctx)
	if p.checkpoint.server != p.server {
		sweeping.Go(func() { p.sweep(sweep) })
	}
	err = p.watch(ctx, tail)
	stop()
	sweeping.Wait()
	p.close(tail, err)
	return err
}

// watch waits for the end, and looks now and then whether the checkpoint is still ours: an
// idle projection would not notice otherwise that its view was dropped or taken over.
func (p *projection) watch(ctx context.Context, tail *bus.Tail) error {
	look := time.NewTicker(p.owner.cfg.Recheck)
	defer look.Stop()
	restarts := time.NewTicker(restartCheck)
	defer restarts.Stop()
	var doubtful <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.failed:
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.cause
		case <-tail.Gone():
			return errGone
		case <-p.doubts:
			// What we heard of need not be stored yet.
			doubtful = time.After(doubtDelay)
		case <-doubtful:
			if err := p.checkpoint.verify(ctx); err != nil {
				return err
			}
		case <-restarts.C:
			// Another run of the server need not have all that was acknowledged to us, nor be
			// without all that had left: begin again at the checkpoint that it has.
			if now := p.owner.bus.NC.ConnectedServerId(); now != "" && now != p.server {
				return errRestarted
			}
		case <-look.C:
			p.rest()
			if err := p.checkpoint.verify(ctx); err != nil {
				return err
			}
		}
	}
}

// rest gives up the memory of a projection that has had nothing to do since the last time:
// there may be thousands.
func (p *projection) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.window.completed == p.rested && len(p.items) == 0 {
		p.known = newKnown(p.owner.cfg.Remember)
		p.items = map[key]*item{}
		p.window.events = nil
	}
	p.rested = p.window.completed
}

// doubt has the checkpoint looked at.
func (p *projection) doubt() {
	select {
	case p.doubts <- struct{}{}:
	default:
	}
}

// close ends the intake, lets what has begun come to its end, and writes a last checkpoint
// when the end is a quiet one.
func (p *projection) close(tail *bus.Tail, cause error) {
	p.mu.Lock()
	p.closing = true
	p.moved.Broadcast()
	p.mu.Unlock()
	tail.Stop()
	if cause == nil {
		p.settle(func() bool { return len(p.items) == 0 })
		p.mu.Lock()
		p.checkpoint.write()
		p.mu.Unlock()
		p.settle(func() bool { return !p.checkpoint.flying })
		cause = context.Canceled
	}
	p.mu.Lock()
	p.fail(cause)
	p.mu.Unlock()
	p.checkpoint.stop()
	// Whatever is still on its way must have landed, or be given up by the pipe, before
	// another projection of this workflow may begin here.
	p.mu.Lock()
	for p.flying > 0 {
		p.moved.Wait()
	}
	p.mu.Unlock()
}

// settle waits for a condition, while there is no failure and not for long.
func (p *projection) settle(reached func() bool) {
	late := time.AfterFunc(settleTimeout, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.fail(errors.New("the writes on their way took too long"))
	})
	defer late.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.cause == nil && !reached() {
		p.moved.Wait()
	}
}

const (
	settleTimeout = 3 * time.Second
	doubtDelay    = 200 * time.Millisecond
	restartCheck  = time.Second
)

// fail ends the projection. Call it with the lock held.
func (p *projection) fail(cause error) {
	if p.cause == nil {
		p.cause = cause
		close(p.failed)
		// At once, because the reading of this or another projection may wait for them.
		p.owner.gate.release(p.held)
		p.held = 0
	}
	p.moved.Broadcast()
}

// free gives back places in the gate. Call it with the lock held.
func (p *projection) free(n int) {
	if p.cause == nil {
		p.held -= n
		p.owner.gate.release(n)
	}
}

// receive takes in the next event. It blocks while too much is in hand.
func (p *projection) receive(m *bus.Message, pending uint64) {
	list, err := p.understand(m)
	if err != nil {
		p.mu.Lock()
		p.fail(err)
		p.mu.Unlock()
		return
	}
	p.owner.gate.acquire(len(list))
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.cause == nil && !p.closing && (len(p.items) >= maxActive || p.window.len() >= maxEvents) {
		p.moved.Wait()
	}
	if p.cause != nil || p.closing {
		p.owner.gate.release(len(list))
		return
	}
	p.held += len(list)
	p.pending = pending
	p.metrics.events.Add(p.ctx, 1)
	ticket := p.window.add(m.Sequence, len(list), m.Time)
	for _, c := range list {
		it := p.items[c.key]
		if it == nil {
			it = &item{p: p}
			p.items[c.key] = it
		} else {
			p.free(1)
		}
		it.take(c, ticket)
		it.advance()
	}
	p.advanced()
}

// understand says what an event changes. What cannot be understood changes nothing, and is
// passed over so that the rest is not held up; an error means that it is worth a new try.
func (p *projection) understand(m *bus.Message) ([]change, error) {
	if m.Subject == wire.DefinitionSubject(p.workflow.ID) {
		return nil, nil
	}
	subject, ok := wire.ParseEventSubject(m.Subject)
	if !ok || subject.WorkflowID != p.workflow.ID {
		p.skip(m, errors.New("the subject is not that of an event"))
		return nil, nil
	}
	if subject.AboutWorkflow() {
		return nil, nil
	}
	e, err := decode(p.workflow.ID, subject, m.Data)
	if err != nil {
		p.skip(m, err)
		return nil, nil
	}
	policy, err := p.policy(int(e.version))
	if err != nil {
		return nil, err
	}
	kind := subject.Kind
	if subject.Transitions {
		kind = ""
	}
	list, err := changes(m, kind, e, policy)
	if err != nil {
		p.skip(m, err)
		return nil, nil
	}
	return list, nil
}

func (p *projection) skip(m *bus.Message, err error) {
	p.metrics.skipped.Add(p.ctx, 1)
	p.owner.tel.Log.Error().Err(err).Str("subject", m.Subject).Uint64("sequence", m.Sequence).Msg("event was not understood and left out of the view")
}

func (p *projection) policy(version int) (*policy, error) {
	if known := p.policies[version]; known != nil {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(p.ctx, settleTimeout)
	defer cancel()
	net, _, err := p.owner.nets.Net(ctx, p.workflow.ID, version)
	var found *policy
	switch {
	case err == nil:
		found = newPolicy(net, p.owner.cfg.MaxAge)
	case errors.Is(err, fault.VersionNotFound), errors.Is(err, fault.InvalidDefinition), errors.Is(err, fault.WorkflowNotFound):
		p.owner.tel.Log.Error().Err(err).Str("workflow", p.workflow.ID).Int("version", version).Msg("definition was not found, its events set no timers")
		found = &policy{completed: p.owner.cfg.MaxAge, cancelled: p.owner.cfg.MaxAge}
	default:
		return nil, fmt.Errorf("reading version %d of the definition: %w", version, err)
	}
	p.policies[version] = found
	return found, nil
}

// finish lets go of an item with nothing left to do. Call it with the lock held, as all
// that follow.
func (p *projection) finish(it *item) {
	delete(p.items, it.want.key)
	if it.want.subject == "" || it.fleeting {
		p.known.forget(it.want.key)
	} else {
		p.known.put(it.want.key, it.position)
	}
	p.free(1)
	p.moved.Broadcast()
}

// advanced notes that the window may have moved.
func (p *projection) advanced() {
	p.owner.progress(p.workflow.ID, p.window.low)
	p.checkpoint.consider()
	if p.window.len() == 0 {
		p.moved.Broadcast()
	}
}

// send publishes a write, unless this copy may not write any more.
func (p *projection) send(msg *nats.Msg, to receiver) bool {
	if p.cause != nil {
		return false
	}
	if !p.owner.members.Live() {
		p.fail(errLeaseLost)
		return false
	}
	if p.owner.hold != nil {
		p.owner.hold(msg)
	}
	p.flying++
	if err := p.owner.pipe.send(msg, to); err != nil {
		p.flying--
		p.fail(fmt.Errorf("publishing: %w", err))
		return false
	}
	return true
}

// ask looks up the last message of a subject, from the stream's leader.
func (p *projection) ask(stream, subject string, to receiver) bool {
	if p.cause != nil {
		return false
	}
	body, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		p.fail(err)
		return false
	}
	api := "$JS.API.DIRECT.GET."
	if p.owner.bus.Config().Replicas > 1 {
		// A direct get could be answered by a replica that is behind.
		api = "$JS.API.STREAM.MSG.GET."
	}
	p.flying++
	if err := p.owner.pipe.send(&nats.Msg{Subject: api + stream, Data: body}, to); err != nil {
		p.flying--
		p.fail(fmt.Errorf("looking up: %w", err))
		return false
	}
	return true
}

// landed: a request that was on its way has been answered.
func (p *projection) landed() {
	p.flying--
	if p.flying == 0 && (p.closing || p.cause != nil) {
		p.moved.Broadcast()
	}
}

// clock counts seconds since the projector began.
func (p *projection) clock() int32 { return int32(time.Since(p.owner.epoch) / time.Second) }
