package transition

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/env"
)

// Config of the transition service.
type Config struct {
	// Concurrency is how many requests one copy serves at once; one more is answered 429.
	Concurrency int
	// RequestTimeout bounds the work on one request.
	RequestTimeout time.Duration
	// TimerConcurrency is how many due time-outs one copy works on at once.
	TimerConcurrency int
	// TimerAckWait is how long a due time-out may take before another copy gets it.
	TimerAckWait time.Duration
	// GuardTimeout is how long a firing waits for the rules service.
	GuardTimeout time.Duration
}

const defaultGuardTimeout = 2 * time.Second

// DefaultConfig suits a small machine.
func DefaultConfig() Config {
	return Environment{Base: env.DefaultBase(), TimerConcurrency: 32, GuardTimeout: defaultGuardTimeout}.Config()
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var faults []error
	if c.TimerConcurrency < 1 {
		faults = append(faults, fmt.Errorf("timer concurrency must be at least 1, not %d", c.TimerConcurrency))
	}
	if c.TimerAckWait < time.Second {
		faults = append(faults, fmt.Errorf("timer ack wait must be at least 1s, not %s", c.TimerAckWait))
	}
	if c.GuardTimeout < 10*time.Millisecond {
		faults = append(faults, fmt.Errorf("guard timeout must be at least 10ms, not %s", c.GuardTimeout))
	}
	return errors.Join(faults...)
}

// Environment is the configuration as the program reads it.
type Environment struct {
	env.Base
	TimerConcurrency int           `env:"BREAKER_TIMER_CONCURRENCY" envDefault:"32"`
	GuardTimeout     time.Duration `env:"BREAKER_GUARD_TIMEOUT" envDefault:"2s"`
}

// Config is what the service needs of it.
func (e Environment) Config() Config {
	return Config{
		Concurrency: e.Concurrency, RequestTimeout: e.RequestTimeout,
		TimerConcurrency: e.TimerConcurrency, TimerAckWait: e.ConsumerTimeout, GuardTimeout: e.GuardTimeout,
	}
}
