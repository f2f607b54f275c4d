package condition

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

// newTestLargeWork has a large input, a deep output and a token of spaces.
func newTestLargeWork() Subject {
	token := newTestToken(`{"text":"x"}` + strings.Repeat(" ", 1_000_000))
	return Subject{Token: token, Values: map[string]json.RawMessage{
		"input":  json.RawMessage(newTestLargeData()),
		"output": json.RawMessage(strings.Repeat("[", 60) + strings.Repeat("]", 60)),
		"error":  json.RawMessage("[" + strings.Repeat("1.0,", 100_000) + "1.0]"),
		"event":  json.RawMessage(fmt.Sprintf(`{"short":%q,"list":[%s1],"ten":[1,2,3,4,5,6,7,8,9,10],"control":%s}`, strings.Repeat("a", 20_000), strings.Repeat("1.0,", 2000), quoteJSON(strings.Repeat("\x01", 200_000)))),
	}}
}

// filled is a mapping with as many of an expression as there may be.
func filled(expression string) string {
	quoted := string(quoteJSON("=" + expression))
	times := min(maxMappingParts, maxMapping/(len(quoted)+1)-1)
	return "[" + strings.Repeat(quoted+",", times-1) + quoted + "]"
}

// The same work may be spread over many expressions.
func TestHostileMappingsAreStopped(t *testing.T) {
	t.Parallel()
	one := func(expression string) string { return string(quoteJSON("=" + expression)) }
	sum := func(part string, times int) string { return strings.Repeat(part+" + ", times) + part }
	tests := map[string]struct{ raw, limit string }{
		"a large input":            {one(`input`), limitResult},
		"a list of large ones":     {one(`[` + strings.Repeat("input, ", 500) + `input]`), limitResult},
		"a map of large ones":      {one(`{"a": input.text, "b": {"c": input}}`), limitResult},
		"nested maps":              {one(`event.list.map(x, event.list.map(y, y))`), "condition_cost"},
		"nested maps of maps":      {one(`event.ten.map(x, event.list.map(y, {"a": {"b": [x, y, x, y]}, "c": event.short}))`), "condition_memory"},
		"large things in a loop":   {one(`event.list.map(x, event)`), "condition_memory"},
		"texts in a loop":          {one(`event.list.map(x, event.short)`), "condition_memory"},
		"texts that double":        {one(`[event.short].map(x, x + x + x + x).map(x, x + x + x + x)`), ""},
		"texts that double, twice": {one(`[event.short].map(x, ` + sum("x", 40) + `).map(x, ` + sum("x", 40) + `)`), "condition_cost"},
		"texts that are added":     {one(sum(`input.text`, 40)), "condition_cost"},
		"lists that are added":     {one(sum(`input.list`, 40)), "condition_cost"},
		"short lists, added":       {one(sum(`event.list`, 40)), "condition_cost"},
		"lists of one list":        {one(`[0].map(x, [event.list, event.list]).map(x, [x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x])`), limitResult},
		"control signs":            {one(`event.control`), limitResult},
		"computed control signs":   {one(`event.control + ""`), limitResult},
		"bytes":                    {one(`bytes(input.text)`), limitResult},
		"a token of spaces":        {one(`event.list.map(x, token)`), "condition_memory"},
		"a deep output":            {one(`[[[[[output]]]]]`), limitResultDepth},
		"a deep output, placed":    {`{"a":[[[["=output"]]]]}`, limitResultDepth},
		"deep lists":               {strings.Repeat("[", 40) + one(strings.Repeat("[", 30)+strings.Repeat("]", 30)) + strings.Repeat("]", 40), limitResultDepth},
		"many of some size":        {filled(`event.short`), limitResult},
		"many that cost":           {filled(`event.list.exists(x, x == 7)`), "condition_cost"},
		"many that do not loop":    {filled(`input.text.size() + input.text.size()`), "condition_cost"},
		"many searches":            {filled(`input.o in input.lists`), "condition_cost"},
		"many regexes":             {filled(`event.short.matches("(a?){30}b")`), "condition_cost"},
		"many tokens of spaces":    {filled("[" + strings.Repeat("token, ", 500) + "token]"), "condition_time"},
		"many far elements":        {filled(`[` + strings.Repeat("error[99999], ", 250) + `1.0]`), "condition_time"},
		"many far doubles":         {filled(`[` + strings.Repeat("event.list[1999], ", 200) + `1.0]`), ""},
		"one that takes too much":  {one(`input.list.map(x, input.list.map(y, [x, y]))`), "condition_cost"},
	}
	l, work := newTestLanguage(t), newTestLargeWork()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := compileMapping(t, l, test.raw)
			start := time.Now()
			got, err := m.Apply(t.Context(), NewInput(work))
			took := time.Since(start)
			var limited *fault.Error
			if !errors.As(err, &limited) {
				t.Logf("%d bytes, %v after %s", len(got), err, took)
				if test.limit != "" && test.limit != "condition_time" || err != nil || len(got) > maxResult {
					t.Errorf("got %d bytes, %v", len(got), err)
				}
			} else {
				t.Logf("%s after %s: %s", limited.Details["limit"], took, limited.Message)
				if by := limited.Details["limit"]; limited.Code != fault.LimitExceeded || by != test.limit && by != "condition_time" {
					t.Errorf("stopped by %v, want %s", by, test.limit)
				}
				if field, _ := limited.Details["field"].(string); !strings.HasPrefix(field, "mapping") {
					t.Errorf("the field is %q", field)
				}
			}
			if took > maxTime+4*time.Second {
				t.Errorf("only after %s", took)
			}
		})
	}
}

