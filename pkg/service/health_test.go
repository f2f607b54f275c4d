package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

func newTestHealth(t *testing.T) (*service.Health, func(path string) (int, string)) {
	t.Helper()
	h := service.NewHealth(telemetry.Discard())
	if err := h.Start(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	t.Cleanup(func() {
		if err := h.Stop(context.Background()); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return h, func(path string) (int, string) {
		t.Helper()
		answer, err := client.Get("http://" + h.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
}

func TestReadinessFollowsTheChecks(t *testing.T) {
	t.Parallel()
	h, get := newTestHealth(t)
	if status, body := get("/readyz"); status != 503 || !strings.Contains(body, "starting") {
		t.Errorf("before the first check: have %d %s", status, body)
	}
	var broken atomic.Bool
	h.Watch("nats", func() error {
		if broken.Load() {
			return errors.New("not connected to NATS")
		}
		return nil
	})
	if status, _ := get("/readyz"); status != 200 {
		t.Errorf("while the check passes: have %d", status)
	}
	broken.Store(true)
	status, body := get("/readyz")
	var ready service.Readiness
	if err := json.Unmarshal([]byte(body), &ready); err != nil || status != 503 || ready.Checks["nats"] != "not connected to NATS" {
		t.Errorf("while it fails: have %d %s, %v", status, body, err)
	}
	broken.Store(false)
	h.Drain()
	if status, body := get("/readyz"); status != 503 || !strings.Contains(body, "draining") {
		t.Errorf("while draining: have %d %s", status, body)
	}
	if status, _ := get("/healthz"); status != 200 {
		t.Errorf("a draining process lives: have %d", status)
	}
}

func TestHealthStopRepeatsAndWorksWithoutStart(t *testing.T) {
	t.Parallel()
	h := service.NewHealth(telemetry.Discard())
	for range 2 {
		if err := h.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if h.Addr() != "" {
		t.Errorf("want no address, have %s", h.Addr())
	}
}
