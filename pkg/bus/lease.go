package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// DefaultLeaseTTL is how long a copy that fell silent still counts as alive.
const DefaultLeaseTTL = 6 * time.Second

// Leases is one copy's membership among the copies of its service: it keeps the copy's own
// lease in the leases bucket, watches those of the others, and says who owns what.
//
// All copies that see the same members name the same owner. While a change spreads two
// copies may both believe that they own a key, and a copy that was paused believes it until
// it asks Live: what they write must be fenced by other means too.
type Leases struct {
	bus     *Bus
	service string
	copy    string
	ttl     time.Duration
	epoch   time.Time
	// until is the end of our lease, counted from epoch on the monotonic clock.
	until atomic.Int64

	mu      sync.Mutex
	members map[string]*member
	changed chan struct{}
	cancel  context.CancelFunc

	tail *Tail
	done sync.WaitGroup
}

// member is another copy: it is forgotten at forget even if the news of its end is lost.
type member struct {
	forget time.Time
}

// lease is the content of a key.
type lease struct {
	Service string        `json:"service"`
	Copy    string        `json:"copy"`
	TTL     wire.Duration `json:"ttl"`
}

// NewLeases makes the membership of the bus's copy of a service. ttl is whole seconds, at
// least one; 0 means DefaultLeaseTTL.
func NewLeases(b *Bus, service string, ttl time.Duration) *Leases {
	if ttl == 0 {
		ttl = DefaultLeaseTTL
	}
	return &Leases{
		bus: b, service: service, copy: b.Copy, ttl: max(ttl.Truncate(time.Second), time.Second),
		epoch: time.Now(), members: map[string]*member{}, changed: make(chan struct{}),
	}
}

// Start takes the first lease and returns when the other members are known. The bucket
// must exist (EnsureShared).
func (l *Leases) Start(ctx context.Context) error {
	l.mu.Lock()
	running := l.cancel != nil
	l.mu.Unlock()
	if running {
		return nil
	}
	if err := l.renew(ctx); err != nil {
		return fmt.Errorf("taking the lease of this copy: %w", err)
	}
	watch := TailConfig{Stream: BucketStream(wire.BucketLeases), Subjects: []string{l.keys() + "*"}}
	known, err := l.bus.Scan(ctx, watch, func(m *Message) error {
		l.observe(m)
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading leases: %w", err)
	}
	watch.From = known + 1
	tail, err := l.bus.Tail(ctx, watch, func(m *Message, _ uint64) { l.observe(m) })
	if err != nil {
		return fmt.Errorf("watching leases: %w", err)
	}
	loops, cancel := context.WithCancel(context.Background())
	l.tail = tail
	l.done.Add(2)
	go l.renewing(loops)
	go l.sweeping(loops)
	l.mu.Lock()
	l.cancel = cancel
	l.mu.Unlock()
	return nil
}

// Stop ends the loops and gives the lease back, so that the others take over at once. It
// repeats safely and works without Start.
func (l *Leases) Stop(ctx context.Context) error {
	l.mu.Lock()
	cancel := l.cancel
	l.cancel = nil
	l.mu.Unlock()
	if cancel == nil {
		return nil
	}
	cancel()
	l.done.Wait()
	l.tail.Stop()
	l.until.Store(0)
	msg := nats.NewMsg(l.subject())
	// Deleting is a message with this header, as the bucket's clients write it; it has the
	// TTL of a marker so that ended copies leave nothing behind.
	msg.Header.Set("KV-Operation", "PURGE")
	msg.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	msg.Header.Set(jetstream.MsgTTLHeader, l.ttl.String())
	if _, err := l.bus.Publish(ctx, msg); err != nil {
		return fmt.Errorf("giving the lease back: %w", err)
	}
	return nil
}

// Live reports whether our lease surely holds at this moment. It is cheap enough to ask
// before every write.
func (l *Leases) Live() bool { return int64(time.Since(l.epoch)) < l.until.Load() }

// Copy is our own name among the members.
func (l *Leases) Copy() string { return l.copy }

// Members are the live copies, sorted; this one is among them while Live.
func (l *Leases) Members() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	members := make([]string, 0, len(l.members)+1)
	for name, m := range l.members {
		if now.Before(m.forget) {
			members = append(members, name)
		}
	}
	if l.Live() {
		members = append(members, l.copy)
	}
	slices.Sort(members)
	return members
}

