package work

import (
	"context"
	"sync"
)

// slots bound how many attempts a copy makes at once.
type slots struct {
	mu   sync.Mutex
	free int
	// changed is closed when a slot was given back.
	changed chan struct{}
}

func newSlots(n int) *slots { return &slots{free: n, changed: make(chan struct{})} }

// take waits for a slot.
func (s *slots) take(ctx context.Context) error {
	for {
		s.mu.Lock()
		if s.free > 0 {
			s.free--
			s.mu.Unlock()
			return nil
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

func (s *slots) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free++
	close(s.changed)
	s.changed = make(chan struct{})
}

// some waits until there are free slots, and says how many; they are not taken.
func (s *slots) some(ctx context.Context) (int, error) {
	for {
		s.mu.Lock()
		free, changed := s.free, s.changed
		s.mu.Unlock()
		if free > 0 {
			return free, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-changed:
		}
	}
}
