package work

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestAJobWithoutARecordIsDone(t *testing.T) {
	t.Parallel()
	if next(&wire.Job{Attempt: 1}, nil) != makeAttempt {
		t.Error("a job that nobody has seen is to be done")
	}
}

// TestWhatARecordSaysOfAJob names each case: what the record says, what the job is, what is left.
func TestWhatARecordSaysOfAJob(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		record wire.Execution
		job    wire.Job
		want   step
	}{
		"the copy that ran it has died":                {wire.Execution{Status: wire.ExecutionRunning, Attempt: 1}, wire.Job{Attempt: 1}, makeAttempt},
		"its next attempt runs":                        {wire.Execution{Status: wire.ExecutionRunning, Attempt: 2}, wire.Job{Attempt: 1}, nothingLeft},
		"its next attempt is scheduled":                {wire.Execution{Status: wire.ExecutionWaiting, Attempt: 1}, wire.Job{Attempt: 1}, nothingLeft},
		"it was put off, and its time has come":        {wire.Execution{Status: wire.ExecutionWaiting, Attempt: 0}, wire.Job{Attempt: 1, Scheduled: true}, makeAttempt},
		"it was put off, and this is another copy":     {wire.Execution{Status: wire.ExecutionWaiting, Attempt: 0}, wire.Job{Attempt: 1}, nothingLeft},
		"it is the scheduled attempt":                  {wire.Execution{Status: wire.ExecutionWaiting, Attempt: 1}, wire.Job{Attempt: 2, Scheduled: true}, makeAttempt},
		"it is a schedule of long ago":                 {wire.Execution{Status: wire.ExecutionWaiting, Attempt: 2}, wire.Job{Attempt: 2, Scheduled: true}, nothingLeft},
		"the result was stored, and no more":           {wire.Execution{Status: wire.ExecutionSucceeded, Attempt: 1}, wire.Job{Attempt: 1}, settleResult},
		"the failure was stored, and no more":          {wire.Execution{Status: wire.ExecutionFailed, Attempt: 3}, wire.Job{Attempt: 3}, settleResult},
		"the token has been told":                      {wire.Execution{Status: wire.ExecutionSucceeded, Settled: true, NatsSequence: 9}, wire.Job{Attempt: 1}, nothingLeft},
		"nobody was to be told":                        {wire.Execution{Status: wire.ExecutionSucceeded, Settled: true}, wire.Job{Attempt: 1}, nothingLeft},
		"there was nothing to do":                      {wire.Execution{Status: wire.ExecutionDropped, Reason: "gone"}, wire.Job{Attempt: 1}, nothingLeft},
		"somebody discarded it":                        {wire.Execution{Status: wire.ExecutionDiscarded}, wire.Job{Attempt: 1}, nothingLeft},
		"its instance was suspended":                   {wire.Execution{Status: wire.ExecutionSuspended}, wire.Job{Attempt: 1}, makeAttempt},
		"it was redriven":                              {wire.Execution{Status: wire.ExecutionFailed, NatsSequence: 9}, wire.Job{Attempt: 1, Redrives: 1}, makeAttempt},
		"a redrive of it is queued":                    {wire.Execution{Status: wire.ExecutionQueued, Redrives: 1}, wire.Job{Attempt: 1}, nothingLeft},
		"a redrive of it ended while it was suspended": {wire.Execution{Status: wire.ExecutionSucceeded, Redrives: 1}, wire.Job{Attempt: 1}, settleResult},
		"a redrive of it has ended":                    {wire.Execution{Status: wire.ExecutionSucceeded, Redrives: 1, Settled: true}, wire.Job{Attempt: 1}, nothingLeft},
	} {
		if got := next(&c.job, &c.record); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestPausesGrowAsThePolicySays(t *testing.T) {
	t.Parallel()
	none := 0.0
	for backoff, want := range map[string][]time.Duration{
		wire.BackoffFixed:       {2 * time.Second, 2 * time.Second, 2 * time.Second, 2 * time.Second},
		wire.BackoffLinear:      {2 * time.Second, 4 * time.Second, 6 * time.Second, 7 * time.Second},
		wire.BackoffExponential: {2 * time.Second, 4 * time.Second, 7 * time.Second, 7 * time.Second},
	} {
		p := Policy{Retry: wire.RetryPolicy{
			Attempts: 9, Backoff: backoff, Initial: wire.Duration(2 * time.Second), Max: wire.Duration(7 * time.Second), Jitter: &none,
		}}.Complete()
		for i, pause := range want {
			if got, again := p.again(i+1, Failed(wire.FailureFailed, "no"), 0.5); got != pause || !again {
				t.Errorf("%s, attempt %d: %s, %t; want %s", backoff, i+1, got, again, pause)
			}
		}
	}
}

func TestAPauseIsNeverLongerThanItMayBe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		jitter := rapid.Float64Range(0, 1).Draw(t, "jitter")
		p := Policy{Retry: wire.RetryPolicy{
			Attempts: MaxAttempts, Backoff: rapid.SampledFrom([]string{wire.BackoffFixed, wire.BackoffLinear, wire.BackoffExponential}).Draw(t, "backoff"),
			Initial: wire.Duration(rapid.Int64Range(1, int64(MaxDelay)).Draw(t, "initial")), Max: wire.Duration(rapid.Int64Range(1, int64(MaxDelay)).Draw(t, "max")), Jitter: &jitter,
		}}.Complete()
		attempt := rapid.IntRange(1, MaxAttempts).Draw(t, "attempt")
		longest := time.Duration(p.Retry.Max)
		got := p.pause(attempt, rapid.Float64Range(0, 1).Draw(t, "chance"))
		if got < 0 || got > longest || float64(got) < math.Floor((1-jitter)*float64(min(time.Duration(p.Retry.Initial), longest)))-1 {
			t.Fatalf("attempt %d of %+v is followed by %s", attempt, p.Retry, got)
		}
	})
}

