package bus

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

const leaseTestTTL = 2 * time.Second

func newTestLeases(t *testing.T, url string) *Leases {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	cfg := DefaultConfig()
	cfg.URLs = []string{url}
	b, err := Connect(ctx, cfg, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if err := b.EnsureShared(ctx); err != nil {
		t.Fatal(err)
	}
	l := NewLeases(b, "token", leaseTestTTL)
	if err := l.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = l.Stop(stop)
	})
	return l
}

// waitForMembers waits until a copy sees exactly these members.
func waitForMembers(t *testing.T, l *Leases, within time.Duration, want ...string) {
	t.Helper()
	slices.Sort(want)
	deadline := time.After(within)
	for {
		changed := l.Changed()
		if slices.Equal(l.Members(), want) {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("members are %v after %s, want %v", l.Members(), within, want)
		}
	}
}

func TestLeasesAgreeOnMembersAndOwners(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	a, b := newTestLeases(t, s.URL()), newTestLeases(t, s.URL())
	waitForMembers(t, a, 5*time.Second, a.Copy(), b.Copy())
	waitForMembers(t, b, 5*time.Second, a.Copy(), b.Copy())
	owned := map[string]int{}
	for i := range 200 {
		key := fmt.Sprintf("workflow-%d", i)
		if a.Owner(key) != b.Owner(key) {
			t.Fatalf("the copies disagree on %s", key)
		}
		owned[a.Owner(key)]++
	}
	for copyID, n := range owned {
		if n < 50 {
			t.Errorf("copy %s owns %d of 200: the shares are far from even", copyID, n)
		}
	}
}

func TestStoppedLeaseIsTakenOverAtOnce(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	a, b := newTestLeases(t, s.URL()), newTestLeases(t, s.URL())
	waitForMembers(t, a, 5*time.Second, a.Copy(), b.Copy())
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if b.Live() {
		t.Error("a stopped lease is live")
	}
	if err := b.Stop(t.Context()); err != nil {
		t.Errorf("stopping twice: %v", err)
	}
	// Less than the TTL: the news must be the deletion, not the expiry.
	waitForMembers(t, a, leaseTestTTL/2, a.Copy())
}

func TestLeaseOfACopyThatFellSilentRunsOut(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	a, b := newTestLeases(t, s.URL()), newTestLeases(t, s.URL())
	waitForMembers(t, a, 5*time.Second, a.Copy(), b.Copy())
	b.bus.Close()
	waitForMembers(t, a, 4*leaseTestTTL, a.Copy())
	deadline := time.After(2 * leaseTestTTL)
	for b.Live() {
		select {
		case <-deadline:
			t.Fatal("a copy without a connection believes in its lease for good")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestLeaseSurvivesARestartOfTheServer(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	a, b := newTestLeases(t, s.URL()), newTestLeases(t, s.URL())
	waitForMembers(t, a, 5*time.Second, a.Copy(), b.Copy())
	s.Restart()
	waitForMembers(t, a, 15*time.Second, a.Copy(), b.Copy())
	// Whatever was seen from before the restart has to be renewed after it.
	hold := time.After(2 * leaseTestTTL)
	for {
		select {
		case <-hold:
			waitForMembers(t, a, 15*time.Second, a.Copy(), b.Copy())
			waitForMembers(t, b, 15*time.Second, a.Copy(), b.Copy())
			return
		case <-a.Changed():
		case <-b.Changed():
		}
	}
}

func TestOwnersMoveOnlyWithTheirMember(t *testing.T) {
	t.Parallel()
	before, after := []string{"a", "b", "c"}, []string{"a", "b"}
	for i := range 300 {
		key := fmt.Sprintf("k%d", i)
		was, is := rendezvous(before, key), rendezvous(after, key)
		if was != "c" && was != is {
			t.Fatalf("%s moved from %s to %s although both live", key, was, is)
		}
	}
	if rendezvous(nil, "k") != "" {
		t.Error("nobody is alive, and yet somebody owns")
	}
}

func TestLeasesLeaveNoGoroutines(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s := natstest.Start(t)
	ctx := t.Context()
	cfg := DefaultConfig()
	cfg.URLs = []string{s.URL()}
	b, err := Connect(ctx, cfg, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.EnsureShared(ctx); err != nil {
		t.Fatal(err)
	}
	l := NewLeases(b, "token", leaseTestTTL)
	if err := l.Stop(ctx); err != nil {
		t.Errorf("stopping without a start: %v", err)
	}
	if err := l.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := l.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	b.Close()
	s.Shutdown()
	goleak.VerifyNone(t, before)
}
