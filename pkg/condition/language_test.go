package condition

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newTestLanguage(t testing.TB) *Language {
	t.Helper()
	f, err := New()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func newTestToken(data string) *wire.Token {
	arrived := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	return &wire.Token{
		ID: "019caa2d-6f00-8000-8000-0000000bc0de", InstanceID: "019caa2d-6f00-8000-8000-00000000c0de",
		WorkflowID: "0b5e2c7a-0e6b-4a52-9d3b-3f6c1f1f2a10", Place: "review",
		Data: json.RawMessage(data), Metadata: json.RawMessage(`{"source":"mail"}`),
		CreatedAt: arrived.Add(-time.Hour), UpdatedAt: arrived, ArrivedAt: arrived, ArrivalSequence: 17,
	}
}

func compile(t testing.TB, l *Language, text string) *Program {
	t.Helper()
	p, err := l.CompileText("condition", text)
	if err != nil {
		t.Fatalf("%s was refused: %v", text, err)
	}
	return p
}

// passes asks about a token alone.
func passes(ctx context.Context, p *Program, token *wire.Token) (bool, error) {
	return p.Passes(ctx, NewInput(Subject{Token: token}))
}

func TestPasses(t *testing.T) {
	t.Parallel()
	const data = `{"amount":1,"ratio":1.0,"big":9007199254740993,"huge":1e400,"text":"Invoice A-17","flag":true,
		"items":[{"sku":"A-1","n":2},{"sku":"B-2","n":0.5},null],"deep":{"a":{"b":[[3]]}}}`
	yes := []string{
		`token.id.startsWith("019caa2d")`,
		`token.place == "review"`,
		`token.instance_id != token.id && token.workflow_id.size() == 36`,
		`token.metadata.source == "mail"`,
		`token.arrival_sequence == 17`,
		`token.arrived_at == timestamp("2026-03-01T09:00:00Z")`,
		`token.arrived_at - token.created_at == duration("1h")`,
		`token.updated_at.getHours() == 9`,
		// Numbers compare as numbers, whatever their text.
		`token.data.amount == 1`, `token.data.amount == 1.0`, `token.data.ratio == 1`, `token.data.ratio == 1.0`,
		`token.data.amount == token.data.ratio`, `token.data.amount < 1.5`, `token.data.ratio <= 1`,
		`token.data.amount in [1.0, 2.0]`, `token.data.amount + 1 == 2`, `token.data.ratio + 0.5 == 1.5`,
		`type(token.data.amount) == int && type(token.data.ratio) == double`,
		`token.data.big == 9007199254740993`, `token.data.huge > 1.0`,
		`token.data.text.matches("^Invoice [A-Z]-[0-9]+$")`, `matches(token.data.text, "A-1")`,
		`token.data.items.exists(i, i != null && i.sku == "B-2" && i.n < 1)`,
		`token.data.items.exists(i, token.data.items.exists(j, i != j))`,
		`token.data.deep.a.b[0][0] == 3`, `token.data.deep == {"a": {"b": [[3.0]]}}`,
		`has(token.data.amount)`, `!has(token.data.absent)`, `!("absent" in token.data)`,
		// A fault on one side gives way to an answer on the other.
		`token.data.absent == 1 || token.place == "review"`,
		`token.data.flag`,
		// A missing field makes a function on it false, whatever else it is given.
		`!token.field_in("data.absent", token.data.amount)`, `!token.field_matches("data.absent", token.data.amount)`,
		`token.field_in("data.amount", [2, 1.0])`, `token.field_matches("data.text", token.data.text)`,
	}
	no := []string{
		`token.place == "draft"`, `token.data.amount > 1`, `token.data.big == 9007199254740992`,
		// What cannot be answered does not match, nor does its opposite.
		`token.data.absent == 1`, `token.data.absent != 1`, `!(token.data.absent == 1)`,
		`token.data.text > 3`, `token.data.amount + 1.5 > 0.0`, `token.data.amount / 0 == 1`, `token.data.items[9] == 1`,
		`!token.field_in("data.text", token.data.amount)`, `!token.field_matches("data.text", token.data.amount)`,
		`token.data.amount`, `token.data.text`, `token.data.deep`, `token.data.amount.matches("1")`,
		`token.data.text.matches(token.data.amount)`, `token.data.text.matches(token.data.text + "(")`,
		`timestamp(token.data.text) < token.arrived_at`, `9223372036854775807 + token.data.amount > 0`,
	}
	f, token := newTestLanguage(t), newTestToken(data)
	for where, want := range table(yes, no) {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			got, err := passes(t.Context(), compile(t, f, where), token)
			if err != nil || got != want {
				t.Fatalf("got %v, %v, want %v", got, err, want)
			}
		})
	}
}

