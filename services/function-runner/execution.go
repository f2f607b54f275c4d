package functionrunner

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/catalog"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

func (s *Service) execution(ctx context.Context, req wire.ExecutionGetRequest) (wire.Execution, error) {
	if err := validExecution(req.ID); err != nil {
		return wire.Execution{}, err
	}
	e, letter, err := s.queue.Find(ctx, req.ID)
	if err != nil {
		return wire.Execution{}, err
	}
	if letter != nil {
		e.Input, e.Failures = letter.Input, letter.Job.Failures
	}
	return *e, nil
}

func validExecution(id string) error {
	if !wire.IsUUID(id) {
		return bad("id", "must be the id of an execution, a lower-case UUID")
	}
	return nil
}

func (s *Service) executions(ctx context.Context, req wire.ExecutionListRequest) (wire.ExecutionListReply, error) {
	reply := wire.ExecutionListReply{Executions: []wire.Execution{}}
	if req.Status != "" && !slices.Contains(wire.ExecutionStatuses(), req.Status) {
		var names []string
		for _, status := range wire.ExecutionStatuses() {
			names = append(names, string(status))
		}
		return reply, oneOf("status", string(req.Status), names)
	}
	if err := s.filter(ctx, &req.ExecutionFilter); err != nil {
		return reply, err
	}
	return s.queue.List(ctx, &req)
}

// filter checks a filter, and puts a workflow's id in the place of its name.
func (s *Service) filter(ctx context.Context, f *wire.ExecutionFilter) error {
	kinds := []string{wire.KindFunction, wire.KindAgent}
	switch {
	case f.Kind != "" && !slices.Contains(kinds, f.Kind):
		return oneOf("kind", f.Kind, kinds)
	case f.Target != "" && !wire.ValidName(f.Target):
		return bad("target", "must be the id of a function or an agent")
	case f.InstanceID != "" && f.InstanceID != wire.NoInstance && !wire.IsRoutedID(f.InstanceID):
		return bad("instance_id", "must be the id of an instance")
	case !f.From.IsZero() && !f.To.IsZero() && f.To.Before(f.From):
		return bad("to", "is before from")
	}
	if f.WorkflowID == "" || f.WorkflowID == wire.NoInstance || wire.IsUUID(strings.ToLower(f.WorkflowID)) {
		f.WorkflowID = strings.ToLower(f.WorkflowID)
		return nil
	}
	record, err := s.registry.Resolve(ctx, f.WorkflowID)
	if err == nil {
		f.WorkflowID = record.ID
	}
	return err
}

func (s *Service) redrive(ctx context.Context, req wire.ExecutionRedriveRequest) (wire.ExecutionChangeReply, error) {
	repeats := func(e *wire.Execution, letter *work.Letter) bool {
		// A letter that the first request could not take away is older than the run.
		stale := letter != nil && e.RequestID == req.RequestID && e.Redrives > letter.Job.Redrives
		return stale || letter != nil && letter.Job.RequestID == req.RequestID || letter == nil && e.RequestID == req.RequestID && e.Status != wire.ExecutionDiscarded
	}
	return s.changeLetters(ctx, req.ID, &req.ExecutionFilter, req.Page, req.Origin, repeats, func(letter *work.Letter) error {
		if err := s.redrivable(ctx, letter); err != nil {
			return err
		}
		return s.queue.Redrive(ctx, letter, req.Origin)
	})
}

// redrivable refuses work that a place has asked for, where the token is not any more.
func (s *Service) redrivable(ctx context.Context, letter *work.Letter) error {
	job := &letter.Job
	if !job.Bound {
		return nil
	}
	out, err := s.bus.LoadInstance(ctx, s.registry, "token_id", job.TokenID, job.WorkflowID, true)
	if err != nil {
		return err
	}
	token := out.State.Token(job.TokenID)
	if token == nil || token.ArrivalSequence != job.ArrivalSequence {
		return fault.New(fault.TokenMoved, "the token has left %s since; discard it", job.Place).With("token_id", job.TokenID)
	}
	return nil
}

// maxReason is how many bytes a reason may have.
const maxReason = 4096

func (s *Service) discard(ctx context.Context, req wire.ExecutionDiscardRequest) (wire.ExecutionChangeReply, error) {
	reason := strings.TrimSpace(req.Reason)
	if reason == "" || len(reason) > maxReason {
		return wire.ExecutionChangeReply{Executions: []string{}}, bad("reason", "must say why, in 1 to %d bytes", maxReason)
	}
	repeats := func(e *wire.Execution, letter *work.Letter) bool {
		return letter == nil && e.RequestID == req.RequestID && e.Status == wire.ExecutionDiscarded
	}
	return s.changeLetters(ctx, req.ID, &req.ExecutionFilter, req.Page, req.Origin, repeats, func(letter *work.Letter) error {
		return s.queue.Discard(ctx, letter, reason, req.Origin)
	})
}

// repeating reports whether a request with this id has changed a run before; its letter may be nil.
type repeating func(*wire.Execution, *work.Letter) bool

// changeLetters changes one dead letter, or a page of those that a filter chooses. What cannot
// be changed is said, and does not hinder the others.
func (s *Service) changeLetters(
	ctx context.Context, id string, filter *wire.ExecutionFilter, page wire.Page, origin wire.Origin, repeats repeating,
	change func(*work.Letter) error,
) (wire.ExecutionChangeReply, error) {
	reply := wire.ExecutionChangeReply{Executions: []string{}}
	if err := catalog.ValidOrigin(origin); err != nil {
		return reply, err
	}
	if id != "" {
		if *filter != (wire.ExecutionFilter{}) || page != (wire.Page{}) {
			return reply, bad("id", "names one execution; leave out what chooses among several")
		}
		return s.changeLetter(ctx, id, origin, repeats, change)
	}
	if filter.Target == "" {
		return reply, bad("id", "is missing: give the id of one execution, or a target for all that match")
	}
	if err := s.filter(ctx, filter); err != nil {
		return reply, err
	}
	letters, next, err := s.queue.Letters(ctx, filter, page)
	if err != nil {
		return reply, err
	}
	reply.NextCursor = next
	for _, letter := range letters {
		err := change(letter)
		switch {
		case err == nil:
			reply.Executions = append(reply.Executions, letter.Job.ID)
		case !bus.Final(err) && !errors.Is(err, fault.Conflict) || ctx.Err() != nil:
			return reply, err
		default:
			coded := fault.From(err)
			reply.Refused = append(reply.Refused, wire.RefusedExecution{ID: letter.Job.ID, Code: string(coded.Code), Message: coded.Message})
		}
	}
	return reply, nil
}

func (s *Service) changeLetter(ctx context.Context, id string, origin wire.Origin, repeats repeating, change func(*work.Letter) error) (wire.ExecutionChangeReply, error) {
	reply := wire.ExecutionChangeReply{Executions: []string{}}
	if err := validExecution(id); err != nil {
		return reply, err
	}
	e, letter, err := s.queue.Find(ctx, id)
	switch {
	case err != nil:
		return reply, err
	case origin.RequestID != "" && repeats(e, letter):
		reply.Executions = append(reply.Executions, id)
		if letter != nil && e.Redrives > letter.Job.Redrives {
			return reply, s.queue.Unbury(ctx, letter)
		}
		return reply, nil
	case letter == nil:
		return reply, fault.New(fault.ExecutionNotFound, "execution %s is %s, and not among the dead letters", id, e.Status).
			With("execution_id", id).With("status", e.Status)
	}
	if err := change(letter); err != nil {
		return reply, err
	}
	reply.Executions = append(reply.Executions, id)
	return reply, nil
}
