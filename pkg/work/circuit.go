package work

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/sony/gobreaker/v2"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// circuit keeps the jobs of an ill target away from it. Each copy has its own, and tells the
// bucket of targets while it is not closed.
type circuit struct {
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]
	policy  wire.CircuitPolicy
	// opened and reason are of the last opening.
	opened atomic.Pointer[time.Time]
	reason atomic.Pointer[string]
}

// errGivenBack is the outcome of an attempt that says nothing of its target.
var errGivenBack = errors.New("the attempt was given back")

// newCircuit makes a closed circuit. tell hears of every change, and must not block.
func newCircuit(policy wire.CircuitPolicy, tell func(*circuit, gobreaker.State)) *circuit {
	c := &circuit{policy: policy}
	if policy.Off {
		return c
	}
	c.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:     time.Duration(policy.Cooldown),
		ReadyToTrip: func(counts gobreaker.Counts) bool { return counts.ConsecutiveFailures >= uint32(policy.Failures) },
		IsExcluded:  func(err error) bool { return errors.Is(err, errGivenBack) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				now := time.Now()
				c.opened.Store(&now)
			}
			tell(c, to)
		},
	})
	return c
}

// allow asks whether an attempt may be made; the caller says with done how it went. Otherwise
// the job is to wait that long: the time is spread, so that those who wait do not come at once.
func (c *circuit) allow() (done func(*Failure, bool), wait time.Duration) {
	if c.breaker == nil {
		return func(*Failure, bool) {}, 0
	}
	report, err := c.breaker.Allow()
	if err != nil {
		wait := time.Duration(c.policy.Cooldown)
		if opened := c.opened.Load(); opened != nil && errors.Is(err, gobreaker.ErrOpenState) {
			wait = max(time.Until(opened.Add(wait)), 0)
		}
		return nil, wait + leastWait + rand.N(time.Duration(c.policy.Cooldown)/4+leastWait)
	}
	return func(f *Failure, finished bool) {
		switch {
		case !finished:
			report(errGivenBack)
		case f != nil && f.Ill:
			text := f.Error()
			c.reason.Store(&text)
			report(f)
		default:
			report(nil)
		}
	}, 0
}

// closedIn is how long the circuit still is open; 0 when it is not. It counts nothing.
func (c *circuit) closedIn() time.Duration {
	if c.breaker == nil || c.breaker.State() != gobreaker.StateOpen {
		return 0
	}
	_, wait := c.allow() // Which is refused, and so counts nothing either.
	return wait
}

// leastWait is added to every wait, so that nobody comes while the circuit is still open.
const leastWait = 20 * time.Millisecond

// circuitKey is where a copy tells of its circuit in the bucket of targets.
func circuitKey(kind, target, copyID string) string {
	return "circuit." + kind + "." + target + "." + copyID
}

// tellCircuit publishes the state of a circuit without waiting for an answer. What a copy that
// has died said fades away.
func tellCircuit(b *bus.Bus, kind, target string, c *circuit, state gobreaker.State) {
	msg := &nats.Msg{Subject: bus.BucketSubject(wire.BucketTargets, circuitKey(kind, target, b.Copy)), Header: nats.Header{}}
	if state == gobreaker.StateClosed {
		msg.Header["KV-Operation"] = []string{"PURGE"}
		msg.Header["Nats-Rollup"] = []string{"sub"}
		msg.Header["Nats-TTL"] = []string{"60s"}
	} else {
		told := wire.Circuit{Copy: b.Copy, State: strings.ReplaceAll(state.String(), "-", "_")}
		if opened := c.opened.Load(); opened != nil {
			told.Since = opened.UTC()
			if state == gobreaker.StateOpen {
				told.Until = opened.Add(time.Duration(c.policy.Cooldown)).UTC()
			}
		}
		if reason := c.reason.Load(); reason != nil {
			told.Reason = *reason
		}
		body, err := json.Marshal(told)
		if err != nil {
			return
		}
		msg.Data = body
		ttl := 2*time.Duration(c.policy.Cooldown) + time.Minute
		msg.Header["Nats-TTL"] = []string{fmt.Sprintf("%ds", int(ttl.Seconds()))}
	}
	_ = b.NC.PublishMsg(msg) // It is told again at the next change.
}

// Circuits are the circuits of a target that are not closed.
func (q *Queue) Circuits(ctx context.Context, kind, target string) ([]wire.Circuit, error) {
	var all []wire.Circuit
	for from := uint64(1); ; {
		m, err := q.bus.Next(ctx, bus.BucketStream(wire.BucketTargets), bus.BucketSubject(wire.BucketTargets, circuitKey(kind, target, "*")), from)
		if errors.Is(err, bus.ErrNoMessage) {
			return all, nil
		}
		if err != nil {
			return nil, outOfReach(err)
		}
		from = m.Sequence + 1
		var told wire.Circuit
		if len(m.Data) > 0 && json.Unmarshal(m.Data, &told) == nil {
			all = append(all, told)
		}
	}
}
