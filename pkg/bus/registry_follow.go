package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

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
	tail, err := r.open(ctx)
	if err != nil {
		return fmt.Errorf("reading the registry of workflows: %w", err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel, r.done = cancel, make(chan struct{})
	go r.follow(running, tail)
	return nil
}

// Stop ends following and waits; it repeats safely and works without Start.
func (r *Registry) Stop() {
	if r.cancel == nil {
		return
	}
	r.cancel()
	<-r.done
}

// Where the bucket keeps the records. The names are one token longer.
const (
	registryStream  = "KV_" + wire.BucketWorkflows
	registryPrefix  = "$KV." + wire.BucketWorkflows + "."
	registryRecords = registryPrefix + "*"
)

const (
	// registryRetry is how long to wait before a bucket that went is looked for again.
	registryRetry = time.Second
	// registryCheck is how often to ask whether the bucket is still the same.
	registryCheck = 5 * time.Second
)

// open reads what the bucket holds, forgets what it does not, and follows it from there.
// The bucket's own watch will not do: it ends without a word when its consumer cannot be
// made anew.
func (r *Registry) open(ctx context.Context) (*Tail, error) {
	stream, err := r.bus.JS.Stream(ctx, registryStream)
	if err != nil {
		return nil, err
	}
	r.created = stream.CachedInfo().Created
	cfg := TailConfig{Stream: registryStream, Subjects: []string{registryRecords}}
	listed := map[string]bool{}
	until, err := r.bus.Scan(ctx, cfg, func(m *Message) error {
		r.learn(m)
		listed[strings.TrimPrefix(m.Subject, registryPrefix)] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.keep(listed, until)
	cfg.From = until + 1
	return r.bus.Tail(ctx, cfg, func(m *Message, _ uint64) { r.learn(m) })
}

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

func (r *Registry) follow(ctx context.Context, tail *Tail) {
	defer close(r.done)
	tick := time.NewTicker(registryCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			tail.Stop()
			return
		case <-tail.Gone():
		case <-tick.C:
			if !r.replaced(ctx) {
				continue
			}
		}
		tail.Stop()
		r.bus.tel.Log.Error().Msg("registry of workflows was deleted, waiting for another")
		if tail = r.reopen(ctx); tail == nil {
			return
		}
		r.bus.tel.Log.Info().Msg("registry of workflows was read anew")
	}
}

// replaced reports whether another bucket stands where ours stood: so soon after it that
// the reading went on in the new one, far beyond its end.
func (r *Registry) replaced(ctx context.Context) bool {
	stream, err := r.bus.JS.Stream(ctx, registryStream)
	return err == nil && !stream.CachedInfo().Created.Equal(r.created)
}

// reopen waits for a bucket in the place of a deleted one; nil when the context ends. What
// is remembered stays until then: the workflows' streams may be there still.
func (r *Registry) reopen(ctx context.Context) *Tail {
	r.mu.Lock()
	// A new bucket counts from one.
	clear(r.revisions)
	r.mu.Unlock()
	for {
		tail, err := r.open(ctx)
		if err == nil {
			return tail
		}
		r.bus.tel.Log.Warn().Err(err).Msg("registry of workflows could not be read, trying again")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(registryRetry):
		}
	}
}

// learn takes in what the bucket says. Its end is a message without content.
func (r *Registry) learn(m *Message) {
	key := strings.TrimPrefix(m.Subject, registryPrefix)
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
