package service_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
)

// ask runs the program as a container's health check does.
func ask(t *testing.T, probe, listen string) error {
	t.Helper()
	return service.Run(t.Context(), "echo", []string{probe}, []string{"BREAKER_HTTP_LISTEN=" + listen}, io.Discard, buildEcho)
}

func TestProbesAskTheCopyThatRuns(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	p := newTestProgram(t, "NATS_URL="+server.URL(), "BREAKER_HTTP_LISTEN=0.0.0.0:0")
	_, port, err := net.SplitHostPort(p.await("service started")["http"].(string))
	if err != nil {
		t.Fatal(err)
	}
	for _, probe := range []string{"--healthcheck", "--readycheck"} {
		for _, host := range []string{"0.0.0.0", "127.0.0.1", ""} {
			if err := ask(t, probe, host+":"+port); err != nil {
				t.Errorf("%s of a running service on %q: %v", probe, host, err)
			}
		}
	}
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	if err := ask(t, "--healthcheck", "127.0.0.1:"+port); err == nil {
		t.Error("want an error once the service has stopped")
	}
}

func TestProbesTellAliveFromReady(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	p := newTestProgram(t, "NATS_URL=nats://127.0.0.1:1", "BREAKER_HTTP_LISTEN="+listen)
	p.await("nats was out of reach, trying again")
	if err := ask(t, "--healthcheck", listen); err != nil {
		t.Errorf("want a service that waits for NATS to be alive, have %v", err)
	}
	if err := ask(t, "--readycheck", listen); err == nil || !strings.Contains(err.Error(), "starting") {
		t.Errorf("want it not ready because it is starting, have %v", err)
	}
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
}

func TestProbesNeedAPort(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"off", "127.0.0.1:0"} {
		if err := ask(t, "--readycheck", listen); err == nil || !strings.Contains(err.Error(), "BREAKER_HTTP_LISTEN") {
			t.Errorf("%s: want an error naming BREAKER_HTTP_LISTEN, have %v", listen, err)
		}
	}
}
