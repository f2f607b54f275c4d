package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// An operation on one token, as a history records it.
type operation struct {
	kind  string // go, back, update or get
	value int
}

// What came of it. An unknown one may have taken effect at any time, or never.
type result struct {
	place   string
	value   int
	refused bool
	unknown bool
}

type tokenState struct {
	place string
	value int
}

// tokenModel is a token as the net defines it, without NATS, copies or crashes.
var tokenModel = porcupine.Model{
	Init: func() any { return tokenState{place: "a"} },
	Step: func(state, input, output any) (bool, any) {
		s, in, out := state.(tokenState), input.(operation), output.(result)
		next := s
		enabled := true
		switch in.kind {
		case "go":
			enabled = s.place == "a"
			next.place = "b"
		case "back":
			enabled = s.place == "b"
			next.place = "a"
		case "update":
			next.value = in.value
		}
		switch {
		case out.unknown:
			if !enabled {
				return true, s
			}
			return true, next
		case out.refused:
			return !enabled, s
		}
		return enabled && next.place == out.place && next.value == out.value, next
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
}

// Commands on one instance are linearizable, whoever kills the fleet meanwhile.
func TestKillLeavesHistoriesLinearizable(t *testing.T) {
	rounds := 2
	if long() {
		rounds = 10
	}
	const callers, perRound = 8, 60
	up := StartUp(t, "--sync", "always")
	nc := Connect(t, up.URL)
	c := client.New(nc, client.WithTimeout(20*time.Second), client.WithAttemptTimeout(time.Second))
	record := Deploy(t, c, pingPong)
	began := time.Now()
	for round := range rounds {
		token, err := c.TokenCreate(t.Context(), wire.TokenCreateRequest{WorkflowID: record.ID, Data: json.RawMessage(`{"n":0}`)})
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var history []porcupine.Operation
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Go(func() {
				for i := range perRound / callers {
					op := operation{kind: []string{"go", "back", "update", "get"}[rand.N(4)], value: 1 + round*10000 + caller*1000 + i}
					called := time.Since(began).Nanoseconds()
					out := perform(t, c, token.ID, op)
					returned := time.Since(began).Nanoseconds()
					if out.unknown {
						returned = math.MaxInt64 / 2
					}
					mu.Lock()
					history = append(history, porcupine.Operation{ClientId: caller, Input: op, Call: called, Output: out, Return: returned})
					mu.Unlock()
				}
			})
		}
		time.Sleep(rand.N(30 * time.Millisecond)) // not a wait: the moment of the kill is to be any
		up.Kill()
		up.Start()
		wg.Wait()
		if verdict := porcupine.CheckOperationsTimeout(tokenModel, history, 20*time.Second); verdict != porcupine.Ok {
			t.Fatalf("round %d: the history of %d operations is %s: %v", round, len(history), verdict, history)
		}
	}
}

func perform(t *testing.T, c *client.Client, token string, op operation) result {
	var now wire.Token
	var err error
	switch op.kind {
	case "go", "back":
		var reply wire.FireReply
		reply, err = c.TransitionFire(context.Background(), wire.FireRequest{TokenID: token, TransitionID: op.kind})
		now = reply.Token
	case "update":
		now, err = c.TokenUpdate(context.Background(), wire.TokenUpdateRequest{TokenID: token, Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, op.value))})
	case "get":
		now, err = c.TokenGet(context.Background(), wire.TokenGetRequest{TokenID: token})
	}
	if errors.Is(err, fault.TransitionNotEnabled) {
		return result{refused: true}
	}
	if err != nil {
		if fault.From(err).Code.Status() < 409 {
			t.Errorf("%s: %v", op.kind, err)
		}
		return result{unknown: true}
	}
	var data struct{ N int }
	if err := json.Unmarshal(now.Data, &data); err != nil {
		t.Errorf("%s: data %s: %v", op.kind, now.Data, err)
	}
	return result{place: now.Place, value: data.N}
}
