package token

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/env"
)

// Config of the token service.
type Config struct {
	// Concurrency is how many requests one copy serves at once; one more is answered 429.
	Concurrency int
	// RequestTimeout bounds the work on one request.
	RequestTimeout time.Duration
	// Retention is how long a finished instance is kept where its workflow says nothing; 0
	// keeps it for good.
	Retention time.Duration
	// PurgeAckWait is how long one purge may take before another copy gets it.
	PurgeAckWait time.Duration
	// LeaseTTL is how long a copy that fell silent still counts as alive.
	LeaseTTL time.Duration
	// ProjectorPaused keeps this copy from projecting, to measure what the view costs. The
	// view then stands still, and no timers are set.
	ProjectorPaused bool
}

const defaultLeaseTTL = 6 * time.Second

// DefaultConfig suits a small machine.
func DefaultConfig() Config {
	return Environment{Base: env.DefaultBase(), LeaseTTL: defaultLeaseTTL}.Config()
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var faults []error
	if c.Retention < 0 {
		faults = append(faults, fmt.Errorf("retention cannot be negative: %s", c.Retention))
	}
	if c.PurgeAckWait < time.Second {
		faults = append(faults, fmt.Errorf("purge ack wait must be at least 1s, not %s", c.PurgeAckWait))
	}
	if c.LeaseTTL < time.Second {
		faults = append(faults, fmt.Errorf("lease TTL must be at least 1s, not %s", c.LeaseTTL))
	}
	return errors.Join(faults...)
}

// Environment is the configuration as the program reads it.
type Environment struct {
	env.Base
	LeaseTTL        time.Duration `env:"BREAKER_LEASE_TTL" envDefault:"6s"`
	ProjectorPaused bool          `env:"BREAKER_PROJECTOR_PAUSED" envDefault:"false"`
}

// Config is what the service needs of it.
func (e Environment) Config() Config {
	return Config{
		Concurrency: e.Concurrency, RequestTimeout: e.RequestTimeout, Retention: e.DefaultMaxAge,
		PurgeAckWait: e.ConsumerTimeout, LeaseTTL: e.LeaseTTL, ProjectorPaused: e.ProjectorPaused,
	}
}
