package bus

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Start follows the bucket and returns when everything in it has been read once. The
// bucket must exist (EnsureShared).
func (r *Registry) Start(ctx context.Context) error {
	kv, err := r.bus.JS.KeyValue(ctx, wire.BucketWorkflows)
	if err != nil {
		return fmt.Errorf("opening the registry of workflows: %w", err)
	}
	r.kv = kv
	// The keys of names have one part more.
	r.follower, err = r.bus.Follow(ctx, FollowConfig{
		Bucket: wire.BucketWorkflows, Keys: "*", Learn: r.learn, Keep: r.keep, Replaced: r.replaced,
	})
	return err
}

// Stop ends following and waits; it repeats safely and works without Start.
func (r *Registry) Stop() { r.follower.Stop() }

// keep drops what a reading up to a revision did not list, and nobody stored since.
func (r *Registry) keep(listed map[string]bool, until uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.records {
		if !listed[id] && r.revisions[id] <= until {
			r.drop(id)
		}
	}
}

// replaced keeps what is known while there is no bucket: the workflows' streams may be
// there still.
func (r *Registry) replaced() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.revisions)
}

// learn takes in what the bucket says. Its end is a message without content.
func (r *Registry) learn(key string, m *Message) {
	if len(m.Data) == 0 {
		r.forget(key, m.Sequence)
		return
	}
	var record wire.WorkflowRecord
	if err := json.Unmarshal(m.Data, &record); err != nil || record.ID != key || !wire.IsUUID(key) {
		r.bus.tel.Log.Error().Err(err).Str("key", key).Msg("registry record was not understood")
		return
	}
	r.remember(record, m.Sequence)
}
