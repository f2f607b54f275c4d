package transition

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// timersDurable is shared by all copies: each due time-out goes to one of them.
const timersDurable = "transition-timeouts"

// TriggeredByTimer is who triggers the firing of a time-out.
const TriggeredByTimer = "timer"

// retryAfter is the pause before a time-out that could not be worked on comes again.
const retryAfter = 2 * time.Second

// timers fires the time-outs that are due.
type timers struct {
	s       *Service
	due     metric.Int64Counter
	consume jetstream.ConsumeContext
	slots   chan struct{}
	work    sync.WaitGroup
	// running ends with the service: what is in flight then is given back.
	running context.Context
	cancel  context.CancelFunc
}

func newTimers(s *Service) *timers {
	t := &timers{s: s, slots: make(chan struct{}, s.cfg.TimerConcurrency)}
	t.due, _ = s.tel.Meter.Int64Counter("breaker.timeouts", metric.WithDescription("time-outs that were due, by outcome"))
	return t
}

func (t *timers) start(ctx context.Context) error {
	consumer, err := t.s.bus.JS.CreateOrUpdateConsumer(ctx, wire.StreamTimers, jetstream.ConsumerConfig{
		Durable: timersDurable, FilterSubject: wire.TimerDueSubjects(wire.TimerTimeout),
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: t.s.cfg.TimerAckWait, MaxDeliver: -1,
		MaxAckPending: maxTimersPending,
	})
	if err != nil {
		return fmt.Errorf("making the consumer of due time-outs: %w", err)
	}
	t.running, t.cancel = context.WithCancel(context.WithoutCancel(ctx))
	t.consume, err = consumer.Consume(t.receive, jetstream.PullMaxMessages(t.s.cfg.TimerConcurrency))
	if err != nil {
		t.cancel()
		return fmt.Errorf("consuming due time-outs: %w", err)
	}
	return nil
}

// maxTimersPending is how many due time-outs all copies together may have in hand.
const maxTimersPending = 4096

func (t *timers) stop(ctx context.Context) error {
	if t.consume == nil {
		return nil
	}
	t.consume.Drain()
	finished := make(chan struct{})
	go func() {
		<-t.consume.Closed()
		t.work.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		t.cancel()
		return nil
	case <-ctx.Done():
		t.cancel()
		<-finished
		return fmt.Errorf("due time-outs were given back unfinished: %w", ctx.Err())
	}
}

// receive takes one due time-out; the next waits while all slots are taken.
func (t *timers) receive(msg jetstream.Msg) {
	select {
	case t.slots <- struct{}{}:
	case <-t.running.Done():
		return
	}
	t.work.Go(func() {
		defer func() { <-t.slots }()
		ctx, cancel := context.WithTimeout(t.running, t.s.cfg.TimerAckWait)
		defer cancel()
		t.handle(telemetry.Extract(ctx, msg.Headers()), msg)
	})
}

func (t *timers) handle(ctx context.Context, msg jetstream.Msg) {
	ctx, span := t.s.tel.Tracer.Start(ctx, "timers.due.timeout")
	defer span.End()
	log := t.s.tel.Logger(ctx).With().Str("subject", msg.Subject()).Logger()
	var timer wire.Timer
	if err := json.Unmarshal(msg.Data(), &timer); err != nil {
		log.Error().Err(err).Msg("due time-out was not understood and was dropped")
		t.settle(ctx, msg, "malformed", msg.Term)
		return
	}
	log = log.With().Str("instance_id", timer.InstanceID).Str("token_id", timer.TokenID).Str("transition_id", timer.TransitionID).Logger()
	err := t.fire(ctx, timer)
	switch {
	case err == nil:
		t.settle(ctx, msg, "fired", msg.Ack)
	case stale(err):
		// The token went on, or the instance rests: resuming it sets the timer again.
		log.Info().Err(err).Msg("due time-out no longer applied and was dropped")
		t.settle(ctx, msg, "dropped", msg.Ack)
	default:
		log.Warn().Err(err).Msg("due time-out could not be fired and will come again")
		t.settle(ctx, msg, "retried", func() error { return msg.NakWithDelay(retryAfter) })
	}
}

func (t *timers) settle(ctx context.Context, msg jetstream.Msg, outcome string, answer func() error) {
	t.due.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", outcome)))
	if err := answer(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		t.s.tel.Logger(ctx).Warn().Err(err).Str("subject", msg.Subject()).Msg("due time-out was not acknowledged and will come again")
	}
}

// stale reports a refusal that asking again would not change.
func stale(err error) bool {
	code := fault.From(err).Code
	switch code {
	case fault.Conflict, fault.Overloaded:
		return false
	}
	return code.Status() < 500
}

func (t *timers) fire(ctx context.Context, timer wire.Timer) error {
	// The request id makes a redelivered time-out harmless, the arrival sequence a stale one.
	origin := wire.Origin{
		TriggeredBy: TriggeredByTimer,
		RequestID:   "timeout-" + timer.TokenID + "-" + strconv.FormatUint(timer.ArrivalSequence, 10),
	}
	digest, err := bus.Digest(wire.TimerDueSubject(wire.TimerTimeout, timer.WorkflowID, timer.InstanceID, timer.TokenID), origin)
	if err != nil {
		return err
	}
	_, err = t.s.committer.Commit(ctx, bus.Change{
		Field: "token_id", InstanceID: timer.TokenID, WorkflowID: timer.WorkflowID, Origin: origin, Digest: digest,
		Command: func(_ context.Context, v *bus.Version, _ *wire.State) (petri.Command, error) {
			if err := guard(v, timer.TransitionID); err != nil {
				return nil, err
			}
			return petri.Fire{
				TokenID: timer.TokenID, TransitionID: timer.TransitionID, FromPlace: timer.Place, ArrivalSequence: timer.ArrivalSequence,
			}, nil
		},
	})
	return err
}
