package work

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// settleTimeout bounds what follows from a result, before the job is given back and comes again.
const settleTimeout = 30 * time.Second

// errRest says that what follows waits until the instance is resumed.
var errRest = errors.New("the instance is suspended")

// resettle is settle for a run whose result was stored before.
func (l *lane) resettle(ctx context.Context, target Target, job *wire.Job, execution *wire.Execution) error {
	a := &Attempt{Job: job}
	if job.TokenID != "" {
		out, err := l.pool.bus.LoadInstance(ctx, l.pool.registry, "token_id", job.TokenID, job.WorkflowID, true)
		switch {
		case err == nil:
			a.Instance, a.Token = &out.State.Instance, out.State.Token(job.TokenID)
			execution.NatsSequence = toldAt(out.State, job)
		case !bus.Final(err):
			return err
		}
	}
	_, _ = target.Prepare(ctx, a) // For the input; the work is done.
	return l.settle(ctx, target, a, execution)
}

// settle does what follows from a run's result. Each part may be done twice and counts once:
//
//	dead letter, if it failed ──► transition.complete ──► the chain's next jobs ──► the record
func (l *lane) settle(ctx context.Context, target Target, a *Attempt, execution *wire.Execution) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	job := a.Job
	if execution.Status == wire.ExecutionFailed && job.Cause != wire.CauseInvoke {
		letter := &wire.DeadLetter{
			Job: *job, Input: a.Input, Error: *execution.Error, Attempts: execution.Attempt, FailedAt: execution.FinishedAt,
		}
		letter.Job.Failures = afterFailure(job, wire.AttemptFailure{Attempt: execution.Attempt, At: execution.FinishedAt, Failure: *execution.Error}).Failures
		if err := l.pool.queue.Bury(ctx, letter); err != nil {
			return err
		}
	}
	switch err := l.tellToken(ctx, a, execution); {
	case errors.Is(err, errRest):
		return l.rest(ctx, execution)
	case err != nil:
		return err
	}
	followers, err := target.Next(ctx, &Ended{Attempt: a, Execution: execution})
	if err != nil {
		return err
	}
	for i := range followers {
		err := l.follow(ctx, &followers[i])
		if errors.Is(err, fault.LimitExceeded) {
			l.pool.tel.Logger(ctx).Error().Str("execution_id", job.ID).Str("target", followers[i].Job.Target).Msg("chain was ended: what follows does not fit into a message")
			execution.Reason = followers[i].Job.Target + " was not begun: what it would be given does not fit into a message"
			continue
		}
		if err != nil {
			return err
		}
	}
	execution.Settled = true
	l.pool.queue.Note(ctx, execution)
	l.pool.count(ctx, execution, string(execution.Status))
	return nil
}

func (l *lane) follow(ctx context.Context, n *Next) error {
	n.Job.MayHaveRun = true
	if n.Delay > 0 {
		return l.pool.queue.Schedule(ctx, &n.Job, n.Job.QueuedAt.Add(n.Delay))
	}
	return l.pool.queue.Publish(ctx, &n.Job, "")
}

// tellToken brings the result to the token, if the work is about one, and says in the record
// what came of it.
func (l *lane) tellToken(ctx context.Context, a *Attempt, execution *wire.Execution) error {
	job := a.Job
	if job.TokenID == "" || job.ArrivalSequence == 0 || execution.NatsSequence != 0 {
		return nil
	}
	request := wire.CompleteRequest{
		InstanceID: job.InstanceID, TokenID: job.TokenID, ArrivalSequence: job.ArrivalSequence,
		Binding: job.Target, Kind: job.Kind, Outcome: wire.OutcomeSuccess, Output: execution.Output, TransitionID: job.OnSuccess,
		Attempts: execution.Attempt, DurationMS: execution.DurationMS,
		Origin: wire.Origin{TriggeredBy: l.pool.cfg.Service, RequestID: completionID(job)},
	}
	var err error
	if request.Data, err = patchFor(job.Output, execution.Output); err != nil {
		return err
	}
	if execution.Status == wire.ExecutionFailed {
		request.Outcome, request.Output, request.Data, request.TransitionID = wire.OutcomeFailure, nil, nil, job.OnFailure
		if request.Error, err = json.Marshal(execution.Error); err != nil {
			return err
		}
	}
	reply, refused, err := l.complete(ctx, request)
	code := fault.From(err)
	switch {
	case err == nil:
		execution.NatsSequence, execution.Reason = reply.Instance.NatsSequence, refused
		if len(reply.Token.ID) > 0 {
			a.Token = &reply.Token
		}
		if refused == "" {
			execution.TransitionID = request.TransitionID
		}
		return nil
	case errors.Is(err, fault.InstanceSuspended):
		return errRest
	case errors.Is(err, fault.RequestIDReused):
		execution.Reason = "another attempt at the same work was recorded"
		return nil
	case !bus.Final(err):
		return err
	}
	execution.Reason = string(code.Code) + ": " + code.Message
	return nil
}

// completionID is the request id with which a job's result is told, the same for whoever tells it.
func completionID(job *wire.Job) string {
	return job.Kind + "-" + job.ID + "-" + strconv.Itoa(job.Redrives)
}

// complete records the result, and with less where the engine refuses more: a result is not
// lost because a guard stands in its way.
func (l *lane) complete(ctx context.Context, request wire.CompleteRequest) (reply wire.FireReply, refused string, err error) {
	reply, err = l.pool.client.TransitionComplete(ctx, request)
	for err != nil && refusesMore(err) {
		because := fault.From(err)
		tooLarge := because.Code == fault.LimitExceeded
		switch {
		case tooLarge && request.Data != nil:
			refused = "the output was not put into the data: " + string(because.Code) + ": " + because.Message
			request.Data, request.RequestID = nil, request.RequestID+"-aside"
		case tooLarge && request.Output != nil:
			refused = "the output was not recorded: " + string(because.Code) + ": " + because.Message
			request.Output, request.RequestID = nil, request.RequestID+"-bare"
		case request.TransitionID != "":
			refused = request.TransitionID + " was not fired: " + string(because.Code) + ": " + because.Message
			request.TransitionID, request.RequestID = "", request.RequestID+"-stay"
		case request.Data != nil:
			refused = "the output was not put into the data: " + string(because.Code) + ": " + because.Message
			request.Data, request.RequestID = nil, request.RequestID+"-aside"
		case request.Output != nil:
			refused = "the output was not recorded: " + string(because.Code) + ": " + because.Message
			request.Output, request.RequestID = nil, request.RequestID+"-bare"
		default:
			return reply, refused, err
		}
		reply, err = l.pool.client.TransitionComplete(ctx, request)
	}
	return reply, refused, err
}

// refusesMore reports a refusal by the net, a rule, the schema or a limit, which says nothing
// against the result alone.
func refusesMore(err error) bool {
	code := fault.From(err).Code
	return code.Status() == 422 || code == fault.TransitionNotFound || code == fault.InvalidField
}
