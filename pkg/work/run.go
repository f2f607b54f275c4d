package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// patientWait is how long a job waits where it is for its turn; beyond that it is scheduled.
const patientWait = time.Second

// do brings one job on, as far as it goes now. An error that is not final gives it back.
func (l *lane) do(ctx context.Context, job *wire.Job, again bool, kept *kept) error {
	target := l.pool.directory.Target(l.target)
	if target == nil {
		return fault.New(fault.Unavailable, "%s %s is not there, or disabled", job.Kind, job.Target)
	}
	again = again || job.MayHaveRun || job.Scheduled
	var record *wire.Execution
	if again {
		var err error
		if record, err = l.pool.queue.Recorded(ctx, job); err != nil {
			return err
		}
		switch next(job, record) {
		case nothingLeft:
			return nil
		case settleResult:
			job.Redrives = record.Redrives
			return l.resettle(ctx, target, job, record)
		case makeAttempt:
			if record != nil && record.Status == wire.ExecutionSuspended {
				job.Redrives, job.Attempt = max(job.Redrives, record.Redrives), max(job.Attempt, record.Attempt+1)
			}
		}
	}
	a := &Attempt{Job: job, kept: kept}
	execution := newExecution(job)
	execution.Version = target.Policy().Version
	execution.Copy = l.pool.bus.Copy
	if standing, err := l.standing(ctx, a, execution, record == nil && job.MayHaveRun); err != nil || !standing {
		return err
	}
	reason, failure := target.Prepare(ctx, a)
	execution.InputBytes = len(a.Input)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case reason != "":
		return l.drop(ctx, execution, reason)
	case failure != nil:
		execution.Attempt = job.Attempt
		return l.finish(ctx, target, a, execution, Result{}, failure)
	}
	if waiting, err := l.admit(ctx, target, job, execution); err != nil || waiting {
		return err
	}
	return l.attempt(ctx, target, a, execution)
}

// standing reads the job's token again. It reports false where there is nothing to do: the
// token has left the place that asked for the work, its instance is suspended, or the result of
// the job is there already. That the last commands tell which the instance remembers, and where
// the job may be old and has no record (any more), the events since the token arrived.
func (l *lane) standing(ctx context.Context, a *Attempt, execution *wire.Execution, unknown bool) (bool, error) {
	job := a.Job
	if job.TokenID == "" {
		return true, nil
	}
	out, err := l.pool.bus.LoadInstance(ctx, l.pool.registry, "token_id", job.TokenID, job.WorkflowID, true)
	switch {
	case err == nil:
		a.Instance, a.Token = &out.State.Instance, out.State.Token(job.TokenID)
		if sequence := toldAt(out.State, job); sequence != 0 {
			return false, l.known(ctx, execution, sequence)
		}
		if unknown && job.Bound && job.Redrives == 0 {
			sequence, err := l.workedOn(ctx, out.Record.Stream, job)
			if err != nil {
				return false, err
			}
			if sequence != 0 {
				return false, l.drop(ctx, execution, fmt.Sprintf("its result is in event %d", sequence))
			}
		}
	case errors.Is(err, fault.TokenNotFound), errors.Is(err, fault.WorkflowNotFound), errors.Is(err, fault.InvalidField):
		if job.Bound {
			return false, l.drop(ctx, execution, "the instance is gone")
		}
		return true, nil
	default:
		return false, err
	}
	if !job.Bound {
		return true, nil
	}
	switch {
	case a.Token == nil:
		return false, l.drop(ctx, execution, "the token has ended")
	case a.Token.ArrivalSequence != job.ArrivalSequence:
		return false, l.drop(ctx, execution, fmt.Sprintf("the token has left %s, and is in %s since %d", job.Place, a.Token.Place, a.Token.ArrivalSequence))
	case a.Instance.Status == wire.StatusSuspended:
		execution.Status = wire.ExecutionSuspended
		return false, l.rest(ctx, execution)
	}
	return true, nil
}

// rest records a run that waits until its instance is resumed. If that has happened meanwhile,
// whoever saw it may have taken the run for one that goes on by itself, so it comes again.
func (l *lane) rest(ctx context.Context, execution *wire.Execution) error {
	if err := l.store(ctx, execution); err != nil {
		return err
	}
	out, err := l.pool.bus.LoadInstance(ctx, l.pool.registry, "instance_id", execution.InstanceID, execution.WorkflowID, true)
	if err != nil && bus.Final(err) {
		return nil // It is gone.
	}
	if err == nil && out.State.Status != wire.StatusSuspended {
		err = fault.New(fault.Unavailable, "the instance was resumed just now")
	}
	return err
}