// Owner is the member that a key belongs to, empty while nobody is alive. When a member
// comes or goes, only the keys of that member change hands.
func (l *Leases) Owner(key string) string { return rendezvous(l.Members(), key) }

// Changed is closed at the next change of the members.
func (l *Leases) Changed() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

func (l *Leases) subject() string { return l.keys() + l.copy }

// keys is what the subjects of the service's leases begin with.
func (l *Leases) keys() string { return "$KV." + wire.BucketLeases + "." + l.service + "." }

// renew extends the lease on the server and then, counted from before the request, here.
func (l *Leases) renew(ctx context.Context) error {
	body, err := json.Marshal(lease{Service: l.service, Copy: l.copy, TTL: wire.Duration(l.ttl)})
	if err != nil {
		return err
	}
	msg := nats.NewMsg(l.subject())
	msg.Data = body
	msg.Header.Set(jetstream.MsgTTLHeader, l.ttl.String())
	asked := time.Since(l.epoch)
	attempt, cancel := context.WithTimeout(ctx, l.ttl/3)
	defer cancel()
	if _, err := l.bus.Publish(attempt, msg); err != nil {
		return err
	}
	was := l.Live()
	l.until.Store(int64(asked + l.ttl))
	if !was {
		l.announce()
	}
	return nil
}

func (l *Leases) renewing(ctx context.Context) {
	defer l.done.Done()
	wait := l.ttl / 3
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		live := l.Live()
		err := l.renew(ctx)
		switch {
		case err == nil:
			if !live {
				l.bus.tel.Log.Warn().Str("copy", l.copy).Msg("lease had run out and was taken anew")
			}
			wait = l.ttl / 3
		case ctx.Err() != nil:
			return
		default:
			l.bus.tel.Log.Warn().Err(err).Str("copy", l.copy).Msg("lease was not renewed")
			wait = l.ttl / 10
			if live && !l.Live() {
				l.announce()
			}
		}
	}
}

// observe takes in what the bucket says of another copy. Its end is a message without
// content: its own farewell, or the server's marker when the lease has run out.
func (l *Leases) observe(m *Message) {
	name := strings.TrimPrefix(m.Subject, l.keys())
	if name == l.copy {
		return
	}
	alive := len(m.Data) > 0
	l.mu.Lock()
	_, known := l.members[name]
	if alive {
		var doc lease
		ttl := l.ttl
		if json.Unmarshal(m.Data, &doc) == nil && doc.TTL > 0 {
			ttl = time.Duration(doc.TTL)
		}
		// Half a lease of grace, because the news travels.
		l.members[name] = &member{forget: time.Now().Add(ttl + ttl/2)}
	} else {
		delete(l.members, name)
	}
	l.mu.Unlock()
	if known != alive {
		l.announce()
	}
}

// sweeping forgets who fell silent, in case the news of it was lost.
func (l *Leases) sweeping(ctx context.Context) {
	defer l.done.Done()
	tick := time.NewTicker(l.ttl / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.sweep()
		}
	}
}

func (l *Leases) sweep() {
	l.mu.Lock()
	now, before := time.Now(), len(l.members)
	for name, m := range l.members {
		if now.After(m.forget) {
			delete(l.members, name)
		}
	}
	gone := len(l.members) != before
	l.mu.Unlock()
	if gone {
		l.announce()
	}
}

func (l *Leases) announce() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
}

// rendezvous gives the key to the member with the highest hash of both (highest random
// weight), the same on every copy.
func rendezvous(members []string, key string) string {
	var owner string
	var best uint64
	for _, m := range members {
		if weight := rank(m, key); owner == "" || weight > best || weight == best && m > owner {
			owner, best = m, weight
		}
	}
	return owner
}

// rank is FNV-1a with the finalizer of MurmurHash3: FNV alone mixes the last characters
// too little to compare.
func rank(member, key string) uint64 {
	h := uint64(14695981039346656037)
	for _, s := range [...]string{member, "\x00", key} {
		for i := 0; i < len(s); i++ {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
