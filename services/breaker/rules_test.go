package breaker_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const rulesYAML = `rules:
  - id: has_title
    description: There is a title.
    condition: { field_exists: data.title }
    tags: [document]
  - id: short_or_urgent
    condition:
      or:
        - { field_less_than: { field: data.pages, value: 10 } }
        - { expression: 'token.data.urgent && token.place == "draft"' }
`

const guardedYAML = `name: guarded
initial_place: draft
places: [{ id: draft }, { id: review }, { id: approved }, { id: rejected }]
transitions:
  - { id: submit, from: draft, to: review, rules: [has_title, short_or_urgent] }
  - { id: approve, from: review, to: approved }
  - { id: auto_reject, from: review, to: rejected, auto: true, when: token.data.score < 2 }
`

// verdict is what rules test and rules explain write.
type verdict struct {
	Passed  bool
	Results []wire.RuleEvaluateReply
}

func TestRulesArePutAndKept(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	c.start(t)
	path := c.file(t, "rules.yaml", rulesYAML)

	outcomes := func(args ...string) string {
		t.Helper()
		var done struct {
			Rules []struct {
				ID, Outcome string
				Version     int
			}
		}
		c.json(t, &done, append([]string{"rules", "put"}, args...)...)
		var all []string
		for _, r := range done.Rules {
			all = append(all, r.ID+" "+r.Outcome+" "+strings.Repeat("v", r.Version))
		}
		return strings.Join(all, ", ")
	}
	for _, step := range []struct{ args, want string }{
		{path + " --dry-run", "has_title created v, short_or_urgent created v"},
		{path + " --by alice", "has_title created v, short_or_urgent created v"},
		{path, "has_title unchanged v, short_or_urgent unchanged v"},
		{c.file(t, "one.json", `{"id": "has_title", "condition": {"and": [{"field_exists": "data.title"}]}}`) + " --dry-run", "has_title updated vv"},
		{filepath.Join(c.dir, "one.json") + " --by bob", "has_title updated vv"},
		{filepath.Join(c.dir, "one.json"), "has_title unchanged vv"},
	} {
		if got := outcomes(strings.Fields(step.args)...); got != step.want {
			t.Errorf("%s: got %s, want %s", step.args, got, step.want)
		}
	}
	if got := c.feed(t, "id: piped\ncondition: token.place == 'x'\n", "rules", "put", "-"); got.code != 0 || !strings.Contains(got.out, "created") {
		t.Errorf("from standard input: %+v", got)
	}

	var listed wire.RuleListReply
	eventually(t, "three rules", func() bool {
		c.json(t, &listed, "rules", "list")
		return len(listed.Rules) == 3
	})
	if out := c.ok(t, "rules", "list", "--name", "urgent"); !strings.Contains(out, "short_or_urgent") || strings.Contains(out, "has_title") {
		t.Errorf("a filtered list says:\n%s", out)
	}
	if out := c.ok(t, "rules", "list", "--tag", "document"); !strings.Contains(out, "no rules") {
		t.Errorf("the tag of the first version is still there:\n%s", out)
	}
	if out := c.ok(t, "rules", "show", "has_title", "--version", "1"); !strings.Contains(out, "There is a title.") || !strings.Contains(out, "alice") ||
		!strings.Contains(out, "condition:\n  field_exists:\n    field: data.title\n") {
		t.Errorf("show says:\n%s", out)
	}
	if out := c.ok(t, "rules", "history", "has_title"); strings.Count(out, "\n") != 3 || !strings.Contains(out, "bob") || !strings.Contains(out, "There is a title.") {
		t.Errorf("history says:\n%s", out)
	}

	c.ok(t, "deploy", c.file(t, "guarded.yaml", guardedYAML))
	if got := c.run(t, "rules", "delete", "has_title"); got.code != 4 || !strings.Contains(got.err, "guarded") {
		t.Errorf("a rule in use: %+v", got)
	}
	if got := c.run(t, "rules", "delete", "piped", "--expected-version", "7"); got.code != 4 {
		t.Errorf("another version: %+v", got)
	}
	c.ok(t, "rules", "delete", "piped")
	if got := c.run(t, "rules", "show", "piped"); got.code != 3 {
		t.Errorf("a deleted rule: %+v", got)
	}
	if out := c.ok(t, "rules", "history", "piped"); !strings.Contains(out, "token.place == 'x'") {
		t.Errorf("the history of a deleted rule says:\n%s", out)
	}
}