// toldAt is the event in which a job's result was told to its token; 0 where that is not known.
func toldAt(state *wire.State, job *wire.Job) uint64 {
	for i := range state.Requests {
		// What was told with less than all has a word more in its id.
		if rest, ok := strings.CutPrefix(state.Requests[i].ID, completionID(job)); ok && (rest == "" || rest[0] == '-') {
			return state.Requests[i].Sequence
		}
	}
	return 0
}

// workedOn looks for a result of the job's target among the events since the token arrived.
func (l *lane) workedOn(ctx context.Context, stream string, job *wire.Job) (uint64, error) {
	from := job.ArrivalSequence + 1
	for range workedOnMost {
		m, err := l.pool.bus.Next(ctx, stream, wire.InstanceSubjects(job.WorkflowID, job.InstanceID), from)
		if errors.Is(err, bus.ErrNoMessage) {
			return 0, nil
		}
		if err != nil {
			return 0, outOfReach(err)
		}
		var ev struct {
			TokenID string     `json:"token_id"`
			Work    *wire.Work `json:"work"`
		}
		if json.Unmarshal(m.Data, &ev) == nil && ev.Work != nil && ev.TokenID == job.TokenID && ev.Work.Kind == job.Kind && ev.Work.Binding == job.Target {
			return m.Sequence, nil
		}
		from = m.Sequence + 1
	}
	return 0, nil
}

// workedOnMost is how many events are looked at for a result.
const workedOnMost = 1000

// known records a result that another copy has told, before it could say so in the record. What
// it was stands in the event.
func (l *lane) known(ctx context.Context, execution *wire.Execution, sequence uint64) error {
	execution.Status, execution.Attempt, execution.NatsSequence = wire.ExecutionSucceeded, execution.Attempt+1, sequence
	execution.FinishedAt, execution.Settled = l.pool.now().UTC(), true
	l.pool.queue.Note(ctx, execution)
	return nil
}

// drop records that there was nothing to do.
func (l *lane) drop(ctx context.Context, execution *wire.Execution, reason string) error {
	// A run that has ended before is not made one that was dropped.
	before, err := l.pool.queue.recorded(ctx, execution)
	if err != nil || before != nil && before.Status.Ended() && before.Redrives >= execution.Redrives {
		return err
	}
	execution.Status, execution.Reason, execution.FinishedAt = wire.ExecutionDropped, reason, l.pool.now().UTC()
	l.pool.queue.Note(ctx, execution)
	l.pool.count(ctx, execution, "dropped")
	return nil
}

