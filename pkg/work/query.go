package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Letter is a dead letter where it lies.
type Letter struct {
	wire.DeadLetter
	Sequence uint64
	Time     time.Time
}

const (
	// walkMost is how many messages one request looks at, walkTime for how long.
	walkMost = 5000
	walkTime = 3 * time.Second
)

// Find reads a run's record by its id, and its dead letter if it has one. It fails with
// fault.ExecutionNotFound.
func (q *Queue) Find(ctx context.Context, id string) (*wire.Execution, *Letter, error) {
	letter, err := q.letter(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	m, err := q.bus.Last(ctx, wire.StreamExecutions, wire.ExecutionSubject("*", "*", "*", "*", id), true)
	switch {
	case err == nil:
		e, err := readExecution(m)
		return e, letter, err
	case !errors.Is(err, bus.ErrNoMessage):
		return nil, nil, outOfReach(err)
	case letter == nil:
		return nil, nil, notFound(id, "there is no execution %s, or its record has aged out")
	}
	return letter.execution(), letter, nil
}

func notFound(id, format string) error {
	return fault.New(fault.ExecutionNotFound, format, id).With("execution_id", id)
}

// execution is the record of a dead letter whose own has aged out.
func (l *Letter) execution() *wire.Execution {
	e := newExecution(&l.Job)
	e.Status, e.Attempt, e.Error, e.FinishedAt = wire.ExecutionFailed, l.Attempts, &l.Error, l.FailedAt
	return e
}

// letter finds the dead letter of a run; nil when there is none.
func (q *Queue) letter(ctx context.Context, id string) (*Letter, error) {
	m, err := q.bus.Last(ctx, wire.StreamDeadLetters, wire.DeadLetterSubject("*", "*", "*", "*", id), true)
	if errors.Is(err, bus.ErrNoMessage) {
		return nil, nil
	}
	if err != nil {
		return nil, outOfReach(err)
	}
	return readLetter(m)
}

func readLetter(m *bus.Message) (*Letter, error) {
	l := &Letter{Sequence: m.Sequence, Time: m.Time}
	if err := json.Unmarshal(m.Data, &l.DeadLetter); err != nil {
		return nil, fmt.Errorf("dead letter at %d: %w", m.Sequence, err)
	}
	return l, nil
}

// List reads a page of records, or of dead letters, that a filter chooses.
func (q *Queue) List(ctx context.Context, req *wire.ExecutionListRequest) (wire.ExecutionListReply, error) {
	reply := wire.ExecutionListReply{Executions: []wire.Execution{}}
	limit, from, err := bounds(req.Page)
	if err != nil {
		return reply, err
	}
	size, at := 0, map[string]int{}
	stream, subject := wire.StreamExecutions, wire.ExecutionSubject
	if req.DeadLetters {
		stream, subject = wire.StreamDeadLetters, wire.DeadLetterSubject
	}
	next, err := q.walk(ctx, stream, &req.ExecutionFilter, subject, from, func(m *bus.Message) (verdict, error) {
		var e *wire.Execution
		if req.DeadLetters {
			letter, err := readLetter(m)
			if err != nil {
				return goOn, err
			}
			e = letter.execution()
		} else if e, err = readExecution(m); err != nil {
			return goOn, err
		}
		if before, again := at[e.ID]; again {
			// It has changed while we read.
			reply.Executions[before] = *e
			return goOn, nil
		}
		if req.Status != "" && e.Status != req.Status {
			return goOn, nil
		}
		if size += len(m.Data); size > wire.MaxPageBytes && len(reply.Executions) > 0 {
			return endBefore, nil
		}
		at[e.ID] = len(reply.Executions)
		reply.Executions = append(reply.Executions, *e)
		if len(reply.Executions) == limit {
			return endAfter, nil
		}
		return goOn, nil
	})
	reply.NextCursor = cursorOf(next)
	return reply, err
}

// Letters reads a page of the dead letters that a filter chooses, oldest first.
func (q *Queue) Letters(ctx context.Context, filter *wire.ExecutionFilter, page wire.Page) (letters []*Letter, nextCursor string, err error) {
	limit, from, err := bounds(page)
	if err != nil {
		return nil, "", err
	}
	next, err := q.walk(ctx, wire.StreamDeadLetters, filter, wire.DeadLetterSubject, from, func(m *bus.Message) (verdict, error) {
		letter, err := readLetter(m)
		if err != nil {
			return goOn, err
		}
		if letters = append(letters, letter); len(letters) == limit {
			return endAfter, nil
		}
		return goOn, nil
	})
	return letters, cursorOf(next), err
}

// bounds are how many messages a page has at most, and where it begins.
func bounds(page wire.Page) (limit int, from uint64, err error) {
	if limit, err = bus.PageSize(page.Limit); err != nil || page.Cursor == "" {
		return limit, 1, err
	}
	if from, err = strconv.ParseUint(page.Cursor, 10, 64); err != nil {
		return 0, 0, fault.New(fault.InvalidField, "cursor is not one that this list returned").With("field", "cursor")
	}
	return limit, from, nil
}

// cursorOf is where a page goes on; 0 is the end.
func cursorOf(next uint64) string {
	if next == 0 {
		return ""
	}
	return sequence(next)
}

// verdict is what a walk does after a message.
type verdict int

const (
	goOn verdict = iota
	// endAfter ends the walk, endBefore too, and the message is not taken.
	endAfter
	endBefore
)

// walk reads the messages that a filter chooses, in order, until yield says that it is enough.
// It returns where to go on: after the last message that was taken, or 0 at the end. Single
// gets are chained: the batch form counts every subject, and stalls those who write.
func (q *Queue) walk(
	ctx context.Context, stream string, filter *wire.ExecutionFilter, subject func(kind, target, w, i, e string) string, from uint64,
	yield func(*bus.Message) (verdict, error),
) (next uint64, err error) {
	any := func(s string) string {
		if s == "" {
			return "*"
		}
		return s
	}
	filtered := subject(any(filter.Kind), any(filter.Target), any(filter.WorkflowID), any(filter.InstanceID), "*")
	began := q.now()
	for looked := 0; ; looked++ {
		if looked >= walkMost || q.now().Sub(began) > walkTime {
			return from, nil
		}
		m, err := q.bus.Next(ctx, stream, filtered, from)
		if errors.Is(err, bus.ErrNoMessage) {
			return 0, nil
		}
		if err != nil {
			return 0, outOfReach(err)
		}
		from = m.Sequence + 1
		if !filter.To.IsZero() && m.Time.After(filter.To) {
			return 0, nil // They lie in the order of their time.
		}
		if m.Time.Before(filter.From) {
			continue
		}
		switch v, err := yield(m); {
		case err != nil:
			return 0, err
		case v == endAfter:
			return from, nil
		case v == endBefore:
			return m.Sequence, nil
		}
	}
}

// Redrive queues the job of a dead letter again, and takes the letter away.
func (q *Queue) Redrive(ctx context.Context, letter *Letter, origin wire.Origin) error {
	if _, err := q.settled(ctx, letter); err != nil {
		return err
	}
	job := letter.Job
	job.Attempt, job.Redrives, job.Failures = 1, job.Redrives+1, nil
	// It looks at its record first: somebody may discard it before it is begun.
	job.MayHaveRun, job.Admitted, job.RequestID, job.RequestDigest, job.QueuedAt = true, false, origin.RequestID, "", q.now().UTC()
	if origin.TriggeredBy != "" {
		job.TriggeredBy = origin.TriggeredBy
	}
	if err := q.Record(ctx, newExecution(&job)); err != nil {
		return err
	}
	if err := q.Publish(ctx, &job, ""); err != nil {
		return err
	}
	return q.Unbury(ctx, letter)
}

// Discard says that nothing more is to come of a run that has failed, and takes its letter away.
func (q *Queue) Discard(ctx context.Context, letter *Letter, reason string, origin wire.Origin) error {
	e, err := q.settled(ctx, letter)
	if err != nil {
		return err
	}
	if e == nil {
		e = letter.execution()
	}
	e.Status, e.Reason, e.TriggeredBy, e.RequestID, e.RequestDigest = wire.ExecutionDiscarded, reason, origin.TriggeredBy, origin.RequestID, ""
	if err := q.Record(ctx, e); err != nil {
		return err
	}
	return q.Unbury(ctx, letter)
}

// settled is the record of a dead letter's run, nil where it has aged out. It fails with
// fault.Conflict while what follows from the failure is still being done.
func (q *Queue) settled(ctx context.Context, letter *Letter) (*wire.Execution, error) {
	e, err := q.Recorded(ctx, &letter.Job)
	if err == nil && e != nil && e.Status == wire.ExecutionFailed && e.Redrives == letter.Job.Redrives && !e.Settled {
		return nil, fault.New(fault.Conflict, "execution %s has failed just now, and its token is still being told; try again", e.ID)
	}
	return e, err
}

// Unbury takes a dead letter away.
func (q *Queue) Unbury(ctx context.Context, letter *Letter) error {
	stream, err := q.bus.JS.Stream(ctx, wire.StreamDeadLetters)
	if err != nil {
		return unavailable(err)
	}
	err = stream.DeleteMsg(ctx, letter.Sequence)
	var api *jetstream.APIError
	if err == nil || errors.Is(err, jetstream.ErrMsgNotFound) || errors.As(err, &api) && api.ErrorCode == codeDeleteFailed {
		return nil // The run has failed again, and its new letter lies in the place of this one.
	}
	return unavailable(err)
}

// codeDeleteFailed is what the server says to the deletion of what is not there (server/errors.json).
const codeDeleteFailed = 10057

// Newest is the sequence of the job that was queued last.
func (q *Queue) Newest(ctx context.Context) (uint64, error) {
	stream, err := q.bus.JS.Stream(ctx, wire.StreamJobs)
	if err != nil {
		return 0, unavailable(err)
	}
	return stream.CachedInfo().State.LastSeq, nil
}

// Forget takes away what waits for a target that was deleted, up to a sequence.
func (q *Queue) Forget(ctx context.Context, kind, target string, until uint64) error {
	stream, err := q.bus.JS.Stream(ctx, wire.StreamJobs)
	if err != nil {
		return unavailable(err)
	}
	for _, subject := range []string{wire.JobWaitSubjects(kind, target), wire.JobSubjects(kind, target)} {
		if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(until+1)); err != nil {
			return unavailable(err)
		}
	}
	if err := q.bus.JS.DeleteConsumer(ctx, wire.StreamJobs, Durable(kind, target)); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return unavailable(err)
	}
	return nil
}
