package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Headers of the message that says that a rule was deleted.
const (
	headerOperation     = "KV-Operation"
	operationDelete     = "DEL"
	headerVersion       = "Breaker-Rule-Version"
	headerAuthor        = "Breaker-Author"
	headerRequestID     = "Breaker-Request-Id"
	headerRequestDigest = "Breaker-Request-Digest"
)

// rule is one version of a rule, ready to judge.
type rule struct {
	wire.Rule
	// revision is that of the bucket.
	revision uint64
	// deleted: the rule is gone, and Version is the last that it had.
	deleted bool
	// program is nil, and unusable says why, where the stored condition cannot be compiled.
	program  *condition.Program
	unusable error
}

// store knows every rule in its newest version: it follows the bucket. What it remembers may
// be behind by moments.
type store struct {
	bus      *bus.Bus
	language *condition.Language
	tel      *telemetry.Telemetry
	follower *bus.Follower

	mu    sync.RWMutex
	rules map[string]*rule
}

func newStore(b *bus.Bus, language *condition.Language, tel *telemetry.Telemetry) *store {
	return &store{bus: b, language: language, tel: tel, rules: map[string]*rule{}}
}

func (k *store) start(ctx context.Context) (err error) {
	k.follower, err = k.bus.Follow(ctx, bus.FollowConfig{
		Bucket: wire.BucketRules, Keys: "*", Learn: k.learn, Keep: k.keep, Replaced: k.replaced,
	})
	return err
}

func (k *store) stop() { k.follower.Stop() }

func (k *store) learn(id string, m *bus.Message) {
	r, err := k.read(m)
	if err != nil {
		k.tel.Log.Error().Err(err).Str("rule_id", id).Msg("rule was not understood")
		return
	}
	k.remember(id, r)
}

func (k *store) remember(id string, r *rule) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if known := k.rules[id]; known == nil || known.revision < r.revision {
		k.rules[id] = r
	}
}

func (k *store) keep(listed map[string]bool, until uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, r := range k.rules {
		if !listed[id] && r.revision <= until {
			delete(k.rules, id)
		}
	}
}

// replaced forgets the order of what is known, and keeps the rules until another bucket
// says what there is.
func (k *store) replaced() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, r := range k.rules {
		old := *r
		old.revision = 0
		k.rules[id] = &old
	}
}

// read makes a stored message ready to judge.
func (k *store) read(m *bus.Message) (*rule, error) {
	r, err := parse(m)
	if err == nil {
		k.compile(r)
	}
	return r, err
}

func (k *store) compile(r *rule) {
	if !r.deleted {
		r.program, r.unusable = k.language.Compile("condition", r.Condition)
	}
}

func parse(m *bus.Message) (*rule, error) {
	r := &rule{revision: m.Sequence}
	if len(m.Data) == 0 {
		r.deleted = true
		r.Version, _ = strconv.Atoi(m.Header.Get(headerVersion))
		r.RequestDigest = m.Header.Get(headerRequestDigest)
		r.RequestID, _ = strconv.Unquote(m.Header.Get(headerRequestID))
		return r, nil
	}
	if err := json.Unmarshal(m.Data, &r.Rule); err != nil {
		return nil, fmt.Errorf("rule at %d: %w", m.Sequence, err)
	}
	return r, nil
}

// all lists the rules that there are, by no order.
func (k *store) all() []*rule {
	k.mu.RLock()
	defer k.mu.RUnlock()
	all := make([]*rule, 0, len(k.rules))
	for _, r := range k.rules {
		if !r.deleted {
			all = append(all, r)
		}
	}
	return all
}

// known is what the store remembers of a rule; nil when it has never heard of it.
func (k *store) known(id string) *rule {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.rules[id]
}

