package bench

import (
	"errors"
	"fmt"
	"time"
)

// Options say what is measured, and for how long.
type Options struct {
	// Syncs are the sync settings of the throughput phase.
	Syncs []string
	// InFlight are the numbers of requests in flight.
	InFlight []int
	// Duration is how long each figure is measured, after a warm-up of a quarter of it.
	Duration time.Duration
	// EventBytes is the size of a firing's event on the wire, without headers.
	EventBytes int
	// Instances is how many there are in the throughput phase.
	Instances int
	// Guards compares guarded firings with those that nothing guards.
	Guards bool
	// Pipeline measures instances that functions bring to their end, with the most and with
	// the fewest in flight.
	Pipeline bool
	// Sizes are the numbers of instances in one workflow; Rounds is how often each of them
	// is measured in turn, so that a drift of the machine meets all of them. So it is with
	// guards, and with the pipeline.
	Sizes  []int
	Rounds int
	// WarmUp is how long a size is fired at before each of its measurements, and how long the
	// pipeline runs before its first. The server
	// keeps the blocks of a stream cached for ten seconds after their last use, so that a
	// large workflow that has rested first pays for reading its files.
	WarmUp time.Duration
	// MemoryAt is the size after which the fleet's memory is taken.
	MemoryAt int
	// Settle is how long the fleet is left alone before that: longer than the server keeps
	// blocks of its files cached, which is ten seconds.
	Settle time.Duration
}

// DefaultOptions end within about four minutes on two cores; with full, the sizes go to
// 1,000,000 instances and every figure is measured for longer.
func DefaultOptions(full bool) Options {
	o := Options{
		Syncs:    []string{SyncInterval, SyncAlways},
		InFlight: []int{1, 8, 64}, Duration: 2 * time.Second, EventBytes: 2048, Instances: 1000, Guards: true, Pipeline: true,
		Sizes: []int{1_000, 100_000}, Rounds: 3, WarmUp: 3 * time.Second, MemoryAt: 100_000, Settle: 15 * time.Second,
	}
	if full {
		o.Duration = 5 * time.Second
		o.Sizes = append(o.Sizes, 1_000_000)
		o.Rounds = 5
		o.WarmUp = 20 * time.Second
	}
	return o
}

// Validate reports every fault at once.
func (o Options) Validate() error {
	var faults []error
	for _, s := range o.Syncs {
		if s != SyncInterval && s != SyncAlways {
			faults = append(faults, fmt.Errorf("sync must be %s or %s, not %q", SyncInterval, SyncAlways, s))
		}
	}
	most := 0
	for _, n := range o.InFlight {
		most = max(most, n)
		if n < 1 {
			faults = append(faults, fmt.Errorf("in flight must be at least 1, not %d", n))
		}
	}
	for _, n := range append([]int{o.Instances}, o.Sizes...) {
		// Two callers that meet in one instance would measure conflicts.
		if n < most {
			faults = append(faults, fmt.Errorf("%d instances are too few for %d in flight", n, most))
		}
	}
	if o.Duration <= 0 || o.Rounds < 1 {
		faults = append(faults, errors.New("a measurement needs a positive duration and at least one round"))
	}
	return errors.Join(faults...)
}
