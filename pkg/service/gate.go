package service

import (
	"context"
	"sync"
)

// gate counts the requests in flight and bounds them.
type gate struct {
	limit int

	mu     sync.Mutex
	inside int
	ever   uint64
	closed bool
	// idle is closed when the last request leaves; nil while nobody waits.
	idle chan struct{}
}

type verdict int

const (
	admitted verdict = iota
	full
	closed
)

func (g *gate) enter() verdict {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ever++
	switch {
	case g.closed:
		return closed
	case g.inside >= g.limit:
		return full
	}
	g.inside++
	return admitted
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
}

// wait returns true when nobody is inside, false when ctx ends first.
func (g *gate) wait(ctx context.Context) bool {
	g.mu.Lock()
	if g.inside == 0 {
		g.mu.Unlock()
		return true
	}
	if g.idle == nil {
		g.idle = make(chan struct{})
	}
	idle := g.idle
	g.mu.Unlock()
	select {
	case <-idle:
		return true
	case <-ctx.Done():
		return false
	}
}

// arrivals is how many have come to the gate so far, admitted or not.
func (g *gate) arrivals() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ever
}

func (g *gate) active() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inside
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}
