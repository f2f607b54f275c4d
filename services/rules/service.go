package rules

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

// Name is how the service appears in discovery, and in the names of its durables.
const Name = "rules"

// Service is one copy of the rules service.
type Service struct {
	bus      *bus.Bus
	tel      *telemetry.Telemetry
	cfg      Config
	registry *bus.Registry
	language *condition.Language
	store    *store
	client   *client.Client
	reactor  *bus.Reactor
	server   *service.Server
	now      func() time.Time
	counts   counts

	stopping sync.Once
	stopErr  error
}

type counts struct{ judged, fired metric.Int64Counter }

// fireAttempt is how long a firing waits for its answer before it is asked for again: the
// copy that had it may have been killed.
const fireAttempt = 3 * time.Second

// New makes a copy of the service; it does nothing yet.
func New(deps service.Deps, cfg Config) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	language, err := condition.New()
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	s := &Service{
		bus: deps.Bus, tel: deps.Tel, cfg: cfg, registry: bus.NewRegistry(deps.Bus), language: language,
		store: newStore(deps.Bus, language, deps.Tel), now: time.Now,
		client: client.New(deps.Bus.NC, client.WithTelemetry(deps.Tel), client.WithAttemptTimeout(fireAttempt)),
	}
	var err1, err2 error
	s.counts.judged, err1 = deps.Tel.Meter.Int64Counter("breaker.rules.judged", metric.WithDescription("rules judged, by outcome"))
	s.counts.fired, err2 = deps.Tel.Meter.Int64Counter("breaker.rules.automatic", metric.WithDescription("automatic firings asked for, by outcome"))
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	s.reactor = bus.NewReactor(deps.Bus, s.registry, bus.ReactorConfig{
		Service: Name, Filters: filters, Concurrency: cfg.EventConcurrency, AckWait: cfg.EventAckWait,
	}, s.react)
	s.server = service.NewServer(deps, service.ServerConfig{
		Name: Name, Description: "Rules, guards and automatic transitions",
		Concurrency: cfg.Concurrency, RequestTimeout: cfg.RequestTimeout,
	}, s.endpoints()...)
	return s, nil
}

// Start creates what is missing on the server, and answers requests when it returns.
func (s *Service) Start(ctx context.Context) error {
	if err := s.bus.EnsureShared(ctx); err != nil {
		return err
	}
	for _, start := range []func(context.Context) error{s.registry.Start, s.store.Start, s.server.Start, s.reactor.Start} {
		if err := start(ctx); err != nil {
			return errors.Join(err, s.Stop(ctx))
		}
	}
	return nil
}

// Stop finishes what is in flight and ends everything. Events go first, so that no more
// firings are begun while the last guards are judged.
func (s *Service) Stop(ctx context.Context) error {
	s.stopping.Do(func() {
		s.stopErr = errors.Join(s.reactor.Stop(ctx), s.server.Stop(ctx))
		s.store.Stop()
		s.registry.Stop()
	})
	return s.stopErr
}
