package condition

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestCanonicalForms(t *testing.T) {
	t.Parallel()
	const inner, exists = `{"field_exists":{"field":"data.x"}}`, `token.field_exists("data.x")`
	tests := []struct{ written, canonical, text string }{
		{`"token.place == \"a\""`, `{"expression":"token.place == \"a\""}`, `token.place == "a"`},
		{`{"expression": "token.place == 'a'"}`, `{"expression":"token.place == 'a'"}`, `token.place == 'a'`},
		{`{"type":"expression","expression":"1 < 2"}`, `{"expression":"1 < 2"}`, `1 < 2`},
		{`{"field_exists":"data.x"}`, inner, exists},
		{`{"field_exists":{"field":"data.x"}}`, inner, exists},
		{` {"type":"field_exists","field":"data.x"} `, inner, exists},
		{
			`{"field_equals":{"value":{"b":[1,null],"a":"<é>"},"field":"data.x"}}`, `{"field_equals":{"field":"data.x","value":{"b":[1,null],"a":"<é>"}}}`,
			`token.field_equals("data.x", {"a": "<é>", "b": [1, null]})`,
		},
		{`{"type":"field_equals","field":"data.x","value":1.50}`, `{"field_equals":{"field":"data.x","value":1.50}}`, `token.field_equals("data.x", 1.5e+00)`},
		{`{"field_greater_than":{"field":"data.x","value":-3}}`, `{"field_greater_than":{"field":"data.x","value":-3}}`, `token.field_greater_than("data.x", -3)`},
		{`{"field_less_than":{"field":"data.x","value":"b"}}`, `{"field_less_than":{"field":"data.x","value":"b"}}`, `token.field_less_than("data.x", "b")`},
		{`{"field_contains":{"field":"data.x","value":"b"}}`, `{"field_contains":{"field":"data.x","value":"b"}}`, `token.field_contains("data.x", "b")`},
		{`{"field_matches":{"field":"data[\"x y\"]","value":"\\d"}}`, `{"field_matches":{"field":"data[\"x y\"]","pattern":"\\d"}}`, `token.field_matches("data[\"x y\"]", "\\d")`},
		{`{"in":{"field":"data.x","value":[1, 2]}}`, `{"in":{"field":"data.x","values":[1,2]}}`, `token.field_in("data.x", [1, 2])`},
		{`{"type":"in","field":"data.x","values":[]}`, `{"in":{"field":"data.x","values":[]}}`, `token.field_in("data.x", [])`},
		{`{"and":[{"field_exists":"data.x"},{"expression":"true // )"}]}`, `{"and":[` + inner + `,{"expression":"true // )"}]}`, "(" + exists + ") && (true // )\n)"},
		{`{"type":"or","conditions":[{"type":"field_exists","field":"data.x"},{"field_exists":"data.x"}]}`, `{"or":[` + inner + `,` + inner + `]}`, "(" + exists + ") || (" + exists + ")"},
		{`{"type":"not","condition":{"field_exists":"data.x"}}`, `{"not":` + inner + `}`, "!(" + exists + ")"},
	}
	l := newTestLanguage(t)
	for _, test := range tests {
		t.Run(test.written, func(t *testing.T) {
			t.Parallel()
			p, err := l.Compile("condition", json.RawMessage(test.written))
			if err != nil {
				t.Fatal(err)
			}
			if string(p.Canonical()) != test.canonical || p.Text() != test.text {
				t.Errorf("got  %s  %s\nwant %s  %s", p.Canonical(), p.Text(), test.canonical, test.text)
			}
			again, err := l.Compile("condition", p.Canonical())
			if err != nil || again.Text() != p.Text() {
				t.Errorf("the canonical form gives %v, %v", again, err)
			}
		})
	}
}

