// Package servicetest runs copies of services on a real nats-server, for the tests of the
// services and of what they do together.
package servicetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

// Patience is how long a test waits for what must happen: far longer than it takes, so that
// only what never happens fails.
const Patience = 20 * time.Second

// Fleet is a server, copies of services on it, and a client. Its methods fail the test.
type Fleet struct {
	*client.Client
	Server *natstest.Server
	// NC and JS are the test's own connection, which survives restarts of the server.
	NC *nats.Conn
	JS jetstream.JetStream

	t      *testing.T
	copies map[string][]*service.Running
}

// New starts a server without services; it and they end with the test.
func New(t *testing.T) *Fleet {
	t.Helper()
	f := &Fleet{Server: natstest.Start(t), t: t, copies: map[string][]*service.Running{}}
	f.NC = f.Server.Connect(nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	f.Client = client.New(f.NC)
	var err error
	if f.JS, err = jetstream.New(f.NC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Stop() })
	return f
}

// Open adds a copy of a service.
func (f *Fleet) Open(name string, build func(service.Deps) (service.Part, error)) *service.Running {
	f.t.Helper()
	cfg := bus.DefaultConfig()
	cfg.URLs = []string{f.Server.URL()}
	running, err := service.Open(f.t.Context(), name, cfg, telemetry.Discard(), build)
	if err != nil {
		f.t.Fatal(err)
	}
	f.copies[name] = append(f.copies[name], running)
	return running
}

// Stop ends every copy of the services named, or of all of them if none is named.
func (f *Fleet) Stop(names ...string) {
	f.t.Helper()
	if len(names) == 0 {
		for name := range f.copies {
			names = append(names, name)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	for _, name := range names {
		for _, running := range f.copies[name] {
			if err := running.Stop(ctx); err != nil {
				f.t.Errorf("stopping %s: %v", name, err)
			}
		}
		delete(f.copies, name)
	}
}

// RestartServer ends every copy and restarts the server; the test is connected to it again.
func (f *Fleet) RestartServer() {
	f.t.Helper()
	f.Stop()
	f.Server.Restart()
	Eventually(f.t, "the test is connected again", func() bool { return f.NC.FlushTimeout(time.Second) == nil })
}

// Stored counts the messages that a stream has on the subjects of a filter.
func (f *Fleet) Stored(stream, filter string) int {
	f.t.Helper()
	s, err := f.JS.Stream(f.t.Context(), stream)
	if err != nil {
		f.t.Fatal(err)
	}
	info, err := s.Info(f.t.Context(), jetstream.WithSubjectFilter(filter))
	if err != nil {
		f.t.Fatal(err)
	}
	n := 0
	for _, count := range info.State.Subjects {
		n += int(count)
	}
	return n
}

// Do calls an endpoint that must not refuse.
func Do[Req, Rep any](t *testing.T, call func(context.Context, Req) (Rep, error), request Req) Rep {
	t.Helper()
	reply, err := call(t.Context(), request)
	if err != nil {
		t.Fatalf("%+v: %v", request, err)
	}
	return reply
}

// Refused calls an endpoint that must refuse with the code.
func Refused[Req, Rep any](t *testing.T, code fault.Code, call func(context.Context, Req) (Rep, error), request Req) *fault.Error {
	t.Helper()
	reply, err := call(t.Context(), request)
	if !errors.Is(err, code) {
		t.Fatalf("%+v: got %+v and error %v, want %s", request, reply, err, code)
	}
	return fault.From(err)
}

// Eventually waits, for no longer than Patience, until something holds.
func Eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(Patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}