// admit waits for the job's turn within its target's rate limit, or has it wait elsewhere.
func (l *lane) admit(ctx context.Context, target Target, job *wire.Job, execution *wire.Execution) (waiting bool, err error) {
	limit := target.Policy().RateLimit
	if limit == nil || job.Admitted {
		return false, nil
	}
	if wait := l.circuitFor(target.Policy()).closedIn(); wait > 0 {
		return true, l.postpone(ctx, job, execution, l.pool.now().Add(wait), circuitOpen) // Without taking a turn.
	}
	begin, err := l.pool.queue.reserve(ctx, job.Kind, job.Target, limit)
	if err != nil {
		return false, err
	}
	wait := begin.Sub(l.pool.now())
	if wait > patientWait {
		later := *job
		later.Admitted = true
		return true, l.postpone(ctx, &later, execution, begin, "its turn within the rate limit comes later")
	}
	return false, sleep(ctx, wait)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// postpone schedules a job, and records that it waits.
func (l *lane) postpone(ctx context.Context, job *wire.Job, execution *wire.Execution, at time.Time, reason string) error {
	if err := l.pool.queue.Schedule(ctx, job, at); err != nil {
		return err
	}
	execution.Status, execution.NextAttemptAt, execution.Reason = wire.ExecutionWaiting, at.UTC(), reason
	l.pool.queue.Note(ctx, execution)
	l.pool.count(ctx, execution, "postponed")
	return nil
}

// circuitOpen is why a job waits.
const circuitOpen = "the circuit of its target is open"

// attempt does the work once.
func (l *lane) attempt(ctx context.Context, target Target, a *Attempt, execution *wire.Execution) error {
	policy, job := target.Policy(), a.Job
	done, wait := l.circuitFor(policy).allow()
	if done == nil {
		later := *job
		later.Admitted = false
		return l.postpone(ctx, &later, execution, l.pool.now().Add(wait), circuitOpen)
	}
	started := l.pool.now().UTC()
	execution.Status, execution.Attempt, execution.StartedAt = wire.ExecutionRunning, job.Attempt, started
	settled := l.noteLater(ctx, *execution)
	running, cancel := context.WithTimeout(ctx, policy.Timeout)
	result, failure := l.run(running, target, a)
	cancel()
	settled()
	finished := ctx.Err() == nil
	done(failure, finished)
	if !finished {
		return ctx.Err()
	}
	if a.kept.lost() {
		// We were frozen, and another copy has the job.
		return fault.New(fault.Unavailable, "the job was kept for too long without a word")
	}
	ended := l.pool.now().UTC()
	execution.DurationMS = ended.Sub(started).Milliseconds()
	l.pool.durations.Record(ctx, ended.Sub(started).Seconds(), l.label)
	if failure != nil {
		if pause, again := policy.again(job.Attempt, failure, rand.Float64()); again {
			execution.Error, execution.Stderr = &failure.Failure, failure.Stderr
			later := afterFailure(job, wire.AttemptFailure{Attempt: job.Attempt, At: ended, Failure: failure.Failure})
			err := l.postpone(ctx, later, execution, ended.Add(pause), "")
			if !errors.Is(err, fault.LimitExceeded) {
				return err
			}
			// It does not fit into a message with what went wrong: this was the last attempt.
		}
	}
	return l.finish(ctx, target, a, execution, result, failure)
}

// noteLong is how long a run takes before its record says that it runs: most are over before
// anybody could look.
const noteLong = 50 * time.Millisecond

// noteLater records that a run is under way, if it still is in a while. The function that it
// returns says that it is over.
func (l *lane) noteLater(ctx context.Context, execution wire.Execution) (over func()) {
	var mu sync.Mutex
	ended := false
	timer := time.AfterFunc(noteLong, func() {
		mu.Lock()
		defer mu.Unlock()
		if !ended {
			l.pool.queue.Note(ctx, &execution)
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		ended = true
	}
}

// run turns a panic of the code that does the work into a failure: one job must not take the
// others with it.
func (l *lane) run(ctx context.Context, target Target, a *Attempt) (result Result, failure *Failure) {
	defer func() {
		if p := recover(); p != nil {
			l.pool.tel.Logger(ctx).Error().Str("execution_id", a.Job.ID).Str("target", a.Job.Target).Str("panic", fmt.Sprint(p)).Msg("work panicked")
			failure = Failed(wire.FailureFailed, "the work panicked")
		}
	}()
	return target.Run(ctx, a)
}

// finish ends a run. Where more follows from its result than the token is told, the result is
// stored before, so that whoever gets the job again goes on from there.
func (l *lane) finish(ctx context.Context, target Target, a *Attempt, execution *wire.Execution, result Result, failure *Failure) error {
	execution.Status, execution.FinishedAt = wire.ExecutionSucceeded, l.pool.now().UTC()
	execution.Output, execution.OutputBytes, execution.Stderr = result.Output, len(result.Output), result.Stderr
	execution.Reason, execution.Error, execution.NextAttemptAt = "", nil, time.Time{}
	if failure != nil {
		execution.Status, execution.Error, execution.Stderr = wire.ExecutionFailed, &failure.Failure, failure.Stderr
		execution.Output, execution.OutputBytes = nil, 0
	}
	if failure != nil || target.Follows() || a.Job.TokenID == "" || a.Job.ArrivalSequence == 0 {
		if err := l.store(ctx, execution); err != nil {
			return err
		}
		return l.settle(ctx, target, a, execution)
	}
	err := l.settle(ctx, target, a, execution)
	if err != nil && ctx.Err() == nil {
		err = errors.Join(err, l.store(ctx, execution))
	}
	return err
}

// store stores a result, and tries for a while: else the work is done again.
func (l *lane) store(ctx context.Context, execution *wire.Execution) error {
	for attempt := 0; ; attempt++ {
		err := l.pool.queue.Record(ctx, execution)
		if !errors.Is(err, fault.Unavailable) || attempt >= insistAttempts {
			return err
		}
		if sleep(ctx, insistPause) != nil {
			return err
		}
	}
}

const (
	insistAttempts = 40
	insistPause    = 250 * time.Millisecond
)
