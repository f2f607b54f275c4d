package work

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/otel/metric"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// lane does the jobs of one target, as one of the copies that share its durable.
type lane struct {
	pool   *Pool
	target string
	// stopTaking ends the fetching, and work counts what was fetched.
	stopTaking context.CancelFunc
	taking     sync.WaitGroup
	work       sync.WaitGroup

	// mean is how long the last jobs took, in nanoseconds.
	mean atomic.Int64
	// label marks the lane's metrics.
	label metric.MeasurementOption

	mu          sync.Mutex
	circuit     *circuit
	circuitOf   wire.CircuitPolicy
	concurrency int
}

const (
	// fetchMost is how many jobs are asked for at once, fetchWait for how long.
	fetchMost = 32
	fetchWait = 30 * time.Second
	// ahead is how many jobs are asked for at least, while jobs take less than shortJob: so that a
	// slot that gets free does not wait for the next one. Of long jobs none is taken ahead, for
	// another copy may have a slot for it now.
	ahead    = 4
	shortJob = 100 * time.Millisecond
	// lanePause is the pause after a fetch that failed.
	lanePause = time.Second
	// pendingMost is how many jobs of a target all copies together have in hand, where it does
	// not say so itself.
	pendingMost = 8192
	// slotPatience is how long a job that was fetched waits for a slot here, slotPause when it then
	// comes again.
	slotPatience = 2 * time.Second
	slotPause    = 100 * time.Millisecond
	// longAgo is when a message is so old that it may be a copy, whatever the server counts: what it
	// has forgotten in a crash it delivers for the first time again.
	longAgo = 30 * time.Second
	// giveBackAfter is the pause before a job comes again that could not be brought on.
	giveBackAfter = 2 * time.Second
)

// Durable is the name of the consumer that shares a target's jobs.
func Durable(kind, target string) string { return kind + "-" + target }

func (l *lane) start(ctx context.Context) {
	taking, cancel := context.WithCancel(ctx)
	l.stopTaking = cancel
	l.taking.Go(func() { l.take(taking, ctx) })
}

// circuitFor is the lane's circuit, a new one where the policy has changed.
func (l *lane) circuitFor(p *Policy) *circuit {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.circuit == nil || l.circuitOf != p.Circuit {
		if l.circuit != nil {
			tellCircuit(l.pool.bus, l.pool.cfg.Kind, l.target, l.circuit, gobreaker.StateClosed) // It is no more.
		}
		l.circuitOf = p.Circuit
		l.circuit = newCircuit(p.Circuit, func(c *circuit, state gobreaker.State) {
			l.pool.circuitChanged(l.target, state)
			tellCircuit(l.pool.bus, l.pool.cfg.Kind, l.target, c, state)
		})
	}
	return l.circuit
}

// consumer makes the target's durable, or brings it to what the target wants.
func (l *lane) consumer(ctx context.Context) (jetstream.Consumer, error) {
	target := l.pool.directory.Target(l.target)
	if target == nil {
		return nil, fault.New(fault.Unavailable, "%s %s is not there any more", l.pool.cfg.Kind, l.target)
	}
	pending := handsOf(target)
	l.mu.Lock()
	l.concurrency = pending
	l.mu.Unlock()
	return l.pool.bus.JS.CreateOrUpdateConsumer(ctx, wire.StreamJobs, jetstream.ConsumerConfig{
		Durable: Durable(l.pool.cfg.Kind, l.target), FilterSubject: wire.JobSubjects(l.pool.cfg.Kind, l.target),
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: l.pool.cfg.AckWait, MaxDeliver: -1, MaxAckPending: pending,
	})
}

// outdated reports whether the target wants another number of jobs in hand.
func (l *lane) outdated() bool {
	target := l.pool.directory.Target(l.target)
	if target == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.concurrency != handsOf(target)
}

// handsOf is how many of its jobs a target lets all copies together have in hand.
func handsOf(target Target) int { return cmp.Or(target.Policy().Concurrency, pendingMost) }

// take fetches jobs, no more than there are free slots, and hands each to a goroutine of its
// own. Jobs in hand go on when taking ends; working ends them.
func (l *lane) take(taking, working context.Context) {
	var consumer jetstream.Consumer
	for taking.Err() == nil {
		err := l.takeSome(taking, working, &consumer)
		if err == nil || taking.Err() != nil {
			continue
		}
		consumer = nil
		l.pool.tel.Log.Warn().Err(err).Str("target", l.target).Msg("jobs could not be fetched, trying again")
		_ = sleep(taking, lanePause)
	}
}

