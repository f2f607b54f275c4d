package fleet

import (
	"os/exec"
	"testing"
)

// verify has the front door compare the events, the states and the view.
func verify(t *testing.T, url string) {
	t.Helper()
	out, err := exec.Command(Binary(t, "breaker"), "verify", "--server", url).CombinedOutput()
	if err != nil {
		t.Fatalf("breaker verify: %v\n%s", err, out)
	}
}
