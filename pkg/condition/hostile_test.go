package condition

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

// newTestLargeData is about as large as an instance's state may be.
func newTestLargeData() string {
	return fmt.Sprintf(`{"text":%q,"list":[%s1],"pattern":%q,"program":"(a{100}){10}","o":{"a":[2]},"lists":[%s[]]}`,
		strings.Repeat("a", 1_400_000), strings.Repeat("1,", 100_000), strings.Repeat("(a?){50}", 100),
		strings.Repeat("["+strings.Repeat("1,", 1000)+"1],", 300))
}

func TestHostileConditionsAreStopped(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("token.data.list+", 40) + "[]"
	many := func(part string) string { return "[" + strings.Repeat(part+", ", 39) + part + "]" }
	tests := map[string]struct{ where, limit string }{
		"two loops":                {`token.data.list.all(a, token.data.list.all(b, a == b))`, "condition_cost"},
		"two loops that build":     {`token.data.list.map(a, token.data.list.map(b, [a, b])).size() > 0`, "condition_cost"},
		"one long loop":            {`token.data.list.all(a, [a, a, a, a] == [a, a, a, a])`, "condition_cost"},
		"text in a loop":           {`token.data.list.map(a, token.data.text + token.data.text).size() > 0`, "condition_cost"},
		"text that doubles":        {`[token.data.text + token.data.text].map(x, x + x).map(x, x + x + x + x).size() > 0`, "condition_cost"},
		"text scanned in a loop":   {`token.data.list.all(a, token.data.text.size() > 0 && token.data.text.size() > 1)`, "condition_cost"},
		"lists compared":           {`token.data.list.all(a, token.data == token.data)`, "condition_cost"},
		"a long search":            {`token.data.list.exists(a, token.data.text.contains(token.data.text + "b"))`, "condition_cost"},
		"a slow regex":             {`token.data.text.matches("(a?){40}b")`, "regex_steps"},
		"regexes in a loop":        {`token.data.list.exists(a, token.place.matches("(.*){20}x") || token.id.matches("(.*){30}x"))`, "condition_cost"},
		"lists compared at length": {strings.Repeat("token.data.list == token.metadata.list && ", 60) + "true", "condition_cost"},
		"lists of lists compared": {
			"[" + strings.Repeat("token.data.list, ", 60) + "] == [" + strings.Repeat("token.metadata.list, ", 60) + "]", "condition_cost",
		},
		"ours in a loop":      {`token.data.list.all(a, !token.field_contains("data.text", "b"))`, "condition_cost"},
		"our slow regex":      {`token.field_matches("data.text", "(a?){40}b")`, "regex_steps"},
		"our long pattern":    {`token.field_matches("metadata.source", token.data.pattern)`, "regex_length"},
		"our deep comparison": {`token.data.list.all(a, token.field_equals("data.list", token.metadata.list))`, "condition_cost"},
		"our long list":       {`token.data.list.all(a, token.field_in("metadata.source", token.data.list) || true)`, "condition_cost"},
		"searches":            {strings.Repeat("token.data.o in token.data.lists || ", 100) + "false", "condition_cost"},
		"searches in a loop":  {"[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15].exists(x, " + strings.Repeat("token.data.o in token.data.lists || ", 100) + "false)", "condition_cost"},
		"searches of texts":   {"token.data.list.exists(x, token.data.text in [token.metadata.text])", "condition_cost"},
		"sums of texts":       {strings.Repeat("(token.data.text + token.data.text).size() < 0 || ", 80) + "false", "condition_cost"},
		"texts in order":      {"token.data.list.exists(x, token.data.text < token.metadata.text)", "condition_cost"},
		"texts as numbers":    {"token.data.list.exists(x, string(double(token.data.text)) == '')", "condition_cost"},
		"time zones":          {"token.data.list.exists(x, token.created_at.getHours(token.metadata.text) == 1)", "condition_cost"},
		"sums of lists":       {sum + " == " + sum, "condition_cost"},
		"our sums of lists":   {`token.field_in("data.o", ` + sum + ")", "condition_cost"},
		"lists of lists, bound": {
			"[[" + many("token.data.list") + ", " + many("token.metadata.list") + "]].exists(x, [[" + many("x[0]") + ", " + many("x[1]") +
				"]].exists(y, " + many("y[0]") + " == " + many("y[1]") + "))", "condition_memory",
		},
		"a long pattern":  {`token.place.matches(token.data.pattern)`, "regex_length"},
		"a large pattern": {`token.place.matches(token.data.program)`, "regex_program"},
	}
	f := newTestLanguage(t)
	token := newTestToken(newTestLargeData())
	token.Metadata = fmt.Appendf(nil, `{"source":"mail","list":[%s 1],"text":%q}`, strings.Repeat("1,", 100_000), strings.Repeat("a", 200_000))
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			condition := compile(t, f, test.where)
			start := time.Now()
			got, err := passes(t.Context(), condition, token)
			var limited *fault.Error
			if got || !errors.As(err, &limited) || limited.Code != fault.LimitExceeded {
				t.Fatalf("got %v, %v, want a limit", got, err)
			}
			// A slow machine runs out of time first.
			if by := limited.Details["limit"]; by != test.limit && by != "condition_time" {
				t.Errorf("stopped by %v, want %s", by, test.limit)
			}
			// What one evaluation may take, and a slow machine's share.
			took := time.Since(start)
			t.Logf("%s after %s", limited.Details["limit"], took)
			if took > maxTime+4*time.Second {
				t.Errorf("stopped only after %s", took)
			}
		})
	}
}

