package fleet

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// The copy that keeps the view of a workflow is frozen, another takes over, the first is
// woken in the middle of its work: view and truth agree.
func TestTakeoverOfAFrozenProjectorLeavesViewAndTruthTheSame(t *testing.T) {
	t.Parallel()
	rounds := 2
	if long() {
		rounds = 20
	}
	nodes := StartNodes(t, 1)
	url := nodes.URL()
	Service(t, "transition", url)
	copies := []*Process{Service(t, "token", url, "BREAKER_LEASE_TTL=2s"), Service(t, "token", url, "BREAKER_LEASE_TTL=2s")}
	nc := Connect(t, url)
	record := Deploy(t, client.New(nc), pingPong)
	l := startLoad(t, url, record.ID, 16)
	for range rounds {
		l.waitForAcks(500)
		holder := holderOf(t, nc, record.ID)
		frozen := processOf(t, copies, holder)
		frozen.Signal(syscall.SIGSTOP)
		Eventually(t, "another copy to take over", func() error {
			if now := holderOf(t, nc, record.ID); now == holder {
				return fmt.Errorf("%s still holds it", now)
			}
			return nil
		})
		l.waitForAcks(200)
		frozen.Signal(syscall.SIGCONT)
		l.waitForAcks(200)
	}
	l.stop()
	l.check(nc, record)
	verify(t, url)
}

// holderOf is the copy that wrote the last checkpoint.
func holderOf(t *testing.T, nc *nats.Conn, workflowID string) string {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	var checkpoint wire.Checkpoint
	Eventually(t, "a checkpoint", func() error {
		stream, err := js.Stream(t.Context(), wire.StreamPlaces)
		if err != nil {
			return err
		}
		msg, err := stream.GetLastMsgForSubject(t.Context(), wire.ProjectionSubject(workflowID))
		if err != nil {
			return err
		}
		return json.Unmarshal(msg.Data, &checkpoint)
	})
	return checkpoint.Holder
}

// processOf finds the process that logs under a copy's id.
func processOf(t *testing.T, copies []*Process, id string) *Process {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) {
		for _, p := range copies {
			if p.said(id) {
				return p
			}
		}
	}
	t.Fatalf("no copy says that it is %s", id)
	return nil
}

func (p *Process) said(text string) bool {
	for _, line := range p.lines() {
		if strings.Contains(line, text) {
			return true
		}
	}
	return false
}
