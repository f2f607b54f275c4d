package condition

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const testData = `{"amount":500,"ratio":1.0,"status":"draft","title":"Invoice A-17","urgent":true,"late":false,"none":[],
	"items":[{"sku":"A-1","n":2},{"sku":"B-2"},7,null],"customer":{"name":"Bob","a.b":1,"0":"zero"},"long":"` +
	`0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"}`

const testMetadata = `{"source":"mail","function_outputs":{"check":{"success":true,"output":{"words":12}},"park":{"success":false,"error":"no"},
	"quiet":{"success":true},"own":{"words":3},"text":"done","odd":{"success":"yes"}},"agent_outputs":{"writer":{"success":true,"output":"text"}}}`

// newTestInput is a token with its instance and history, one hour after it arrived.
func newTestInput() *Input {
	token := newTestToken(testData)
	token.Metadata = json.RawMessage(testMetadata)
	other := newTestToken(`{"status":"other"}`)
	other.ID, other.Place = "019caa2d-6f00-8000-8000-0000000cc0de", "waiting"
	return NewInput(Subject{
		Token: token, Tokens: []*wire.Token{token, other}, Now: token.ArrivedAt.Add(time.Hour),
		Instance: &wire.Instance{
			ID: token.InstanceID, WorkflowID: token.WorkflowID, WorkflowVersion: 3, Status: wire.StatusActive,
			Tokens: []wire.Token{*token, *other}, Visits: map[string]int{"draft": 2, "review": 1}, CreatedAt: token.CreatedAt,
		},
		History: []wire.TransitionRecord{
			{FromPlace: "inbox", ToPlace: "inbox", TransitionID: "create"},
			{FromPlace: "inbox", ToPlace: "draft", TransitionID: "accept"},
			{FromPlace: "lobby", ToPlace: "lobby", TransitionID: "create"},
			{FromPlace: "side_door", ToPlace: "side_door", TransitionID: "inject"},
			{FromPlace: "draft", ToPlace: "review", TransitionID: "create"},
		},
	})
}

