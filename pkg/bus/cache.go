package bus

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// stateCache keeps the states of the instances that were in use last, bounded by bytes.
// What it holds may be stale: whoever commits is told so by the server.
type stateCache struct {
	mu    sync.Mutex
	lru   *simplelru.LRU[string, cached]
	bytes int64
	max   int64
}

type cached struct {
	state *wire.State
	bytes int64
}

// Decoded, a state takes roughly its documents plus this for each token and for itself.
const (
	cachedStateOverhead = 700
	cachedTokenOverhead = 500
	cachedVisitOverhead = 100
)

func newStateCache(maxBytes int64) *stateCache {
	c := &stateCache{max: maxBytes}
	// The count is bounded by the bytes; the library wants a number of its own.
	count := int(max(maxBytes/cachedStateOverhead, 1))
	lru, err := simplelru.NewLRU(count, func(_ string, gone cached) { c.bytes -= gone.bytes })
	if err != nil {
		panic(err) // only for a count below one
	}
	c.lru = lru
	return c
}

func (c *stateCache) get(instanceID string) *wire.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, _ := c.lru.Get(instanceID)
	return entry.state
}

func (c *stateCache) put(state *wire.State) {
	entry := cached{state: state, bytes: weigh(state)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if before, ok := c.lru.Peek(state.ID); ok {
		if before.state.NatsSequence > state.NatsSequence {
			return
		}
		c.lru.Remove(state.ID)
	}
	if entry.bytes > c.max {
		return
	}
	c.lru.Add(state.ID, entry)
	c.bytes += entry.bytes
	for c.bytes > c.max {
		c.lru.RemoveOldest()
	}
}

func (c *stateCache) drop(instanceID string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lru.Remove(instanceID)
}

func weigh(state *wire.State) int64 {
	n := cachedStateOverhead + cachedVisitOverhead*len(state.Visits) + len(state.Reason)
	for i := range state.Requests {
		n += cachedVisitOverhead + len(state.Requests[i].ID) + len(state.Requests[i].Digest)
	}
	for i := range state.Tokens {
		n += cachedTokenOverhead + len(state.Tokens[i].Data) + len(state.Tokens[i].Metadata)
	}
	return int64(n)
}
