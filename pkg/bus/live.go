package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// LiveVersions says which of these versions of a workflow active or suspended instances run
// on, as the view has it, which may be behind by moments. It reads the records of all such
// instances unless it has found every version before.
func (b *Bus) LiveVersions(ctx context.Context, workflowID string, versions []int) (map[int]bool, error) {
	errFound := errors.New("every version was found")
	live := map[int]bool{}
	_, err := b.Scan(ctx, TailConfig{Stream: wire.StreamPlaces, Subjects: []string{
		wire.InstanceRecordSubject(workflowID, wire.StatusActive, "*"),
		wire.InstanceRecordSubject(workflowID, wire.StatusSuspended, "*"),
	}}, func(m *Message) error {
		if len(m.Data) == 0 {
			return nil // It has left.
		}
		var record struct {
			Version int `json:"workflow_version"`
		}
		if err := json.Unmarshal(m.Data, &record); err != nil {
			return fmt.Errorf("instance record at %d: %w", m.Sequence, err)
		}
		if slices.Contains(versions, record.Version) {
			if live[record.Version] = true; len(live) == len(versions) {
				return errFound
			}
		}
		return nil
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return live, err
}

// Users are the names of the workflows that use something: in the newest version of an active
// one, or in a version that a live instance runs on.
func (b *Bus) Users(ctx context.Context, r *Registry, uses func(*wire.Workflow) bool) ([]string, error) {
	// What this copy remembers may be behind, and a workflow that was just deployed counts.
	records, err := r.ReadAll(ctx)
	if err != nil {
		return nil, err
	}
	users := []string{}
	for _, record := range records {
		used := false
		var versions []int
		err := b.Definitions(ctx, &record, func(w *wire.Workflow, _ uint64) bool {
			if uses(w) {
				used = used || w.Version >= record.Version && record.Status == wire.WorkflowActive
				versions = append(versions, w.Version)
			}
			return true
		})
		if err != nil {
			return nil, err
		}
		if len(versions) > 0 && !used {
			// An instance that has just begun must not be overlooked.
			if err := b.CaughtUp(ctx, &record); err != nil {
				return nil, err
			}
			live, err := b.LiveVersions(ctx, record.ID, versions)
			if err != nil {
				return nil, err
			}
			used = len(live) > 0
		}
		if used {
			users = append(users, record.Name)
		}
	}
	slices.Sort(users)
	return users, nil
}

// CaughtUp waits until the view of a workflow contains every event that the workflow has at
// this moment. It fails with fault.Timeout when the view is behind until ctx ends.
func (b *Bus) CaughtUp(ctx context.Context, record *wire.WorkflowRecord) error {
	last, err := b.Last(ctx, record.Stream, wire.EventSubjects(record.ID), true)
	if err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		msg, err := b.Last(ctx, wire.StreamPlaces, wire.ProjectionSubject(record.ID), true)
		if err == nil {
			var reached wire.Checkpoint
			if err := json.Unmarshal(msg.Data, &reached); err != nil {
				return fmt.Errorf("checkpoint of %s: %w", record.ID, err)
			}
			if reached.Sequence >= last.Sequence {
				return nil
			}
		} else if !errors.Is(err, ErrNoMessage) && ctx.Err() == nil {
			return err
		}
		if pause(ctx, attempt) != nil {
			return fault.New(fault.Timeout, "the view of the workflow %s is behind: is a token service running?", record.Name).Because(err)
		}
	}
}
