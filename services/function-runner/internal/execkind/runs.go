package execkind

import (
	"context"
	"sync"
)

// runs are those in progress, so that Close can end them and wait.
type runs struct {
	mu      sync.Mutex
	closed  bool
	going   sync.WaitGroup
	closing context.Context
	cancel  context.CancelFunc
}

func newRuns() runs {
	closing, cancel := context.WithCancel(context.Background())
	return runs{closing: closing, cancel: cancel}
}

// begin is the context of a run, which ends with ctx and by close; done must be called. Once
// closed it says so, and the context has ended.
func (r *runs) begin(ctx context.Context) (run context.Context, done func(), open bool) {
	run, cancel := context.WithCancel(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		cancel()
		return run, func() {}, false
	}
	r.going.Add(1)
	forget := context.AfterFunc(r.closing, cancel)
	return run, func() {
		forget()
		cancel()
		r.going.Done()
	}, true
}

func (r *runs) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.going.Wait()
}