func TestExplain(t *testing.T) {
	t.Parallel()
	tests := []struct {
		condition string
		passed    bool
		text      string
	}{
		// A tree's conditions on fields.
		{`{"field_exists":"data.customer.name"}`, true, `data.customer.name is "Bob"`},
		{`{"field_exists":{"field":"data.reviewer"}}`, false, `data.reviewer is missing`},
		{`{"field_exists":"data.amount.below"}`, false, `data.amount.below is missing`},
		{`{"field_exists":"data.items[3]"}`, true, `data.items[3] is null`},
		{`{"field_exists":"data.items[4]"}`, false, `data.items[4] is missing`},
		{`{"field_exists":"data.long"}`, true, `data.long is "0123456789012345678901234567890123456789012345678901234567890123456789012345678…`},
		{`{"field_equals":{"field":"data.status","value":"draft"}}`, true, `data.status is "draft"`},
		{`{"field_equals":{"field":"data.status","value":"approved"}}`, false, `data.status is "draft", not "approved"`},
		{`{"field_equals":{"field":"data.absent","value":null}}`, false, `data.absent is missing`},
		{`{"field_equals":{"field":"data.amount","value":500.0}}`, true, `data.amount is 500`},
		{`{"field_equals":{"field":"data.amount","value":"500"}}`, false, `data.amount is 500, not "500"`},
		{`{"field_equals":{"field":"data.items[0]","value":{"n":2.0,"sku":"A-1"}}}`, true, `data.items[0] is {"sku":"A-1","n":2}`},
		{`{"field_equals":{"field":"metadata.source","value":"mail"}}`, true, `metadata.source is "mail"`},
		{`{"field_greater_than":{"field":"data.amount","value":1000}}`, false, `data.amount is 500, which is not greater than 1000`},
		{`{"field_greater_than":{"field":"data.amount","value":499.5}}`, true, `data.amount is 500, which is greater than 499.5`},
		{`{"field_greater_than":{"field":"data.status","value":3}}`, false, `data.status is "draft": a text and a number cannot be compared`},
		{`{"field_less_than":{"field":"data.status","value":"e"}}`, true, `data.status is "draft", which is less than "e"`},
		{`{"field_less_than":{"field":"data.absent","value":3}}`, false, `data.absent is missing`},
		{`{"field_contains":{"field":"data.title","value":"A-1"}}`, true, `data.title is "Invoice A-17", which contains "A-1"`},
		{`{"field_contains":{"field":"data.items","value":7.0}}`, true, `data.items is [{"sku":"A-1","n":2},{"sku":"B-2"},7,null], which contains 7`},
		{`{"field_contains":{"field":"data.customer","value":"name"}}`, true, `data.customer is {"name":"Bob","a.b":1,"0":"zero"}, which contains "name"`},
		{`{"field_contains":{"field":"data.title","value":17}}`, false, `data.title is "Invoice A-17": a text cannot contain a number`},
		{`{"field_contains":{"field":"data.amount","value":5}}`, false, `data.amount is 500: a number cannot contain anything`},
		{`{"field_matches":{"field":"data.title","pattern":"^Invoice"}}`, true, `data.title is "Invoice A-17", which matches "^Invoice"`},
		{`{"field_matches":{"field":"data.title","pattern":"^A"}}`, false, `data.title is "Invoice A-17", which does not match "^A"`},
		{`{"field_matches":{"field":"data.amount","pattern":"5"}}`, false, `data.amount is 500: a number cannot be matched with a pattern`},
		{`{"in":{"field":"data.status","values":["draft","review"]}}`, true, `data.status is "draft", which is one of ["draft","review"]`},
		{`{"in":{"field":"data.amount","values":[]}}`, false, `data.amount is 500, which is none of []`},
		{`{"in":{"field":"data.customer[\"a.b\"]","values":[1.0]}}`, true, `data.customer["a.b"] is 1, which is one of [1]`},
		// A number is an index where it meets a list, a name where it meets an object.
		{`{"field_equals":{"field":"data.items.0.sku","value":"A-1"}}`, true, `data.items.0.sku is "A-1"`},
		{`{"field_equals":{"field":"data.items[0].sku","value":"A-1"}}`, true, `data.items[0].sku is "A-1"`},
		{`{"field_equals":{"field":"data.customer.0","value":"zero"}}`, true, `data.customer.0 is "zero"`},
		{`{"field_exists":"data.customer[0]"}`, false, `data.customer[0] is missing`},
		// Joined.
		{`{"and":[{"field_exists":"data.a"},{"field_exists":"data.b"},{"field_exists":"data.status"}]}`, false, `data.a is missing; data.b is missing`},
		{`{"or":[{"field_exists":"data.a"},{"field_exists":"data.status"},{"field_exists":"data.amount"}]}`, true, `data.status is "draft"`},
		{`{"or":[{"field_exists":"data.a"},{"field_exists":"data.b"}]}`, false, `data.a is missing; data.b is missing`},
		{`{"not":{"field_exists":"data.a"}}`, true, `data.a is missing`},
		{`{"not":{"field_equals":{"field":"data.status","value":"draft"}}}`, false, `data.status is "draft", and that must not be`},
		{`{"not":{"field_less_than":{"field":"data.status","value":1}}}`, false, `data.status is "draft": a text and a number cannot be compared`},
		{`{"not":{"not":{"field_exists":"data.status"}}}`, true, `data.status is "draft"`},
		{`{"not":{"not":{"field_exists":"data.a"}}}`, false, `data.a is missing, and that must not be`},
		{`{"not":{"and":[{"field_exists":"data.amount"},{"not":{"field_exists":"data.status"}}]}}`, true, `data.status is "draft"`},
		{`{"not":{"or":[{"not":{"field_exists":"data.a"}},{"field_exists":"data.b"}]}}`, false, `data.a is missing, and that must not be`},
		{`{"or":[{"expression":"token.data.amount > 1 // )"},{"field_exists":"data.a"}]}`, true, `token.data.amount is 500, which is > 1`},
		// Expressions.
		{`"token.data.amount > 1000"`, false, `token.data.amount is 500, which is not > 1000`},
		{`"1000 > token.data.amount"`, true, `token.data.amount is 500, which is < 1000`},
		{`"token.data.absent > 1000"`, false, `token.data.absent is missing`},
		{`"token.data.absent.below == 1"`, false, `token.data.absent is missing`},
		{`"token.data.status > 1000"`, false, `token.data.status is "draft", which cannot be compared with 1000`},
		{`"token.data.status == \"draft\""`, true, `token.data.status is "draft"`},
		{`"token.data.status == \"review\""`, false, `token.data.status is "draft", not "review"`},
		{`"token.data.status != \"draft\""`, false, `token.data.status is "draft"`},
		{`"token.data.status != token.place"`, true, `token.data.status is "draft", not token.place ("review")`},
		{`"token.place in [\"draft\", \"parked\"]"`, false, `token.place is "review", which is not in ["draft","parked"]`},
		{`"token.place == \"review\" && token.data.amount < 10 && token.data.ratio == 2"`, false, `token.data.amount is 500, which is not < 10; token.data.ratio is 1, not 2`},
		{`"token.place == \"review\" && token.data.urgent"`, true, `token.place is "review"; token.data.urgent is true`},
		{`"token.place == \"draft\" || token.data.late"`, false, `token.place is "review", not "draft"; token.data.late is false`},
		{`"token.place == \"review\" || token.data.absent"`, true, `token.place is "review"`},
		{`"!(token.place == \"review\")"`, false, `token.place is "review", and that must not be`},
		{`"has(token.data.absent) && token.data.absent > 3"`, false, `token.data.absent is missing`},
		{`"has(token.data.amount)"`, true, `token.data.amount is present`},
		{`"has(token.data.customer.name) ? token.data.late : true"`, false, `token.data.late is false`},
		{`"token.data.title.startsWith(\"A\")"`, false, `token.data.title.startsWith("A") is false (token.data.title is "Invoice A-17")`},
		{`"token.data.items.exists(i, i == 8)"`, false, `token.data.items.exists(i, i == 8) is false`},
		{`"token.data.amount / 0 == 1"`, false, `token.data.amount / 0 == 1 cannot be evaluated: division by zero`},
		{`"(has(token.data.x) ? token.data.x : 0) / 0 == 1"`, false, `(has(token.data.x) ? token.data.x : 0) / 0 == 1 cannot be evaluated: division by zero`},
		{`"(has(token.data.amount) ? token.data.x : token.data.y) > 1"`, false, `token.data.x is missing`},
		{`"((token.data.x > 1 || true) ? 1 : 2) / 0 == token.data.amount"`, false, `((token.data.x > 1 || true) ? 1 : 2) / 0 == token.data.amount cannot be evaluated: division by zero`},
		{`"(token.data.x > 1 ? 1 : 2) == 2"`, false, `token.data.x is missing`},
		{`"token.data.items.all(i, i == null || i.sku != \"\" && i.n > 0)"`, false, `token.data.items.all(i, i == null || i.sku != "" && i.n > 0) cannot be evaluated: the member n is missing`},
		{`"token.data.status"`, false, `token.data.status is "draft", which is neither true nor false`},
		{`"token.arrived_at > timestamp(\"2026-03-02T00:00:00Z\")"`, false, `token.arrived_at is 2026-03-01T09:00:00Z, which is not > 2026-03-02T00:00:00Z`},
		// What the functions of a token say.
		{`"token.has_transitioned_from(\"draft\")"`, true, `the token has left draft before`},
		{`"token.has_transitioned_from(\"inbox\")"`, true, `the token has left inbox before`},
		{`"token.has_transitioned_from(\"lobby\")"`, false, `the token has never left lobby`},
		{`"token.has_transitioned_from(\"side_door\")"`, false, `the token has never left side_door`},
		{`"tokens[1].has_transitioned_from(\"draft\")"`, false, `tokens[1].has_transitioned_from("draft") cannot be evaluated: only the variable token has a history, not other tokens`},
		{`"token.function_succeeded(\"check\")"`, true, `the function check has succeeded`},
		{`"token.function_succeeded(\"park\")"`, false, `the function park has not succeeded`},
		{`"token.function_succeeded(\"own\")"`, false, `the function own has not succeeded`},
		{`"token.function_succeeded(\"odd\")"`, false, `the function odd has not succeeded`},
		{`"token.function_output_exists(\"check\")"`, true, `the function check has left an output`},
		{`"token.function_output_exists(\"park\")"`, false, `the function park has left no output`},
		{`"token.function_output_exists(\"quiet\")"`, false, `the function quiet has left no output`},
		{`"token.function_output_exists(\"nobody\")"`, false, `the function nobody has left no output`},
		{`"token.function_output(\"check\").words == 12"`, true, `token.function_output("check").words is 12`},
		{`"token.function_output(\"own\").words == 3"`, true, `token.function_output("own").words is 3`},
		{`"token.function_output(\"text\") == \"done\""`, true, `token.function_output("text") is "done"`},
		{`"token.function_output(\"park\") == 1"`, false, `token.function_output("park") == 1 cannot be evaluated: the function "park" has left no output`},
		{
			`"token.agent_output(\"writer\") == \"text\" && token.agent_output_exists(\"writer\") && token.agent_succeeded(\"writer\")"`, true,
			`token.agent_output("writer") is "text"; the agent writer has left an output; the agent writer has succeeded`,
		},
		{`"token.agent_succeeded(\"check\")"`, false, `the agent check has not succeeded`},
		{`"token.visits(\"draft\") > 2"`, false, `token.visits("draft") is 2, which is not > 2`},
		{`"token.age() > duration(\"3h\")"`, false, `token.age() is 2h0m0s, which is not > 3h0m0s`},
		{`"token.time_in_place() == duration(\"1h\")"`, true, `token.time_in_place() is 1h0m0s`},
		{`"token.field_equals(\"data.status\", \"x\")"`, false, `data.status is "draft", not "x"`},
		{`"token.field_in(\"data.status\", token.data.amount)"`, false, `data.status is "draft": a number is no list`},
		{`"token.field_in(\"data.status\", [token.place])"`, false, `data.status is "draft", which is none of ["review"]`},
		{`"token.field(\"data.items[1].sku\") == \"B-2\""`, true, `token.field("data.items[1].sku") is "B-2"`},
		{`"token.field(\"data.absent\") == 1"`, false, `token.field("data.absent") == 1 cannot be evaluated: data.absent is missing`},
		// The other variables.
		{`"tokens.size() == 2 && tokens[1].place == \"waiting\""`, true, `tokens.size() is 2; tokens[1].place is "waiting"`},
		{`"tokens[1].field_equals(\"data.status\", \"draft\")"`, false, `tokens[1].data.status is "other", not "draft"`},
		{`"tokens.exists(t, t.field_equals(\"data.status\", \"other\"))"`, true, `tokens.exists(t, t.field_equals("data.status", "other")) is true`},
		{`"instance.status == \"active\" && instance.workflow_version == 3"`, true, `instance.status is "active"; instance.workflow_version is 3`},
		{`"instance.visits[\"draft\"] == 2"`, true, `instance.visits["draft"] is 2`},
		{`"instance.visits[\"lobby\"] == 2"`, false, `instance.visits["lobby"] is missing`},
		{
			`"instance.tokens.all(t, t.workflow_id == instance.workflow_id) && instance.tokens[0] == token"`, true,
			`instance.tokens.all(t, t.workflow_id == instance.workflow_id) is true; instance.tokens[0] is the token 019caa2d-6f00-8000-8000-0000000bc0de, as token (the token 019caa2d-6f00-8000-8000-0000000bc0de)`,
		},
	}
	l := newTestLanguage(t)
	for _, test := range tests {
		t.Run(test.condition, func(t *testing.T) {
			t.Parallel()
			p, err := l.Compile("condition", json.RawMessage(test.condition))
			if err != nil {
				t.Fatal(err)
			}
			e, err := p.Explain(t.Context(), newTestInput())
			if err != nil {
				t.Fatal(err)
			}
			if e.Passed != test.passed || e.Text != test.text {
				t.Errorf("got  %t: %s\nwant %t: %s", e.Passed, e.Text, test.passed, test.text)
			}
		})
	}
}

func TestWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	l, empty := newTestLanguage(t), NewInput(Subject{})
	for text, want := range map[string]string{
		`token.age() > duration("1h")`:                                              `token.age() > duration("1h") cannot be evaluated: it is not known when the token was created`,
		`token.time_in_place() > duration("1h")`:                                    `token.time_in_place() > duration("1h") cannot be evaluated: it is not known when the token arrived in its place`,
		`instance.tokens == tokens`:                                                 `instance.tokens is [the token ], as tokens ([the token ])`,
		`instance.id == "" && instance.visits == {} && instance.tokens.size() == 1`: `instance.id is ""; instance.visits is {}; instance.tokens.size() is 1`,
		`token.visits("draft") == 0`:                                                `token.visits("draft") is 0`,
	} {
		if e, err := compile(t, l, text).Explain(t.Context(), empty); err != nil || e.Text != want {
			t.Errorf("%s: got %v, %v, want %q", text, e, err, want)
		}
	}
	broken := NewInput(Subject{Token: &wire.Token{Data: json.RawMessage(`{"a":`), Metadata: json.RawMessage(`[1]`)}})
	for _, text := range []string{`has(token.data.a)`, `!has(token.data.a)`, `token.field_exists("data.a")`, `token.function_output_exists("f")`, `token.function_succeeded("f")`, `token.metadata == {}`} {
		if passed, err := compile(t, l, text).Passes(t.Context(), broken); passed || err != nil {
			t.Errorf("%s passes over what is no JSON: %t, %v", text, passed, err)
		}
	}
}

