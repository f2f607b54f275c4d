package breaker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const reviewYAML = `name: review
initial_place: draft
places:
  - { id: draft }
  - { id: review, timeout: { after: 48h, transition: escalate } }
  - { id: approved }
  - { id: rejected }
transitions:
  - { id: submit, from: draft, to: review }
  - { id: approve, from: review, to: approved }
  - { id: escalate, from: review, to: rejected }
`

func TestWrongCallsEndWithTwoAndSayWhy(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	for _, test := range []struct {
		args []string
		says string
	}{
		{[]string{"fly"}, "no command breaker fly"},
		{[]string{"workflow", "lst"}, "did you mean list?"},
		{[]string{"--frob"}, "--frob"},
		{[]string{"deploy"}, "at least 1 arg"},
		{[]string{"deploy", "/nowhere/x.yaml"}, "/nowhere/x.yaml"},
		{[]string{"token", "create", "review", "--data", "{"}, "--data is not JSON"},
		{[]string{"token", "create", "review", "--data", "-", "--metadata", "-"}, "only one"},
		{[]string{"token", "update", "x"}, "nothing to change"},
		{[]string{"token", "get", "x", "--as-of", "yesterday"}, "--as-of"},
		{[]string{"token", "list", "--limit", "0"}, "--limit"},
		{[]string{"instance", "list", "--status", "done"}, "active, suspended, completed, cancelled"},
		{[]string{"instance", "migrate", "x", "latest"}, "a version is a number"},
		{[]string{"instance", "migrate", "x", "2", "--place", "a"}, "OLD=NEW"},
		{[]string{"watch", "--from", "3"}, "name the workflow"},
		{[]string{"watch", "review", "--from", "3", "--all"}, "contradict"},
		{[]string{"workflow", "delete", "review"}, "confirm"},
		{[]string{"rules", "putt"}, "did you mean put?"},
		{[]string{"rules", "put"}, "at least 1 arg"},
		{[]string{"rules", "put", "/nowhere/x.yaml"}, "/nowhere/x.yaml"},
		{[]string{"rules", "test", "--data", "{}"}, "name a rule or a file"},
		{[]string{"rules", "test", "x", "--condition", "true", "--data", "{}"}, "name a rule or a file"},
		{[]string{"rules", "test", "-", "--data", "-"}, "only one"},
		{[]string{"rules", "test", "x"}, "give the document"},
		{[]string{"rules", "test", "x", "--data", "5"}, "must be objects"},
		{[]string{"rules", "test", "x", "--data", "{}", "--token", "y"}, "not both"},
		{[]string{"rules", "test", "x", "--data", "{}", "--as-of", "3"}, "a document has no past"},
		{[]string{"rules", "test", "x.yaml", "--data", "{}", "--version", "3"}, "--version"},
		{[]string{"rules", "test", "--condition", "token.plce == 1", "--data", "{}"}, "undefined field 'plce'"},
		{[]string{"rules", "test", "--condition", `{"field_exist": "data.a"}`, "--data", "{}"}, "is no kind of condition"},
		{[]string{"rules", "explain", "x"}, "accepts 2 arg"},
		{[]string{"rules", "explain", "x", "y", "--as-of", "yesterday"}, "--as-of"},
		{[]string{"functions", "putt"}, "did you mean put?"},
		{[]string{"functions", "put"}, "at least 1 arg"},
		{[]string{"functions", "put", "/nowhere/x.yaml"}, "/nowhere/x.yaml"},
		{[]string{"functions", "list", "--kind", "shell"}, "nats, http, exec, wasm, expression"},
		{[]string{"functions", "invoke"}, "accepts 1 arg"},
		{[]string{"functions", "invoke", "x", "--input", "{"}, "--input is not JSON"},
		{[]string{"functions", "trigger", "x", "--data", "@/nowhere/x.json"}, "/nowhere/x.json"},
		{[]string{"functions", "upload", "x"}, "accepts 2 arg"},
		{[]string{"functions", "upload", "../x", "x.wasm"}, "the name of a module"},
		{[]string{"functions", "upload", "x", "/nowhere/x.wasm"}, "/nowhere/x.wasm"},
		{[]string{"functions", "upload", "x", "-"}, "no WebAssembly module"},
		{[]string{"executions", "list", "--status", "done"}, "succeeded"},
		{[]string{"executions", "list", "--kind", "robot"}, "function, agent"},
		{[]string{"executions", "list", "--function", "x", "--kind", "agent"}, "--function names the target"},
		{[]string{"executions", "list", "--since", "yesterday"}, "--since takes"},
		{[]string{"executions", "list", "--since", "1h", "--until", "2h"}, "the window is empty"},
		{[]string{"dead-letters", "redrive"}, "give a --target"},
		{[]string{"dead-letters", "redrive", "--since", "1h"}, "give a --target"},
		{[]string{"dead-letters", "redrive", "x", "--target", "y"}, "not both"},
		{[]string{"dead-letters", "redrive", "x", "y", "--request-id", "r"}, "one execution at a time"},
		{[]string{"dead-letters", "discard", "x"}, `"reason" not set`},
		{[]string{"up", "--sync", "sometimes"}, "always or interval"},
		{[]string{"up", "--log-level", "loud"}, "loud"},
		{[]string{"status", "--context", "none"}, `no NATS context "none"`},
		{[]string{"analytics", "places", "review", "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z"}, "window is empty"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			t.Parallel()
			args := test.args
			if args[0] == "up" {
				args = append(args, "--dir", t.TempDir(), "--nats-listen", "127.0.0.1:0", "--http-listen", "off")
			}
			// A server that is not there, for commands that find their mistake only late.
			got := c.run(t, append(args, "--server", "nats://127.0.0.1:1", "--timeout", "100ms")...)
			if got.code != 2 || !strings.Contains(got.err, test.says) || got.out != "" {
				t.Errorf("ended with %d, want 2 and %q on stderr\nstdout: %s\nstderr: %s", got.code, test.says, got.out, got.err)
			}
		})
	}
}

