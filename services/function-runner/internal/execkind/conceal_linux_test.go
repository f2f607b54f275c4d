package execkind

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestConceal(t *testing.T) {
	if err := Conceal(); err != nil {
		t.Fatal(err)
	}
	// The tests look into one another's processes.
	defer unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) //nolint:errcheck // the test ends
	if dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err != nil || dumpable != 0 {
		t.Errorf("the process can be looked into: %d, %v", dumpable, err)
	}
}