func TestPartsMirrorTheCondition(t *testing.T) {
	t.Parallel()
	leaf := func(passed bool, text string) Explanation { return Explanation{Passed: passed, Text: text} }
	want := Explanation{Text: "data.a is missing", Parts: []Explanation{
		{Passed: true, Text: `data.b is missing`, Parts: []Explanation{leaf(false, "data.b is missing")}},
		{Text: "data.a is missing", Parts: []Explanation{leaf(false, "data.a is missing")}},
		{Passed: true, Text: `token.data.urgent is true; token.place is "review"; token.data.ratio is 1`, Parts: []Explanation{
			leaf(true, "token.data.urgent is true"), leaf(true, `token.place is "review"`), leaf(true, "token.data.ratio is 1"),
		}},
	}}
	p, err := newTestLanguage(t).Compile("condition", json.RawMessage(`{"and":[{"not":{"field_exists":"data.b"}},{"or":[{"field_exists":"data.a"}]},
		{"expression":"token.data.urgent && (token.place == \"review\" && token.data.ratio == 1)"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := p.Explain(t.Context(), newTestInput())
	if err != nil || cmp.Diff(want, got) != "" {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got))
	}
}

func TestExplanationsAreBounded(t *testing.T) {
	t.Parallel()
	l := newTestLanguage(t)
	deep := strings.Repeat(`{"not":`, maxTreeDepth-1) + `{"field_exists":"data.a"}` + strings.Repeat("}", maxTreeDepth-1)
	wide := `{"and":[` + strings.TrimSuffix(strings.Repeat(`{"or":[{"field_exists":"data.`+strings.Repeat("x", 200)+`"}]},`, 60), ",") + `]}`
	for _, condition := range []string{deep, wide, fmt.Sprintf("%q", strings.Repeat("token.data.a == 1 || ", 150)+"false")} {
		p, err := l.Compile("condition", json.RawMessage(condition))
		if err != nil {
			t.Fatal(err)
		}
		e, err := p.Explain(t.Context(), newTestInput())
		if err != nil {
			t.Fatal(err)
		}
		parts, levels := count(t, e)
		if parts-1 > maxParts || levels-1 > maxPartDepth {
			t.Errorf("%d parts, %d levels deep", parts-1, levels-1)
		}
	}
	e, err := compile(t, l, `token.data.list.all(a, token.data.list.all(b, a == b))`).Explain(t.Context(), NewInput(Subject{Token: newTestToken(newTestLargeData())}))
	if err != nil || e.Passed || !strings.Contains(e.Text, "too much work") {
		t.Errorf("a limit is explained as %v, %v", e, err)
	}
	// What is fast with a short circuit still passes where everything would take too much.
	shortcut := compile(t, l, `token.place == "review" || token.data.list.all(a, token.data.list.all(b, a == b))`)
	e, err = shortcut.Explain(t.Context(), NewInput(Subject{Token: newTestToken(newTestLargeData())}))
	if err != nil || !e.Passed || e.Text == "" {
		t.Errorf("a short circuit is explained as %v, %v", e, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := shortcut.Explain(ended, newTestInput()); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context gives %v", err)
	}
}

func count(t *testing.T, e Explanation) (parts, levels int) {
	t.Helper()
	if len(e.Text) > maxReason+len("…") {
		t.Errorf("a text of %d bytes", len(e.Text))
	}
	parts = 1
	for _, part := range e.Parts {
		p, l := count(t, part)
		parts, levels = parts+p, max(levels, l)
	}
	return parts, levels + 1
}
