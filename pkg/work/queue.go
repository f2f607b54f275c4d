package work

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Queue writes and reads the streams JOBS, EXECUTIONS and DEAD_LETTERS. It is safe for
// concurrent use.
type Queue struct {
	bus *bus.Bus
	now func() time.Time
}

// NewQueue makes a queue on streams that are there (bus.EnsureWork).
func NewQueue(b *bus.Bus) *Queue { return &Queue{bus: b, now: time.Now} }

// Publish queues a job. Jobs with the same occasion are the same job for two minutes, and the
// second one is not stored.
func (q *Queue) Publish(ctx context.Context, job *wire.Job, occasion string) error {
	body, err := encode(job)
	if err != nil {
		return err
	}
	return q.store(ctx, &nats.Msg{Subject: wire.JobSubject(job), Data: body, Header: nats.Header{
		"Nats-Msg-Id": {job.ID + "-" + strconv.Itoa(job.Redrives) + occasion},
	}})
}

// Schedule queues a job that comes later, in the place of an earlier schedule of the same
// execution.
func (q *Queue) Schedule(ctx context.Context, job *wire.Job, at time.Time) error {
	later := *job
	later.Scheduled = true
	body, err := encode(&later)
	if err != nil {
		return err
	}
	return q.store(ctx, &nats.Msg{Subject: wire.JobWaitSubject(job), Data: body, Header: nats.Header{
		"Nats-Schedule": {"@at " + at.UTC().Format(time.RFC3339Nano)}, "Nats-Schedule-Target": {wire.JobSubject(job)},
	}})
}

// store publishes until the message is stored: whatever is published here may be stored twice.
func (q *Queue) store(ctx context.Context, msg *nats.Msg) error {
	if int64(len(msg.Data)) > q.bus.NC.MaxPayload()-headerRoom {
		return fault.New(fault.LimitExceeded, "the work takes %d bytes, more than fits into a message", len(msg.Data))
	}
	telemetry.Inject(ctx, msg.Header)
	for {
		_, err := q.bus.Publish(ctx, msg)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, bus.ErrStreamFull):
			return fault.New(fault.WorkflowFull, "the server has no room for more work").Because(err)
		case errors.Is(err, bus.ErrNotSent), q.bus.NC.IsClosed():
			return unavailable(err)
		case !errors.Is(err, bus.ErrAmbiguous) && !errors.Is(err, bus.ErrBusy):
			return err
		}
		if err := sleep(ctx, storePause); err != nil {
			return unavailable(err)
		}
	}
}

// storePause is the pause before a message is published again that was not acknowledged.
const storePause = 20 * time.Millisecond

// encode writes JSON without escaping what HTML does not like: a document must not grow by it.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// headerRoom is what the headers of a message may take.
const headerRoom = 4 << 10

func unavailable(err error) error {
	return fault.New(fault.Unavailable, "the streams of work are out of reach at the moment; try again").Because(err)
}

// Record stores how far a run is, and waits until it is stored.
func (q *Queue) Record(ctx context.Context, e *wire.Execution) error {
	msg, err := recordMessage(ctx, e)
	if err != nil {
		return err
	}
	return q.store(ctx, msg)
}

// Queued records that a run waits for a copy that takes it, where nothing is known of it yet. It
// comes after the job, which may be over already.
func (q *Queue) Queued(ctx context.Context, job *wire.Job) error {
	msg, err := recordMessage(ctx, newExecution(job))
	if err != nil {
		return err
	}
	bus.Expect(msg, msg.Subject, 0)
	if _, err := q.bus.Publish(ctx, msg); err != nil && !errors.Is(err, bus.ErrWrongSequence) {
		return unavailable(err)
	}
	return nil
}

// Note stores how far a run is without waiting: who looks may see it a moment later, and after
// a crash never.
func (q *Queue) Note(ctx context.Context, e *wire.Execution) {
	msg, err := recordMessage(ctx, e)
	if err != nil {
		return
	}
	_ = q.bus.NC.PublishMsg(msg) // Without a connection there is nothing to note it on.
}

func recordMessage(ctx context.Context, e *wire.Execution) (*nats.Msg, error) {
	body, err := encode(e)
	if err != nil {
		return nil, err
	}
	msg := &nats.Msg{Subject: subjectOf(e), Data: body, Header: nats.Header{}}
	telemetry.Inject(ctx, msg.Header)
	return msg, nil
}

func subjectOf(e *wire.Execution) string {
	return wire.ExecutionSubject(e.Kind, e.Target, e.WorkflowID, e.InstanceID, e.ID)
}

// Recorded is what is known of a job's run; nil when nothing is.
func (q *Queue) Recorded(ctx context.Context, job *wire.Job) (*wire.Execution, error) {
	return q.recorded(ctx, newExecution(job))
}

func (q *Queue) recorded(ctx context.Context, e *wire.Execution) (*wire.Execution, error) {
	m, err := q.bus.Last(ctx, wire.StreamExecutions, subjectOf(e), true)
	if errors.Is(err, bus.ErrNoMessage) {
		return nil, nil
	}
	if err != nil {
		return nil, outOfReach(err)
	}
	return readExecution(m)
}

func readExecution(m *bus.Message) (*wire.Execution, error) {
	var e wire.Execution
	if err := json.Unmarshal(m.Data, &e); err != nil {
		return nil, fmt.Errorf("execution at %d: %w", m.Sequence, err)
	}
	return &e, nil
}

func outOfReach(err error) error {
	if errors.Is(err, bus.ErrNoStream) || errors.Is(err, bus.ErrNotSent) {
		return unavailable(err)
	}
	return err
}

// Bury puts a run among the dead letters, without its input where that does not fit: the job
// makes it again.
func (q *Queue) Bury(ctx context.Context, letter *wire.DeadLetter) error {
	if before, err := q.letter(ctx, letter.Job.ID); err != nil || before != nil && before.Job.Redrives == letter.Job.Redrives {
		return err // It lies there already; somebody may be looking at it.
	}
	err := q.bury(ctx, letter)
	if errors.Is(err, fault.LimitExceeded) && len(letter.Input) > 0 {
		smaller := *letter
		smaller.Input = nil
		if err = q.bury(ctx, &smaller); errors.Is(err, fault.LimitExceeded) {
			smaller.Job.Failures, smaller.Job.Previous = nil, nil
			err = q.bury(ctx, &smaller)
		}
	}
	return err
}

func (q *Queue) bury(ctx context.Context, letter *wire.DeadLetter) error {
	body, err := encode(letter)
	if err != nil {
		return err
	}
	j := &letter.Job
	return q.store(ctx, &nats.Msg{
		Subject: wire.DeadLetterSubject(j.Kind, j.Target, j.WorkflowID, j.InstanceID, j.ID), Data: body, Header: nats.Header{},
	})
}
