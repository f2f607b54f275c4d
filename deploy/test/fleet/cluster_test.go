package fleet

import (
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
)

// On three nodes with three replicas, killing nodes one after the other loses nothing.
func TestClusterSurvivesKilledNodes(t *testing.T) {
	kills := 1
	if long() {
		kills = 9
	}
	nodes := StartNodes(t, 3)
	url := nodes.URL()
	for _, name := range []string{"token", "transition"} {
		for range 2 {
			Service(t, name, url, "BREAKER_REPLICAS=3")
		}
	}
	nc := Connect(t, url)
	record := Deploy(t, client.New(nc), pingPong)
	l := startLoad(t, url, record.ID, 16)
	for i := range kills {
		l.waitForAcks(300)
		nodes.Kill(i % 3)
		l.waitForAcks(300)
		nodes.Start(i % 3)
	}
	l.waitForAcks(300)
	l.stop()
	nodes.waitForJetStream()
	l.check(nc, record)
	verify(t, url)
}
