package breaker_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const countingYAML = `name: counting
initial_place: in
places: [{ id: in, functions: [{ function: word_count, output: counted, on_success: accept }] }, { id: done }]
transitions: [{ id: accept, from: in, to: done }]
`

// letters lists the dead letters that flags choose.
func (c *cli) letters(t *testing.T, args ...string) (ids []string) {
	t.Helper()
	var listed wire.ExecutionListReply
	c.json(t, &listed, append([]string{"dead-letters", "list"}, args...)...)
	for i := range listed.Executions {
		ids = append(ids, listed.Executions[i].ID)
	}
	return ids
}

func TestADeadLetterIsRedriven(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	nc := c.start(t).connect(t)
	var ill atomic.Bool
	ill.Store(true)
	program(t, nc, "word_count", func(m *nats.Msg) {
		if ill.Load() {
			answer(fault.New(fault.Internal, "ill \x1b[31mtoday"))(m)
			return
		}
		_ = m.Respond([]byte(`{"words": 2}`))
	})
	c.ok(t, "functions", "put", c.file(t, "functions.yaml", functionsYAML))
	c.ok(t, "deploy", c.file(t, "counting.yaml", countingYAML))
	var token wire.Token
	c.json(t, &token, "token", "create", "counting", "--data", `{"text": "two words"}`)

	var ids []string
	eventually(t, "the dead letter", func() bool {
		ids = c.letters(t, "--function", "word_count", "--workflow", "counting", "--instance", token.ID, "--since", "1h")
		return len(ids) == 1
	})
	for _, none := range [][]string{{"--target", "double"}, {"--kind", "agent"}, {"--until", "1h"}, {"--instance", "-"}} {
		if got := c.letters(t, none...); len(got) != 0 {
			t.Errorf("%v chooses %v", none, got)
		}
	}
	out := c.ok(t, "dead-letters", "show", ids[0])
	for _, part := range []string{
		"function word_count version 1", "failed", "failed: the function answered 500: ill  [31mtoday", token.ID, "in\n",
		"input:\n  {\n    \"text\": \"two words\"\n  }\n", "ATTEMPT",
	} {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in:\n%s", part, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("the fleet's text can change the colours of a terminal")
	}
	if out := c.ok(t, "__complete", "dead-letters", "redrive", ids[0][:8]); !strings.HasPrefix(out, ids[0]+"\tfunction word_count failed\n") {
		t.Errorf("the dead letters are completed with:\n%s", out)
	}

	// Of two, one is none.
	ill.Store(false)
	absent := uuid.NewString()
	got := c.run(t, "dead-letters", "redrive", ids[0], absent, "--by", "alice")
	if got.code != 4 || !strings.Contains(got.out, ids[0]+"  redriven") || !strings.Contains(got.out, absent+"  refused   execution_not_found: ") || got.err != "" {
		t.Errorf("redrive: %+v", got)
	}
	eventually(t, "the token in its next place", func() bool {
		c.json(t, &token, "token", "get", token.ID)
		return token.Place == "done"
	})
	var runs wire.ExecutionListReply
	eventually(t, "the record of the run", func() bool {
		c.json(t, &runs, "executions", "list", "--function", "word_count", "--status", "succeeded")
		return len(runs.Executions) == 1 && runs.Executions[0].TransitionID == "accept"
	})
	if e := runs.Executions[0]; e.ID != ids[0] || e.Redrives != 1 || e.TriggeredBy != "alice" {
		t.Errorf("the run is %+v", e)
	}
	if out := c.ok(t, "executions", "list"); !strings.Contains(out, "function word_count") || !strings.Contains(out, "succeeded") || !strings.Contains(out, "place") {
		t.Errorf("the list says:\n%s", out)
	}
	if out := c.ok(t, "dead-letters", "list"); !strings.Contains(out, "no dead letters") {
		t.Errorf("the list says:\n%s", out)
	}
	for _, command := range []string{"show", "redrive"} {
		if got := c.run(t, "dead-letters", command, ids[0]); got.code == 0 || !strings.Contains(got.out+got.err, "not among the dead letters") {
			t.Errorf("%s what was redriven: %+v", command, got)
		}
	}
}

