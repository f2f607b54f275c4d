package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// TailConfig says what a Tail reads.
type TailConfig struct {
	Stream string
	// Subjects filter what is read; they may hold wildcards and must not overlap.
	Subjects []string
	// From is the first sequence of interest; 0 means the first that there is.
	From uint64
	// HeadersOnly leaves the data out; the server writes its size into Nats-Msg-Size.
	HeadersOnly bool
}

// Tail reads a stream in order, without gaps and without end: an ephemeral consumer on the
// server that keeps no acknowledgements, and is made again after the last message read
// whenever anything is in doubt (a gap, a lost server, silence). Idle, it costs one
// goroutine and one small message every heartbeat.
//
// It differs from the client's own ordered consumer in that Stop waits, that it owns no
// goroutine between messages, and that it ends when the stream is deleted.
type Tail struct {
	bus    *Bus
	cfg    TailConfig
	handle func(m *Message, pending uint64)
	inbox  string
	sub    *nats.Subscription
	ended  chan struct{}
	// life ends with Stop, and what is asked of the server with it: a server that has just
	// come back may not answer at all.
	life context.Context
	end  context.CancelFunc

	mu sync.Mutex
	// generation tells what is said of the present consumer from what was of those before.
	generation int
	consumer   string
	// last is the stream's sequence of the last message handled, delivered the consumer's.
	last, delivered uint64
	initial         uint64
	requests        []pullRequest
	nextRequest     int
	heard           time.Time
	// handling: handle is at work, and what the server says meanwhile waits behind it.
	handling   bool
	reconnects uint64
	broken     bool
	checking   bool
	closed     bool
	// confirmed: the present consumer was seen to exist after its first request was sent. A
	// request that meets the deletion of its stream is answered by nobody.
	confirmed bool
	gone      chan struct{}
	timer     *time.Timer
	checks    sync.WaitGroup
}

// pullRequest is a request for messages that the server has not fulfilled yet.
type pullRequest struct{ id, left int }

const (
	tailBatch   = 256
	tailExpires = time.Minute
	tailCheck   = time.Second
	tailCreate  = 5 * time.Second
)

// heartbeat is how often an idle consumer says that it is there. The consumer lives on one
// server of several, which may not be the one that we are connected to: then its silence is
// all that tells of its end. A stream of one replica is out of reach together with its
// server, so that it pays to be thrifty there.
func (t *Tail) heartbeat() time.Duration {
	if t.bus.cfg.Replicas > 1 {
		return 2 * time.Second
	}
	return 10 * time.Second
}

// silent reports whether the consumer has missed two heartbeats. Call it with the lock held.
func (t *Tail) silent() bool {
	return !t.handling && time.Since(t.heard) > t.heartbeat()*5/2
}

// Tail starts to read. handle is called for one message after another, with the number of
// matching messages that follow; while it blocks, the server holds the rest back. It fails
// with ErrNoStream when the stream does not exist.
func (b *Bus) Tail(ctx context.Context, cfg TailConfig, handle func(m *Message, pending uint64)) (*Tail, error) {
	t := &Tail{
		bus: b, cfg: cfg, handle: handle, inbox: b.NC.NewInbox(),
		ended: make(chan struct{}), gone: make(chan struct{}), last: max(cfg.From, 1) - 1,
	}
	t.life, t.end = context.WithCancel(context.Background())
	sub, err := b.NC.Subscribe(t.inbox+".*.*", t.receive)
	if err != nil {
		t.end()
		return nil, fmt.Errorf("reading %s: %w", cfg.Stream, err)
	}
	sub.SetClosedHandler(func(string) { close(t.ended) })
	t.sub = sub
	if err := t.create(ctx); err != nil {
		t.Stop()
		return nil, fmt.Errorf("reading %s: %w", cfg.Stream, err)
	}
	t.mu.Lock()
	t.timer = time.AfterFunc(tailCheck, t.check)
	t.mu.Unlock()
	return t, nil
}

// Initial is how many matching messages there were when the reading began.
func (t *Tail) Initial() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.initial
}

// Gone is closed when the stream has been deleted; nothing more comes then.
func (t *Tail) Gone() <-chan struct{} { return t.gone }

// Stop ends the reading and waits until handle has returned, so handle must not be blocked
// for good. It repeats safely. It must not be called by handle.
func (t *Tail) Stop() {
	t.mu.Lock()
	first := !t.closed
	t.closed = true
	t.end()
	if t.timer != nil {
		t.timer.Stop()
	}
	consumer := t.consumer
	t.mu.Unlock()
	if first {
		_ = t.sub.Unsubscribe()
		t.deleteConsumer(consumer)
	}
	t.checks.Wait()
	<-t.ended
}

func (t *Tail) deleteConsumer(name string) {
	if name != "" {
		// Without a reply: the server forgets an unused consumer by itself, only later.
		_ = t.bus.NC.Publish("$JS.API.CONSUMER.DELETE."+t.cfg.Stream+"."+name, nil)
	}
}

func (t *Tail) create(ctx context.Context) error {
	t.mu.Lock()
	t.generation++
	t.requests, t.delivered, t.broken, t.confirmed = nil, 0, false, false
	old := t.consumer
	t.consumer = ""
	from := t.last + 1
	t.reconnects = t.bus.NC.Stats().Reconnects
	t.mu.Unlock()
	t.deleteConsumer(old)

	cfg := jetstream.ConsumerConfig{
		Name: "tail_" + nuid.Next(), DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: tailExpires, Replicas: 1, MemoryStorage: true,
		HeadersOnly: t.cfg.HeadersOnly,
	}
	if len(t.cfg.Subjects) == 1 {
		cfg.FilterSubject = t.cfg.Subjects[0]
	} else {
		cfg.FilterSubjects = t.cfg.Subjects
	}
	ctx, cancel := context.WithTimeout(ctx, tailCreate)
	defer cancel()
	consumer, err := t.bus.JS.CreateConsumer(ctx, t.cfg.Stream, cfg)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.broken = true
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return ErrNoStream
		}
		return err
	}
	if t.closed {
		t.deleteConsumer(cfg.Name)
		return nil
	}
	if t.generation == 1 {
		t.initial = consumer.CachedInfo().NumPending
	}
	t.consumer, t.heard = cfg.Name, time.Now()
	t.pull()
	return nil
}

