package wasmkind

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// counts are kept over all modules.
type counts struct {
	instances atomic.Int64 // Open ones.
	ready     atomic.Int64 // Bytes of the ready ones.
	compiled  atomic.Int64 // Modules, ever.
}

// key identifies a compiled module: the same bytes with another limit are another one.
type key struct {
	digest string
	pages  uint32
}

// entry is a module in the cache, or what came of its loading. A refusal stays as well, so that
// bad bytes are compiled once.
type entry struct {
	done   chan struct{}
	module *module
	fail   *work.Failure

	// Under the lock of the cache:
	users   int
	loaded  bool
	filling bool
	used    time.Time
}

// cache keeps modules as long as they are used. It never lets go of one that is in use.
type cache struct {
	idle time.Duration

	mu      sync.Mutex
	entries map[key]*entry
	timer   *time.Timer
	closed  bool
}

// acquire gives a module, which load makes if nobody has; release it. The loading goes on when
// ctx ends, for the next one who asks.
func (c *cache) acquire(ctx context.Context, k key, load func(*entry) bool) (*entry, *work.Failure) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil, stopping()
	}
	e := c.entries[k]
	if e == nil {
		e = &entry{done: make(chan struct{})}
		if !load(e) {
			c.mu.Unlock()
			return nil, stopping()
		}
		c.entries[k] = e
		c.arm()
	}
	e.users++
	c.mu.Unlock()
	select {
	case <-e.done:
	case <-ctx.Done():
		c.release(e)
		return nil, ended(ctx)
	}
	if e.fail != nil {
		c.release(e)
		return nil, e.fail
	}
	return e, nil
}

func (c *cache) release(e *entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.users--
	e.used = time.Now()
}

// loaded says what came of loading. What may pass is not kept.
func (c *cache) loaded(k key, e *entry, m *module, fail *work.Failure, keep bool) {
	c.mu.Lock()
	e.module, e.fail, e.loaded, e.used = m, fail, true, time.Now()
	if !keep {
		delete(c.entries, k)
	}
	gone := c.surplus()
	c.mu.Unlock()
	close(e.done)
	end(gone)
}

// fill reports whether the caller shall fill the pool, as the only one; it then uses the entry.
func (c *cache) fill(e *entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.filling || !e.module.wants() {
		return false
	}
	e.filling = true
	e.users++
	return true
}

func (c *cache) filled(e *entry) {
	c.mu.Lock()
	e.filling = false
	c.mu.Unlock()
	c.release(e)
}

// surplus takes out what is too much: those that were not used for the longest time.
func (c *cache) surplus() []*entry {
	var gone []*entry
	for len(c.entries) > maxModules {
		var oldest *key
		for k, e := range c.entries {
			if e.unused() && (oldest == nil || e.used.Before(c.entries[*oldest].used)) {
				oldest = &k
			}
		}
		if oldest == nil {
			break
		}
		gone = append(gone, c.entries[*oldest])
		delete(c.entries, *oldest)
	}
	return gone
}

// sweep takes out what was not used for a while.
func (c *cache) sweep() {
	c.mu.Lock()
	var gone []*entry
	for k, e := range c.entries {
		if e.unused() && time.Since(e.used) >= c.idle {
			gone = append(gone, e)
			delete(c.entries, k)
		}
	}
	c.timer = nil
	c.arm()
	c.mu.Unlock()
	end(gone)
}

// arm makes a sweep come while there is something to sweep.
func (c *cache) arm() {
	if c.timer == nil && len(c.entries) > 0 && !c.closed {
		c.timer = time.AfterFunc(c.idle/2+time.Millisecond, c.sweep)
	}
}

// refuse lets nobody acquire any more.
func (c *cache) refuse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
	}
}

// clear takes out everything that nobody uses.
func (c *cache) clear() {
	c.mu.Lock()
	var gone []*entry
	for k, e := range c.entries {
		if e.unused() {
			gone = append(gone, e)
			delete(c.entries, k)
		}
	}
	c.mu.Unlock()
	end(gone)
}

// unused reports whether an entry may be let go of.
func (e *entry) unused() bool { return e.users == 0 && e.loaded }

func end(gone []*entry) {
	for _, e := range gone {
		if e.module != nil {
			e.module.close()
		}
	}
}
