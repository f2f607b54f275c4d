package projector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const repairTimeout = 10 * time.Second

// repair takes back what this projection may have put into the view after somebody else had
// taken it over: an item that was new to us, and that the other copy has since put and
// removed again, tombstone and all. Every other late write is refused by the server. It
// returns what it could not look at.
func (p *projection) repair(ctx context.Context) (suspects map[key]birth) {
	p.mu.Lock()
	suspects, p.births = p.births, nil
	for id, b := range p.checkpoint.covered {
		suspects[id] = b
	}
	p.checkpoint.covered = nil
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), repairTimeout)
	defer cancel()
	for id, b := range suspects {
		if err := p.owner.exorcise(ctx, p.workflow, id.kind, b); err != nil {
			p.owner.tel.Log.Warn().Err(err).Str("workflow", p.workflow.ID).Int("items", len(suspects)).Msg("view was not checked for what we may have put too late")
			break
		}
		delete(suspects, id)
	}
	return suspects
}

// exorcise removes one item from the view if the truth does not have it.
func (p *Projector) exorcise(ctx context.Context, w wire.WorkflowRecord, k kind, b birth) error {
	// The view first: what is newer than what we see here is not touched.
	filter := wire.TokenPlaces(w.ID, b.id)
	if k == recordItem {
		filter = wire.InstanceRecordSubject(w.ID, "*", b.id)
	}
	ghost, err := p.bus.Last(ctx, wire.StreamPlaces, filter, true)
	if errors.Is(err, bus.ErrNoMessage) || err == nil && len(ghost.Data) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	truth, err := p.bus.Last(ctx, w.Stream, wire.InstanceSubjects(w.ID, b.instance), true)
	var revision uint64
	switch {
	case errors.Is(err, bus.ErrNoStream):
		return nil
	case errors.Is(err, bus.ErrNoMessage):
		// The instance was purged.
		revision, _ = strconv.ParseUint(ghost.Header.Get(wire.HeaderRevision), 10, 64)
	case err != nil:
		return err
	default:
		revision = truth.Sequence
		var e wire.Event
		if err := json.Unmarshal(truth.Data, &e); err != nil {
			return fmt.Errorf("event %d: %w", truth.Sequence, err)
		}
		if k == recordItem || e.Instance == nil || e.Instance.Token(b.id) != nil {
			return nil
		}
	}
	msg := nats.NewMsg(ghost.Subject)
	bus.Expect(msg, filter, ghost.Sequence)
	msg.Header.Set(wire.HeaderRevision, strconv.FormatUint(revision, 10))
	msg.Header.Set(jetstream.MsgTTLHeader, tombstoneTTL.String())
	_, err = p.bus.Publish(ctx, msg)
	if errors.Is(err, bus.ErrWrongSequence) {
		return nil
	}
	if err == nil {
		p.tel.Log.Info().Str("workflow", w.ID).Str("instance", b.instance).Msg("late write was taken back")
	}
	return err
}
