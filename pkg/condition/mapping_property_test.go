package condition

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

func TestAMappingWithoutExpressionsIsTheIdentity(t *testing.T) {
	t.Parallel()
	l, in := newTestLanguage(t), NewInput(Subject{})
	rapid.Check(t, func(t *rapid.T) {
		raw := drawJSON(t, 4)
		m, err := l.CompileMapping("mapping", json.RawMessage(raw))
		if err != nil {
			if utf8.ValidString(raw) && !strings.Contains(err.Error(), "is given twice") {
				t.Fatalf("%s was refused: %v", raw, err)
			}
			return
		}
		var want bytes.Buffer
		if err := json.Compact(&want, []byte(raw)); err != nil {
			t.Fatal(err)
		}
		if got, err := m.Apply(t.Context(), in); err != nil || string(got) != want.String() {
			t.Fatalf("got %s, %v, want %s", got, err, want.String())
		}
	})
}

func TestATextWithTwoSignsHasOneLess(t *testing.T) {
	t.Parallel()
	l, in := newTestLanguage(t), NewInput(Subject{})
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.StringMatching(`(=*)[^=]?.*`).Draw(t, "text")
		written := want
		if strings.HasPrefix(want, "=") {
			written = "=" + want
		}
		m, err := l.CompileMapping("mapping", append(append([]byte("["), quoteJSON(written)...), ']'))
		if err != nil {
			t.Fatalf("%q was refused: %v", written, err)
		}
		got, err := m.Apply(t.Context(), in)
		var texts []string
		if err != nil || json.Unmarshal(got, &texts) != nil || texts[0] != want {
			t.Fatalf("%q gives %s, %v", written, got, err)
		}
	})
}

func TestWhatIsPassedThroughKeepsItsText(t *testing.T) {
	t.Parallel()
	l := newTestLanguage(t)
	rapid.Check(t, func(t *rapid.T) {
		input := drawObject(t, 3)
		in := NewInput(Subject{Values: map[string]json.RawMessage{"input": json.RawMessage(" " + input + "\n"), "output": json.RawMessage("[" + input + "]")}})
		gives := func(text, want string) {
			e, err := l.CompileExpression("expression", text)
			if err != nil {
				t.Fatalf("%s was refused: %v", text, err)
			}
			if got, err := e.Evaluate(t.Context(), in); err != nil || string(got) != want {
				t.Fatalf("%s gives %s, %v, want %s", text, got, err, want)
			}
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(input), &members); err != nil {
			t.Fatal(err)
		}
		gives("input", input)
		gives("output[0]", input)
		for name, member := range members {
			path := fmt.Sprintf("[%s]", quoteJSON(name))
			gives("input"+path, string(member))
			gives("[output[0]"+path+"]", "["+string(member)+"]")
			gives("true ? {'a': {'b': input"+path+"}} : dyn(null)", `{"a":{"b":`+string(member)+"}}")
			gives("input == null ? null : output[0]"+path, string(member))
		}
	})
}

// drawExpression draws an expression, of which many have no value.
func drawExpression(t *rapid.T, depth int) string {
	if depth == 0 {
		return rapid.SampledFrom([]string{
			"input", "output", "error", "event", "token", "token.data", "tokens", "instance", "input.a", "input.b", `input["a b"]`, "input.a.b", "input[0]",
			"1", "1.5", "-0.0", "1u", "'a'", "b'a'", "null", "true", "duration('1h')", "token.created_at", "instance.visits", "x", "type(1)",
		}).Draw(t, "leaf")
	}
	part := func() string { return drawExpression(t, rapid.IntRange(0, depth-1).Draw(t, "depth")) }
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		return "[" + part() + ", " + part() + "]"
	case 1:
		return "{" + rapid.SampledFrom([]string{"'k'", "1", "input.a", "'\\n'"}).Draw(t, "key") + ": " + part() + ", 'o': " + part() + "}"
	case 2:
		return "(" + part() + " == " + part() + " ? " + part() + " : " + part() + ")"
	case 3:
		return "dyn(" + part() + ").map(x, " + part() + ")"
	case 4:
		return "dyn(" + part() + ").filter(x, x != " + part() + ")"
	case 5:
		return "(dyn(" + part() + ")" + rapid.SampledFrom([]string{" + ", " * ", " / ", " % ", " - ", " in ", " < "}).Draw(t, "operator") + "dyn(" + part() + "))"
	case 6:
		return "dyn(" + part() + ")" + rapid.SampledFrom([]string{".a", "[0]", "['a']", ".size()"}).Draw(t, "step")
	case 7:
		return "string(dyn(" + part() + "))"
	case 8:
		return "bytes(dyn(" + part() + "))"
	}
	return part()
}

func TestWhateverIsGivenIsJSON(t *testing.T) {
	t.Parallel()
	l, given := newTestLanguage(t), 0
	rapid.Check(t, func(t *rapid.T) {
		subject := newTestInput().subject
		subject.Values = map[string]json.RawMessage{"input": json.RawMessage(drawJSON(t, 3)), "output": json.RawMessage(drawJSON(t, 1)), "error": nil}
		e, err := l.CompileExpression("expression", drawExpression(t, 3))
		if err != nil {
			if !errors.Is(err, fault.InvalidField) {
				t.Fatal(err)
			}
			return
		}
		got, err := e.Evaluate(t.Context(), NewInput(subject))
		var failed *EvaluationError
		switch {
		case errors.As(err, &failed):
			if failed.Reason == "" || strings.Contains(failed.Reason, "internal error") {
				t.Fatalf("%s: %v", e.Text(), err)
			}
		case err != nil:
			t.Fatalf("%s: %v", e.Text(), err)
		case !json.Valid(got):
			t.Fatalf("%s gives %s", e.Text(), got)
		default:
			given++
		}
	})
	if given == 0 {
		t.Error("no expression had a value")
	}
}

func FuzzMapping(f *testing.F) {
	for _, seed := range []string{
		`{"a":"=input.a","b":["==x",1.0,"=token.data.amount * 2"],"c":{"=d":null}}`, `"=event.data"`, `"\u003dinput.items.map(i, {\"s\": i.sku, \"p\": i.price})"`,
		`["=has(error.code) ? error.code : output","=instance.visits","=timestamp(0)","=b'x'","={1: 2}","=-0.0"]`, `"=[token,tokens,instance]"`,
	} {
		f.Add([]byte(seed))
	}
	l := newTestLanguage(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := l.CompileMapping("mapping", raw)
		if err != nil {
			if !errors.Is(err, fault.InvalidField) {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		got, err := m.Apply(t.Context(), newTestWork())
		var failed *EvaluationError
		switch {
		case errors.As(err, &failed) && !strings.Contains(failed.Reason, "internal error"), errors.Is(err, fault.LimitExceeded):
		case err != nil:
			t.Fatalf("failed with %v", err)
		case !json.Valid(got) || len(got) > maxResult:
			t.Fatalf("gives %q", got)
		}
	})
}
