package integration

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	functionrunner "github.com/seed-42b4788c/circuit-breaker/services/function-runner"
)

func TestAnIllTargetIsLeftAlone(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.function(`{"id":"ill","kind":"nats","retry":{"attempts":50,"initial":"1ms","max":"2ms"},"circuit_breaker":{"failures":3,"cooldown":"1s"}}`)
	f.function(`{"id":"well","kind":"nats"}`)
	healed := make(chan struct{})
	p := f.answering("ill", func(*nats.Msg) *nats.Msg {
		select {
		case <-healed:
			return said(`1`)
		default:
			return refusing("500", "ill")
		}
	})
	f.answering("well", func(*nats.Msg) *nats.Msg { return said(`1`) })
	f.deploy(worker("illness", `{"function":"ill","on_success":"accept"}`))
	f.deploy(worker("health", `{"function":"well","on_success":"accept"}`))
	var tokens []wire.Token
	for range 10 {
		tokens = append(tokens, f.create("illness", `{}`))
	}
	var open wire.Circuit
	servicetest.Eventually(t, "the circuit can be seen to be open", func() bool {
		circuits := servicetest.Do(t, f.FunctionGet, wire.FunctionGetRequest{ID: "ill"}).Circuits
		if len(circuits) == 1 {
			open = circuits[0]
		}
		return len(circuits) == 1
	})
	if open.State != "open" || open.Reason == "" || open.Until.Before(open.Since) {
		t.Errorf("the circuit is %+v", open)
	}
	f.standsIn(f.create("health", `{}`).ID, "good")
	asked := len(p.called())
	close(healed)
	for _, token := range tokens {
		f.standsIn(token.ID, "good")
	}
	// Ten jobs had three failures between them, and one or two more where it tried again. Waiting
	// burnt no attempts.
	attempts := 0
	for _, run := range f.ended("ill", 10) {
		attempts += run.Attempt
	}
	if total := len(p.called()); attempts != total || asked > 8 || total > 10+8 {
		t.Errorf("it was asked %d times while it was ill, %d in all, and %d attempts were counted", asked, total, attempts)
	}
	servicetest.Eventually(t, "the circuit is closed", func() bool {
		return len(servicetest.Do(t, f.FunctionGet, wire.FunctionGetRequest{ID: "ill"}).Circuits) == 0
	})
}

func TestARateLimitHoldsForAllCopies(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.startOne("function-runner")
	f.function(`{"id":"slow_lane","kind":"nats","rate_limit":{"count":5,"per":"1s"}}`)
	var mu sync.Mutex
	var times []time.Time
	f.answering("slow_lane", func(*nats.Msg) *nats.Msg {
		mu.Lock()
		defer mu.Unlock()
		times = append(times, time.Now())
		return said(`1`)
	})
	f.deploy(worker("limited", `{"function":"slow_lane","on_success":"accept"}`))
	for range 15 {
		f.create("limited", `{}`)
	}
	f.ended("slow_lane", 15)
	mu.Lock()
	defer mu.Unlock()
	if took := times[len(times)-1].Sub(times[0]); len(times) != 15 || took < 1500*time.Millisecond {
		t.Errorf("%d runs of five a second, five at once, took %s", len(times), took)
	}
}

func TestAFunctionsConcurrencyHoldsForAllCopies(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.startOne("function-runner")
	f.function(`{"id":"two_at_once","kind":"nats","concurrency":2}`)
	var mu sync.Mutex
	now, most := 0, 0
	sub, err := f.NC.Subscribe(wire.FunctionSubject("two_at_once"), func(m *nats.Msg) {
		go func() {
			mu.Lock()
			now++
			most = max(most, now)
			mu.Unlock()
			<-time.After(30 * time.Millisecond) // The work takes its time.
			mu.Lock()
			now--
			mu.Unlock()
			if err := m.Respond([]byte(`1`)); err != nil {
				t.Error(err)
			}
		}()
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the test ends
	f.deploy(worker("narrow", `{"function":"two_at_once","on_success":"accept"}`))
	for range 12 {
		f.create("narrow", `{}`)
	}
	f.ended("two_at_once", 12)
	mu.Lock()
	defer mu.Unlock()
	if most != 2 {
		t.Errorf("%d ran at once", most)
	}
}

func TestWaitingWorkSurvivesARestartOfEverything(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.function(`{"id":"patient","kind":"nats","retry":{"attempts":5,"backoff":"fixed","initial":"3s","jitter":0}}`)
	f.deploy(worker("waiting_work", `{"function":"patient","on_success":"accept"}`))
	token := f.create("waiting_work", `{}`)
	servicetest.Eventually(t, "the work waits for its next attempt", func() bool {
		return len(servicetest.Do(t, f.ExecutionList, wire.ExecutionListRequest{ExecutionFilter: wire.ExecutionFilter{Target: "patient"}, Status: wire.ExecutionWaiting}).Executions) == 1
	})
	f.restart()
	p := f.answering("patient", func(*nats.Msg) *nats.Msg { return said(`"at last"`) })
	f.standsIn(token.ID, "good")
	if run := f.ended("patient", 1)[0]; run.Attempt < 2 || len(p.called()) != 1 {
		t.Errorf("the record is %+v", run)
	}
}

// Throughput grows with copies: with a function that takes 20 ms and eight runs at once in each
// copy, three do at least 2.5 times the work of one. Part of make chaos alone, since it measures.
func TestCopiesOfTheFunctionRunnerDoMore(t *testing.T) {
	if os.Getenv("CHAOS") != "long" {
		t.Skip("this is a measurement: make chaos has it")
	}
	const jobs = 2400
	rates := map[int]float64{}
	for _, copies := range []int{1, 3} {
		f := newTestFleetFor(t, func(c *functionrunner.Config) { c.JobConcurrency = 8 })
		for range copies - 1 {
			f.startOne(functionrunner.Name)
		}
		f.function(`{"id":"sleeper","kind":"nats","enabled":false}`)
		sub, err := f.NC.Subscribe(wire.FunctionSubject("sleeper"), func(m *nats.Msg) {
			time.AfterFunc(20*time.Millisecond, func() { _ = m.Respond([]byte("true")) })
		})
		if err != nil {
			t.Fatal(err)
		}
		f.deploy(worker("sleeping", `{"function":"sleeper","on_success":"accept"}`))
		for range jobs {
			f.create("sleeping", `{}`)
		}
		waiting := func(n int) func() bool {
			return func() bool { return f.Stored(wire.StreamJobs, wire.JobSubjects(wire.KindFunction, "sleeper")) == n }
		}
		servicetest.Eventually(t, "every job waits", waiting(jobs))
		enabled, began := true, time.Now()
		servicetest.Do(t, f.FunctionUpdate, wire.FunctionUpdateRequest{ID: "sleeper", FunctionSpec: wire.FunctionSpec{Enabled: &enabled}})
		servicetest.Eventually(t, "every job is done", waiting(0))
		rates[copies] = jobs / time.Since(began).Seconds()
		if err := sub.Unsubscribe(); err != nil {
			t.Error(err)
		}
		f.Stop()
	}
	t.Logf("one copy did %.0f jobs a second, three %.0f: %.2f times as many", rates[1], rates[3], rates[3]/rates[1])
	if rates[3] < 2.5*rates[1] {
		t.Errorf("three copies do %.2f times the work of one, want 2.5", rates[3]/rates[1])
	}
}
