package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// automatic is a net that goes by itself, but for one word from outside in the middle: a
// split, a join whose branches race, guards by rule and by condition, two ways to choose from.
const automatic = `{"name":"automatic","initial_place":"in",
	"places":[{"id":"in"},{"id":"left"},{"id":"right"},{"id":"left_done"},{"id":"right_done"},{"id":"waiting"},{"id":"even"},{"id":"odd"}],
	"transitions":[
		{"id":"split","inputs":["in"],"outputs":["left","right"],"auto":true},
		{"id":"do_left","from":"left","to":"left_done","auto":true,"rules":["has_number"]},
		{"id":"do_right","from":"right","to":"right_done","auto":true,"when":"token.has_transitioned_from('in')"},
		{"id":"join","inputs":["left_done","right_done"],"outputs":["waiting"],"auto":true,"rules":["has_number"]},
		{"id":"release_even","from":"waiting","to":"even","auto":true,"priority":1,"when":"token.data.go && token.data.n % 2 == 0"},
		{"id":"release_odd","from":"waiting","to":"odd","auto":true,"when":"token.data.go"}]}`

// Three copies of the rules service under load, each killed at any moment: every automatic
// transition fires exactly once.
func TestKillOfRulesCopiesFiresEveryAutomaticTransitionOnce(t *testing.T) {
	t.Parallel()
	instances, kills := 300, 8
	if long() {
		instances, kills = 5000, 150
	}
	nodes := StartNodes(t, 1)
	url := nodes.URL()
	Service(t, "token", url)
	rules := startCopies(t, "rules", url, 3)
	Service(t, "transition", url)
	nc := Connect(t, url)
	c := client.New(nc, client.WithTimeout(time.Minute))
	if _, err := c.RuleCreate(t.Context(), wire.RuleCreateRequest{ID: "has_number", Condition: json.RawMessage(`{"field_exists":"data.n"}`)}); err != nil {
		t.Fatal(err)
	}
	record := Deploy(t, c, automatic)

	rules.strikeWhile(kills, func() { drive(t, url, record, instances) })
	onceEach(t, nc, record, instances)
	verify(t, url)
}

// drive takes instances through the net, many at once.
func drive(t *testing.T, url string, record wire.Workflow, instances int) {
	t.Helper()
	const crowd = 32
	next := make(chan int)
	var work sync.WaitGroup
	for range crowd {
		nc := Connect(t, url)
		work.Go(func() {
			c := client.New(nc, client.WithTimeout(startTimeout), client.WithAttemptTimeout(2*time.Second))
			for n := range next {
				if err := one(t.Context(), c, record.ID, n); err != nil {
					t.Errorf("instance %d: %v", n, err)
				}
			}
		})
	}
	for n := range instances {
		next <- n
	}
	close(next)
	work.Wait()
}

// one creates an instance, says its word once it waits for it, and sees it to its end.
func one(ctx context.Context, c *client.Client, workflow string, n int) error {
	root, err := c.TokenCreate(ctx, wire.TokenCreateRequest{
		WorkflowID: workflow, Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)), Origin: wire.Origin{RequestID: uuid.NewString()},
	})
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	token, err := await(ctx, c, root.InstanceID, "waiting")
	if err != nil {
		return err
	}
	_, err = c.TokenUpdate(ctx, wire.TokenUpdateRequest{
		TokenID: token, Data: json.RawMessage(`{"go":true}`), Origin: wire.Origin{RequestID: uuid.NewString()},
	})
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	_, err = await(ctx, c, root.InstanceID, []string{"even", "odd"}[n%2])
	return err
}

// await polls until the instance's only token stands in a place.
func await(ctx context.Context, c *client.Client, instance, place string) (tokenID string, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := c.InstanceGet(ctx, wire.InstanceGetRequest{InstanceID: instance})
		if err != nil {
			return "", fmt.Errorf("get: %w", err)
		}
		if len(now.Tokens) == 1 && now.Tokens[0].Place == place {
			return now.Tokens[0].ID, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("%s never came to %s: %+v", instance, place, now)
		case <-tick.C:
		}
	}
}

// onceEach counts the events of every instance.
func onceEach(t *testing.T, nc *nats.Conn, record wire.Workflow, instances int) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	fired := map[string]map[string]int{}
	readAll(t, js, record.Stream, "workflows."+record.ID+".events.transitions.>", func(msg jetstream.Msg, sequence uint64) {
		var ev wire.Event
		if err := json.Unmarshal(msg.Data(), &ev); err != nil {
			t.Fatalf("event %d: %v", sequence, err)
		}
		if !ev.Automatic || ev.TriggeredBy != "rules" {
			t.Errorf("event %d was asked for by %q", sequence, ev.TriggeredBy)
		}
		if fired[ev.InstanceID] == nil {
			fired[ev.InstanceID] = map[string]int{}
		}
		fired[ev.InstanceID][ev.TransitionID]++
	})
	if len(fired) != instances {
		t.Errorf("%d instances have fired, want %d", len(fired), instances)
	}
	for id, counts := range fired {
		release := "release_odd"
		if counts["release_even"] > 0 {
			release = "release_even"
		}
		if diff := cmp.Diff(map[string]int{"split": 1, "do_left": 1, "do_right": 1, "join": 1, release: 1}, counts); diff != "" {
			t.Errorf("instance %s (-want +got):\n%s", id, diff)
		}
	}
	t.Logf("%d instances, %d automatic firings, each exactly once", len(fired), 5*len(fired))
}