func TestMisspeltSettingsAreRefused(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	c.environ = append(c.environ, "BREAKER_DEFAULT_MAX_AGEE=1h")
	got := c.run(t, "up", "--dir", t.TempDir(), "--nats-listen", "127.0.0.1:0", "--http-listen", "off")
	if got.code != 2 || !strings.Contains(got.err, "BREAKER_DEFAULT_MAX_AGEE") {
		t.Errorf("ended with %d: %s", got.code, got.err)
	}
}

func TestNoServerIsUnavailable(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	got := c.run(t, "status", "--server", "nats://user:secret@127.0.0.1:1")
	if got.code != 5 || !strings.Contains(got.err, "breaker up") || strings.Contains(got.err, "secret") {
		t.Errorf("ended with %d: %s", got.code, got.err)
	}
}

func TestErrorsAreJSONForMachines(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	got := c.run(t, "status", "--server", "nats://127.0.0.1:1", "--json")
	var e fault.Error
	decode(t, got.err, &e)
	if got.code != 5 || e.Code != fault.Unavailable || got.out != "" {
		t.Errorf("ended with %d, stdout %q, stderr %q", got.code, got.out, got.err)
	}
}

func TestNoFleetIsUnavailable(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	server := natstest.Start(t)
	c.environ = append(c.environ, "NATS_URL="+server.URL())
	for _, args := range [][]string{{"workflow", "list", "--timeout", "300ms"}, {"watch"}} {
		if got := c.run(t, args...); got.code != 5 {
			t.Errorf("%v ended with %d: %s", args, got.code, got.err)
		}
	}
	var found struct{ Services, Workflows []any }
	c.json(t, &found, "status")
	if len(found.Services)+len(found.Workflows) != 0 {
		t.Errorf("found %+v where there is nothing", found)
	}
}

