package bus

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

type tailTest struct {
	t      *testing.T
	server *natstest.Server
	bus    *Bus
}

func newTestTail(t *testing.T) *tailTest {
	t.Helper()
	s := natstest.Start(t)
	cfg := DefaultConfig()
	cfg.URLs = []string{s.URL()}
	b, err := Connect(t.Context(), cfg, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	_, err = b.JS.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "S", Subjects: []string{"s.>"}, AllowDirect: true, MaxMsgsPerSubject: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &tailTest{t: t, server: s, bus: b}
}

// publish stores n messages on a subject, through an outage if need be.
func (tt *tailTest) publish(subject string, n int) {
	tt.t.Helper()
	for i := range n {
		deadline := time.Now().Add(20 * time.Second)
		for {
			_, err := tt.bus.JS.Publish(tt.t.Context(), subject, fmt.Appendf(nil, "%d", i))
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				tt.t.Fatal(err)
			}
		}
	}
}

func (tt *tailTest) expect(got <-chan *Message, from, to uint64) {
	tt.t.Helper()
	for want := from; want <= to; want++ {
		select {
		case m := <-got:
			if m.Sequence != want {
				tt.t.Fatalf("got message %d, want %d", m.Sequence, want)
			}
		case <-time.After(30 * time.Second):
			tt.t.Fatalf("message %d did not come", want)
		}
	}
}

func TestTailReadsInOrderAcrossARestart(t *testing.T) {
	t.Parallel()
	tt := newTestTail(t)
	tt.publish("s.a", 700)
	got := make(chan *Message, 4096)
	tail, err := tt.bus.Tail(t.Context(), TailConfig{Stream: "S", Subjects: []string{"s.>"}, From: 11}, func(m *Message, _ uint64) { got <- m })
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Stop()
	tt.expect(got, 11, 700)
	tt.server.Restart()
	tt.publish("s.b", 700)
	tt.expect(got, 701, 1400)
	tail.Stop()
	tt.publish("s.a", 1)
	select {
	case m := <-got:
		t.Fatalf("message %d came after Stop", m.Sequence)
	default:
	}
}

func TestTailEndsWithItsStream(t *testing.T) {
	t.Parallel()
	tt := newTestTail(t)
	tail, err := tt.bus.Tail(t.Context(), TailConfig{Stream: "S", Subjects: []string{"s.>"}}, func(*Message, uint64) {})
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Stop()
	if err := tt.bus.JS.DeleteStream(t.Context(), "S"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-tail.Gone():
	case <-time.After(20 * time.Second):
		t.Fatal("the tail did not notice that its stream is gone")
	}
	if _, err := tt.bus.Tail(t.Context(), TailConfig{Stream: "S"}, nil); !errors.Is(err, ErrNoStream) {
		t.Errorf("reading a stream that does not exist: %v", err)
	}
}

func TestScanEndsWhereTheStreamEnded(t *testing.T) {
	t.Parallel()
	tt := newTestTail(t)
	read := func(cfg TailConfig, each func(*Message) error) int {
		n := 0
		if _, err := tt.bus.Scan(t.Context(), cfg, func(m *Message) error {
			n++
			return each(m)
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	nothing := func(*Message) error { return nil }
	if n := read(TailConfig{Stream: "S"}, nothing); n != 0 {
		t.Errorf("read %d messages of an empty stream", n)
	}
	tt.publish("s.a", 300)
	tt.publish("s.b", 5)
	if n := read(TailConfig{Stream: "S", Subjects: []string{"s.a"}}, nothing); n != 300 {
		t.Errorf("read %d, want 300: the end of the stream is on another subject", n)
	}
	if n := read(TailConfig{Stream: "S", From: 300, HeadersOnly: true}, func(m *Message) error {
		if len(m.Data) != 0 || m.Header.Get("Nats-Msg-Size") == "" {
			t.Errorf("asked for headers, got %d bytes and size %q", len(m.Data), m.Header.Get("Nats-Msg-Size"))
		}
		return nil
	}); n != 6 {
		t.Errorf("read %d from 300 on, want 6", n)
	}
	// The range's end vanishes while it is being read.
	removed := false
	if n := read(TailConfig{Stream: "S"}, func(*Message) error {
		if !removed {
			removed = true
			stream, err := tt.bus.JS.Stream(t.Context(), "S")
			if err != nil {
				return err
			}
			return stream.Purge(t.Context(), jetstream.WithPurgeSubject("s.>"))
		}
		return nil
	}); n == 0 {
		t.Error("nothing was read")
	}
	tt.publish("s.a", 1)
	broken := errors.New("enough")
	if _, err := tt.bus.Scan(context.Background(), TailConfig{Stream: "S"}, func(*Message) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("scan ended with %v, want the handler's error", err)
	}
}
