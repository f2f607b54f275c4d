package bus

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Creation is a command that starts an instance.
type Creation struct {
	// WorkflowID is the workflow's UUID or name.
	WorkflowID string
	// Create is the command; the committer draws the instance's id.
	Create petri.Create
	Origin wire.Origin
	Digest string
}

// instanceSeedBits is how much of an instance id is random.
const instanceSeedBits = 26

// Create starts an instance on the newest version of a workflow. With a request id it is
// idempotent for as long as the stream remembers message ids (2 minutes): the repeat
// returns the instance that the first one made. It fails as Commit does, and with
// fault.WorkflowNotFound and fault.WorkflowArchived.
func (c *Committer) Create(ctx context.Context, creation Creation) (*Outcome, error) {
	record, err := c.registry.Resolve(ctx, creation.WorkflowID)
	if err != nil {
		return nil, err
	}
	if record.Status == wire.WorkflowArchived {
		return nil, fault.New(fault.WorkflowArchived, "workflow %q is archived and takes no new instances", record.Name).With("workflow_id", record.ID)
	}
	if err := c.headroom.check(ctx, record); err != nil {
		return nil, err
	}
	version, err := c.registry.Version(ctx, record, 0)
	if err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		out, err := c.createOnce(ctx, record, version, creation)
		if err == nil {
			return out, nil
		}
		// A clash of ids is answered by a new one; a message id in process by waiting for
		// the first to be stored; a gap by trying again.
		if !errors.Is(err, ErrWrongSequence) && !errors.Is(err, ErrBusy) && !errors.Is(err, ErrNotSent) {
			return nil, refusal(err, record)
		}
		if attempt >= maxAttempts {
			return nil, exhausted(err)
		}
		if err := pause(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

func (c *Committer) createOnce(ctx context.Context, record *wire.WorkflowRecord, version *Version, creation Creation) (*Outcome, error) {
	now := c.now()
	cmd := creation.Create
	cmd.WorkflowID, cmd.WorkflowVersion = record.ID, version.Workflow.Version
	var err error
	if cmd.InstanceID, err = wire.NewInstanceID(record.ID, now.UnixMilli(), rand.Uint32N(1<<instanceSeedBits)); err != nil {
		return nil, err
	}
	ev, err := petri.Decide(version.Net, nil, cmd, petri.Meta{
		Time: now, RequestID: creation.Origin.RequestID, Digest: creation.Digest, TriggeredBy: creation.Origin.TriggeredBy,
	}, c.Limits())
	if err != nil {
		return nil, fault.From(err)
	}
	if err := version.checkData(ev); err != nil {
		return nil, err
	}
	return c.publish(ctx, record, ev, 0, creation.Origin.RequestID)
}

// duplicate is the outcome of a command that the stream has already seen. Only an event of
// the same kind, with the same request id and digest, counts.
func (c *Committer) duplicate(ctx context.Context, record *wire.WorkflowRecord, ev *wire.Event, sequence uint64) (*Outcome, error) {
	msg, err := c.bus.At(ctx, record.Stream, sequence)
	if errors.Is(err, ErrNoMessage) {
		return nil, fault.New(fault.InstanceFinished, "the instance that this request made has been purged").With("request_id", ev.RequestID)
	}
	if err != nil {
		return nil, err
	}
	first, err := decode(record, msg)
	if err != nil {
		return nil, err
	}
	same := first.Event.EventType == ev.EventType && first.Event.RequestID == ev.RequestID && first.Event.RequestDigest == ev.RequestDigest
	if !same {
		return nil, reused(ev.RequestID)
	}
	first.Repeated = true
	return first, nil
}