func TestRulesWithProblemsAskNobody(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	good := c.file(t, "good.yaml", rulesYAML)
	bad := c.file(t, "bad.yaml", strings.NewReplacer("field_exists", "field_exist", "tags", "tag").Replace(rulesYAML))
	got := c.run(t, "rules", "put", good, bad, "--server", "nats://127.0.0.1:1")
	if got.code != 2 || !strings.Contains(got.err, "both define the rule has_title") {
		t.Errorf("two files with one rule: %+v", got)
	}
	got = c.run(t, "rules", "put", bad, "--server", "nats://127.0.0.1:1")
	for _, part := range []string{"bad.yaml: 2 problems", "rules[0].tag:", "rules[0].condition.field_exist: is no kind of condition"} {
		if !strings.Contains(got.out, part) {
			t.Errorf("no %q in:\n%s", part, got.out)
		}
	}
	if got.code != 1 || got.err != "" {
		t.Errorf("ended with %d, stderr %q", got.code, got.err)
	}
	got = c.run(t, "rules", "put", good, "--request-id", "r", "--server", "nats://127.0.0.1:1")
	if got.code != 2 || !strings.Contains(got.err, "one rule at a time") {
		t.Errorf("one request id for two rules: %+v", got)
	}
}

func TestRulesAreTestedWithoutAFleet(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	path := c.file(t, "rules.yaml", rulesYAML)
	nowhere := []string{"--server", "nats://127.0.0.1:1"}

	got := c.run(t, append(nowhere, "rules", "test", path, "--data", `{"title": "Plan", "pages": 12, "urgent": true}`, "--place", "review")...)
	want := `rule has_title passed: data.title is "Plan"
rule short_or_urgent did not pass: data.pages is 12, which is not less than 10; token.place is "review", not "draft"
  no   data.pages is 12, which is not less than 10
  no   token.place is "review", not "draft"
    yes  token.data.urgent is true
    no   token.place is "review", not "draft"
`
	if got.code != 7 || got.err != "" {
		t.Errorf("ended with %d: %s", got.code, got.err)
	}
	if diff := cmp.Diff(want, got.out); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var v verdict
	decode(t, c.ok(t, append(nowhere, "rules", "test", path, "--json", "--data", `{"title": "Plan", "pages": 9}`)...), &v)
	if !v.Passed || len(v.Results) != 2 || v.Results[1].RuleID != "short_or_urgent" || len(v.Results[1].SubResults) != 2 {
		t.Errorf("got %+v", v)
	}
	for _, condition := range []string{`token.data.n == 1`, `"token.data.n == 1"`, `{"field_equals": {"field": "data.n", "value": 1}}`, `"a" + "b" == token.metadata.s`} {
		out := c.ok(t, append(nowhere, "rules", "test", "--condition", condition, "--data", `{"n": 1}`, "--metadata", `{"s": "ab"}`)...)
		if !strings.HasPrefix(out, "the condition passed: ") {
			t.Errorf("%s: %s", condition, out)
		}
	}
}

