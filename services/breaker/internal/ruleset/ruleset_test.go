package ruleset_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ruleset"
)

func newTestLanguage(t *testing.T) *condition.Language {
	t.Helper()
	language, err := condition.New()
	if err != nil {
		t.Fatal(err)
	}
	return language
}

const sound = `
id: has_reviewer
description: Somebody is to review it.
workflow_id: review
condition: { and: [{ field_exists: data.reviewer }, { expression: token.data.pages < 100 }] }
tags: [review, people]
`

func TestOneRuleOrAList(t *testing.T) {
	t.Parallel()
	language := newTestLanguage(t)
	one := ruleset.Parse(language, "one.yaml", []byte(sound))
	if len(one.Problems) > 0 || len(one.Rules) != 1 || one.Rules[0].Program == nil {
		t.Fatalf("got %+v", one)
	}
	want := wire.RuleCreateRequest{ID: "has_reviewer", Description: "Somebody is to review it.", WorkflowID: "review", Tags: []string{"review", "people"}}
	got := one.Rules[0].RuleCreateRequest
	got.Condition = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	list := ruleset.Parse(language, "list.json", []byte(`{"rules": [{"id": "a", "condition": "token.place == \"x\""}, {"id": "b", "condition": {"field_exists": "data.x"}}]}`))
	if len(list.Problems) > 0 || len(list.Rules) != 2 || list.Rules[1].ID != "b" {
		t.Errorf("got %+v", list)
	}
}

func TestEveryProblemHasItsPath(t *testing.T) {
	t.Parallel()
	file := ruleset.Parse(newTestLanguage(t), "bad.yaml", []byte(`
name: x
rules:
  - { id: Has, condition: { field_exist: data.a } }
  - { condition: token.dat == 1, tag: [a] }
  - { id: when, condition: true }
  - { id: b, description: [1], tags: a }
  - 7
  - { id: b, condition: { and: [{ field_exists: data.a }, { field_matches: { field: data.b, pattern: "(" } }] } }
  - { id: 5, condition: { field_equals: { field: data.a, value: 1, valu: 2 } } }
`))
	var got []string
	for _, p := range file.Problems {
		got = append(got, p.Path+" "+p.Code)
	}
	want := []string{
		"name unknown_key",
		"rules[0].id invalid_id",
		"rules[0].condition.field_exist invalid_condition",
		"rules[1].tag unknown_key",
		"rules[1].id missing",
		"rules[1].condition invalid_condition",
		"rules[2].id invalid_id",
		"rules[2].condition invalid_condition",
		"rules[3].description wrong_type",
		"rules[3].tags wrong_type",
		"rules[3].condition missing",
		"rules[4] wrong_type",
		"rules[5].id duplicate_id",
		"rules[5].condition.and[1].field_matches.pattern invalid_condition",
		"rules[6].id wrong_type",
		"rules[6].condition.field_equals.valu invalid_condition",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s\n%v", diff, file.Problems)
	}
}

func TestWhatHoldsNoRules(t *testing.T) {
	t.Parallel()
	language := newTestLanguage(t)
	for name, raw := range map[string]string{
		"empty": "", "text": "hello", "list": "- a\n", "no rules": "rules: []\n", "null": "rules:\n", "broken": `{"id": "x"`,
		"two documents": sound + "---\nid: other\n", "duplicate": sound + "id: again\n", "rules is an object": "rules: { id: a }\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if file := ruleset.Parse(language, "x", []byte(raw)); len(file.Problems) == 0 {
				t.Errorf("%q passed as %+v", raw, file.Rules)
			}
		})
	}
}

// A stored rule is the same however it came to say so, and another for any difference.
func TestSame(t *testing.T) {
	t.Parallel()
	language := newTestLanguage(t)
	rule := ruleset.Parse(language, "one.yaml", []byte(sound)).Rules[0]
	stored := wire.Rule{
		ID: "has_reviewer", Description: "Somebody is to review it.", WorkflowID: "review", Tags: []string{"people", "review"},
		// < as the service's encoder writes it.
		Condition: json.RawMessage(`{"and":[{"field_exists":{"field":"data.reviewer"}},{"expression":"token.data.pages \u003c 100"}]}`),
	}
	if !rule.Same(language, &stored) {
		t.Error("the same rule counts as different")
	}
	for name, change := range map[string]func(*wire.Rule){
		"description": func(r *wire.Rule) { r.Description = "" },
		"workflow":    func(r *wire.Rule) { r.WorkflowID = "" },
		"tags":        func(r *wire.Rule) { r.Tags = r.Tags[:1] },
		"condition":   func(r *wire.Rule) { r.Condition = json.RawMessage(`"token.data.pages < 100"`) },
		"unusable":    func(r *wire.Rule) { r.Condition = json.RawMessage(`{"future": 1}`) },
	} {
		other := stored
		change(&other)
		if rule.Same(language, &other) {
			t.Errorf("another %s counts as the same", name)
		}
	}
}

func TestReadTakesStandardInput(t *testing.T) {
	t.Parallel()
	file, err := ruleset.Read(newTestLanguage(t), "-", strings.NewReader(sound))
	if err != nil || len(file.Problems) > 0 || file.Path != "-" {
		t.Errorf("got %+v, %v", file, err)
	}
	if _, err := ruleset.Read(newTestLanguage(t), "/nowhere/x.yaml", nil); err == nil {
		t.Error("a file that does not exist was read")
	}
}

func Example() {
	language, err := condition.New()
	if err != nil {
		panic(err)
	}
	file := ruleset.Parse(language, "rules.yaml", []byte("id: urgent\ncondition: { field_greater: { field: data.priority, value: 7 } }\n"))
	for _, p := range file.Problems {
		fmt.Println(p.Path, p.Code)
	}
	// Output: condition.field_greater invalid_condition
}