func TestTreesAreRefused(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ condition, field, message string }{
		"nothing":               {``, "", "must be a text, an expression"},
		"a number":              {`17`, "", "must be a text, an expression"},
		"no JSON":               {`{"and":`, "", "is no JSON"},
		"a broken text":         {`"abc`, "", "is no JSON"},
		"bad UTF-8":             {"{\"field_exists\":\"data.\xff\"}", "", "is not written in UTF-8"},
		"an empty expression":   {`""`, "", "is empty"},
		"an empty object":       {`{}`, "", "exactly one member"},
		"two kinds":             {`{"and":[],"or":[]}`, "", "exactly one member"},
		"a kind twice":          {`{"and":[{"field_exists":"data.x"}],"and":[{"field_exists":"data.y"}]}`, ".and", "is given twice"},
		"a kind twice, escaped": {`{"or":[{"not":{"field_exists":"data.x"},"no\u0074":{"field_exists":"data.y"}}]}`, ".or[0].not", "is given twice"},
		"a value twice":         {`{"not":{"field_equals":{"field":"data.x","value":1,"value":2}}}`, ".not.field_equals.value", "is given twice"},
		"a type twice":          {`{"type":"field_exists","type":"field_equals","field":"data.x"}`, ".type", "is given twice"},
		"a name twice":          {`{"field_equals":{"field":"data.x","value":[{"a":1,"a":2}]}}`, ".field_equals.value", "has the name \"a\" twice"},
		"an unknown kind":       {`{"xor":[]}`, ".xor", "is no kind of condition; write one of"},
		"an unknown type":       {`{"type":"xor"}`, ".type", "is no kind of condition"},
		"no type":               {`{"type":1}`, ".type", "must be a text"},
		"an empty and":          {`{"and":[]}`, ".and", "at least one condition"},
		"no list":               {`{"or":{}}`, ".or", "must be a list"},
		"a tagged empty or":     {`{"type":"or","conditions":[]}`, ".conditions", "at least one condition"},
		"a tagged or alone":     {`{"type":"or"}`, ".conditions", "is missing"},
		"a member too many":     {`{"type":"not","condition":{},"field":"data.x"}`, ".field", "is not known here; possible are condition"},
		"a text in an and":      {`{"and":["true"]}`, ".and[0]", "must be an object such as"},
		"no object in a not":    {`{"not":null}`, ".not", "must be an object such as"},
		"a fault deep down":     {`{"and":[{"field_exists":"data.x"},{"field_matches":{"field":"data.x","pattern":"("}}]}`, ".and[1].field_matches.pattern", "missing closing )"},
		"no pattern":            {`{"field_matches":{"field":"data.x","pattern":1}}`, ".field_matches.pattern", "a regular expression such as"},
		"a pattern and a value": {`{"field_matches":{"field":"data.x","pattern":"a","value":"b"}}`, ".field_matches.value", "says the same as pattern"},
		"an unknown member":     {`{"field_equals":{"field":"data.x","value":1,"valu":2}}`, ".field_equals.valu", "is not known here; possible are field, value"},
		"no field":              {`{"field_equals":{"value":1}}`, ".field_equals.field", "is missing"},
		"a field of null":       {`{"field_equals":{"field":null,"value":1}}`, ".field_equals.field", "must be a text"},
		"a bad path":            {`{"field_equals":{"field":"dat.x","value":1}}`, ".field_equals.field", "begins with data. or metadata."},
		"no value":              {`{"field_equals":{"field":"data.x"}}`, ".field_equals.value", "is missing; write"},
		"no object":             {`{"field_equals":"data.x"}`, ".field_equals", "must be an object such as"},
		"greater than null":     {`{"field_greater_than":{"field":"data.x","value":null}}`, ".field_greater_than.value", "must be a number or a text"},
		"less than a list":      {`{"type":"field_less_than","field":"data.x","value":[1]}`, ".value", "must be a number or a text"},
		"in no list":            {`{"in":{"field":"data.x","values":1}}`, ".in.values", "must be a list"},
		"a huge number":         {`{"field_equals":{"field":"data.x","value":[1e400]}}`, ".field_equals.value", "which is too large; write it as a text"},
		"a huge whole number":   {`{"field_equals":{"field":"data.x","value":9223372036854775808}}`, ".field_equals.value", "which is too large"},
		"a deep value":          {`{"field_equals":{"field":"data.x","value":` + strings.Repeat("[", 17) + strings.Repeat("]", 17) + `}}`, ".field_equals.value", "nested too deeply"},
		"no expression":         {`{"expression":1}`, ".expression", "must be a text"},
		"a bad expression":      {`{"or":[{"expression":"true) || (true"}]}`, ".or[0].expression", "at line 1, column 5"},
		"an open expression":    {`{"or":[{"expression":"(true"}]}`, ".or[0].expression", "at line 1, column 6"},
		"a number expression":   {`{"not":{"expression":"1"}}`, ".not.expression", "must give true or false"},
		"a long tree":           {`{"field_equals":{"field":"data.x","value":"` + strings.Repeat("x", maxTree) + `"}}`, "", "at most 16384"},
		"many conditions":       {`{"and":[` + strings.Repeat(`{"field_exists":"data.x"},`, maxTreeParts) + `{"field_exists":"data.x"}]}`, ".and[255]", "at most 256"},
		"deep conditions":       {strings.Repeat(`{"not":`, maxTreeDepth) + `{"field_exists":"data.x"}` + strings.Repeat("}", maxTreeDepth), strings.Repeat(".not", maxTreeDepth), "at most 32 levels"},
		"deep JSON":             {strings.Repeat(`{"not":`, 1000) + `{"field_exists":"data.x"}` + strings.Repeat("}", 1000), "", "nested too deeply"},
	}
	l := newTestLanguage(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := l.Compile("condition", json.RawMessage(test.condition))
			var refused *fault.Error
			if !errors.As(err, &refused) || refused.Code != fault.InvalidField {
				t.Fatalf("got %v", err)
			}
			field := "condition" + test.field
			if refused.Details["field"] != field || !strings.HasPrefix(refused.Message, field+" ") || !strings.Contains(refused.Message, test.message) {
				t.Errorf("got %q at %v, want %q at %s", refused.Message, refused.Details["field"], test.message, field)
			}
		})
	}
}

