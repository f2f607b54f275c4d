package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// load is a crowd of clients that create, fire and update, each with a request id of its
// own, and remember what was acknowledged.
type load struct {
	t        testing.TB
	workflow string
	clients  []*client.Client
	acked    atomic.Int64
	unknown  atomic.Int64

	mu sync.Mutex
	// commands is what was acknowledged: request id to the sequence of its event.
	commands  map[string]uint64
	instances []string

	work   sync.WaitGroup
	cancel context.CancelFunc
}

const (
	// connections carry the clients: more clients than connections, as in a real program.
	connections = 8
	// sharedInstances are contended for by every client.
	sharedInstances = 4
)

func startLoad(t testing.TB, url, workflow string, clients int) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{t: t, workflow: workflow, commands: map[string]uint64{}, cancel: cancel}
	for range connections {
		nc := Connect(t, url)
		l.clients = append(l.clients, client.New(nc, client.WithTimeout(30*time.Second), client.WithAttemptTimeout(2*time.Second)))
	}
	for i := range sharedInstances {
		l.create(ctx, l.clients[i%connections])
	}
	for i := range clients {
		l.work.Go(func() { l.run(ctx, l.clients[i%connections]) })
	}
	t.Cleanup(l.stop)
	return l
}

// stop lets every client finish what it has in flight.
func (l *load) stop() {
	l.cancel()
	l.work.Wait()
}

func (l *load) run(ctx context.Context, c *client.Client) {
	for ctx.Err() == nil {
		if rand.N(10) == 0 {
			l.create(ctx, c)
		} else {
			l.change(ctx, c)
		}
	}
}

func (l *load) create(ctx context.Context, c *client.Client) {
	id := uuid.NewString()
	token, err := c.TokenCreate(context.WithoutCancel(ctx), wire.TokenCreateRequest{
		WorkflowID: l.workflow, Data: json.RawMessage(`{"n":0}`), Origin: wire.Origin{RequestID: id},
	})
	if l.settled(id, token.NatsSequence, err) {
		l.mu.Lock()
		l.instances = append(l.instances, token.InstanceID)
		l.mu.Unlock()
	}
}

func (l *load) change(ctx context.Context, c *client.Client) {
	l.mu.Lock()
	// Half of the changes go to the few that everybody wants.
	n := len(l.instances)
	if rand.N(2) == 0 {
		n = min(n, sharedInstances)
	}
	instance := l.instances[rand.N(n)]
	l.mu.Unlock()
	origin := wire.Origin{RequestID: uuid.NewString()}
	ctx = context.WithoutCancel(ctx)
	if rand.N(3) == 0 {
		token, err := c.TokenUpdate(ctx, wire.TokenUpdateRequest{
			TokenID: instance, Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, rand.N(1000))), Origin: origin,
		})
		l.settled(origin.RequestID, token.NatsSequence, err)
		return
	}
	transition := []string{"go", "back"}[rand.N(2)]
	reply, err := c.TransitionFire(ctx, wire.FireRequest{InstanceID: instance, TransitionID: transition, Origin: origin})
	l.settled(origin.RequestID, reply.Instance.NatsSequence, err)
}

// settled remembers the outcome of a command and reports whether it took effect.
func (l *load) settled(requestID string, sequence uint64, err error) bool {
	var refused *fault.Error
	switch {
	case err == nil:
		l.mu.Lock()
		l.commands[requestID] = sequence
		l.mu.Unlock()
		l.acked.Add(1)
		return true
	case errors.As(err, &refused) && refused.Code == fault.TransitionNotEnabled:
	case errors.As(err, &refused) && (refused.Code.Status() >= 500 || refused.Code == fault.Conflict || refused.Code == fault.Overloaded):
		l.unknown.Add(1)
	default:
		l.t.Errorf("a command failed: %v", err)
	}
	return false
}

// waitForAcks waits until this many more commands were acknowledged.
func (l *load) waitForAcks(n int64) {
	l.t.Helper()
	want := l.acked.Load() + n
	Eventually(l.t, fmt.Sprintf("%d more acknowledged commands", n), func() error {
		if have := l.acked.Load(); have < want {
			return fmt.Errorf("%d of %d", have, want)
		}
		return nil
	})
}

// check reads the whole event log: every acknowledged command is there, at the sequence
// that its caller was told, and no command is there twice.
func (l *load) check(nc *nats.Conn, record wire.Workflow) {
	l.t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		l.t.Fatal(err)
	}
	found := map[string]uint64{}
	readAll(l.t, js, record.Stream, wire.EventSubjects(record.ID), func(msg jetstream.Msg, sequence uint64) {
		var ev wire.Event
		if err := json.Unmarshal(msg.Data(), &ev); err != nil {
			l.t.Fatalf("event %d: %v", sequence, err)
		}
		if ev.RequestID == "" || strings.Contains(msg.Subject(), ".lifecycle.workflow.") {
			return
		}
		if before, twice := found[ev.RequestID]; twice {
			l.t.Errorf("request %s took effect twice, at %d and %d", ev.RequestID, before, sequence)
		}
		found[ev.RequestID] = sequence
	})
	for id, sequence := range l.commands {
		if found[id] != sequence {
			l.t.Errorf("request %s was acknowledged at %d, and stands at %d", id, sequence, found[id])
		}
	}
	l.t.Logf("%d acknowledged commands, %d of unknown outcome, %d events: none lost, none doubled", len(l.commands), l.unknown.Load(), len(found))
}

// readAll reads what a stream holds on a subject now.
func readAll(t testing.TB, js jetstream.JetStream, stream, subject string, each func(jetstream.Msg, uint64)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	consumer, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		t.Fatal(err)
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	left := info.NumPending
	messages, err := consumer.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Stop()
	for left > 0 {
		msg, err := messages.Next()
		if err != nil {
			t.Fatal(err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		each(msg, meta.Sequence.Stream)
		left = meta.NumPending
	}
}