func (l *lane) takeSome(taking, working context.Context, consumer *jetstream.Consumer) (err error) {
	free, err := l.pool.slots.some(taking)
	if err != nil {
		return err
	}
	if *consumer == nil || l.outdated() {
		if *consumer, err = l.consumer(taking); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(taking, fetchWait)
	defer cancel()
	defer l.pool.onReconnect(cancel)()
	if mean := l.mean.Load(); mean > 0 && mean < int64(shortJob) {
		free = max(free, ahead)
	}
	batch, err := (*consumer).Fetch(min(free, fetchMost), jetstream.FetchContext(ctx))
	if err != nil {
		return err
	}
	for msg := range batch.Messages() {
		l.work.Go(func() { l.handle(taking, working, msg) })
	}
	if err := batch.Error(); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// handle does one job and settles its message, which is kept alive meanwhile.
func (l *lane) handle(taking, ctx context.Context, msg jetstream.Msg) {
	// Since a message that was fetched is the copy's, it is kept also while it waits for a slot.
	kept := keepAlive(msg, l.pool.cfg.AckWait)
	defer kept.stop()
	patience, cancel := context.WithTimeout(taking, slotPatience)
	err := l.pool.slots.take(patience)
	cancel()
	if err != nil {
		_ = msg.NakWithDelay(slotPause) // Another copy may have room, or this one later.
		return
	}
	defer l.pool.slots.give()
	l.pool.working.Add(ctx, 1)
	defer l.pool.working.Add(ctx, -1)

	ctx, span := l.pool.tel.Tracer.Start(telemetry.Extract(ctx, msg.Headers()), "work "+l.pool.cfg.Kind+" "+l.target)
	defer span.End()
	meta, err := msg.Metadata()
	var job wire.Job
	if err == nil {
		err = json.Unmarshal(msg.Data(), &job)
	}
	log := l.pool.tel.Logger(ctx)
	if err != nil || job.Target != l.target {
		log.Error().Err(err).Str("subject", msg.Subject()).Msg("message was no job and was dropped")
		_ = msg.Term()
		return
	}
	began := time.Now()
	err = l.do(ctx, &job, meta.NumDelivered > 1 || time.Since(meta.Timestamp) > longAgo, kept)
	l.took(time.Since(began))
	kept.stop()
	switch {
	case err == nil:
		err = msg.Ack()
	case ctx.Err() != nil:
		err = msg.Nak() // The copy stops: at once for another one.
	case bus.Final(err):
		log.Error().Err(err).Str("execution_id", job.ID).Str("target", job.Target).Msg("job could not be done and was dropped")
		coded := fault.From(err)
		lost := newExecution(&job)
		lost.Status, lost.FinishedAt, lost.Settled = wire.ExecutionFailed, l.pool.now().UTC(), true
		lost.Error = &wire.Failure{Code: wire.FailureLimit, Message: string(coded.Code) + ": " + coded.Message}
		l.pool.queue.Note(ctx, lost)
		err = msg.Ack()
	default:
		log.Warn().Err(err).Str("execution_id", job.ID).Str("target", job.Target).Msg("job could not be brought on and will come again")
		err = msg.NakWithDelay(giveBackAfter)
	}
	if err != nil && ctx.Err() == nil {
		log.Warn().Err(err).Str("execution_id", job.ID).Msg("job was not acknowledged and will come again")
	}
}

// took takes in how long a job took.
func (l *lane) took(d time.Duration) {
	const weight = 8
	if mean := l.mean.Load(); mean == 0 {
		l.mean.Store(int64(d))
	} else {
		l.mean.Store(mean + (int64(d)-mean)/weight) // One that is lost to a race is no loss.
	}
}

// kept is a message that is kept alive.
type kept struct {
	wait  time.Duration
	mu    sync.Mutex
	timer *time.Timer
	done  bool
	// said is when the server was last told, or has delivered the message.
	said time.Time
}

// lost reports whether the server was not told for so long that it has given the message to
// another copy. It is for one that was frozen and woken.
func (k *kept) lost() bool {
	if k == nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return time.Since(k.said) > k.wait
}

// keepAlive tells the server now and then that a message is being worked on.
func keepAlive(msg jetstream.Msg, ackWait time.Duration) *kept {
	k := &kept{wait: ackWait, said: time.Now()}
	every := ackWait / 3
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(every, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if !k.done {
			if time.Since(k.said) < k.wait && msg.InProgress() == nil { // If it fails, the next one may not.
				k.said = time.Now()
			}
			k.timer.Reset(every)
		}
	})
	return k
}

func (k *kept) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.done = true
	k.timer.Stop()
}
