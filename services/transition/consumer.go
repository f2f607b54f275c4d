package transition

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// timersDurable is shared by all copies: each due time-out goes to one of them.
const timersDurable = "transition-timeouts"

// triggeredByTimer is who triggers the firing of a time-out.
const triggeredByTimer = "timer"

func (s *Service) newTimers() *bus.Worker {
	return bus.NewWorker(s.bus, bus.WorkerConfig{
		Stream: wire.StreamTimers, Durable: timersDurable, Filters: []string{wire.TimerDueSubjects(wire.TimerTimeout)},
		Concurrency: s.cfg.TimerConcurrency, AckWait: s.cfg.TimerAckWait,
	}, s.timeout)
}

// timeout fires the transition of one due time-out. Where the token went on, or the
// instance rests, or a guard says no, the refusal is final and the time-out is dropped:
// resuming sets it again.
func (s *Service) timeout(ctx context.Context, msg jetstream.Msg) error {
	var timer wire.Timer
	if err := json.Unmarshal(msg.Data(), &timer); err != nil {
		return fault.New(fault.BadRequest, "the time-out is no timer message").Because(err)
	}
	// The request id makes a redelivered time-out harmless, the arrival sequence a stale one.
	origin := wire.Origin{
		TriggeredBy: triggeredByTimer,
		RequestID:   "timeout-" + timer.TokenID + "-" + strconv.FormatUint(timer.ArrivalSequence, 10),
	}
	digest, err := bus.Digest(wire.TimerDueSubject(wire.TimerTimeout, timer.WorkflowID, timer.InstanceID, timer.TokenID), origin, origin)
	if err != nil {
		return err
	}
	_, err = s.committer.Commit(ctx, bus.Change{
		Field: "token_id", InstanceID: timer.TokenID, WorkflowID: timer.WorkflowID, Origin: origin, Digest: digest,
		Command: func(ctx context.Context, v *bus.Version, state *wire.State) (petri.Command, error) {
			cmd := petri.Fire{
				TokenID: timer.TokenID, TransitionID: timer.TransitionID, FromPlace: timer.Place, ArrivalSequence: timer.ArrivalSequence,
			}
			var err error
			cmd.Guards, err = s.permit(ctx, v, state, cmd, timer.TransitionID)
			return cmd, err
		},
	})
	if errors.Is(err, fault.RuleRejected) {
		// The worker logs why a message was dropped, and what a rule says tells token data.
		return fault.New(fault.RuleRejected, "the guards of %s did not let it pass", timer.TransitionID)
	}
	return err
}
