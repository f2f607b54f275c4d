package fleet

import (
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
)

// Two copies of each service share the work, and stopping one in the middle of it loses
// nothing: its callers do not even notice.
func TestCopiesShareTheWorkAndOneCanStop(t *testing.T) {
	t.Parallel()
	nodes := StartNodes(t, 1)
	url := nodes.URL()
	leaving := map[string]*Process{}
	for _, name := range []string{"token", "transition"} {
		leaving[name] = Service(t, name, url)
		Service(t, name, url)
	}
	nc := Connect(t, url)
	record := Deploy(t, client.New(nc), pingPong)
	l := startLoad(t, url, record.ID, 32)
	l.waitForAcks(2000)
	for _, name := range []string{"token", "transition"} {
		copies := Copies(t, nc, name)
		if len(copies) != 2 {
			t.Errorf("%s runs in %d copies, want 2", name, len(copies))
		}
		for id, requests := range copies {
			if requests < 100 {
				t.Errorf("copy %s of %s answered %d requests only: the work is not shared", id, name, requests)
			}
		}
	}
	for name, p := range leaving {
		if err := p.Terminate(); err != nil {
			t.Errorf("stopping a copy of %s: %v", name, err)
		}
	}
	l.waitForAcks(1000)
	l.stop()
	if n := l.unknown.Load(); n > 0 {
		t.Errorf("%d commands failed while a copy of each service was stopped", n)
	}
	l.check(nc, record)
	verify(t, url)
}
