package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

// WorkerConfig says what a Worker takes from a stream.
type WorkerConfig struct {
	Stream, Durable string
	Filters         []string
	// From is the sequence at which a durable begins that is not there yet; one that is
	// there stays as it is. 0 is the beginning, and brings a durable that is there to these
	// settings.
	From uint64
	// Since, where it is set, goes before From: the durable begins with what was stored then.
	Since time.Time
	// Concurrency is how many messages this copy works on at once.
	Concurrency int
	// Slots, unless nil, are shared with other workers: each message in hand holds one.
	Slots chan struct{}
	// AckWait is how long one message may take before another copy gets it.
	AckWait time.Duration
}

// Worker shares the messages of a durable consumer with the other copies of the service:
// each message goes to one of them, and comes again until it was settled.
type Worker struct {
	bus     *Bus
	cfg     WorkerConfig
	handle  func(context.Context, jetstream.Msg) error
	settled metric.Int64Counter
	slots   chan struct{}
	work    sync.WaitGroup

	consume jetstream.ConsumeContext
	running context.Context
	cancel  context.CancelFunc
}

const (
	// workerPending is how many messages all copies together may have in hand.
	workerPending = 4096
	// retryAfter is the pause before a message that could not be worked on comes again.
	retryAfter = 2 * time.Second
)

// NewWorker makes a worker. handle gets each message with a context that carries its trace
// and ends with AckWait; what it returns settles the message, see Settle.
func NewWorker(b *Bus, cfg WorkerConfig, handle func(context.Context, jetstream.Msg) error) *Worker {
	w := &Worker{bus: b, cfg: cfg, handle: handle, slots: cfg.Slots}
	if w.slots == nil {
		w.slots = make(chan struct{}, max(cfg.Concurrency, 1))
	}
	w.settled, _ = b.tel.Meter.Int64Counter("breaker.worker.messages", metric.WithDescription("messages of durable consumers, by how they were settled"))
	return w
}

// Start makes the durable consumer if it is missing, and begins to work.
func (w *Worker) Start(ctx context.Context) error {
	consumer, err := w.consumer(ctx)
	if err != nil {
		return fmt.Errorf("making the consumer %s: %w", w.cfg.Durable, err)
	}
	w.running, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	w.consume, err = consumer.Consume(w.receive, jetstream.PullMaxMessages(w.cfg.Concurrency))
	if err != nil {
		w.cancel()
		return fmt.Errorf("consuming %s: %w", w.cfg.Durable, err)
	}
	return nil
}

func (w *Worker) consumer(ctx context.Context) (jetstream.Consumer, error) {
	cfg := jetstream.ConsumerConfig{
		Durable: w.cfg.Durable, FilterSubjects: w.cfg.Filters,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: w.cfg.AckWait, MaxDeliver: -1, MaxAckPending: workerPending,
	}
	if len(w.cfg.Filters) == 1 {
		cfg.FilterSubject, cfg.FilterSubjects = w.cfg.Filters[0], nil
	}
	switch {
	case !w.cfg.Since.IsZero():
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &w.cfg.Since
	case w.cfg.From == 0:
		return w.bus.JS.CreateOrUpdateConsumer(ctx, w.cfg.Stream, cfg)
	default:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, w.cfg.From
	}
	consumer, err := w.bus.JS.Consumer(ctx, w.cfg.Stream, w.cfg.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		consumer, err = w.bus.JS.CreateConsumer(ctx, w.cfg.Stream, cfg)
		// Another copy was faster, and may have begun elsewhere.
		if errors.Is(err, jetstream.ErrConsumerExists) {
			consumer, err = w.bus.JS.Consumer(ctx, w.cfg.Stream, w.cfg.Durable)
		}
	}
	return consumer, err
}

// Closed is closed when nothing more comes, because the durable was deleted or the worker
// stopped; nil before Start.
func (w *Worker) Closed() <-chan struct{} {
	if w.consume == nil {
		return nil
	}
	return w.consume.Closed()
}

// Stop takes no more messages and waits for those in hand; when ctx ends first, they are
// interrupted and go back to the stream. It repeats safely and works without Start.
func (w *Worker) Stop(ctx context.Context) error {
	if w.consume == nil {
		return nil
	}
	w.consume.Drain()
	finished := make(chan struct{})
	go func() {
		select {
		case <-w.consume.Closed():
		case <-w.bus.closed:
		}
		w.work.Wait()
		close(finished)
	}()
	defer w.cancel()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		w.cancel()
		<-finished
		return fmt.Errorf("messages of %s were given back unfinished: %w", w.cfg.Durable, ctx.Err())
	}
}

// receive takes one message; the next waits while all slots are taken.
func (w *Worker) receive(msg jetstream.Msg) {
	select {
	case w.slots <- struct{}{}:
	case <-w.running.Done():
		w.answer(w.running, msg, "returned", msg.Nak)
		return
	}
	w.work.Go(func() {
		defer func() { <-w.slots }()
		ctx, cancel := context.WithTimeout(w.running, w.cfg.AckWait)
		defer cancel()
		ctx, span := w.bus.tel.Tracer.Start(telemetry.Extract(ctx, msg.Headers()), w.cfg.Durable)
		defer span.End()
		w.settle(ctx, msg, w.handle(ctx, msg))
	})
}

func (w *Worker) settle(ctx context.Context, msg jetstream.Msg, err error) {
	log := w.bus.tel.Logger(ctx).With().Str("subject", msg.Subject()).Logger()
	switch {
	case err == nil:
		w.answer(ctx, msg, "done", msg.Ack)
	case Final(err):
		log.Info().Err(err).Msg("message no longer applied and was dropped")
		w.answer(ctx, msg, "dropped", msg.Ack)
	default:
		log.Warn().Err(err).Msg("message could not be worked on and will come again")
		w.answer(ctx, msg, "retried", func() error { return msg.NakWithDelay(retryAfter) })
	}
}

func (w *Worker) answer(ctx context.Context, msg jetstream.Msg, outcome string, answer func() error) {
	w.settled.Add(ctx, 1, metric.WithAttributes(attribute.String("durable", w.cfg.Durable), attribute.String("outcome", outcome)))
	if err := answer(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		w.bus.tel.Logger(ctx).Warn().Err(err).Str("subject", msg.Subject()).Msg("message was not acknowledged and will come again")
	}
}

// Final reports a refusal that the same command would meet again: the one place that
// decides whether a message is dropped with a record or comes again.
func Final(err error) bool {
	code := fault.From(err).Code
	switch code {
	case fault.Conflict, fault.Overloaded:
		return false
	}
	return code.Status() < 500
}
