package work

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// What a policy says where its author said nothing, and the most that it can say.
const (
	DefaultTimeout  = 30 * time.Second
	MaxTimeout      = 24 * time.Hour
	DefaultAttempts = 3
	MaxAttempts     = 100
	DefaultInitial  = time.Second
	DefaultMax      = 5 * time.Minute
	MaxDelay        = 30 * 24 * time.Hour
	DefaultJitter   = 0.2
	DefaultFailures = 5
	DefaultCooldown = 30 * time.Second
	// MaxPosition is how many executions a chain may have before one more.
	MaxPosition = 16
	// MaxFollowers is how many executions may come after one, directly and further on.
	MaxFollowers = 1024
)

// Policy is how a target wants its jobs to be run.
type Policy struct {
	// Version is that of the target's definition.
	Version int
	// Timeout bounds one attempt.
	Timeout time.Duration
	Retry   wire.RetryPolicy
	// Concurrency bounds the runs in the whole fleet; 0 does not.
	Concurrency int
	RateLimit   *wire.RateLimit
	Circuit     wire.CircuitPolicy
}

// Complete fills in what was not said.
func (p Policy) Complete() Policy {
	p.Timeout = cmp.Or(p.Timeout, DefaultTimeout)
	p.Retry.Attempts = cmp.Or(p.Retry.Attempts, DefaultAttempts)
	p.Retry.Backoff = cmp.Or(p.Retry.Backoff, wire.BackoffExponential)
	p.Retry.Initial = cmp.Or(p.Retry.Initial, wire.Duration(DefaultInitial))
	p.Retry.Max = max(cmp.Or(p.Retry.Max, wire.Duration(DefaultMax)), p.Retry.Initial)
	if p.Retry.Jitter == nil {
		jitter := DefaultJitter
		p.Retry.Jitter = &jitter
	}
	p.Circuit.Failures = cmp.Or(p.Circuit.Failures, DefaultFailures)
	p.Circuit.Cooldown = cmp.Or(p.Circuit.Cooldown, wire.Duration(DefaultCooldown))
	return p
}

// again says whether another attempt follows the one that failed, and after which pause.
// chance is 0 to 1, drawn by the caller.
func (p *Policy) again(attempt int, f *Failure, chance float64) (time.Duration, bool) {
	if attempt >= p.Retry.Attempts {
		return 0, false
	}
	passes := wire.FailureCodes()[f.Code]
	if len(p.Retry.Errors) > 0 {
		passes = slices.Contains(p.Retry.Errors, f.Code)
	}
	return max(p.pause(attempt, chance), f.After), passes
}

// pause is what follows an attempt. The jitter only ever makes it shorter, so that Max holds.
func (p *Policy) pause(attempt int, chance float64) time.Duration {
	initial, longest := float64(p.Retry.Initial), float64(p.Retry.Max)
	pause := initial
	switch p.Retry.Backoff {
	case wire.BackoffLinear:
		pause = initial * float64(attempt)
	case wire.BackoffExponential:
		pause = initial * math.Pow(2, float64(min(attempt-1, 62)))
	}
	return time.Duration(min(pause, longest) * (1 - *p.Retry.Jitter*chance))
}
