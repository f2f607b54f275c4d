package functionrunner

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/catalog"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// invokeWait is how long the reply to an invocation waits for its end: less than callers wait
// before they ask again.
const invokeWait = 4 * time.Second

func (s *Service) invoke(ctx context.Context, req wire.FunctionInvokeRequest) (wire.Execution, error) {
	if err := catalog.ValidOrigin(req.Origin); err != nil {
		return wire.Execution{}, err
	}
	e, err := s.store.Existing(ctx, req.ID)
	if err != nil {
		return wire.Execution{}, err
	}
	if !e.Definition.IsEnabled() {
		return wire.Execution{}, fault.New(fault.FunctionDisabled, "function %q is disabled; enable it first", req.ID).With("function_id", req.ID)
	}
	digest, err := bus.Digest(wire.SubjectFunctionInvoke, req.Origin, req)
	if err != nil {
		return wire.Execution{}, err
	}
	job := wire.Job{
		ID: work.ID(wire.KindFunction, req.ID, wire.CauseInvoke, cmp.Or(req.RequestID, uuid.NewString())), Kind: wire.KindFunction, Target: req.ID,
		Cause: wire.CauseInvoke, Input: req.Input, Mapped: len(req.Input) > 0, Attempt: 1, MayHaveRun: req.RequestID != "",
		TriggeredBy: req.TriggeredBy, RequestID: req.RequestID, RequestDigest: digest, QueuedAt: s.now().UTC(),
	}
	if err := s.forToken(ctx, &job, req.TokenID); err != nil {
		return wire.Execution{}, err
	}
	// A repeat finds what the first one began, however long ago.
	known, err := s.begun(ctx, &job)
	if err != nil {
		return wire.Execution{}, err
	}
	queued := wire.Execution{
		ID: job.ID, Kind: job.Kind, Target: job.Target, Status: wire.ExecutionQueued, Cause: job.Cause, WorkflowID: job.WorkflowID,
		InstanceID: job.InstanceID, TokenID: job.TokenID, TriggeredBy: job.TriggeredBy, QueuedAt: job.QueuedAt,
	}
	if known != nil {
		queued = *known
	}
	if req.Async || queued.Status.Ended() {
		if known == nil {
			err = s.enqueue(ctx, &job)
		}
		return queued, err
	}
	// What the stream takes is seen here a moment before.
	changes := make(chan *nats.Msg, 64)
	sub, err := s.bus.NC.ChanSubscribe(wire.ExecutionSubject(job.Kind, job.Target, job.WorkflowID, job.InstanceID, job.ID), changes)
	if err != nil {
		return wire.Execution{}, fault.New(fault.Unavailable, "the NATS server is out of reach").Because(err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection ends anyway
	if known == nil {
		err = s.queue.Publish(ctx, &job, "")
	} else if now, err := s.begun(ctx, &job); err == nil && now != nil {
		queued = *now // It may have ended before we listened.
	}
	if err != nil {
		return wire.Execution{}, err
	}
	return s.await(ctx, queued, changes), nil
}

// enqueue queues a job that somebody may want to look at right away.
func (s *Service) enqueue(ctx context.Context, job *wire.Job) error {
	if err := s.queue.Publish(ctx, job, ""); err != nil {
		return err
	}
	return s.queue.Queued(ctx, job)
}

// begun is the run that an earlier request with the job's request id has begun, as far as it is
// recorded; nil where there is none.
func (s *Service) begun(ctx context.Context, job *wire.Job) (*wire.Execution, error) {
	if job.RequestID == "" {
		return nil, nil
	}
	e, err := s.queue.Recorded(ctx, job)
	if err == nil && e != nil && e.RequestID == job.RequestID && e.RequestDigest != job.RequestDigest {
		return nil, fault.New(fault.RequestIDReused, "request_id %q was used before for another request; draw a new one", job.RequestID).
			With("request_id", job.RequestID)
	}
	return e, err
}

// await follows a run until it has ended, or the request has to be answered.
func (s *Service) await(ctx context.Context, e wire.Execution, changes <-chan *nats.Msg) wire.Execution {
	timer := time.NewTimer(min(invokeWait, s.cfg.RequestTimeout/2))
	defer timer.Stop()
	for !e.Status.Ended() {
		select {
		case msg := <-changes:
			var now wire.Execution
			if json.Unmarshal(msg.Data, &now) == nil {
				e = now
			}
		case <-timer.C:
			return e
		case <-ctx.Done():
			return e
		}
	}
	return e
}

// forToken makes a job be about a token, which must exist. "" is none.
func (s *Service) forToken(ctx context.Context, job *wire.Job, tokenID string) error {
	if tokenID == "" {
		return nil
	}
	out, err := s.bus.LoadInstance(ctx, s.registry, "token_id", tokenID, "", true)
	if err != nil {
		return err
	}
	token, err := out.Token(tokenID)
	if err != nil {
		return err
	}
	job.TokenID, job.InstanceID, job.WorkflowID, job.Place = tokenID, out.State.ID, out.State.WorkflowID, token.Place
	return nil
}

func (s *Service) trigger(ctx context.Context, req wire.FunctionTriggerRequest) (wire.FunctionTriggerReply, error) {
	reply := wire.FunctionTriggerReply{Executions: []wire.TriggeredExecution{}}
	if err := catalog.ValidOrigin(req.Origin); err != nil {
		return reply, err
	}
	if !wire.ValidName(req.Event) {
		return reply, bad("event", "must be a name of 1 to 64 characters of a-z, 0-9, _ and -, that begins with a letter or digit")
	}
	said, err := json.Marshal(event{Type: wire.TriggerCustom, Name: req.Event, TriggeredBy: req.TriggeredBy, Time: s.now().UTC(), Data: req.Data})
	if err != nil {
		return reply, err
	}
	digest, err := bus.Digest(wire.SubjectFunctionTrigger, req.Origin, req)
	if err != nil {
		return reply, err
	}
	template := wire.Job{
		Kind: wire.KindFunction, Cause: wire.TriggerCustom, Input: req.Data, Event: said, Attempt: 1, MayHaveRun: req.RequestID != "",
		TriggeredBy: req.TriggeredBy, RequestID: req.RequestID, RequestDigest: digest, QueuedAt: s.now().UTC(),
	}
	if err := s.forToken(ctx, &template, req.TokenID); err != nil {
		return reply, err
	}
	occasion := cmp.Or(req.RequestID, uuid.NewString())
	for _, e := range s.store.All() {
		if !e.Definition.IsEnabled() {
			continue
		}
		for i := range e.Definition.Triggers {
			t := &e.Definition.Triggers[i]
			if t.Event != wire.TriggerCustom || t.Name != req.Event || t.Workflow != "" && !s.isWorkflow(t.Workflow, template.WorkflowID) {
				continue
			}
			job := template
			job.Target, job.Mapping, job.When = e.Definition.ID, t.Input, t.When
			job.ID = work.ID(wire.KindFunction, job.Target, wire.TriggerCustom, req.Event, occasion, sequence(uint64(i)))
			known, err := s.begun(ctx, &job)
			if err == nil && known == nil {
				err = s.enqueue(ctx, &job)
			}
			if err != nil {
				return reply, err
			}
			reply.Executions = append(reply.Executions, wire.TriggeredExecution{ID: job.ID, Target: job.Target})
		}
	}
	return reply, nil
}
