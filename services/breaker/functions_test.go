package breaker_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const functionsYAML = `functions:
  - id: word_count
    description: Counts the words of a document.
    kind: nats
    input: { text: "=token.data.text" }
    retry: { attempts: 2, initial: 10ms, max: 20ms }
    tags: [document]
  - id: double
    kind: expression
    expression: input.n * 2
    triggers: [{ event: custom, name: doubled, input: { n: "=event.data.n" } }]
    chains: [{ function: word_count, on: failure }]
`

// connect gives the test a connection of its own to the fleet.
func (u *up) connect(t *testing.T) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(u.NATS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// program answers for a function of kind nats.
func program(t *testing.T, nc *nats.Conn, function string, answer nats.MsgHandler) {
	t.Helper()
	if _, err := nc.Subscribe(wire.FunctionSubject(function), answer); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

func TestFunctionsArePutAndKept(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	c.start(t)
	path := c.file(t, "functions.yaml", functionsYAML)

	outcomes := func(args ...string) string {
		t.Helper()
		var done struct {
			Functions []struct {
				ID, Outcome string
				Version     int
			}
		}
		c.json(t, &done, append([]string{"functions", "put"}, args...)...)
		var all []string
		for _, f := range done.Functions {
			all = append(all, f.ID+" "+f.Outcome+" "+strings.Repeat("v", f.Version))
		}
		return strings.Join(all, ", ")
	}
	one := `{"id": "word_count", "kind": "nats", "timeout": "5s", "tags": ["text"]}`
	for _, step := range []struct{ args, want string }{
		{path + " --dry-run", "word_count created v, double created v"},
		{path + " --by alice", "word_count created v, double created v"},
		{path, "word_count unchanged v, double unchanged v"},
		{c.file(t, "one.json", one) + " --dry-run", "word_count updated vv"},
		{filepath.Join(c.dir, "one.json") + " --by bob", "word_count updated vv"},
		{filepath.Join(c.dir, "one.json"), "word_count unchanged vv"},
	} {
		if got := outcomes(strings.Fields(step.args)...); got != step.want {
			t.Errorf("%s: got %s, want %s", step.args, got, step.want)
		}
	}

	// What the file leaves out is gone, and stays in the version before.
	var now, before wire.Function
	c.json(t, &now, "functions", "show", "word_count")
	if diff := cmp.Diff(wire.FunctionSpec{Kind: "nats", Timeout: 5_000_000_000, Tags: []string{"text"}}, now.FunctionSpec); diff != "" || now.Author != "bob" {
		t.Errorf("by %s (-want +got):\n%s", now.Author, diff)
	}
	c.json(t, &before, "functions", "show", "word_count", "--version", "1")
	if before.Retry == nil || before.Author != "alice" {
		t.Errorf("version 1 is %+v", before)
	}
	// What show shows can be put.
	out := c.ok(t, "functions", "show", "double")
	_, shown, _ := strings.Cut(out, "definition:\n")
	if got := outcomes(c.file(t, "shown.yaml", shown)); got != "double unchanged v" {
		t.Errorf("%s of\n%s", got, out)
	}
	if got := c.feed(t, "id: piped\nkind: expression\nexpression: input\n", "functions", "put", "-"); got.code != 0 || !strings.Contains(got.out, "created") {
		t.Errorf("from standard input: %+v", got)
	}
	// Another kind takes its member with it.
	if got := outcomes(c.file(t, "kind.yaml", "{id: piped, kind: nats}")); got != "piped updated vv" {
		t.Errorf("another kind: %s", got)
	}

	var listed wire.FunctionListReply
	eventually(t, "three functions", func() bool {
		c.json(t, &listed, "functions", "list")
		return len(listed.Functions) == 3
	})
	for _, test := range []struct{ flag, value, has, hasNot string }{
		{"--name", "word", "word_count", "double"}, {"--kind", "expression", "double", "word_count"}, {"--tag", "text", "word_count", "double"},
	} {
		if out := c.ok(t, "functions", "list", test.flag, test.value); !strings.Contains(out, test.has) || strings.Contains(out, test.hasNot) {
			t.Errorf("%s %s says:\n%s", test.flag, test.value, out)
		}
	}
	if out := c.ok(t, "functions", "list", "--tag", "document"); !strings.Contains(out, "no functions") {
		t.Errorf("the tag of the first version is still there:\n%s", out)
	}
	if got := c.run(t, "functions", "delete", "word_count"); got.code != 4 || !strings.Contains(got.err, "double") {
		t.Errorf("a function in use: %+v", got)
	}
	if got := c.run(t, "functions", "delete", "piped", "--expected-version", "7"); got.code != 4 {
		t.Errorf("another version: %+v", got)
	}
	c.ok(t, "functions", "delete", "piped")
	if got := c.run(t, "functions", "show", "piped"); got.code != 3 {
		t.Errorf("a deleted function: %+v", got)
	}
}

func TestFunctionsWithProblemsAskNobody(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	good := c.file(t, "good.yaml", functionsYAML)
	bad := c.file(t, "bad.yaml", strings.NewReplacer("initial: 10ms", "initial: soon", "tags", "tag", "input.n * 2", "input.n *").Replace(functionsYAML))
	got := c.run(t, "functions", "put", good, bad, "--server", "nats://127.0.0.1:1")
	if got.code != 2 || !strings.Contains(got.err, "both define the function word_count") {
		t.Errorf("two files with one function: %+v", got)
	}
	got = c.run(t, "functions", "put", bad, "--server", "nats://127.0.0.1:1")
	for _, part := range []string{
		"bad.yaml: 3 problems", "functions[0].retry.initial: ", "functions[0].tag: is not known here; did you mean tags?", "functions[1].expression: ",
	} {
		if !strings.Contains(got.out, part) {
			t.Errorf("no %q in:\n%s", part, got.out)
		}
	}
	if got.code != 1 || got.err != "" {
		t.Errorf("ended with %d, stderr %q", got.code, got.err)
	}
	got = c.run(t, "functions", "put", good, "--request-id", "r", "--server", "nats://127.0.0.1:1")
	if got.code != 2 || !strings.Contains(got.err, "one function at a time") {
		t.Errorf("one request id for two functions: %+v", got)
	}
}

// What only the service can say ends the work there, and what was done before is said.
func TestWhatTheServiceRefusesIsSaid(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	c.start(t)
	got := c.feed(t, "functions:\n  - { id: a, kind: nats, chains: [{ function: b }] }\n  - { id: b, kind: nats, chains: [{ function: a }] }\n", "functions", "put", "-")
	if got.code != 2 || !strings.Contains(got.err, "function b of - was not put") || !strings.Contains(got.err, "come after itself") || !strings.Contains(got.out, "created") {
		t.Errorf("got %+v", got)
	}
}

func TestFunctionsAreInvokedAndTriggered(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	nc := c.start(t).connect(t)
	c.ok(t, "functions", "put", c.file(t, "functions.yaml", functionsYAML))
	asked := make(chan *nats.Msg, 10)
	program(t, nc, "word_count", func(m *nats.Msg) {
		if strings.Contains(string(m.Data), "refuse") {
			answer(fault.New(fault.BadRequest, "I will\x1b[31m not"))(m)
			return
		}
		asked <- m
		_ = m.Respond([]byte(`{"words": 2}`))
	})

	out := c.ok(t, "functions", "invoke", "word_count", "--input", `{"text": "two words"}`, "--by", "alice")
	for _, part := range []string{"function word_count version 1", "succeeded", "invoke", "alice", "output:\n  {\n    \"words\": 2\n  }\n"} {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in:\n%s", part, out)
		}
	}
	if m := <-asked; string(m.Data) != `{"text":"two words"}` {
		t.Errorf("the program was given %s", m.Data)
	}
	got := c.run(t, "functions", "invoke", "word_count", "--input", `"refuse"`)
	if got.code != 8 || got.err != "" || !strings.Contains(got.out, "rejected: the function answered 400: I will [31m not") || strings.Contains(got.out, "\x1b") {
		t.Errorf("a run that fails: %+v", got)
	}
	var run wire.Execution
	decode(t, c.feed(t, `{"n": 21}`, "functions", "invoke", "double", "--input", "-", "--async", "--json").out, &run)
	if run.Status != wire.ExecutionQueued {
		t.Errorf("nobody waits, and the run is %s", run.Status)
	}
	eventually(t, "the end of the run", func() bool {
		c.json(t, &run, "executions", "show", run.ID)
		return run.Status == wire.ExecutionSucceeded && string(run.Output) == "42"
	})

	c.ok(t, "functions", "disable", "word_count")
	if got := c.run(t, "functions", "invoke", "word_count"); got.code != 4 || !strings.Contains(got.err, "enable it first") {
		t.Errorf("a disabled function: %+v", got)
	}
	if out := c.ok(t, "functions", "list", "--name", "word"); !strings.Contains(out, "no ") {
		t.Errorf("the list does not say that it is disabled:\n%s", out)
	}
	if out := c.ok(t, "functions", "enable", "word_count"); !strings.Contains(out, "word_count, version 3, is enabled") {
		t.Errorf("enable says: %s", out)
	}
	// Enabled is what a function is by default: the file says the same.
	if out := c.ok(t, "functions", "put", filepath.Join(c.dir, "functions.yaml")); strings.Count(out, "unchanged") != 2 {
		t.Errorf("put says:\n%s", out)
	}

	var begun wire.FunctionTriggerReply
	c.json(t, &begun, "functions", "trigger", "doubled", "--data", `{"n": 4}`)
	if len(begun.Executions) != 1 || begun.Executions[0].Target != "double" {
		t.Fatalf("the event has begun %+v", begun)
	}
	eventually(t, "the triggered run", func() bool {
		got := c.run(t, "executions", "show", begun.Executions[0].ID)
		return strings.Contains(got.out, "output:\n  8\n") && strings.Contains(got.out, "custom")
	})
	if out := c.ok(t, "functions", "trigger", "nothing"); !strings.Contains(out, "no function is triggered by nothing") {
		t.Errorf("trigger says: %s", out)
	}
}

// A run that has not ended in time goes on.
func TestInvokeSaysThatARunGoesOn(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	nc := c.start(t).connect(t)
	c.ok(t, "functions", "put", c.file(t, "functions.yaml", functionsYAML))
	asked := make(chan *nats.Msg, 1)
	program(t, nc, "word_count", func(m *nats.Msg) { asked <- m })
	got := c.run(t, "functions", "invoke", "word_count", "--input", "{}", "--timeout", "1s", "--json")
	var run wire.Execution
	decode(t, got.out, &run)
	if got.code != 5 || !strings.Contains(got.err, "executions show "+run.ID) {
		t.Errorf("ended with %d: %s", got.code, got.err)
	}
	if err := (<-asked).Respond([]byte(`1`)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the run", func() bool {
		c.json(t, &run, "executions", "show", run.ID)
		return run.Status == wire.ExecutionSucceeded
	})
}

