package rules

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/env"
)

// Config of the rules service.
type Config struct {
	// Concurrency is how many requests one copy serves at once; one more is answered 429.
	Concurrency int
	// RequestTimeout bounds the work on one request.
	RequestTimeout time.Duration
	// EventConcurrency is how many events one copy works on at once, for automatic
	// transitions.
	EventConcurrency int
	// EventAckWait is how long one event may take before another copy gets it.
	EventAckWait time.Duration
	// ChainLimit is how many automatic firings in a row may bring a token on without input
	// from outside; then its instance is suspended.
	ChainLimit int
}

// DefaultConfig suits a small machine.
func DefaultConfig() Config {
	return Environment{Base: env.DefaultBase(), EventConcurrency: 64, ChainLimit: 1000}.Config()
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var faults []error
	if c.EventConcurrency < 1 {
		faults = append(faults, fmt.Errorf("event concurrency must be at least 1, not %d", c.EventConcurrency))
	}
	if c.EventAckWait < time.Second {
		faults = append(faults, fmt.Errorf("event ack wait must be at least 1s, not %s", c.EventAckWait))
	}
	if c.ChainLimit < 1 {
		faults = append(faults, fmt.Errorf("the limit of automatic firings in a row must be at least 1, not %d", c.ChainLimit))
	}
	return errors.Join(faults...)
}

// Environment is the configuration as the program reads it.
type Environment struct {
	env.Base
	EventConcurrency int `env:"BREAKER_EVENT_CONCURRENCY" envDefault:"64"`
	ChainLimit       int `env:"BREAKER_AUTOMATIC_CHAIN_LIMIT" envDefault:"1000"`
}

// Config is what the service needs of it.
func (e Environment) Config() Config {
	return Config{
		Concurrency: e.Concurrency, RequestTimeout: e.RequestTimeout,
		EventConcurrency: e.EventConcurrency, EventAckWait: e.ConsumerTimeout, ChainLimit: e.ChainLimit,
	}
}
