package bus

import (
	"context"
	"sync"
)

// queues lets the commands for one instance follow one another inside this process:
// contending for the same revision, most of them would only conflict.
type queues struct {
	mu   sync.Mutex
	open map[string]*queue
}

type queue struct {
	turn    chan struct{}
	waiting int
}

func newQueues() *queues { return &queues{open: map[string]*queue{}} }

// enter waits for the turn and returns what ends it, or the context's error.
func (q *queues) enter(ctx context.Context, instanceID string) (leave func(), err error) {
	q.mu.Lock()
	mine, ok := q.open[instanceID]
	if !ok {
		mine = &queue{turn: make(chan struct{}, 1)}
		q.open[instanceID] = mine
	}
	mine.waiting++
	q.mu.Unlock()

	done := func() {
		q.mu.Lock()
		if mine.waiting--; mine.waiting == 0 {
			delete(q.open, instanceID)
		}
		q.mu.Unlock()
	}
	select {
	case mine.turn <- struct{}{}:
		return func() { <-mine.turn; done() }, nil
	case <-ctx.Done():
		done()
		return nil, ctx.Err()
	}
}