func TestTheLargestTrees(t *testing.T) {
	t.Parallel()
	l := newTestLanguage(t)
	nested := strings.Repeat("(", 30) + "token.data.a == 1" + strings.Repeat(")", 30)
	for name, condition := range map[string]string{
		"wide":   `{"and":[` + strings.Repeat(`{"field_exists":"data.x"},`, maxTreeParts-2) + `{"field_exists":"data.x"}]}`,
		"deep":   strings.Repeat(`{"not":`, maxTreeDepth-1) + `{"expression":"` + nested + `"}` + strings.Repeat("}", maxTreeDepth-1),
		"deeper": strings.Repeat(`{"and":[`, maxTreeDepth-1) + `{"field_equals":{"field":"data.x","value":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}}` + strings.Repeat("]}", maxTreeDepth-1),
		"long":   `{"in":{"field":"data.x","values":[` + strings.Repeat("1,", 8000) + `1]}}`,
		"odd":    `{"in":{"field":"data.x","values":["` + strings.Repeat("\u0085", 8000) + `"]}}`,
	} {
		p, err := l.Compile("condition", json.RawMessage(condition))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := p.Passes(t.Context(), newTestInput()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"data":                             "name a field of it",
		"metadata":                         "name a field of it",
		"":                                 "begins with data. or metadata.",
		"date.x":                           "begins with data. or metadata.",
		"token.data.x":                     "begins with data. or metadata.",
		"datax":                            "write a dot between names",
		"data.":                            "a name is missing",
		"data..x":                          "a name is missing",
		"data.x]":                          "a name is missing, or is so odd",
		"data[-1]":                         "from 0",
		"data[1":                           "from 0",
		"data[]":                           "from 0",
		"data[x]":                          "from 0",
		"data.items[01]":                   "without leading zeros",
		`data["x]`:                         "write an odd name as a JSON string",
		`data["x"`:                         "write an odd name as a JSON string",
		`data["\`:                          "write an odd name as a JSON string",
		"data." + strings.Repeat("x", 252): "at most 256 bytes",
		"data" + strings.Repeat(".x", 33):  "at most 32 steps",
		"data" + strings.Repeat("[0]", 32): "",
		"data.x-y z":                       "",
		`metadata["a.b"][0].c`:             "",
		`data["quoted \" and \u00e9"]`:     "",
		"data.99999999999999999999":        "",
	} {
		_, err := parsePath(text)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestCheckWhens(t *testing.T) {
	t.Parallel()
	got := newTestLanguage(t).CheckWhens(&wire.Definition{Transitions: []wire.Transition{
		{ID: "a"}, {ID: "b", When: "token.data.x > 1"}, {ID: "c", When: "token.plce == 'a'"},
	}})
	want := []wire.Problem{{
		Path: "transitions[2].when", Code: InvalidCondition,
		Message: "this is no usable condition: at line 1, column 6: undefined field 'plce'",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsNeeded(t *testing.T) {
	t.Parallel()
	l := newTestLanguage(t)
	for _, test := range []struct {
		condition         string
		history, instance bool
	}{
		{`"token.place == 'a' && tokens.size() == 1"`, false, false},
		{`"token.has_transitioned_from('a')"`, true, false},
		{`"token.visits('a') > 1"`, false, true},
		{`{"and":[{"field_exists":"data.x"},{"not":{"expression":"!token.has_transitioned_from(instance.status)"}}]}`, true, true},
	} {
		p, err := l.Compile("condition", json.RawMessage(test.condition))
		if err != nil || p.NeedsHistory() != test.history || p.NeedsInstance() != test.instance {
			t.Errorf("%s: %v, %v", test.condition, p, err)
		}
	}
}

func TestTreesAreKept(t *testing.T) {
	t.Parallel()
	l := newTestLanguage(t)
	tree := json.RawMessage(fmt.Sprintf(`{"field_equals":{"field":"data.x","value":%q}}`, "a"))
	first, err := l.Compile("condition", tree)
	again, againErr := l.Compile("when", tree)
	if err != nil || againErr != nil || first != again {
		t.Errorf("the same tree was compiled again: %v, %v", err, againErr)
	}
}
