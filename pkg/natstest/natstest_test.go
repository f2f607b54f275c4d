package natstest_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
)

func TestRestartKeepsPortAndData(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	url := s.URL()
	js, err := jetstream.New(s.Connect())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEPT", Subjects: []string{"kept"}}); err != nil {
		t.Fatal(err)
	}
	s.Restart()
	if s.URL() != url {
		t.Fatalf("came back at %s, was at %s", s.URL(), url)
	}
	nc := s.Connect()
	js, err = jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushTimeout(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Stream(t.Context(), "KEPT"); err != nil {
		t.Fatalf("stream after a restart: %v", err)
	}
}