func TestOnlyWhatMayPassIsTriedAgain(t *testing.T) {
	t.Parallel()
	p := Policy{}.Complete()
	for code, passes := range wire.FailureCodes() {
		if _, again := p.again(1, Failed(code, "no"), 0); again != passes {
			t.Errorf("%s: tried again %t", code, again)
		}
		if _, again := p.again(p.Retry.Attempts, Failed(code, "no"), 0); again {
			t.Errorf("%s is tried again after the last attempt", code)
		}
	}
	p.Retry.Errors = []string{wire.FailureRejected}
	if _, again := p.again(1, Failed(wire.FailureRejected, "no"), 0); !again {
		t.Error("what the policy names is not tried again")
	}
	if _, again := p.again(1, Failed(wire.FailureFailed, "no"), 0); again {
		t.Error("what the policy does not name is tried again")
	}
	asked := Failed(wire.FailureRejected, "later")
	asked.After = time.Hour
	if pause, _ := p.again(1, asked, 0); pause != time.Hour {
		t.Errorf("a target that wants to be left alone for an hour is asked after %s", pause)
	}
}

// TestARateLimitIsNeverExceeded: however the runs come, no window of the limit's length holds
// more than it allows, beyond those that may begin at once.
func TestARateLimitIsNeverExceeded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := &wire.RateLimit{Count: rapid.IntRange(1, 20).Draw(t, "count"), Per: wire.Duration(rapid.Int64Range(1000, 1e9).Draw(t, "per"))}
		now, full := time.Unix(1e9, 0), time.Time{}
		var begun []time.Time
		for range rapid.IntRange(1, 100).Draw(t, "runs") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 2*int64(limit.Per)/int64(limit.Count)).Draw(t, "pause")))
			var begin time.Time
			begin, full = turn(full, now, limit)
			if begin.Before(now) || len(begun) > 0 && begin.Before(begun[len(begun)-1]) {
				t.Fatalf("a run begins at %s, and it is %s", begin, now)
			}
			begun = append(begun, begin)
		}
		interval := time.Duration(limit.Per) / time.Duration(limit.Count)
		for i := range begun {
			if i+limit.Count < len(begun) && begun[i+limit.Count].Sub(begun[i]) < interval {
				t.Fatalf("runs %d to %d of %+v begin within %s", i, i+limit.Count, limit, begun[i+limit.Count].Sub(begun[i]))
			}
			if k := i + 2*limit.Count; k < len(begun) && begun[k].Sub(begun[i]) < time.Duration(limit.Per) {
				t.Fatalf("%d runs of %+v begin within %s", 2*limit.Count, limit, begun[k].Sub(begun[i]))
			}
		}
	})
}

func TestAnIDFollowsFromItsWords(t *testing.T) {
	t.Parallel()
	a, b := ID("function", "a", "b"), ID("function", "ab", "")
	if a != ID("function", "a", "b") || a == b || !wire.IsUUID(a) || a[14] != '8' {
		t.Errorf("ids are %s and %s", a, b)
	}
}

func TestAnOutputIsPutAtItsPath(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{
		{"", `1`, ""}, {"words", "", ""}, {"words", "null", ""}, {"words", "7.0", `{"words":7.0}`}, {"a.b", `{"c":1}`, `{"a":{"b":{"c":1}}}`},
	} {
		got, err := patchFor(c[0], []byte(c[1]))
		if err != nil || string(got) != c[2] {
			t.Errorf("%q at %q: %s, %v", c[1], c[0], got, err)
		}
	}
}

func TestAJobKeepsItsLastFailures(t *testing.T) {
	t.Parallel()
	job := &wire.Job{Attempt: 1, Admitted: true}
	for i := range 2 * keptFailures {
		job = afterFailure(job, wire.AttemptFailure{Attempt: i + 1, Failure: wire.Failure{Code: fmt.Sprint(i)}})
	}
	last := job.Failures[len(job.Failures)-1]
	if len(job.Failures) != keptFailures || last.Attempt != 2*keptFailures || job.Attempt != 2*keptFailures+1 || job.Admitted {
		t.Errorf("after %d failures the job is %+v", 2*keptFailures, job)
	}
}
