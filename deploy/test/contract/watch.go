package contract

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// inboxes is where replies go.
const inboxes = "_INBOX.>"

const (
	buffered       = 1 << 17
	maxViolations  = 20
	maxPending     = 1 << 16
	fullyChecked   = 500 // of every kind of message
	thenEvery      = 25
	settleTimeout  = 10 * time.Second
	connectTimeout = 5 * time.Second
)

// Watcher holds a running fleet to the contract.
type Watcher struct {
	t        testing.TB
	contract *Contract
	nc       *nats.Conn
	messages chan *nats.Msg
	stop     chan struct{}
	done     chan struct{}
	finish   sync.Once

	pending map[string]request // by reply subject; only the loop touches it

	mu         sync.Mutex
	violations []string
	more       int
	seen       map[string]int
	missed     int
}

type request struct {
	endpoint Endpoint
	payload  []byte
}

// Watch watches the fleet behind a NATS URL until the test ends, and then fails the test
// for every message that broke the contract. Call it after the server's own cleanup was
// registered, so that it can still read the streams. The first 500 messages of every kind
// are checked, then every 25th.
func Watch(t testing.TB, url string, opts ...nats.Option) *Watcher {
	t.Helper()
	w := &Watcher{
		t: t, contract: Load(t), messages: make(chan *nats.Msg, buffered),
		stop: make(chan struct{}), done: make(chan struct{}), pending: map[string]request{}, seen: map[string]int{},
	}
	opts = append(opts, nats.Name("contract"), nats.Timeout(connectTimeout), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrSlowConsumer) {
				w.mu.Lock()
				w.missed++
				w.mu.Unlock()
			}
		}))
	var err error
	if w.nc, err = nats.Connect(url, opts...); err != nil {
		t.Fatalf("connecting to watch the contract: %v", err)
	}
	// One channel for all, so that a reply never comes before its request.
	subjects := []string{inboxes, "workflows.>", "timers.>", "jobs.>", "executions.>", "dead_letters.>", "$KV.>"}
	for _, e := range w.contract.Endpoints {
		subjects = append(subjects, e.Subject)
	}
	for _, s := range subjects {
		if _, err := w.nc.ChanSubscribe(s, w.messages); err != nil {
			t.Fatalf("subscribing %s: %v", s, err)
		}
	}
	if err := w.nc.FlushTimeout(connectTimeout); err != nil {
		t.Fatalf("subscribing: %v", err)
	}
	go w.loop()
	t.Cleanup(w.report)
	return w
}

// Seen counts the messages of each schema so far, so that a test can say that it has seen
// what it means to check.
func (w *Watcher) Seen() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.seen)
}

// Stop ends the watch and returns what broke the contract, instead of failing the test for
// it. It reads the streams, so the server must be up.
func (w *Watcher) Stop() []string {
	w.end()
	w.mu.Lock()
	defer w.mu.Unlock()
	found := w.violations
	w.violations, w.more = nil, 0
	return found
}

func (w *Watcher) end() {
	w.finish.Do(func() {
		// What is still on its way to us comes before the answer to a flush.
		_ = w.nc.FlushTimeout(settleTimeout)
		close(w.stop)
		<-w.done
		ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
		defer cancel()
		if err := w.readStreams(ctx); err != nil {
			w.t.Logf("the contract could not be held against the streams: %v", err)
		}
		w.nc.Close()
	})
}

func (w *Watcher) report() {
	w.end()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range w.violations {
		w.t.Errorf("contract: %s", v)
	}
	if w.more > 0 {
		w.t.Errorf("contract: and %d more", w.more)
	}
	if w.missed > 0 {
		w.t.Logf("contract: the watch was too slow and missed messages %d times", w.missed)
	}
}

func (w *Watcher) loop() {
	defer close(w.done)
	for {
		select {
		case m := <-w.messages:
			w.take(m)
			continue
		default:
		}
		select {
		case m := <-w.messages:
			w.take(m)
		case <-w.stop:
			for {
				select {
				case m := <-w.messages:
					w.take(m)
				default:
					return
				}
			}
		}
	}
}

func (w *Watcher) take(m *nats.Msg) {
	// What a consumer is sent comes to an inbox too, under the subject that it is stored on.
	if m.Sub.Subject == inboxes {
		asked, ok := w.pending[m.Subject]
		if !ok {
			return
		}
		delete(w.pending, m.Subject)
		w.judge(asked.endpoint.Reply, "reply to "+asked.endpoint.Subject, func() error {
			return w.contract.checkReply(asked.endpoint, asked.payload, m)
		})
		return
	}
	if e, ok := w.contract.endpoint(m.Subject); ok {
		if len(w.pending) >= maxPending { // Answers that never came.
			clear(w.pending)
		}
		if m.Reply != "" {
			w.pending[m.Reply] = request{e, m.Data}
		}
		w.count(e.Request)
		return
	}
	w.published("", m.Subject, m.Header, m.Data)
}

func (w *Watcher) published(stream, subject string, header nats.Header, payload []byte) {
	known, _, ok := w.contract.message(subject)
	if !ok && strings.HasPrefix(subject, "$KV.") {
		return // Somebody else's bucket.
	}
	what := subject
	if stream != "" {
		what += " in " + stream
	}
	w.judge(known.Payload, what, func() error {
		_, err := w.contract.checkPublished(stream, subject, header, payload)
		return err
	})
}

func (w *Watcher) count(kind string) (nth int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[kind]++
	return w.seen[kind]
}

func (w *Watcher) judge(kind, what string, check func() error) {
	if nth := w.count(kind); nth > fullyChecked && nth%thenEvery != 0 {
		return
	}
	err := check()
	if err == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.violations) == maxViolations {
		w.more++
		return
	}
	w.violations = append(w.violations, fmt.Sprintf("%s: %v", what, err))
}
