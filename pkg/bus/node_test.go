package bus

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

// A node goes down that has nothing of ours but the consumer: our connection, the stream's
// leader and the cluster's go on.
func TestTailOutlivesTheNodeOfItsConsumer(t *testing.T) {
	t.Parallel()
	servers := natstest.StartCluster(t, 3)
	ours := 0
	for i, s := range servers {
		if s.LeadsMeta() {
			ours = i
		}
	}
	cfg := DefaultConfig()
	cfg.URLs, cfg.Replicas = []string{servers[ours].URL()}, 3
	b, err := Connect(t.Context(), cfg, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	stream, err := b.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Replicas: 3, AllowDirect: true})
	if err != nil {
		t.Fatal(err)
	}
	leader := stream.CachedInfo().Cluster.Leader
	tt := &tailTest{t: t, server: servers[ours], bus: b}
	tt.publish("s.a", 3)

	got := make(chan *Message, 16)
	var down *natstest.Server
	for down == nil {
		tail, err := b.Tail(t.Context(), TailConfig{Stream: "S"}, func(m *Message, _ uint64) { got <- m })
		if err != nil {
			t.Fatal(err)
		}
		defer tail.Stop()
		tt.expect(got, 1, 3)
		tail.mu.Lock()
		name := tail.consumer
		tail.mu.Unlock()
		consumer, err := b.JS.Consumer(t.Context(), "S", name)
		if err != nil {
			t.Fatal(err)
		}
		// The servers place it as they like.
		for i, s := range servers {
			if at := consumer.CachedInfo().Cluster.Leader; s.Name() == at && at != leader && i != ours {
				down = s
			}
		}
		if down == nil {
			tail.Stop()
		}
	}
	down.Shutdown()
	tt.publish("s.b", 1)
	tt.expect(got, 4, 4)
}

// What lives on a node that lost its power says nothing any more: its consumer is there as
// far as the others know, and takes requests that nobody answers.
func TestTailGivesUpASilentConsumerSoon(t *testing.T) {
	t.Parallel()
	tt := newTestReplicated(t)
	tt.publish("s.a", 3)
	js, err := jetstream.NewWithAPIPrefix(tt.bus.NC, "LAG")
	if err != nil {
		t.Fatal(err)
	}
	ask := func(subject string, body []byte) []byte {
		reply, err := tt.bus.NC.Request("$JS.API."+subject, body, 5*time.Second)
		if err != nil {
			t.Errorf("asking: %v", err)
			return nil
		}
		return reply.Data
	}
	var silent string
	var made []byte
	tt.answer("LAG.>", func(m *nats.Msg) {
		call := strings.TrimPrefix(m.Subject, "LAG.")
		var reply []byte
		switch {
		case silent == "" && strings.HasPrefix(call, "CONSUMER.CREATE."):
			silent = strings.TrimPrefix(call, "CONSUMER.CREATE.S.")
			made = ask(call, m.Data)
			ask("CONSUMER.DELETE.S."+silent, nil)
			tt.answer("$JS.API.CONSUMER.MSG.NEXT.S."+silent, func(*nats.Msg) {})
			reply = made
		case call == "CONSUMER.INFO.S."+silent:
			reply = made
		default:
			reply = ask(call, m.Data)
		}
		if err := m.Respond(reply); err != nil {
			t.Errorf("answering: %v", err)
		}
	})
	tt.bus.JS = js
	got := make(chan *Message, 16)
	begun := time.Now()
	tail, err := tt.bus.Tail(t.Context(), TailConfig{Stream: "S"}, func(m *Message, _ uint64) { got <- m })
	if err != nil {
		t.Fatal(err)
	}
	defer tail.Stop()
	tt.expect(got, 1, 3)
	if took := time.Since(begun); took < 2*time.Second || took > 10*time.Second {
		t.Errorf("the reading went on after %s", took)
	}
}
