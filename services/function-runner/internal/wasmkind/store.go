package wasmkind

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// store reads modules from the bucket of modules.
type store struct {
	bus     *bus.Bus
	max     int64
	mu      sync.Mutex
	bucket  jetstream.ObjectStore // nil until it was opened.
	sighted map[string]*sighting
}

// sighting is what the store said of a module, or is going to say.
type sighting struct {
	done   chan struct{}
	at     time.Time
	digest string
	fail   *work.Failure
}

func newStore(b *bus.Bus, most int64) *store {
	return &store{bus: b, max: most, sighted: map[string]*sighting{}}
}

// digest identifies the content of a module, as it was at most a second ago. Those who ask at
// the same time ask once.
func (s *store) digest(ctx context.Context, name string, spawn func(func(context.Context)) bool) (string, *work.Failure) {
	s.mu.Lock()
	seen := s.sighted[name]
	if seen == nil || !seen.at.IsZero() && time.Since(seen.at) >= checkAgain {
		seen = &sighting{done: make(chan struct{})}
		if !spawn(func(ctx context.Context) { s.look(ctx, name, seen) }) {
			s.mu.Unlock()
			return "", stopping()
		}
		s.sweep()
		s.sighted[name] = seen
	}
	s.mu.Unlock()
	select {
	case <-seen.done:
		return seen.digest, seen.fail
	case <-ctx.Done():
		return "", ended(ctx)
	}
}

func (s *store) look(ctx context.Context, name string, seen *sighting) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	var info *jetstream.ObjectInfo
	err := s.ask(ctx, func(bucket jetstream.ObjectStore) (err error) {
		info, err = bucket.GetInfo(ctx, name)
		return err
	})
	switch {
	case err != nil:
		seen.fail = s.failure(name, err)
	case info.Opts != nil && info.Opts.Link != nil:
		seen.fail = work.Failed(wire.FailureMisconfigured, "%s is a link in the bucket %s: put the module itself there", name, wire.BucketModules)
	case info.Size > uint64(s.max):
		seen.fail = s.tooLarge(name)
	default:
		seen.digest = info.Digest
	}
	s.mu.Lock()
	seen.at = time.Now()
	if seen.fail != nil && seen.fail.Ill {
		delete(s.sighted, name) // The next one asks again.
	}
	s.mu.Unlock()
	close(seen.done)
}

// read gives a module and its digest.
func (s *store) read(ctx context.Context, name string) (module []byte, digest string, fail *work.Failure) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	err := s.ask(ctx, func(bucket jetstream.ObjectStore) error {
		object, err := bucket.Get(ctx, name)
		if err != nil {
			return err
		}
		defer object.Close()
		info, err := object.Info()
		if err != nil {
			return err
		}
		digest = info.Digest
		// One byte more tells too large from just large enough.
		module, err = io.ReadAll(io.LimitReader(object, s.max+1))
		return err
	})
	switch {
	case err != nil:
		return nil, "", s.failure(name, err)
	case int64(len(module)) > s.max:
		return nil, "", s.tooLarge(name)
	}
	return module, digest, nil
}

// forget makes the next one look anew.
func (s *store) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seen := s.sighted[name]; seen != nil && !seen.at.IsZero() {
		delete(s.sighted, name)
	}
}

// sweep forgets what nobody would believe any more, once it is much.
func (s *store) sweep() {
	if len(s.sighted) < maxSighted {
		return
	}
	for name, seen := range s.sighted {
		if !seen.at.IsZero() && time.Since(seen.at) >= checkAgain {
			delete(s.sighted, name)
		}
	}
}

// ask asks the bucket, and once more when it is not the one that was opened any more.
func (s *store) ask(ctx context.Context, question func(jetstream.ObjectStore) error) error {
	for again := false; ; again = true {
		bucket, err := s.open(ctx)
		if err != nil {
			return err
		}
		err = question(bucket)
		if err == nil || errors.Is(err, jetstream.ErrObjectNotFound) {
			return err
		}
		s.mu.Lock()
		if s.bucket == bucket {
			s.bucket = nil
		}
		s.mu.Unlock()
		if again || ctx.Err() != nil {
			return err
		}
	}
}

// open opens the bucket, and creates it where it is missing.
func (s *store) open(ctx context.Context) (jetstream.ObjectStore, error) {
	s.mu.Lock()
	bucket := s.bucket
	s.mu.Unlock()
	if bucket != nil {
		return bucket, nil
	}
	bucket, err := s.bus.JS.ObjectStore(ctx, wire.BucketModules)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		cfg := jetstream.ObjectStoreConfig{
			Bucket: wire.BucketModules, Description: "WASI modules of functions",
			Storage: jetstream.FileStorage, Replicas: s.bus.Config().Replicas,
		}
		if s.bus.Config().Memory {
			cfg.Storage = jetstream.MemoryStorage
		}
		bucket, err = s.bus.JS.CreateObjectStore(ctx, cfg)
		if errors.Is(err, jetstream.ErrBucketExists) { // Another copy was faster.
			bucket, err = s.bus.JS.ObjectStore(ctx, wire.BucketModules)
		}
	}
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.bucket = bucket
	s.mu.Unlock()
	return bucket, nil
}

func (s *store) tooLarge(name string) *work.Failure {
	return work.Failed(wire.FailureMisconfigured, "module %s has more than %d bytes", name, s.max)
}

// failure says what an error of the store means for a run.
func (s *store) failure(name string, err error) *work.Failure {
	var refused *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrObjectNotFound):
		return work.Failed(wire.FailureMisconfigured, "there is no module %s: put it into the bucket with nats object put %s", name, wire.BucketModules)
	case errors.Is(err, jetstream.ErrBucketNotFound), errors.Is(err, jetstream.ErrBadObjectMeta),
		errors.Is(err, jetstream.ErrDigestMismatch), errors.Is(err, jetstream.ErrInvalidDigestFormat):
		return work.Failed(wire.FailureMisconfigured, "module %s cannot be read: %v", name, err)
	case errors.As(err, &refused) && refused.Code < 500, errors.Is(err, nats.ErrPermissionViolation):
		return work.Failed(wire.FailureMisconfigured, "module %s may not be read: %v", name, err)
	}
	return work.Failed(wire.FailureUnreachable, "the modules are out of reach: %v", err)
}