func TestEveryFaultHasItsExitCode(t *testing.T) {
	t.Parallel()
	want := map[int]int{400: 2, 404: 3, 410: 3, 409: 4, 422: 4, 429: 5, 503: 5, 504: 5, 507: 5, 500: 1}
	server := natstest.Start(t)
	nc := server.Connect()
	for code, status := range fault.Codes() {
		subject := wire.SubjectWorkflowGet
		exit := want[status]
		if code == fault.InvalidDefinition {
			exit = 1
		}
		t.Run(string(code), func(t *testing.T) {
			c := newTestCLI(t)
			c.environ = append(c.environ, "NATS_URL="+server.URL())
			sub, err := nc.Subscribe(subject, answer(fault.New(code, "a made-up refusal").With("field", "x")))
			if err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			got := c.run(t, "workflow", "show", "review", "--timeout", "300ms")
			if got.code != exit || !strings.Contains(got.err, "a made-up refusal") {
				t.Errorf("status %d ended with %d, want %d: %s", status, got.code, exit, got.err)
			}
			if err := sub.Unsubscribe(); err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestExitCodesAreDocumented(t *testing.T) {
	t.Parallel()
	help := newTestCLI(t).ok(t, "help", "exit-codes")
	for code := range 9 {
		if !strings.Contains(help, fmt.Sprintf("\n  %d  ", code)) {
			t.Errorf("code %d is not in:\n%s", code, help)
		}
	}
}

func TestValidateReportsEveryProblemOfEveryFile(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	good := c.file(t, "good.yaml", reviewYAML)
	bad := c.file(t, "bad.yaml", strings.NewReplacer("to: review }", "to: nowhere }", "name: review", "nam: review").Replace(reviewYAML))
	got := c.run(t, "workflow", "validate", good, bad)
	for _, part := range []string{"good.yaml: valid", "bad.yaml:", "unknown_place", "transitions[0].to", "unknown_key"} {
		if !strings.Contains(got.out, part) {
			t.Errorf("no %q in:\n%s", part, got.out)
		}
	}
	if got.code != 1 || got.err != "" {
		t.Errorf("ended with %d, stderr %q", got.code, got.err)
	}
	var result struct {
		Files []struct {
			File     string
			Valid    bool
			Problems []wire.Problem
		}
	}
	got = c.run(t, "workflow", "validate", good, bad, "--json")
	decode(t, got.out, &result)
	if got.code != 1 || len(result.Files) != 2 || !result.Files[0].Valid || result.Files[1].Valid || len(result.Files[1].Problems) < 2 {
		t.Errorf("ended with %d: %+v", got.code, result)
	}
}

func TestDeployOfABadFileAsksNobody(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	got := c.feed(t, "name: x\n", "deploy", "-", "--server", "nats://127.0.0.1:1")
	if got.code != 1 || !strings.Contains(got.out, "initial_place") {
		t.Errorf("ended with %d\nstdout: %s\nstderr: %s", got.code, got.out, got.err)
	}
}

func TestGraphDrawsAFileWithoutAFleet(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	path := c.file(t, "review.yaml", reviewYAML)
	if out := c.ok(t, "workflow", "graph", path); !strings.HasPrefix(out, "flowchart LR\n") || !strings.Contains(out, `-.->|"after 48h"|`) {
		t.Errorf("no Mermaid:\n%s", out)
	}
	if out := c.ok(t, "workflow", "graph", path, "--dot"); !strings.HasPrefix(out, `digraph "review" {`) {
		t.Errorf("no DOT:\n%s", out)
	}
}

func TestCompletionAndVersionNeedNoFleet(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	if out := c.ok(t, "completion", "bash"); !strings.Contains(out, "breaker") {
		t.Error("no completion script")
	}
	var v struct{ Version, Go string }
	c.json(t, &v, "version")
	if v.Version == "" || v.Go == "" {
		t.Errorf("version says %+v", v)
	}
}
