package fleet

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// soonDead is how soon another copy gets what one had that was killed.
const soonDead = "BREAKER_CONSUMER_TIMEOUT=3s"

// copies are several copies of one service.
type copies struct {
	t         *testing.T
	name, url string
	processes []*Process
}

func startCopies(t *testing.T, name, url string, n int) *copies {
	t.Helper()
	c := &copies{t: t, name: name, url: url, processes: make([]*Process, n)}
	for i := range c.processes {
		c.processes[i] = Service(t, name, url, soonDead)
	}
	return c
}

// strikeWhile kills copies and starts others in their place, at any moment of the work, so many
// times at most. It fails the test if it was not half as often.
func (c *copies) strikeWhile(kills int, work func()) {
	c.t.Helper()
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	struck := 0
	var killing sync.WaitGroup
	killing.Go(func() {
		for ; struck < kills; struck++ {
			select {
			case <-ctx.Done():
				return
			case <-time.After(100*time.Millisecond + rand.N(300*time.Millisecond)): // the moment of the kill is to be any
			}
			i := rand.N(len(c.processes))
			c.processes[i].Kill()
			c.processes[i] = Service(c.t, c.name, c.url, soonDead)
		}
	})
	work()
	cancel()
	killing.Wait()
	if struck < kills/2 {
		c.t.Errorf("only %d of %d kills struck while there was work", struck, kills)
	}
	c.t.Logf("%d kills", struck)
}
