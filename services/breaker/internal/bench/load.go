package bench

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Figure is what one load measured.
type Figure struct {
	// Rate is operations per second.
	Rate float64 `json:"per_second"`
	// P50 and P99 are the time of one operation, in milliseconds.
	P50        float64 `json:"p50_ms"`
	P99        float64 `json:"p99_ms"`
	Operations int     `json:"operations"`
}

// operation does one piece of work for the worker of this number; it fails the measurement
// with its error.
type operation func(worker int, random *rand.Rand) error

// measure runs op in a closed loop with this many in flight, first for a quarter of the
// duration unmeasured, then for the duration. What has begun by then is counted to its end,
// however long it takes, and each worker is counted at least once: slow operations are
// never left out.
func measure(ctx context.Context, inFlight int, duration time.Duration, op operation) (Figure, error) {
	var (
		wg       sync.WaitGroup
		failure  atomic.Pointer[error]
		begin    = time.Now().Add(duration / 4)
		deadline = begin.Add(duration)
		taken    = make([][]time.Duration, inFlight)
	)
	for worker := range inFlight {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 0x9e3779b97f4a7c15))
			for ctx.Err() == nil && failure.Load() == nil {
				start := time.Now()
				if start.After(deadline) && len(taken[worker]) > 0 {
					return
				}
				if err := op(worker, random); err != nil {
					failure.CompareAndSwap(nil, &err)
					return
				}
				if start.After(begin) {
					taken[worker] = append(taken[worker], time.Since(start))
				}
			}
		})
	}
	wg.Wait()
	if err := failure.Load(); err != nil {
		return Figure{}, *err
	}
	if err := ctx.Err(); err != nil {
		return Figure{}, err
	}
	return figure(slices.Concat(taken...), time.Since(begin)), nil
}

func figure(taken []time.Duration, over time.Duration) Figure {
	slices.Sort(taken)
	return Figure{
		Rate: float64(len(taken)) / over.Seconds(),
		P50:  milliseconds(quantile(taken, 0.50)), P99: milliseconds(quantile(taken, 0.99)),
		Operations: len(taken),
	}
}

// quantile of sorted durations; 0 when there is none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func newRandom() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// own picks one of n things at random among those of this worker, so that no two workers
// ever hold the same.
func own(worker, inFlight, n int, random *rand.Rand) int {
	mine := (n - worker + inFlight - 1) / inFlight
	return worker + inFlight*random.IntN(mine)
}
