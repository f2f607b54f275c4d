package fleet

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
)

// A fleet that is killed in the middle of 64 clients loses no acknowledged command and
// doubles none.
func TestKillLosesNothingAndDoublesNothing(t *testing.T) {
	rounds := 5
	if long() {
		rounds = 50
	}
	up := StartUp(t, "--sync", "always")
	nc := Connect(t, up.URL)
	record := Deploy(t, client.New(nc), pingPong)
	l := startLoad(t, up.URL, record.ID, 64)
	for range rounds {
		l.waitForAcks(200 + rand.Int64N(200))
		time.Sleep(rand.N(20 * time.Millisecond)) // not a wait: the moment of the kill is to be any
		up.Kill()
		up.Start()
	}
	l.waitForAcks(200)
	l.stop()
	l.check(nc, record)
	verify(t, up.URL)
}