func TestHostileMappingsAreCompiledFast(t *testing.T) {
	t.Parallel()
	part := strings.Repeat("[", 55) + "1" + strings.Repeat("]", 55) + ".map(x, {x: x}).map(x, {x: x})"
	fill := func(part string) string { return strings.Repeat(part, 4000/len(part)) }
	tests := map[string]struct{ raw, message string }{
		"types":            {filled(part), "is too intricate"},
		"chains":           {filled(`[1]` + strings.Repeat(".map(x,{x:x})", 30)), "exceeds nesting limit"},
		"sums":             {filled("[" + strings.Repeat(strings.Repeat("1+", 40)+"1,", 48) + "1]"), ""},
		"lists":            {filled("[" + fill("1,") + "1]"), ""},
		"maps":             {filled("{" + fill(`"a":1,`) + `"b":1}`), ""},
		"paths":            {filled("[" + fill(`input.a.b[0],`) + "1]"), ""},
		"loops":            {filled("[" + fill(`input.map(a,a.map(b,b)),`) + "1]"), ""},
		"ors":              {filled(fill(`input.a||`) + "true"), ""},
		"conditionals":     {filled(strings.Repeat("(true?input.a:", 60) + "1" + strings.Repeat(")", 60)), ""},
		"nothing but text": {`[` + strings.Repeat("1,", 32000) + "1]", ""},
		"a deep text":      {strings.Repeat(`{"`+strings.Repeat("n", 80)+`":[`, 32) + strings.Repeat("1,", 25000) + "1" + strings.Repeat("]}", 32), ""},
		"names": {`{"a":1` + func() (s string) {
			for i := range 6000 {
				s += fmt.Sprintf(`,"%d":1`, i)
			}
			return
		}() + "}", ""},
	}
	l := newTestLanguage(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := l.CompileMapping("mapping", json.RawMessage(test.raw))
			took := time.Since(start)
			t.Logf("%d bytes after %s: %v", len(test.raw), took, err)
			if test.message != "" && (err == nil || !strings.Contains(err.Error(), test.message)) {
				t.Errorf("got %v, want %q", err, test.message)
			}
			// About half a second, and forty times that on a busy machine with the race detector. What
			// doubles with each part would take hours.
			if took > time.Minute {
				t.Errorf("only after %s", took)
			}
		})
	}
}

func TestTheContextStopsAMapping(t *testing.T) {
	t.Parallel()
	l, work := newTestLanguage(t), newTestLargeWork()
	for _, raw := range []string{`1`, `"=input.list.map(x, x)"`, `["=1","=input.absent"]`} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := compileMapping(t, l, raw).Apply(ctx, NewInput(work)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", raw, err)
		}
	}
}