func TestModulesAreUploaded(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	c.start(t)
	empty := "\x00asm\x01\x00\x00\x00"
	path := c.file(t, "empty.wasm", empty)
	if out := c.ok(t, "functions", "modules"); !strings.Contains(out, "no modules") {
		t.Errorf("modules says:\n%s", out)
	}
	type module struct {
		Module, Outcome, Digest string
		Bytes                   int
	}
	for _, step := range []struct{ content, want string }{{empty, "created"}, {empty, "unchanged"}, {empty + "\x00\x02\x01x", "updated"}} {
		var put module
		decode(t, c.feed(t, step.content, "functions", "upload", "empty", "-", "--json").out, &put)
		if put.Outcome != step.want || put.Bytes != len(step.content) || put.Module != "empty" {
			t.Errorf("got %+v, want %s", put, step.want)
		}
	}
	if out := c.ok(t, "functions", "upload", "another.wasm", path); !strings.Contains(out, "another.wasm") || !strings.Contains(out, "8 B") {
		t.Errorf("upload says:\n%s", out)
	}
	var listed struct{ Modules []module }
	c.json(t, &listed, "functions", "modules")
	if len(listed.Modules) != 2 || listed.Modules[0].Module != "another.wasm" || listed.Modules[1].Bytes != len(empty)+4 {
		t.Errorf("got %+v", listed)
	}
	// The runner finds it there: it is a program without a beginning.
	c.feed(t, "{id: empty, kind: wasm, wasm: {module: empty}}", "functions", "put", "-")
	if got := c.run(t, "functions", "invoke", "empty", "--input", "{}"); got.code != 8 || strings.Contains(got.out, "there is no module") {
		t.Errorf("the module was run: %+v", got)
	}
}

func TestShellsCompleteFunctions(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	c.start(t)
	c.ok(t, "functions", "put", c.file(t, "functions.yaml", functionsYAML))
	for _, args := range []string{"functions show", "functions invoke", "executions list --function", "dead-letters redrive --target"} {
		eventually(t, "the functions in a completion of "+args, func() bool {
			out := c.ok(t, append(append([]string{"__complete"}, strings.Fields(args)...), "word")...)
			return strings.HasPrefix(out, "word_count\n")
		})
	}
	for args, want := range map[string]string{"functions": "invoke\t", "executions list --status": "suspended\n", "functions list --kind": "wasm\n"} {
		if out := c.ok(t, append(append([]string{"__complete"}, strings.Fields(args)...), "")...); !strings.Contains(out, want) {
			t.Errorf("%s is completed with:\n%s", args, out)
		}
	}
}
