package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/micro"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// ServerConfig says how a service appears and how much it takes on.
type ServerConfig struct {
	// Name and Description show in discovery; the name consists of letters, digits, - and _.
	Name        string
	Description string
	// Concurrency is how many requests are served at once, over all endpoints; 0 means
	// DefaultConcurrency. One more is answered 429.
	Concurrency int
	// RequestTimeout bounds the work on one request; 0 means DefaultRequestTimeout.
	RequestTimeout time.Duration
}

// What a zero ServerConfig stands for.
const (
	DefaultConcurrency    = 256
	DefaultRequestTimeout = 10 * time.Second
)

const (
	// The callbacks never block, so the subscriptions' own queues stay short; a limit that is
	// hit would drop requests in silence.
	pendingMessages = 1 << 20
	pendingBytes    = 1 << 30
	// quiet is how long no request may have come, after the server has confirmed that it
	// sends none any more, for the subscriptions' queues to count as empty: micro does not
	// show them.
	quiet = 100 * time.Millisecond
	// flushLimit bounds a round trip to the NATS server.
	flushLimit = 10 * time.Second
	// grace is how long handlers have to return once Stop's context has ended.
	grace = 2 * time.Second
)

// Server answers the requests of one service.
type Server struct {
	deps      Deps
	cfg       ServerConfig
	endpoints []*endpoint
	metrics   *metrics

	// base is the parent of every request's context.
	base   context.Context
	cancel context.CancelFunc

	// life serialises Start and Stop.
	life    sync.Mutex
	service micro.Service
	over    bool
	stopErr error

	gate gate
}

type endpoint struct {
	Endpoint
	figures figures
	span    []trace.SpanStartOption
}

// NewServer makes a server; Start makes it answer.
func NewServer(deps Deps, cfg ServerConfig, endpoints ...Endpoint) *Server {
	if cfg.Concurrency <= 0 {
		cfg.Concurrency = DefaultConcurrency
	}
	if cfg.RequestTimeout <= 0 {
		cfg.RequestTimeout = DefaultRequestTimeout
	}
	s := &Server{deps: deps, cfg: cfg, metrics: newMetrics(deps.Tel.Meter), gate: gate{limit: cfg.Concurrency}}
	for _, e := range endpoints {
		s.endpoints = append(s.endpoints, &endpoint{Endpoint: e, span: []trace.SpanStartOption{
			trace.WithSpanKind(trace.SpanKindServer),
			trace.WithAttributes(attribute.String("messaging.system", "nats"), attribute.String("messaging.destination.name", e.Subject)),
		}})
	}
	s.base, s.cancel = context.WithCancel(context.Background())
	return s
}

// Start subscribes the endpoints and appears in discovery. After an error nothing is
// subscribed, and the server cannot be started again.
func (s *Server) Start(ctx context.Context) error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.over || s.service != nil {
		return errors.New("the server was started before")
	}
	service, err := micro.AddService(s.deps.Bus.NC, micro.Config{
		Name: s.cfg.Name, Version: Version, Description: s.cfg.Description,
		Metadata:     map[string]string{"copy": s.deps.Bus.Copy},
		StatsHandler: s.stats,
	})
	if err != nil {
		return fmt.Errorf("announcing the service: %w", err)
	}
	s.service = service
	for _, e := range s.endpoints {
		err = service.AddEndpoint(e.name(), micro.HandlerFunc(func(req micro.Request) { s.receive(e, req) }),
			micro.WithEndpointSubject(e.Subject),
			micro.WithEndpointPendingLimits(pendingMessages, pendingBytes),
			micro.WithEndpointMetadata(map[string]string{"request_schema": e.Request, "reply_schema": e.Reply}))
		if err != nil {
			err = fmt.Errorf("subscribing %s: %w", e.Subject, err)
			break
		}
	}
	if err == nil {
		// Subscriptions are sent without an answer: only after a round trip do they stand.
		if err = s.flush(ctx); err != nil {
			err = fmt.Errorf("subscribing the endpoints: %w", err)
		}
	}
	if err != nil {
		return errors.Join(err, s.stop(ctx))
	}
	return nil
}

// Stop leaves the queue groups, serves what had been received, and waits until nothing is
// in flight and every reply is on its way. When ctx ends first, the requests' contexts are
// cancelled, and the error says how many did not finish even so.
func (s *Server) Stop(ctx context.Context) error {
	s.life.Lock()
	defer s.life.Unlock()
	return s.stop(ctx)
}

func (s *Server) stop(ctx context.Context) error {
	if s.over {
		return s.stopErr
	}
	s.over = true
	if s.service != nil {
		if err := s.service.Stop(); err != nil {
			s.deps.Tel.Log.Warn().Err(err).Msg("subscriptions were not drained")
		}
		s.stopErr = s.drain(ctx)
	}
	s.gate.close()
	s.cancel()
	return s.stopErr
}

func (s *Server) drain(ctx context.Context) error {
	// Once the server has answered, all that it sent before has been received.
	connected := s.flush(ctx) == nil
	for connected && ctx.Err() == nil {
		seen := s.gate.arrivals()
		if !s.gate.wait(ctx) {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(quiet):
		}
		if s.gate.arrivals() == seen {
			break
		}
	}
	if !s.gate.wait(ctx) {
		s.cancel()
		last, end := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer end()
		if !s.gate.wait(last) {
			return fmt.Errorf("stopping %s: %d requests were given up: %w", s.cfg.Name, s.gate.active(), context.Cause(ctx))
		}
	}
	if connected {
		last, end := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer end()
		if err := s.flush(last); err != nil {
			return fmt.Errorf("sending the last replies of %s: %w", s.cfg.Name, err)
		}
	}
	return nil
}

// flush makes a round trip to the server, bounded also where ctx is not: nats.go refuses a
// context without a deadline.
func (s *Server) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	return s.deps.Bus.NC.FlushWithContext(ctx)
}
