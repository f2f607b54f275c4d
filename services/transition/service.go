package transition

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

// Name is how the service appears in discovery.
const Name = "transition"

// Service is one copy of the transition service.
type Service struct {
	bus       *bus.Bus
	tel       *telemetry.Telemetry
	cfg       Config
	registry  *bus.Registry
	committer *bus.Committer
	language  *condition.Language
	guards    *guards
	server    *service.Server
	timers    *bus.Worker
	now       func() time.Time

	stopping sync.Once
	stopErr  error
}

// New makes a copy of the service; it does nothing yet.
func New(deps service.Deps, cfg Config) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("transition: %w", err)
	}
	s := &Service{bus: deps.Bus, tel: deps.Tel, cfg: cfg, registry: bus.NewRegistry(deps.Bus), now: time.Now}
	committer, err := bus.NewCommitter(deps.Bus, s.registry)
	if err != nil {
		return nil, fmt.Errorf("transition: %w", err)
	}
	s.committer = committer
	if s.language, err = condition.New(); err != nil {
		return nil, fmt.Errorf("transition: %w", err)
	}
	s.guards = newGuards(client.New(deps.Bus.NC, client.WithTelemetry(deps.Tel), client.WithoutRetry()), cfg.Concurrency/2, cfg.GuardTimeout)
	s.timers = s.newTimers()
	s.server = service.NewServer(deps, service.ServerConfig{
		Name: Name, Description: "Workflows, firings and time-outs",
		Concurrency: cfg.Concurrency, RequestTimeout: cfg.RequestTimeout,
	}, s.endpoints()...)
	return s, nil
}

// Start creates what is missing on the server, and answers requests when it returns.
func (s *Service) Start(ctx context.Context) error {
	if err := s.bus.EnsureShared(ctx); err != nil {
		return err
	}
	if err := s.registry.Start(ctx); err != nil {
		return err
	}
	err := s.timers.Start(ctx)
	if err == nil {
		err = s.server.Start(ctx)
	}
	if err != nil {
		return errors.Join(err, s.Stop(ctx))
	}
	return nil
}

// Stop finishes what is in flight and ends everything, in reverse order.
func (s *Service) Stop(ctx context.Context) error {
	s.stopping.Do(func() {
		s.stopErr = errors.Join(s.server.Stop(ctx), s.timers.Stop(ctx))
		s.registry.Stop()
	})
	return s.stopErr
}