func TestDeadLettersAreDiscarded(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	nc := c.start(t).connect(t)
	program(t, nc, "word_count", answer(fault.New(fault.BadRequest, "never")))
	c.ok(t, "functions", "put", c.file(t, "function.yaml", "{id: word_count, kind: nats, triggers: [{event: custom, name: count}]}"))
	for range 3 {
		c.ok(t, "functions", "trigger", "count")
	}
	var run wire.Execution
	got := c.run(t, "functions", "invoke", "word_count", "--input", "{}", "--json")
	decode(t, got.out, &run)
	// Whoever invokes is told, so that nobody else needs to care.
	if got := c.run(t, "dead-letters", "show", run.ID); got.code != 3 || !strings.Contains(got.err, "is failed, and not among the dead letters") {
		t.Errorf("a run that was invoked: %+v", got)
	}
	var ids []string
	eventually(t, "three dead letters", func() bool {
		ids = c.letters(t)
		return len(ids) == 3
	})
	if got := c.run(t, "dead-letters", "discard", "--target", "word_count", "--reason", " "); got.code != 2 {
		t.Errorf("an empty reason: %+v", got)
	}
	if out := c.ok(t, "dead-letters", "discard", ids[1], "--reason", "a slip", "--request-id", "r1"); !strings.Contains(out, "discarded") {
		t.Errorf("discard says:\n%s", out)
	}
	c.ok(t, "dead-letters", "discard", ids[1], "--reason", "a slip", "--request-id", "r1")
	var done wire.ExecutionChangeReply
	c.json(t, &done, "dead-letters", "discard", "--function", "word_count", "--reason", "enough")
	if diff := cmp.Diff([]string{ids[0], ids[2]}, done.Executions); diff != "" || len(done.Refused) != 0 {
		t.Errorf("refused %v, discarded (-want +got):\n%s", done.Refused, diff)
	}
	if out := c.ok(t, "dead-letters", "redrive", "--target", "word_count"); !strings.Contains(out, "no dead letters") {
		t.Errorf("redrive of nothing says:\n%s", out)
	}
	if out := c.ok(t, "executions", "show", ids[0]); !strings.Contains(out, "discarded") || !strings.Contains(out, "enough") {
		t.Errorf("show says:\n%s", out)
	}
}

// roundsOf answers redrives with these replies, one after the other.
func roundsOf(t *testing.T, replies ...string) (*cli, *atomic.Int32) {
	t.Helper()
	c := newTestCLI(t)
	server := natstest.Start(t)
	c.environ = append(c.environ, "NATS_URL="+server.URL())
	nc := server.Connect()
	asked := new(atomic.Int32)
	if _, err := nc.Subscribe(wire.SubjectExecutionRedrive, func(m *nats.Msg) {
		n := int(asked.Add(1)) - 1
		_ = m.Respond([]byte(replies[min(n, len(replies)-1)]))
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return c, asked
}

func TestRedriveOfAllGoesOnAsLongAsItHelps(t *testing.T) {
	t.Parallel()
	refused := `"refused":[{"id":"z","code":"token_moved","message":"it has left"}]`
	for name, test := range map[string]struct {
		replies []string
		rounds  int32
		code    int
		done    string
	}{
		"to the end":             {[]string{`{"executions":["a"],"next_cursor":"2"}`, `{"executions":[],"next_cursor":"3"}`, `{"executions":["c"]}`}, 3, 0, "a c"},
		"nothing":                {[]string{`{"executions":[]}`}, 1, 0, ""},
		"until they come again":  {[]string{`{"executions":["a","b"],"next_cursor":"3"}`, `{"executions":["c","a"],"next_cursor":"5"}`}, 2, 0, "a b c"},
		"with one that is stuck": {[]string{`{"executions":["a"],` + refused + `,"next_cursor":"3"}`, `{"executions":["b"]}`}, 2, 4, "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, asked := roundsOf(t, test.replies...)
			got := c.run(t, "dead-letters", "redrive", "--target", "x", "--json")
			var reply wire.ExecutionChangeReply
			decode(t, got.out, &reply)
			if done := strings.Join(reply.Executions, " "); got.code != test.code || done != test.done || asked.Load() != test.rounds || len(reply.Refused) > 1 {
				t.Errorf("ended with %d after %d rounds: %+v %s", got.code, asked.Load(), reply, got.err)
			}
			asked.Store(0)
			if got := c.run(t, "dead-letters", "redrive", "--target", "x"); test.code != 0 && !strings.Contains(got.out, "token_moved: it has left") {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestAnErrorInBetweenDoesNotHideWhatWasDone(t *testing.T) {
	t.Parallel()
	c, asked := roundsOf(t, `{"executions":["a"],"next_cursor":"2"}`, `no JSON`)
	got := c.run(t, "dead-letters", "redrive", "--target", "x")
	if got.code == 0 || got.err == "" || !strings.Contains(got.out, "a          redriven") {
		t.Errorf("after %d rounds: %+v", asked.Load(), got)
	}
}
