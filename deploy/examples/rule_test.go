package examples

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Every ready rule lets one document pass and another not, and says why in these words.
func TestReadyRulesSayWhy(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ passes, why, fails, whyNot string }{
		"has_title":   {`{"title": "Plan"}`, `data.title is "Plan", which matches "\\S"`, `{"title": " "}`, `data.title is " ", which does not match "\\S"`},
		"has_content": {`{"content": "So be it."}`, `data.content is "So be it.", which matches "\\S"`, `{}`, `data.content is missing`},
		"has_reviewer": {
			`{"reviewer": "carol"}`, `data.reviewer is "carol"`, `{"approver": "dan"}`, `data.reviewer is missing`,
		},
		"has_approver": {
			`{"approver": {"name": "dan"}}`, `data.approver is {"name":"dan"}`, `{}`, `data.approver is missing`,
		},
		"status_is_approved": {
			`{"status": "approved"}`, `data.status is "approved"`, `{"status": "draft"}`, `data.status is "draft", not "approved"`,
		},
		"high_priority": {
			`{"priority": 7}`, `data.priority is 7, which is greater than 6`, `{"priority": 6}`, `data.priority is 6, which is not greater than 6`,
		},
		"critical_priority": {
			`{"priority": 8.5}`, `data.priority is 8.5, which is greater than 8`,
			`{"priority": "high"}`, `data.priority is "high": a text and a number cannot be compared`,
		},
		"tests_passed": {
			`{"tests": {"passed": 41, "failed": 0}}`, `data.tests.passed is 41, which is greater than 0; data.tests.failed is 0`,
			`{"tests": {"passed": 40, "failed": 1}}`, `data.tests.failed is 1, not 0`,
		},
		"no_security_flags": {
			`{"security_flags": []}`, `token.data.security_flags.size() is 0`,
			`{"security_flags": ["CVE-1"]}`, `token.data.security_flags is present, and that must not be; token.data.security_flags.size() is 1, not 0`,
		},
		"different_approvers": {
			`{"approvals": {"first": "ann", "second": "bob"}}`, `token.data.approvals.first is "ann", not token.data.approvals.second ("bob")`,
			`{"approvals": {"first": "ann", "second": "ann"}}`, `token.data.approvals.first is "ann", as token.data.approvals.second ("ann")`,
		},
		"parcel_is_labelled": {
			`{"parcel": "P-1", "carrier": "post"}`, `data.parcel is "P-1"; data.carrier is "post", which is one of ["post","courier"]`,
			`{"carrier": "pigeon"}`, `data.parcel is missing; data.carrier is "pigeon", which is none of ["post","courier"]`,
		},
	}
	library, err := Library()
	if err != nil {
		t.Fatal(err)
	}
	if len(library) != len(tests) {
		t.Errorf("%d rules, %d tests", len(library), len(tests))
	}
	language := newTestLanguage(t)
	for _, rule := range library {
		t.Run(rule.ID, func(t *testing.T) {
			t.Parallel()
			program, err := language.Compile("condition", rule.Condition)
			if err != nil {
				t.Fatal(err)
			}
			test := tests[rule.ID]
			for _, c := range []struct {
				data, text string
				passed     bool
			}{{test.passes, test.why, true}, {test.fails, test.whyNot, false}} {
				in := condition.NewInput(condition.Subject{Token: &wire.Token{Data: json.RawMessage(c.data)}})
				if said, err := program.Explain(t.Context(), in); err != nil || said.Passed != c.passed || said.Text != c.text {
					t.Errorf("%s: got %t, %q, %v; want %t, %q", c.data, said.Passed, said.Text, err, c.passed, c.text)
				}
			}
		})
	}
}

func TestReadyRulesAreDescribed(t *testing.T) {
	t.Parallel()
	library, err := Library()
	if err != nil {
		t.Fatal(err)
	}
	readme := newTestText(t, "rules/README.md")
	for _, rule := range library {
		if rule.Description == "" || len(rule.Tags) == 0 || !wire.ValidName(rule.ID) {
			t.Errorf("%+v lacks something", rule)
		}
		if !strings.Contains(readme, "`"+rule.ID+"`") {
			t.Errorf("the README does not name %s", rule.ID)
		}
		if _, err := files.Open("rules/" + rule.ID + ".yaml"); err != nil {
			t.Errorf("%s lies in a file of another name", rule.ID)
		}
	}
}

func TestRulesAreThoseThatADefinitionNames(t *testing.T) {
	t.Parallel()
	def := &wire.Definition{Transitions: []wire.Transition{
		{ID: "a", Rules: []string{"tests_passed", "has_title"}}, {ID: "b", Rules: []string{"has_title"}},
	}}
	rules, err := Rules(def)
	ids := make([]string, len(rules))
	for i, r := range rules {
		ids[i] = r.ID
	}
	if err != nil || !slices.Equal(ids, []string{"has_title", "tests_passed"}) {
		t.Errorf("got %v, %v", ids, err)
	}
	def.Transitions[1].Rules = []string{"has_wings"}
	if _, err := Rules(def); err == nil || !strings.Contains(err.Error(), "has_wings") {
		t.Errorf("an unknown rule gives %v", err)
	}
}