func TestLargeTokensCanBeFound(t *testing.T) {
	t.Parallel()
	f, token := newTestLanguage(t), newTestToken(newTestLargeData())
	for _, where := range []string{
		`token.data.text.startsWith("aaa")`,
		`token.data.list.size() == 100001`,
		`2 in [2] && 1 in token.data.list`,
		`has(token.data.text) && token.data.text.contains("a")`,
		`token.data.list.exists(a, a == 1)`,
		`token.data.lists[0].map(a, a + 1).filter(a, a == 2).size() == 1001`,
		`token.data.lists[0] + token.data.lists[1] == token.data.lists[2] + token.data.lists[3]`,
	} {
		if got, err := passes(t.Context(), compile(t, f, where), token); err != nil || !got {
			t.Errorf("%s: got %v, %v", where, got, err)
		}
	}
	deep := newTestToken(strings.Repeat(`{"a":`, 64) + `1` + strings.Repeat(`}`, 64))
	if got, err := passes(t.Context(), compile(t, f, `has(token.data.a) && token.data.a != 1 && token.data == token.data`), deep); err != nil || !got {
		t.Errorf("a deep token: got %v, %v", got, err)
	}
}

func TestTheContextStopsAnEvaluation(t *testing.T) {
	t.Parallel()
	f, token := newTestLanguage(t), newTestToken(newTestLargeData())
	condition := compile(t, f, `token.data.list.all(a, a == 1)`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if got, err := passes(ctx, condition, token); got || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, %v, want the context's error", got, err)
	}
	if _, err := passes(ctx, condition, token); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a context that had ended: %v", err)
	}
	// What does not loop is not stopped, but neither is its answer given.
	meanwhile := &endingContext{Context: t.Context()}
	if got, err := passes(meanwhile, compile(t, f, `token.place == "review"`), token); got || !errors.Is(err, context.Canceled) {
		t.Fatalf("a context that ended meanwhile: %v, %v", got, err)
	}
}

// endingContext has ended when it is asked again.
type endingContext struct {
	context.Context
	asked int
}

func (c *endingContext) Err() error {
	if c.asked++; c.asked > 1 {
		return context.Canceled
	}
	return nil
}

func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`token.data.amount > 100`, `has(token.data.x) || token.place.matches("a+")`,
		`token.data.list.exists(i, i.a[0] == {"b": 1.5}["b"])`, `timestamp("2026-01-01T00:00:00Z") < token.arrived_at`,
	} {
		f.Add(seed)
	}
	l := newTestLanguage(f)
	token := newTestToken(`{"amount":1,"list":[{"a":[1.5]}],"x":"y"}`)
	f.Fuzz(func(t *testing.T, where string) {
		condition, err := l.CompileText("where", where)
		if err != nil {
			if !errors.Is(err, fault.InvalidField) {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		if _, err := passes(t.Context(), condition, token); err != nil && !errors.Is(err, fault.LimitExceeded) {
			t.Fatalf("failed with %v", err)
		}
	})
}

// The types of such conditions double with every loop, or grow with every bracket.
func TestHostileConditionsAreCompiledFast(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 20) + "x" + strings.Repeat("]", 20)
	part := strings.Repeat("[", 55) + "1" + strings.Repeat("]", 55) + ".map(x, {x: x}).map(x, {x: x}).size() == 0"
	both := "x"
	for range 6 {
		both = "{" + both + ": " + both + "}"
	}
	maps := "[1].map(x, " + both + ").map(x, " + both + ").size() == 0"
	tests := map[string]struct{ condition, message string }{
		"maps in a chain":    {`"[1]` + strings.Repeat(".map(x,{x:x})", 30) + `.size()==0"`, "exceeds nesting limit"},
		"nothing in a chain": {`"[]` + strings.Repeat(".map(x,{x:x})", 30) + `.size()==0"`, "exceeds nesting limit"},
		"lists in a chain":   {`"[1]` + strings.Repeat(".map(x,"+deep+")", 30) + `.size()==0"`, "exceeds nesting limit"},
		"brackets":           {`"` + part + `"`, ""},
		"brackets, often":    {`{"and":[` + strings.Repeat(`{"expression":"`+part+`"},`, 80) + `{"expression":"true"}]}`, ".expression is too intricate"},
		"brackets together":  {`"` + strings.Repeat(part+" && ", 24) + `true"`, "condition is too intricate"},
		"maps of maps":       {`"` + maps + `"`, "condition is too intricate"},
		"what is usual":      {`{"and":[` + strings.Repeat(`{"expression":"token.data.items.map(i, {i.sku: [i.n, i.price]}).exists(m, m.size() > 1)"},`, 150) + `{"expression":"true"}]}`, ""},
	}
	l := newTestLanguage(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := l.Compile("condition", []byte(test.condition))
			if test.message == "" && err != nil || test.message != "" && (err == nil || !strings.Contains(err.Error(), test.message)) {
				t.Errorf("got %v, want %q", err, test.message)
			}
			took := time.Since(start)
			t.Logf("after %s", took)
			if took > 2*time.Second {
				t.Errorf("only after %s", took)
			}
		})
	}
}
