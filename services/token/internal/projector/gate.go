package projector

import "sync"

// gate bounds how many items all projections of the process have in hand. A request for
// several is granted whole or not at all, so that two can never wait for one another.
type gate struct {
	mu    sync.Mutex
	freed *sync.Cond
	free  int
	limit int
}

func newGate(limit int) *gate {
	g := &gate{free: limit, limit: limit}
	g.freed = sync.NewCond(&g.mu)
	return g
}

// acquire waits for n places. Whoever holds places gives them back without waiting here.
func (g *gate) acquire(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.free < min(n, g.limit) {
		g.freed.Wait()
	}
	g.free -= n
}

func (g *gate) release(n int) {
	g.mu.Lock()
	g.free += n
	g.mu.Unlock()
	g.freed.Broadcast()
}
