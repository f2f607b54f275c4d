package token

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/services/token/internal/projector"
	"github.com/seed-42b4788c/circuit-breaker/services/token/internal/view"
)

// Name is how the service appears in discovery, and in the keys of its leases.
const Name = "token"

// Service is one copy of the token service.
type Service struct {
	bus       *bus.Bus
	tel       *telemetry.Telemetry
	cfg       Config
	registry  *bus.Registry
	committer *bus.Committer
	leases    *bus.Leases
	projector *projector.Projector
	view      *view.View
	language  *condition.Language
	server    *service.Server
	purges    *bus.Worker
	now       func() time.Time

	stopping sync.Once
	stopErr  error
}

// New makes a copy of the service; it does nothing yet.
func New(deps service.Deps, cfg Config) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	s := &Service{bus: deps.Bus, tel: deps.Tel, cfg: cfg, registry: bus.NewRegistry(deps.Bus), now: time.Now}
	committer, err := bus.NewCommitter(deps.Bus, s.registry)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	s.committer = committer
	if s.language, err = condition.New(); err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	s.leases = bus.NewLeases(deps.Bus, Name, cfg.LeaseTTL)
	s.projector = projector.New(deps.Bus, s.registry, s.leases, projector.Config{MaxAge: cfg.Retention}, deps.Tel)
	s.view = view.New(deps.Bus, s.projector)
	s.purges = s.newPurges()
	s.server = service.NewServer(deps, service.ServerConfig{
		Name: Name, Description: "Tokens, instances and the view of the marking",
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
	steps := []func(context.Context) error{s.leases.Start, s.projector.Start, s.purges.Start, s.server.Start}
	if s.cfg.ProjectorPaused {
		steps = []func(context.Context) error{s.server.Start}
	}
	for _, start := range steps {
		if err := start(ctx); err != nil {
			return errors.Join(err, s.Stop(ctx))
		}
	}
	return nil
}

// Stop finishes what is in flight and ends everything, in reverse order.
func (s *Service) Stop(ctx context.Context) error {
	s.stopping.Do(func() {
		s.stopErr = errors.Join(s.server.Stop(ctx), s.purges.Stop(ctx))
		s.projector.Stop()
		s.stopErr = errors.Join(s.stopErr, s.leases.Stop(ctx))
		s.registry.Stop()
	})
	return s.stopErr
}
