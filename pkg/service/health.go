package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

// Health answers over HTTP how a process is: /healthz says that it lives, /readyz that it
// can work at this moment (503 and the reasons where it cannot), /metrics what it measured.
type Health struct {
	tel *telemetry.Telemetry

	mu       sync.Mutex
	checks   map[string]func() error
	draining bool

	server *http.Server
	addr   net.Addr
	served chan struct{}
}

// NewHealth makes a Health that is not ready until a check is added and passes.
func NewHealth(tel *telemetry.Telemetry) *Health {
	return &Health{tel: tel.For("health"), checks: map[string]func() error{}}
}

// Watch adds a check: the process is ready only while all of them return nil. A check must
// answer at once; its text is shown to whoever asks.
func (h *Health) Watch(name string, check func() error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks[name] = check
}

// Drain makes the process unready for good, so that nobody sends it more.
func (h *Health) Drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// Readiness is what /readyz answers. Checks holds "ok" or a reason, by name.
type Readiness struct {
	Ready  bool              `json:"ready"`
	Checks map[string]string `json:"checks"`
}

// Ready runs the checks.
func (h *Health) Ready() Readiness {
	h.mu.Lock()
	checks, draining := maps.Clone(h.checks), h.draining
	h.mu.Unlock()
	r := Readiness{Ready: len(checks) > 0 && !draining, Checks: map[string]string{}}
	for name, check := range checks {
		r.Checks[name] = "ok"
		if err := check(); err != nil {
			r.Ready, r.Checks[name] = false, err.Error()
		}
	}
	switch {
	case draining:
		r.Checks["process"] = "draining"
	case len(checks) == 0:
		r.Checks["process"] = "starting"
	}
	return r
}

// Handler serves the three paths, for a program that has a web server of its own.
func (h *Health) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		ready := h.Ready()
		w.Header().Set("Content-Type", "application/json")
		if !ready.Ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(ready)
	})
	mux.Handle("GET /metrics", h.tel.Metrics)
	return mux
}

// Start serves Handler on host:port; with port 0 it takes a free one, see Addr.
func (h *Health) Start(ctx context.Context, listen string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("serving health: %w", err)
	}
	h.addr = listener.Addr()
	h.server = &http.Server{
		Handler: h.Handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	h.served = make(chan struct{})
	go func() {
		defer close(h.served)
		if err := h.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			h.tel.Log.Error().Err(err).Msg("health server ended")
		}
	}()
	return nil
}

// Addr is where Start listens; empty before.
func (h *Health) Addr() string {
	if h.addr == nil {
		return ""
	}
	return h.addr.String()
}

// Stop ends the server and waits for it; it repeats safely and works without Start.
func (h *Health) Stop(ctx context.Context) error {
	h.Drain()
	if h.server == nil {
		return nil
	}
	err := h.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, h.server.Close())
	}
	<-h.served
	return err
}
