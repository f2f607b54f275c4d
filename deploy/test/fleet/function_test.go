package fleet

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// twoSteps is a net in which one function follows another.
const twoSteps = `{"name":"two_steps","initial_place":"in","places":[
	{"id":"in","functions":[{"function":"first","on_success":"go","on_failure":"fail"},{"function":"beside"}]},
	{"id":"between","functions":[{"function":"second","output":"sum","on_success":"finish","on_failure":"fail"}]},{"id":"done"},{"id":"failed"}],
	"transitions":[{"id":"go","from":"in","to":"between"},{"id":"finish","from":"between","to":"done"},{"id":"fail","from":["in","between"],"to":"failed"}]}`

// calls counts how often a program was asked, by idempotency key.
type calls struct {
	mu   sync.Mutex
	keys map[string]int
	at   []time.Time
}

// program answers for a function after a while, in many goroutines.
func program(t *testing.T, nc *nats.Conn, function string, work func() time.Duration) *calls {
	t.Helper()
	c := &calls{keys: map[string]int{}}
	sub, err := nc.QueueSubscribe(wire.FunctionSubject(function), "program", func(m *nats.Msg) {
		c.mu.Lock()
		c.keys[m.Header.Get(wire.HeaderIdempotencyKey)]++
		c.at = append(c.at, time.Now())
		c.mu.Unlock()
		time.AfterFunc(work(), func() { _ = m.Respond([]byte(`{"ok":true}`)) }) // Who asked may have been killed.
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return c
}

func function(t *testing.T, c *client.Client, definition string) {
	t.Helper()
	var request wire.FunctionCreateRequest
	if err := json.Unmarshal([]byte(definition), &request); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "the function "+request.ID, func() error {
		_, err := c.FunctionCreate(t.Context(), request)
		return err
	})
}

// Three copies of the function-runner under load, each killed at any moment: every token ends
// with one result of each function, and one firing.
func TestKillOfFunctionRunnersGivesEveryTokenOneResult(t *testing.T) {
	t.Parallel()
	tokens, kills := 250, 6
	if long() {
		tokens, kills = 5000, 120
	}
	nodes := StartNodes(t, 1)
	url := nodes.URL()
	Service(t, "token", url)
	Service(t, "transition", url)
	runners := startCopies(t, "function-runner", url, 3)
	nc := Connect(t, url)
	c := client.New(nc, client.WithTimeout(time.Minute))
	aWhile := func() time.Duration { return rand.N(40 * time.Millisecond) }
	programs := map[string]*calls{}
	for _, id := range []string{"first", "beside", "second"} {
		function(t, c, fmt.Sprintf(`{"id":%q,"kind":"nats"}`, id))
		programs[id] = program(t, nc, id, aWhile)
	}
	record := Deploy(t, c, twoSteps)

	runners.strikeWhile(kills, func() { work(t, url, record, tokens) })
	results(t, nc, record, tokens)
	again := 0
	for id, p := range programs {
		p.mu.Lock()
		if len(p.keys) != tokens && id != "beside" {
			t.Errorf("%s has seen %d idempotency keys for %d tokens", id, len(p.keys), tokens)
		}
		for _, n := range p.keys {
			again += n - 1
		}
		p.mu.Unlock()
	}
	t.Logf("the programs were asked %d times more than needed, with the same keys", again)
	verify(t, url)
}

// work takes tokens to their end, many at once.
func work(t *testing.T, url string, record wire.Workflow, tokens int) {
	t.Helper()
	const crowd = 48
	next := make(chan int)
	var crowds sync.WaitGroup
	for range crowd {
		nc := Connect(t, url)
		crowds.Go(func() {
			c := client.New(nc, client.WithTimeout(startTimeout), client.WithAttemptTimeout(2*time.Second))
			for n := range next {
				root, err := c.TokenCreate(t.Context(), wire.TokenCreateRequest{
					WorkflowID: record.ID, Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)), Origin: wire.Origin{RequestID: uuid.NewString()},
				})
				if err == nil {
					_, err = await(t.Context(), c, root.InstanceID, "done")
				}
				if err != nil {
					t.Errorf("token %d: %v", n, err)
				}
			}
		})
	}
	for n := range tokens {
		next <- n
	}
	close(next)
	crowds.Wait()
}

