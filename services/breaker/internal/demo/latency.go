package demo

import (
	"slices"
	"sync"
	"time"
)

// latencies collects how long requests took, by kind. It is safe for concurrent use.
type latencies struct {
	mu    sync.Mutex
	taken map[string][]time.Duration
}

// Latency is what requests of one kind took, in milliseconds.
type Latency struct {
	Request string  `json:"request"`
	Count   int     `json:"count"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Max     float64 `json:"max_ms"`
}

func newLatencies() *latencies { return &latencies{taken: map[string][]time.Duration{}} }

func (l *latencies) add(request string, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken[request] = append(l.taken[request], took)
}

// summary lists the kinds of requests in alphabetical order.
func (l *latencies) summary() []Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Latency
	for request, taken := range l.taken {
		slices.Sort(taken)
		at := func(q float64) float64 {
			i := min(int(q*float64(len(taken))), len(taken)-1)
			return float64(taken[i]) / float64(time.Millisecond)
		}
		all = append(all, Latency{Request: request, Count: len(taken), P50: at(0.5), P99: at(0.99), Max: at(1)})
	}
	slices.SortFunc(all, func(a, b Latency) int {
		if a.Request < b.Request {
			return -1
		}
		return 1
	})
	return all
}