// current reads the last message of a rule from the bucket's leader, and remembers it; nil
// when there never was one.
func (k *store) current(ctx context.Context, id string) (*rule, error) {
	m, err := k.bus.Last(ctx, bus.BucketStream(wire.BucketRules), bus.BucketSubject(wire.BucketRules, id), true)
	if errors.Is(err, bus.ErrNoMessage) {
		return nil, nil
	}
	if err != nil {
		return nil, outOfReach(err)
	}
	if known := k.known(id); known != nil && known.revision == m.Sequence {
		return known, nil
	}
	r, err := k.read(m)
	if err != nil {
		return nil, err
	}
	k.remember(id, r)
	return r, nil
}

// versions reads every version of a rule, oldest first, deletions too, until yield returns
// false. They are not compiled.
func (k *store) versions(ctx context.Context, id string, yield func(*rule) bool) error {
	for from := uint64(1); ; {
		m, err := k.bus.Next(ctx, bus.BucketStream(wire.BucketRules), bus.BucketSubject(wire.BucketRules, id), from)
		if errors.Is(err, bus.ErrNoMessage) {
			return nil
		}
		if err != nil {
			return outOfReach(err)
		}
		r, err := parse(m)
		if err != nil {
			return err
		}
		if !yield(r) {
			return nil
		}
		from = m.Sequence + 1
	}
}

// made finds what a request with this id has made of a rule before; nil when nothing. Every
// version is kept, so no repeat comes too late to be recognised.
func (k *store) made(ctx context.Context, id, requestID, digest string) (*rule, error) {
	if requestID == "" {
		return nil, nil
	}
	var found *rule
	err := k.versions(ctx, id, func(r *rule) bool {
		if r.RequestID == requestID {
			found = r
		}
		return found == nil
	})
	if err != nil || found == nil {
		return nil, err
	}
	if found.RequestDigest != digest {
		return nil, fault.New(fault.RequestIDReused, "request_id %q was used before for another change; draw a new one", requestID).
			With("request_id", requestID)
	}
	return found, nil
}

// put stores a version after the one at a revision. It fails with bus.ErrWrongSequence when
// somebody else stored one there.
func (k *store) put(ctx context.Context, r wire.Rule, revision uint64) (*rule, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	return k.write(ctx, r.ID, &nats.Msg{Data: body}, revision)
}

// drop stores the end of a rule.
func (k *store) drop(ctx context.Context, r *rule, origin wire.Origin, digest string) error {
	_, err := k.write(ctx, r.ID, &nats.Msg{Header: nats.Header{
		headerOperation: {operationDelete}, headerVersion: {strconv.Itoa(r.Version)},
		// Quoted, since a header cannot hold every text.
		headerAuthor: {strconv.Quote(origin.TriggeredBy)}, headerRequestID: {strconv.Quote(origin.RequestID)}, headerRequestDigest: {digest},
	}}, r.revision)
	return err
}

func (k *store) write(ctx context.Context, id string, msg *nats.Msg, revision uint64) (*rule, error) {
	msg.Subject = bus.BucketSubject(wire.BucketRules, id)
	if msg.Header == nil {
		msg.Header = nats.Header{}
	}
	telemetry.Inject(ctx, msg.Header)
	sequence, err := k.bus.Put(ctx, bus.BucketStream(wire.BucketRules), msg, revision)
	if errors.Is(err, bus.ErrWrongSequence) {
		return nil, err
	}
	if err != nil {
		return nil, outOfReach(err)
	}
	r, err := k.read(&bus.Message{Subject: msg.Subject, Sequence: sequence, Header: msg.Header, Data: msg.Data})
	if err != nil {
		return nil, err
	}
	k.remember(id, r)
	return r, nil
}

// outOfReach gives what can befall the bucket a code.
func outOfReach(err error) error {
	switch {
	case errors.Is(err, bus.ErrNoStream), errors.Is(err, bus.ErrNotSent):
		return fault.New(fault.Unavailable, "the bucket of rules is out of reach at the moment; try again").Because(err)
	case errors.Is(err, bus.ErrStreamFull):
		return fault.New(fault.WorkflowFull, "the server has no room for another version of a rule").Because(err)
	}
	return err
}
