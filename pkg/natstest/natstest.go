// Package natstest starts a real nats-server inside a test. It is a module of its own, so
// that no service binary carries the server.
package natstest

import (
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// MaxPayload is the payload limit that the fleet is shipped with.
const MaxPayload = 4 << 20

const startTimeout = 10 * time.Second

// Option changes the server's settings before it starts.
type Option func(*server.Options)

// MaxPayloadBytes sets the largest message that the server takes.
func MaxPayloadBytes(n int32) Option {
	return func(o *server.Options) { o.MaxPayload = n }
}

// MaxStoreBytes sets how much disk all streams together may reserve.
func MaxStoreBytes(n int64) Option {
	return func(o *server.Options) { o.JetStreamMaxStore = n }
}

// WithoutJetStream leaves a server that only carries messages.
func WithoutJetStream() Option {
	return func(o *server.Options) { o.JetStream = false }
}

// SyncAlways makes every acknowledged write durable before the acknowledgement.
func SyncAlways() Option {
	return func(o *server.Options) { o.SyncAlways = true }
}

// Server is a JetStream server on a loopback port of its own, its data in a temporary
// folder of the test.
type Server struct {
	t    testing.TB
	opts *server.Options
	srv  *server.Server
}

// Start runs a server until the test ends.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	opts := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: t.TempDir(), MaxPayload: MaxPayload,
		// The disk of a test machine is not the point of a test.
		JetStreamMaxStore: 8 << 30, JetStreamMaxMemory: 256 << 20,
	}
	for _, option := range options {
		option(opts)
	}
	s := &Server{t: t, opts: opts}
	s.run()
	t.Cleanup(s.Shutdown)
	return s
}

func (s *Server) run() {
	s.t.Helper()
	srv, err := server.NewServer(s.opts.Clone())
	if err != nil {
		s.t.Fatalf("making a nats-server: %v", err)
	}
	srv.Start()
	if !srv.ReadyForConnections(startTimeout) {
		s.t.Fatalf("nats-server was not ready in %s", startTimeout)
	}
	s.srv = srv
	// A restart comes back on the same port, as clients expect.
	if addr, ok := srv.Addr().(*net.TCPAddr); ok {
		s.opts.Port = addr.Port
	}
}

// URL is where clients connect.
func (s *Server) URL() string { return s.srv.ClientURL() }

// Shutdown stops the server and waits for it; it repeats safely.
func (s *Server) Shutdown() {
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
}

// Restart stops the server and starts it again on the same port with the same data.
func (s *Server) Restart() {
	s.t.Helper()
	s.Shutdown()
	s.run()
}

// Start runs a server that was shut down, on the same port with the same data.
func (s *Server) Start() {
	s.t.Helper()
	s.run()
}

// Connect opens a connection that is closed when the test ends.
func (s *Server) Connect(options ...nats.Option) *nats.Conn {
	s.t.Helper()
	nc, err := nats.Connect(s.URL(), options...)
	if err != nil {
		s.t.Fatalf("connecting to the test's nats-server: %v", err)
	}
	s.t.Cleanup(nc.Close)
	return nc
}
