package work

import (
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// newTestCircuit opens after two failures, for long.
func newTestCircuit(t *testing.T, states *[]string) *circuit {
	t.Helper()
	return newCircuit(wire.CircuitPolicy{Failures: 2, Cooldown: wire.Duration(time.Hour)}, func(_ *circuit, s gobreaker.State) {
		*states = append(*states, s.String())
	})
}

func TestFailuresInARowOpenACircuit(t *testing.T) {
	t.Parallel()
	var states []string
	c := newTestCircuit(t, &states)
	ill, sound := Failed(wire.FailureUnreachable, "nobody"), Failed(wire.FailureRejected, "not this one")
	for i, step := range []struct {
		failure  *Failure
		finished bool
	}{
		{ill, true}, {nil, true}, {ill, true}, {sound, true}, {ill, true}, {ill, false}, {ill, true},
	} {
		done, wait := c.allow()
		if done == nil {
			t.Fatalf("the circuit is open before step %d, for %s", i, wait)
		}
		done(step.failure, step.finished)
	}
	done, wait := c.allow()
	if done != nil || wait < 59*time.Minute || wait > 2*time.Hour || len(states) != 1 || states[0] != "open" {
		t.Errorf("after two failures in a row the circuit lets through, or waits %s; it was %v", wait, states)
	}
	if *c.reason.Load() != ill.Error() {
		t.Errorf("it says it is open because of %q", *c.reason.Load())
	}
}

func TestACircuitThatIsOffIsNeverOpen(t *testing.T) {
	t.Parallel()
	c := newCircuit(wire.CircuitPolicy{Off: true}, nil)
	for range 100 {
		done, _ := c.allow()
		if done == nil {
			t.Fatal("it does not let through")
		}
		done(Failed(wire.FailureTimeout, "late"), true)
	}
}

// Those who wait for an open circuit do not come back at once.
func TestWaitsAreSpread(t *testing.T) {
	t.Parallel()
	var states []string
	c := newTestCircuit(t, &states)
	for range 2 {
		done, _ := c.allow()
		done(Failed(wire.FailureFailed, "no"), true)
	}
	waits := map[time.Duration]bool{}
	for range 50 {
		_, wait := c.allow()
		waits[wait.Round(time.Second)] = true
	}
	if len(waits) < 25 {
		t.Errorf("fifty jobs come at %d times", len(waits))
	}
}

func TestSlotsAreBounded(t *testing.T) {
	t.Parallel()
	s := newSlots(2)
	for range 2 {
		if err := s.take(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	took, free := make(chan error, 1), make(chan int, 1)
	go func() { took <- s.take(t.Context()) }()
	go func() {
		n, _ := s.some(t.Context())
		free <- n
	}()
	select {
	case <-took:
		t.Fatal("a third was taken of two")
	case <-free:
		t.Fatal("one was free of none")
	default:
	}
	s.give()
	s.give()
	if err := <-took; err != nil {
		t.Error(err)
	}
	if n := <-free; n < 1 || n > 2 {
		t.Errorf("%d were free", n)
	}
}
