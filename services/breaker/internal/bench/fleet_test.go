package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newTestProgram is a program that does what the shell script says.
func newTestProgram(t *testing.T, script string) (path, parent string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "breaker")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path, t.TempDir()
}

func checkEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestChildIsStartedAndStopped(t *testing.T) {
	t.Parallel()
	path, parent := newTestProgram(t, `trap 'exit 0' TERM
echo "{\"nats_url\": \"nats://$BREAKER_PROJECTOR_PAUSED\", \"pid\": 1}"
while :; do sleep 0.02; done
`)
	fleet, err := Child(path, parent)(t.Context(), FleetOptions{Sync: SyncAlways, ProjectorPaused: true})
	if err != nil {
		t.Fatal(err)
	}
	if fleet.NATSURL != "nats://true" {
		t.Errorf("the fleet is at %q: the projector was not paused", fleet.NATSURL)
	}
	if _, ok := resident(fleet.PID); !ok {
		t.Error("the process of the fleet is unknown")
	}
	if err := fleet.Stop(); err != nil {
		t.Error(err)
	}
	checkEmpty(t, parent)
}

func TestChildThatFailsSaysWhy(t *testing.T) {
	t.Parallel()
	path, parent := newTestProgram(t, "echo 'no room left' >&2\nexit 3\n")
	_, err := Child(path, parent)(t.Context(), FleetOptions{Sync: SyncInterval})
	if err == nil || !strings.Contains(err.Error(), "no room left") {
		t.Errorf("got %v", err)
	}
	checkEmpty(t, parent)
}