func TestGuardsSayWhy(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	c.start(t)
	if got := c.run(t, "deploy", c.file(t, "guarded.yaml", guardedYAML)); got.code != 1 || !strings.Contains(got.err, "transitions[0].rules[0]: there is no rule has_title") {
		t.Errorf("a workflow whose rules are missing: %+v", got)
	}
	c.ok(t, "rules", "put", c.file(t, "rules.yaml", rulesYAML))
	c.ok(t, "deploy", filepath.Join(c.dir, "guarded.yaml"))
	var token wire.Token
	c.json(t, &token, "token", "create", "guarded", "--data", `{"pages": 3, "score": 1}`)

	out := c.ok(t, "available", token.ID)
	for _, part := range []string{"rule has_title (version 1)", "not passed", "data.title is missing", "rule short_or_urgent (version 1)", "data.pages is 3, which is less than 10"} {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in:\n%s", part, out)
		}
	}
	got := c.run(t, "fire", token.ID, "submit")
	for _, part := range []string{
		"submit was not let through:\n", "  rule has_title (version 1) did not pass: data.title is missing\n",
		"  rule short_or_urgent (version 1) passed: data.pages is 3, which is less than 10\n",
	} {
		if !strings.Contains(got.err, part) {
			t.Errorf("no %q in:\n%s", part, got.err)
		}
	}
	if got.code != 4 || strings.Contains(got.err, "{") {
		t.Errorf("ended with %d: %s", got.code, got.err)
	}

	if got := c.run(t, "rules", "explain", "has_title", token.ID); got.code != 7 || got.out != "rule has_title (version 1) did not pass: data.title is missing\n" || got.err != "" {
		t.Errorf("explain: %+v", got)
	}
	c.ok(t, "fire", token.ID, "submit", "--data", `{"title": "Plan"}`)
	c.ok(t, "rules", "explain", "has_title", token.ID)
	var instance wire.Instance
	eventually(t, "the automatic rejection", func() bool {
		c.json(t, &instance, "instance", "get", token.ID)
		return instance.Status == wire.StatusCompleted
	})
	if history := c.ok(t, "token", "history", token.ID); !strings.Contains(history, "auto_reject") || !strings.Contains(history, "rules") {
		t.Errorf("the history says:\n%s", history)
	}
	var v verdict
	created := token.NatsSequence
	got = c.run(t, "rules", "test", filepath.Join(c.dir, "rules.yaml"), "--token", token.ID, "--as-of", fmt.Sprint(created), "--json")
	decode(t, got.out, &v)
	if got.code != 7 || v.Passed || len(v.Results) != 2 || v.Results[0].Passed || v.Results[0].RuleID != "has_title" || v.Results[0].NatsSequence != created {
		t.Errorf("as of %d: %d, %+v", created, got.code, v)
	}
	if got := c.run(t, "rules", "explain", "has_wings", token.ID); got.code != 3 {
		t.Errorf("a rule that there is not: %+v", got)
	}
}

func TestInlineConditionsAreValidatedWithoutAFleet(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	path := c.file(t, "bad.yaml", strings.Replace(guardedYAML, "token.data.score <", "token.dat.score <", 1))
	for _, command := range [][]string{{"workflow", "validate"}, {"deploy", "--server", "nats://127.0.0.1:1"}} {
		if got := c.run(t, append(command, path)...); got.code != 1 || !strings.Contains(got.out, "transitions[2].when: ") || !strings.Contains(got.out, "undefined field 'dat'") {
			t.Errorf("%v: %+v", command, got)
		}
	}
}

// The ready rules are files that put takes as they are, and so are the examples.
func TestTheExamplesCanBePut(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	c.start(t)
	for _, step := range []struct{ pattern, command string }{
		{"../../deploy/examples/rules/*.yaml", "rules put"}, {"../../deploy/examples/*/workflow.yaml", "deploy"},
	} {
		files, err := filepath.Glob(step.pattern)
		if err != nil || len(files) < 4 {
			t.Fatalf("%v, %v", files, err)
		}
		out := c.ok(t, append(strings.Fields(step.command), files...)...)
		if n := strings.Count(out, "created"); n != len(files) {
			t.Errorf("%d of %d were created:\n%s", n, len(files), out)
		}
	}
}

func TestShellsCompleteRules(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	c.start(t)
	c.ok(t, "rules", "put", c.file(t, "rules.yaml", rulesYAML))
	eventually(t, "the rules in a completion", func() bool {
		out := c.ok(t, "__complete", "rules", "show", "has")
		return strings.HasPrefix(out, "has_title\n")
	})
	if out := c.ok(t, "__complete", "rules", ""); !strings.Contains(out, "explain\t") {
		t.Errorf("the commands are completed with:\n%s", out)
	}
}
