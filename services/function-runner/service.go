package functionrunner

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/secret"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
	"github.com/seed-42b4788c/circuit-breaker/services/function-runner/internal/execkind"
	"github.com/seed-42b4788c/circuit-breaker/services/function-runner/internal/httpkind"
	"github.com/seed-42b4788c/circuit-breaker/services/function-runner/internal/natskind"
	"github.com/seed-42b4788c/circuit-breaker/services/function-runner/internal/wasmkind"
)

// Name is how the service appears in discovery, and in the names of its durables.
const Name = "function-runner"

// Service is one copy of the function-runner.
type Service struct {
	bus      *bus.Bus
	tel      *telemetry.Telemetry
	cfg      Config
	registry *bus.Registry
	language *condition.Language
	kinds    map[string]kind
	store    *store
	queue    *work.Queue
	pool     *work.Pool
	triggers *triggers
	reactor  *bus.Reactor
	server   *service.Server
	now      func() time.Time
	// closers end what the kinds have opened.
	closers []func(context.Context)
	// modules makes the bucket of WASM modules.
	modules interface{ Ensure(context.Context) error }

	stopping sync.Once
	stopErr  error
}

// New makes a copy of the service; it does nothing yet.
func New(deps service.Deps, cfg Config) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	if len(cfg.ExecAllow) > 0 {
		if err := execkind.Conceal(); err != nil {
			return nil, fmt.Errorf("%s: concealing secrets from programs: %w", Name, err)
		}
	}
	language, err := condition.New()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	s := &Service{
		bus: deps.Bus, tel: deps.Tel, cfg: cfg, registry: bus.NewRegistry(deps.Bus), language: language,
		queue: work.NewQueue(deps.Bus), now: time.Now,
	}
	s.openKinds(secret.New(cfg.Environ, cfg.SecretsDir))
	s.store = s.newStore(deps.Bus, deps.Tel)
	s.triggers = newTriggers(s)
	s.pool, err = work.NewPool(deps.Bus, s.registry, s.queue, s, deps.Tel, work.PoolConfig{
		Kind: wire.KindFunction, Service: Name, Concurrency: cfg.JobConcurrency, AckWait: cfg.AckWait,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", Name, err)
	}
	s.reactor = bus.NewReactor(deps.Bus, s.registry, bus.ReactorConfig{
		Service: Name, Concurrency: cfg.EventConcurrency, AckWait: cfg.AckWait,
		Filters: func(w *wire.Workflow) []string { return work.Filters(w, work.FunctionBindings) },
	}, func(ctx context.Context, r *bus.Reaction) error {
		return s.queue.Dispatch(ctx, wire.KindFunction, work.FunctionBindings, r)
	})
	s.server = service.NewServer(deps, service.ServerConfig{
		Name: Name, Description: "Functions, and the work of functions and agents",
		Concurrency: cfg.Concurrency, RequestTimeout: cfg.RequestTimeout,
	}, s.endpoints()...)
	return s, nil
}

func (s *Service) openKinds(secrets *secret.Store) {
	onNATS := natskind.New(s.bus, int(s.cfg.MaxOutput))
	overHTTP := httpkind.New(httpkind.Config{Allow: s.cfg.HTTPAllow, MaxResponse: s.cfg.MaxOutput}, secrets)
	programs := execkind.New(execkind.Config{Allow: s.cfg.ExecAllow, MaxOutput: s.cfg.MaxOutput}, secrets)
	modules := wasmkind.New(s.bus, s.tel, wasmkind.Config{MaxOutput: s.cfg.MaxOutput, CacheDir: s.cfg.WASMCache}, secrets)
	s.kinds = map[string]kind{
		wire.FunctionNATS: onNATS, wire.FunctionHTTP: overHTTP, wire.FunctionExec: programs, wire.FunctionWASM: modules,
		wire.FunctionExpression: &expression{service: s},
	}
	s.modules = modules
	s.closers = []func(context.Context){
		func(context.Context) { onNATS.Close() },
		func(context.Context) { overHTTP.Close() },
		func(context.Context) { programs.Close() },
		modules.Close,
	}
}

// Start creates what is missing on the server, and answers requests when it returns.
func (s *Service) Start(ctx context.Context) error {
	if err := s.bus.EnsureShared(ctx); err != nil {
		return err
	}
	if err := s.bus.EnsureWork(ctx, s.cfg.ExecutionAge); err != nil {
		return err
	}
	for _, start := range []func(context.Context) error{
		s.modules.Ensure, s.registry.Start, s.store.Start, s.server.Start, s.pool.Start, s.reactor.Start, s.triggers.start,
	} {
		if err := start(ctx); err != nil {
			return errors.Join(err, s.Stop(ctx))
		}
	}
	return nil
}

// Stop finishes what is in flight and ends everything. Events go first, so that no more jobs
// are queued, and then the jobs in hand; requests may wait for those.
func (s *Service) Stop(ctx context.Context) error {
	s.stopping.Do(func() {
		faults := []error{s.triggers.stop(ctx), s.reactor.Stop(ctx), s.pool.Stop(ctx), s.server.Stop(ctx)}
		for _, closeKind := range s.closers {
			closeKind(ctx)
		}
		s.stopErr = errors.Join(faults...)
		s.store.Stop()
		s.registry.Stop()
	})
	return s.stopErr
}

// maxOutput is how large an output may be: what follows from it has to fit into messages.
func (s *Service) maxOutput() int64 { return min(s.cfg.MaxOutput, s.bus.NC.MaxPayload()*2/5) }

// at is the path of a member of a list's element.
func at(list string, i int, member string) string {
	return list + "[" + strconv.Itoa(i) + "]." + member
}

func sequence(n uint64) string { return strconv.FormatUint(n, 10) }