// results counts the results and firings of every instance in the event log.
func results(t *testing.T, nc *nats.Conn, record wire.Workflow, tokens int) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	type seen struct{ fired, done map[string]int }
	all := map[string]*seen{}
	readAll(t, js, record.Stream, "workflows."+record.ID+".events.>", func(msg jetstream.Msg, sequence uint64) {
		var ev wire.Event
		if err := json.Unmarshal(msg.Data(), &ev); err != nil {
			t.Fatalf("event %d: %v", sequence, err)
		}
		if ev.InstanceID == "" {
			return
		}
		s := all[ev.InstanceID]
		if s == nil {
			s = &seen{map[string]int{}, map[string]int{}}
			all[ev.InstanceID] = s
		}
		if ev.TransitionID != "" {
			s.fired[ev.TransitionID]++
		}
		if ev.Work != nil {
			s.done[ev.Work.Binding]++
			if ev.Work.Outcome != wire.OutcomeSuccess {
				t.Errorf("event %d is a failure: %+v", sequence, ev.Work)
			}
		}
	})
	if len(all) != tokens {
		t.Errorf("there are %d instances, want %d", len(all), tokens)
	}
	beside := 0
	for id, s := range all {
		// What is done beside the first step comes too late where the token has gone on.
		beside += s.done["beside"]
		if s.fired["go"] != 1 || s.fired["finish"] != 1 || len(s.fired) != 2 || s.done["first"] != 1 || s.done["second"] != 1 || s.done["beside"] > 1 {
			t.Errorf("instance %s: fired %v, done %v", id, s.fired, s.done)
		}
	}
	t.Logf("%d instances with two results and two firings each, and %d results from beside", len(all), beside)
}

// Copies share the work, each job once. How much more three of them do says little here, where
// every service is a process of its own on the same few cores: see deploy/test/integration.
func TestCopiesOfTheFunctionRunnerShareTheWork(t *testing.T) {
	if !long() {
		t.Parallel()
	}
	const each = 20 * time.Millisecond
	jobs := 240
	if long() {
		jobs = 2400
	}
	rates := map[int]float64{}
	for _, copies := range []int{1, 3} {
		nodes := StartNodes(t, 1)
		url := nodes.URL()
		tokens, transitions := Service(t, "token", url), Service(t, "transition", url)
		nc := Connect(t, url)
		c := client.New(nc)
		var runners []*Process
		for range copies {
			runners = append(runners, Service(t, "function-runner", url, "BREAKER_JOB_CONCURRENCY=8"))
		}
		function(t, c, `{"id":"sleeper","kind":"nats","enabled":false}`)
		record := Deploy(t, c, `{"name":"sleeping","initial_place":"in","places":[{"id":"in","functions":[{"function":"sleeper","on_success":"go"}]},{"id":"out"}],
			"transitions":[{"id":"go","from":"in","to":"out"}]}`)
		asked := program(t, nc, "sleeper", func() time.Duration { return each })
		var creating sync.WaitGroup
		for range 16 {
			creating.Go(func() {
				for range jobs / 16 {
					if _, err := c.TokenCreate(t.Context(), wire.TokenCreateRequest{WorkflowID: record.ID}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		creating.Wait()
		queued(t, nc, jobs)
		enabled := true
		if _, err := c.FunctionUpdate(t.Context(), wire.FunctionUpdateRequest{ID: "sleeper", FunctionSpec: wire.FunctionSpec{Enabled: &enabled}}); err != nil {
			t.Fatal(err)
		}
		queued(t, nc, 0)
		asked.mu.Lock()
		from, to := len(asked.at)/10, len(asked.at)*9/10
		rates[copies] = float64(to-from) / asked.at[to].Sub(asked.at[from]).Seconds()
		if len(asked.at) != jobs {
			t.Errorf("%d jobs were done %d times", jobs, len(asked.at))
		}
		asked.mu.Unlock()
		for _, p := range append(runners, tokens, transitions) {
			p.Kill()
		}
		nodes.Kill(0)
	}
	t.Logf("one copy did %.0f a second, three %.0f: %.2f times as many", rates[1], rates[3], rates[3]/rates[1])
}

// queued waits until so many jobs wait.
func queued(t *testing.T, nc *nats.Conn, jobs int) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	Eventually(t, fmt.Sprintf("%d jobs wait", jobs), func() error {
		stream, err := js.Stream(t.Context(), wire.StreamJobs)
		if err != nil {
			return err
		}
		if n := stream.CachedInfo().State.Msgs; n != uint64(jobs) {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
}
