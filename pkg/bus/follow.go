package bus

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// FollowConfig says which keys of a bucket are followed, and who learns of them.
type FollowConfig struct {
	Bucket string
	// Keys filter what is read, as a subject below the bucket's: * is every key of one part.
	Keys string
	// Learn gets every value and every removal (a message without content), in order; the
	// sequence is the bucket's revision.
	Learn func(key string, m *Message)
	// Keep is called once everything has been read up to a revision: what it does not list,
	// and what was not learned later, is gone.
	Keep func(listed map[string]bool, until uint64)
	// Replaced is called when the bucket has gone, before another is read: that one counts
	// its revisions from one.
	Replaced func()
}

// Follower keeps up with a bucket for as long as it runs, also across the loss of the
// bucket. The bucket's own watch will not do: it ends without a word when its consumer
// cannot be made anew.
type Follower struct {
	bus *Bus
	cfg FollowConfig
	// created is when the bucket that we follow was made.
	created time.Time
	cancel  context.CancelFunc
	done    chan struct{}
}

const (
	// followRetry is how long to wait before a bucket that went is looked for again.
	followRetry = time.Second
	// followCheck is how often to ask whether the bucket is still the same.
	followCheck = 5 * time.Second
)

// BucketStream is the stream behind a bucket, BucketSubject the subject of one of its keys.
func BucketStream(bucket string) string { return "KV_" + bucket }

// BucketSubject is where a key of a bucket is stored.
func BucketSubject(bucket, key string) string { return "$KV." + bucket + "." + key }

// Follow reads everything that the bucket holds, and follows it until Stop. It fails when
// the bucket does not exist (EnsureShared).
func (b *Bus) Follow(ctx context.Context, cfg FollowConfig) (*Follower, error) {
	f := &Follower{bus: b, cfg: cfg, done: make(chan struct{})}
	tail, err := f.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the bucket %s: %w", cfg.Bucket, err)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f.cancel = cancel
	go f.follow(running, tail)
	return f, nil
}

// Stop ends following and waits; it repeats safely, also on nil.
func (f *Follower) Stop() {
	if f == nil {
		return
	}
	f.cancel()
	<-f.done
}

func (f *Follower) open(ctx context.Context) (*Tail, error) {
	stream, err := f.bus.JS.Stream(ctx, BucketStream(f.cfg.Bucket))
	if err != nil {
		return nil, err
	}
	f.created = stream.CachedInfo().Created
	cfg := TailConfig{Stream: BucketStream(f.cfg.Bucket), Subjects: []string{BucketSubject(f.cfg.Bucket, f.cfg.Keys)}}
	listed := map[string]bool{}
	until, err := f.bus.Scan(ctx, cfg, func(m *Message) error {
		listed[f.learn(m)] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	f.cfg.Keep(listed, until)
	cfg.From = until + 1
	return f.bus.Tail(ctx, cfg, func(m *Message, _ uint64) { f.learn(m) })
}

func (f *Follower) learn(m *Message) string {
	key := strings.TrimPrefix(m.Subject, BucketSubject(f.cfg.Bucket, ""))
	f.cfg.Learn(key, m)
	return key
}

func (f *Follower) follow(ctx context.Context, tail *Tail) {
	defer close(f.done)
	log := f.bus.tel.Log.With().Str("bucket", f.cfg.Bucket).Logger()
	tick := time.NewTicker(followCheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			tail.Stop()
			return
		case <-tail.Gone():
		case <-tick.C:
			if !f.replaced(ctx) {
				continue
			}
		}
		tail.Stop()
		log.Error().Msg("bucket was deleted, waiting for another")
		if tail = f.reopen(ctx); tail == nil {
			return
		}
		log.Info().Msg("bucket was read anew")
	}
}

// replaced reports whether another bucket stands where ours stood: so soon after it that
// the reading went on in the new one, far beyond its end.
func (f *Follower) replaced(ctx context.Context) bool {
	stream, err := f.bus.JS.Stream(ctx, BucketStream(f.cfg.Bucket))
	return err == nil && !stream.CachedInfo().Created.Equal(f.created)
}

// reopen waits for a bucket in the place of a deleted one; nil when the context ends. What
// was learned stays until then.
func (f *Follower) reopen(ctx context.Context) *Tail {
	f.cfg.Replaced()
	for {
		tail, err := f.open(ctx)
		if err == nil {
			return tail
		}
		f.bus.tel.Log.Warn().Err(err).Str("bucket", f.cfg.Bucket).Msg("bucket could not be read, trying again")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followRetry):
		}
	}
}