func table(yes, no []string) map[string]bool {
	all := make(map[string]bool, len(yes)+len(no))
	for _, where := range yes {
		all[where] = true
	}
	for _, where := range no {
		all[where] = false
	}
	return all
}

func TestATokenWithoutDocumentsHasEmptyOnes(t *testing.T) {
	t.Parallel()
	got, err := passes(t.Context(), compile(t, newTestLanguage(t), `token.data == {} && !has(token.metadata.x)`), &wire.Token{})
	if err != nil || !got {
		t.Fatalf("got %v, %v", got, err)
	}
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		where, message string
		line, column   int
	}{
		"nothing":          {where: " ", message: "is empty"},
		"a syntax fault":   {where: "token.place ==\n  \"a\" &&& true", message: "Syntax error", line: 2, column: 9},
		"another variable": {where: "tokn.place == 'a'", message: "undeclared reference to 'tokn'", line: 1, column: 1},
		"another field":    {where: "token.plce == 'a'", message: "undefined field 'plce'", line: 1, column: 6},
		"a field's kind":   {where: "token.place > 3", message: "no matching overload", line: 1, column: 13},
		"a made token":     {where: "Token{} == token", message: "cannot make a Token", line: 1, column: 6},
		"no path":          {where: "token.field_exists('dta.x')", message: "begins with data. or metadata.", line: 1, column: 20},
		"all of data":      {where: "token.field_exists('data')", message: "name a field of it", line: 1, column: 20},
		"a computed path":  {where: "token.field_exists('data.' + token.place)", message: "must be written out", line: 1, column: 28},
		"no regex of ours": {where: "token.field_matches('data.x', '(')", message: "missing closing )", line: 1, column: 31},
		"bad UTF-8":        {where: "token.place == '\xff'", message: "is not written in UTF-8"},
		"another function": {where: "token.place.explode()", message: "undeclared reference to 'explode'", line: 1, column: 20},
		"a number":         {where: "1 + 1", message: "must give true or false, not int"},
		"a list":           {where: "[true]", message: "must give true or false, not list(bool)"},
		"types at odds":    {where: "'a' + 1 == 2", message: "no matching overload", line: 1, column: 5},
		"no timestamp":     {where: "token.arrived_at < timestamp('yesterday')", message: "invalid timestamp", line: 1, column: 30},
		"no regex":         {where: "token.place.matches('(')", message: "missing closing )", line: 1, column: 21},
		"a large regex":    {where: "token.place.matches('(a{100}){10}')", message: "regex_program is 500", line: 1, column: 21},
		"a long regex":     {where: "token.place.matches('" + strings.Repeat("a", 513) + "')", message: "regex_length is 512", line: 1, column: 21},
		"three loops": {
			where:   "[1].all(a, [1].all(b, [1].all(c, true)))",
			message: "comprehension exceeds nesting limit", line: 1, column: 30,
		},
		"a long text":      {where: "token.place == '" + strings.Repeat("x", maxText) + "'", message: "at most 4096"},
		"many characters":  {where: strings.Repeat("(", 2000) + "true" + strings.Repeat(")", 2000), message: "recursion limit"},
		"a deep list":      {where: strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + " == []", message: "recursion limit"},
		"a chain of calls": {where: strings.Repeat("a.b(", 900), message: "recursion limit"},
		"a long path":      {where: "token" + strings.Repeat(".a", 2000) + " == 1", message: "recursion depth"},
		"a long sum":       {where: strings.Repeat("1+", 2000) + "1 == 1", message: "recursion depth"},
		"a bare data":      {where: "1 < 2 && data.x > 1", message: "undeclared reference to 'data'; write token.data", line: 1, column: 10},
		"a bare metadata":  {where: "token.field_exists(metadata.x)", message: "; write token.metadata", line: 1, column: 20},
		"an assignment":    {where: "token.data.x = 1", message: "at: '= '; write == to compare", line: 1, column: 14},
		"an early end":     {where: "token.data.x ==", message: "column 16: the expression ends too early", line: 1, column: 16},
		"the word and":     {where: "token.data.x == 1 and true", message: "; write &&, || or !", line: 1, column: 19},
		"the word or":      {where: "token.data.x == 1\nOR true", message: "; write &&, || or !", line: 2, column: 1},
		"the word not":     {where: "'é' == 'é' && not token.data.x", message: "; write &&, || or !", line: 1, column: 19},
		"a call of not":    {where: "not(token.data.x)", message: "; write &&, || or !", line: 1, column: 4},
		"one ampersand":    {where: "token.data.x & true", message: "; write &&, || or !", line: 1, column: 14},
		"in no list":       {where: "token.field_in('data.x', 5)", message: "must be a list", line: 1, column: 26},
		"no pattern":       {where: "token.field_matches('data.x', 5)", message: "must be a text", line: 1, column: 31},
		"no words":         {where: strings.Repeat("@#$", 1300), message: "Syntax error", line: 1, column: 1},
		"quotes":           {where: strings.Repeat(`"`, 4000), message: "is no usable condition"},
	}
	f := newTestLanguage(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			_, err := f.CompileText("where", test.where)
			var refused *fault.Error
			if !errors.As(err, &refused) || refused.Code != fault.InvalidField || refused.Details["field"] != "where" {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(refused.Message, test.message) || len(refused.Message) > 2*maxMessage {
				t.Errorf("the message is %q, want one with %q", refused.Message, test.message)
			}
			line, _ := refused.Details["line"].(int)
			column, _ := refused.Details["column"].(int)
			if test.line != 0 && (line != test.line || column != test.column) {
				t.Errorf("the position is %d:%d, want %d:%d", line, column, test.line, test.column)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("the refusal took %s", took)
			}
		})
	}
}

func TestConditionsAreKept(t *testing.T) {
	t.Parallel()
	f := newTestLanguage(t)
	first := compile(t, f, `token.place == "review"`)
	if compile(t, f, `token.place == "review"`) != first {
		t.Error("the same condition was compiled again")
	}
	for i := range cachedPrograms {
		compile(t, f, `token.arrival_sequence == `+strconv.Itoa(i))
	}
	if f.programs.Len() != cachedPrograms {
		t.Errorf("%d conditions are kept, want %d", f.programs.Len(), cachedPrograms)
	}
	if compile(t, f, `token.place == "review"`) == first {
		t.Error("the oldest condition was not dropped")
	}
}

func TestLongConditionsAreNotKept(t *testing.T) {
	t.Parallel()
	l := newTestLanguage(t)
	compile(t, l, `token.place == "`+strings.Repeat("x", maxCached)+`"`)
	if _, err := l.Compile("condition", []byte(`{"in":{"field":"data.x","values":[`+strings.Repeat("1,", maxCached/2)+`1]}}`)); err != nil {
		t.Fatal(err)
	}
	if kept := l.programs.Len(); kept != 0 {
		t.Errorf("%d long conditions are kept", kept)
	}
}