// pull asks for more once less than half a batch is on its way. Call it with the lock held.
func (t *Tail) pull() {
	left := 0
	for _, r := range t.requests {
		left += r.left
	}
	if t.closed || t.consumer == "" || left >= tailBatch/2 {
		return
	}
	t.nextRequest++
	body, err := json.Marshal(map[string]any{
		"batch": tailBatch, "expires": tailExpires, "idle_heartbeat": t.heartbeat(),
		// A bound on memory that still lets the largest message through.
		"max_bytes": t.bus.NC.MaxPayload() + 128<<10,
	})
	if err != nil {
		return
	}
	reply := t.inbox + "." + strconv.Itoa(t.generation) + "." + strconv.Itoa(t.nextRequest)
	if err := t.bus.NC.PublishRequest("$JS.API.CONSUMER.MSG.NEXT."+t.cfg.Stream+"."+t.consumer, reply, body); err != nil {
		t.doubt()
		return
	}
	t.requests = append(t.requests, pullRequest{id: t.nextRequest, left: tailBatch})
}

// doubt has the consumer made again. Call it with the lock held.
func (t *Tail) doubt() {
	if !t.broken && !t.closed {
		t.broken = true
		if t.timer != nil {
			t.timer.Reset(10 * time.Millisecond)
		}
	}
}

func (t *Tail) receive(raw *nats.Msg) {
	// What the server says itself comes on the inbox, a message under its own subject.
	if address, ok := strings.CutPrefix(raw.Subject, t.inbox+"."); ok {
		t.mu.Lock()
		defer t.mu.Unlock()
		generation, request, _ := strings.Cut(address, ".")
		id, err := strconv.Atoi(request)
		if err == nil && generation == strconv.Itoa(t.generation) && !t.closed && !t.broken {
			t.heard = time.Now()
			t.status(raw.Header.Get("Status"), raw.Header.Get("Description"), id)
		}
		return
	}
	meta, err := raw.Metadata()
	t.mu.Lock()
	if err != nil || t.closed || t.broken || meta.Consumer != t.consumer {
		t.mu.Unlock()
		return
	}
	if meta.Sequence.Consumer != t.delivered+1 {
		t.doubt()
		t.mu.Unlock()
		return
	}
	t.heard = time.Now()
	t.delivered, t.last = meta.Sequence.Consumer, meta.Sequence.Stream
	// The server fulfils requests in their order.
	if len(t.requests) > 0 {
		t.requests[0].left--
		if t.requests[0].left == 0 {
			t.drop(t.requests[0].id)
		}
	}
	t.pull()
	t.handling = true
	t.mu.Unlock()
	t.handle(&Message{
		Subject: raw.Subject, Sequence: meta.Sequence.Stream, Time: meta.Timestamp, Header: raw.Header, Data: raw.Data,
	}, meta.NumPending)
	t.mu.Lock()
	t.handling, t.heard = false, time.Now()
	t.mu.Unlock()
}

// status reads what the server says instead of a message. Call it with the lock held.
func (t *Tail) status(code, description string, request int) {
	switch code {
	case "100":
		return
	case "404", "408":
		t.drop(request)
		t.pull()
	case "409":
		t.drop(request)
		if strings.Contains(strings.ToLower(description), "maxbytes") {
			t.pull()
			return
		}
		// Deleted, moved, or the server shuts down.
		t.doubt()
	default:
		t.doubt()
	}
}

func (t *Tail) drop(request int) {
	for i := range t.requests {
		if t.requests[i].id == request {
			t.requests = append(t.requests[:i], t.requests[i+1:]...)
			return
		}
	}
}

// vanished asks the server whether a consumer is gone, and remembers when it is not.
func (t *Tail) vanished(consumer string) bool {
	ctx, cancel := context.WithTimeout(t.life, tailCreate)
	defer cancel()
	_, err := t.bus.JS.Consumer(ctx, t.cfg.Stream, consumer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.confirmed = t.confirmed || err == nil && t.consumer == consumer
	return false
}

// check runs every tailCheck, and at once when in doubt.
func (t *Tail) check() {
	t.mu.Lock()
	if t.closed || t.checking {
		t.mu.Unlock()
		return
	}
	t.checking = true
	t.checks.Add(1)
	defer t.checks.Done()
	stale := t.broken || t.silent() || t.bus.NC.Stats().Reconnects != t.reconnects
	ask, consumer := !t.confirmed && t.delivered == 0, t.consumer
	t.mu.Unlock()
	if !stale && ask {
		stale = t.vanished(consumer)
	}
	var err error
	if stale && t.bus.NC.IsConnected() {
		err = t.create(t.life)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checking = false
	switch {
	case t.closed:
	case errors.Is(err, ErrNoStream):
		t.closed = true
		t.end()
		close(t.gone)
		_ = t.sub.Unsubscribe()
	case err != nil:
		t.bus.tel.Log.Warn().Err(err).Str("stream", t.cfg.Stream).Msg("reading a stream was interrupted, trying again")
		t.timer.Reset(tailCheck)
	default:
		t.timer.Reset(tailCheck)
	}
}
