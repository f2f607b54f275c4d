package catalog

import (
	"context"
	"sync"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

// Entry is one version of a definition, or its deletion. Entries are shared: whoever gets
// one only reads it.
type Entry[T, P any] struct {
	// Definition of a deletion has its id, the last version, and who deleted it by which
	// request; nothing else.
	Definition T
	// Prepared is empty in a deletion, and in what Versions yields.
	Prepared P
	// Revision is that of the bucket.
	Revision uint64
	// Stored is the server's time of the message. It is zero only in what Create and Update
	// return where the server did not answer right after it took the version.
	Stored time.Time
	// Deleted: the definition is gone.
	Deleted bool
}

// Shown is the definition as replies have it; an empty one of nil.
func (e *Entry[T, P]) Shown() T {
	if e == nil {
		var none T
		return none
	}
	return e.Definition
}

// is reports whether this is the version that was stored so. A bucket that was made anew may
// have another message at the same revision.
func (e *Entry[T, P]) is(revision uint64, stored time.Time) bool {
	return e != nil && e.Revision == revision && e.Stored.Equal(stored)
}

// Catalog knows every definition in its newest version: it follows the bucket. What it
// remembers may be behind by moments; what it reads is not. It is safe for concurrent use.
type Catalog[T, P any] struct {
	bus      *bus.Bus
	tel      *telemetry.Telemetry
	cfg      Config[T, P]
	follower *bus.Follower

	mu      sync.RWMutex
	entries map[string]*Entry[T, P]
	// era counts the buckets that were followed: what was read in one says nothing of the
	// next, which counts its revisions from one.
	era uint64
}

// New makes a catalog; it does nothing yet.
func New[T, P any](b *bus.Bus, tel *telemetry.Telemetry, cfg Config[T, P]) *Catalog[T, P] {
	return &Catalog[T, P]{bus: b, tel: tel, cfg: cfg, entries: map[string]*Entry[T, P]{}}
}

// Start makes the bucket where there is none, and knows all that is in it when it returns.
func (c *Catalog[T, P]) Start(ctx context.Context) (err error) {
	if err := c.bus.EnsureVersioned(ctx, c.cfg.Bucket, c.cfg.title()+"s, with every version"); err != nil {
		return err
	}
	c.follower, err = c.bus.Follow(ctx, bus.FollowConfig{
		Bucket: c.cfg.Bucket, Keys: "*", Learn: c.learn, Keep: c.keep, Replaced: c.replaced,
	})
	return err
}

// Stop ends following and waits; it repeats safely, also without Start.
func (c *Catalog[T, P]) Stop() { c.follower.Stop() }

// Known is what this copy remembers of an id, which may be that it was deleted; nil when it
// has never heard of it.
func (c *Catalog[T, P]) Known(id string) *Entry[T, P] {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.entries[id]
}

// All are the definitions that there are, as far as this copy knows, in no order.
func (c *Catalog[T, P]) All() []*Entry[T, P] {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make([]*Entry[T, P], 0, len(c.entries))
	for _, e := range c.entries {
		if !e.Deleted {
			all = append(all, e)
		}
	}
	return all
}

func (c *Catalog[T, P]) learn(id string, m *bus.Message) {
	if known := c.Known(id); known != nil && known.Revision >= m.Sequence {
		return
	}
	if _, err := c.meet(id, m, c.now()); err != nil {
		c.tel.Log.Error().Err(err).Str(c.cfg.idKey(), id).Msg(c.cfg.Noun + " was not understood")
	}
}

// meet makes a message ready for use, and remembers it; of one that is remembered already it
// returns what is.
func (c *Catalog[T, P]) meet(id string, m *bus.Message, era uint64) (*Entry[T, P], error) {
	if known := c.Known(id); known.is(m.Sequence, m.Time) {
		return known, nil
	}
	e, err := c.read(id, m)
	if err != nil {
		return nil, err
	}
	return c.remember(id, e, era), nil
}

// now is the era. It is asked for before a bucket is read or written.
func (c *Catalog[T, P]) now() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.era
}

// remember keeps what is newer than what is known, and returns it; where the same version
// was met by another goroutine before, it returns that.
func (c *Catalog[T, P]) remember(id string, e *Entry[T, P], era uint64) *Entry[T, P] {
	c.mu.Lock()
	known := c.entries[id]
	news := era == c.era && (known == nil || known.Revision < e.Revision)
	if news {
		c.entries[id] = e
	}
	c.mu.Unlock()
	if news {
		c.changed(id)
	} else if known.is(e.Revision, e.Stored) {
		return known
	}
	return e
}

func (c *Catalog[T, P]) changed(ids ...string) {
	if c.cfg.Changed == nil {
		return
	}
	for _, id := range ids {
		c.cfg.Changed(id)
	}
}

func (c *Catalog[T, P]) keep(listed map[string]bool, until uint64) {
	var vanished []string
	c.mu.Lock()
	for id, e := range c.entries {
		if !listed[id] && e.Revision <= until {
			delete(c.entries, id)
			vanished = append(vanished, id)
		}
	}
	c.mu.Unlock()
	c.changed(vanished...)
}

// replaced forgets the order of what is known, and keeps the definitions until another
// bucket says what there is.
func (c *Catalog[T, P]) replaced() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.era++
	for id, e := range c.entries {
		old := *e
		old.Revision = 0
		c.entries[id] = &old
	}
}
