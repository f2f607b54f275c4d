package condition

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"pgregory.net/rapid"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

var (
	names   = rapid.SampledFrom([]string{"a", "b", "c", "d", "0", "1", "é", "a b", `q"`})
	scalars = rapid.OneOf(
		rapid.SampledFrom([]string{"null", "true", "false", "0", "1", "1.0", "-0", "2", "1.5", "1e2", "9007199254740993", "9007199254740992.0", "1e400", "12345678901234567890"}),
		rapid.Custom(func(t *rapid.T) string {
			return string(quoteJSON(rapid.SampledFrom([]string{"", "a", "b", "ab", "1", "\\", "\u2028", "ü\"\n"}).Draw(t, "text")))
		}),
		rapid.SampledFrom([]string{`"\u0061"`, `"\ud83d\ude00"`, `"\ud800"`, "\"\xff\xfe\"", `"a\/b"`}),
	)
)

// drawJSON writes a value with odd spaces, names twice and texts that are hard to read.
func drawJSON(t *rapid.T, depth int) string {
	kind := 0
	if depth > 0 {
		kind = rapid.IntRange(0, 3).Draw(t, "kind")
	}
	space := rapid.SampledFrom([]string{"", "", " ", "\n\t"})
	switch kind {
	case 0, 1:
		return scalars.Draw(t, "scalar")
	case 2:
		elements := make([]string, rapid.IntRange(0, 4).Draw(t, "size"))
		for i := range elements {
			elements[i] = drawJSON(t, depth-1) + space.Draw(t, "space")
		}
		return "[" + space.Draw(t, "space") + strings.Join(elements, ",") + "]"
	}
	return drawObject(t, depth)
}

func drawObject(t *rapid.T, depth int) string {
	space := rapid.SampledFrom([]string{"", "", " ", "\n\t"})
	size := rapid.IntRange(0, 6).Draw(t, "size")
	if rapid.IntRange(0, 19).Draw(t, "many") == 0 {
		size = manyMembers + 5
	}
	var members []string
	for i := range size {
		name := names.Draw(t, "name")
		if i > 6 {
			name = strconv.Itoa(i)
		}
		quoted := string(quoteJSON(name))
		if name == "a" && rapid.Bool().Draw(t, "escaped") {
			quoted = `"\u0061"`
		}
		members = append(members, space.Draw(t, "space")+quoted+space.Draw(t, "space")+":"+space.Draw(t, "space")+drawJSON(t, depth-1))
	}
	return "{" + strings.Join(members, ",") + space.Draw(t, "space") + "}"
}

// decoded is a value as CEL has it when everything is decoded by encoding/json.
func decoded(t *rapid.T, text string) ref.Val {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return types.DefaultTypeAdapter.NativeToValue(typed(value))
}

func typed(value any) any {
	switch v := value.(type) {
	case json.Number:
		if !strings.ContainsAny(v.String(), ".eE") {
			if whole, err := v.Int64(); err == nil {
				return whole
			}
		}
		decimal, _ := v.Float64()
		return decimal
	case map[string]any:
		for name := range v {
			v[name] = typed(v[name])
		}
	case []any:
		for i := range v {
			v[i] = typed(v[i])
		}
	}
	return value
}

// TestLazyValuesAreValues holds what is decoded on demand to what is decoded at once.
func TestLazyValuesAreValues(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := drawObject(t, 4)
		lazy, err := document([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		same(t, text, lazy, decoded(t, text))
		// Nested objects are asked before they are indexed.
		nested, _ := document([]byte(`{"x":` + text + `}`))
		inner, _ := nested.member("x")
		whole := decoded(t, text).(traits.Mapper)
		for it := whole.Iterator(); it.HasNext() == types.True; {
			name := it.Next()
			same(t, text+"."+fmt.Sprint(name), inner.(traits.Mapper).Get(name), whole.Get(name))
		}
		same(t, text, inner, whole)
		fresh, _ := document([]byte(text))
		if types.Equal(fresh, decoded(t, text)) != types.True || types.Equal(decoded(t, text), fresh) != types.True || types.Equal(lazy, fresh) != types.True {
			t.Fatalf("%s does not equal itself", text)
		}
		other := drawObject(t, 4)
		second, _ := document([]byte(other))
		if got, want := types.Equal(lazy, second), types.Equal(decoded(t, text), decoded(t, other)); got != want {
			t.Fatalf("%s == %s is %v, want %v", text, other, got, want)
		}
	})
}

func same(t *rapid.T, where string, lazy, whole ref.Val) {
	if lazy.Type() != whole.Type() {
		t.Fatalf("%s is a %s, want %s", where, lazy.Type().TypeName(), whole.Type().TypeName())
	}
	switch want := whole.(type) {
	case traits.Mapper:
		got := lazy.(traits.Mapper)
		if got.Size() != want.Size() {
			t.Fatalf("%s has %v members, want %v", where, got.Size(), want.Size())
		}
		for _, key := range []ref.Val{types.String("absent"), types.Int(0), types.True} {
			if a, found := got.Find(key); found || a != nil || got.Contains(key) != want.Contains(key) || !types.IsError(got.Get(key)) {
				t.Fatalf("%s has %v", where, key)
			}
		}
		seen := 0
		for it := got.Iterator(); it.HasNext() == types.True; seen++ {
			name := it.Next()
			value, found := want.Find(name)
			if !found || got.Contains(name) != types.True {
				t.Fatalf("%s has a %v too many", where, name)
			}
			same(t, where+"."+fmt.Sprint(name), got.Get(name), value)
		}
		if types.Int(seen) != want.Size() {
			t.Fatalf("%s iterates over %d members, want %v", where, seen, want.Size())
		}
	case traits.Lister:
		got := lazy.(traits.Lister)
		if got.Size() != want.Size() {
			t.Fatalf("%s has %v elements, want %v", where, got.Size(), want.Size())
		}
		for i := range int(want.Size().(types.Int)) {
			element := want.Get(types.Int(i))
			same(t, where+"[]", got.Get(types.Int(i)), element)
			if got.Contains(element) != types.True {
				t.Fatalf("%s does not contain %v", where, element)
			}
		}
		if !types.IsError(got.Get(want.Size())) || got.Add(want).(traits.Lister).Size() != want.Add(got).(traits.Lister).Size() {
			t.Fatalf("%s does not add up", where)
		}
	default:
		if types.Equal(lazy, whole) != types.True || lazy.Value() != whole.Value() {
			t.Fatalf("%s is %v, want %v", where, lazy, whole)
		}
	}
}

// drawTree draws a tree, and the same condition in plain CEL.
func drawTree(t *rapid.T, depth int) (tree, text string) {
	kind := rapid.SampledFrom([]string{"exists", "equals", "greater", "less", "in", "and", "or", "not", "expression"}).Draw(t, "kind")
	if depth == 0 && (kind == "and" || kind == "or" || kind == "not") {
		kind = "equals"
	}
	names := []string{rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")}
	if rapid.Bool().Draw(t, "deep") {
		names = append(names, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"))
	}
	path := "data." + strings.Join(names, ".")
	// exists is the standard way to ask without a fault for what may be no object.
	exists := fmt.Sprintf("has(token.data.%s)", names[0])
	if len(names) > 1 {
		exists += fmt.Sprintf(" && type(token.data.%s) == map && has(token.data.%s.%s)", names[0], names[0], names[1])
	}
	value := rapid.SampledFrom([]string{"0", "1", "1.5", "-3", "true", `"a"`, `"x\"y"`, `""`}).Draw(t, "value")
	switch kind {
	case "exists":
		return fmt.Sprintf(`{"field_exists":{"field":%q}}`, path), exists
	case "equals":
		return fmt.Sprintf(`{"field_equals":{"field":%q,"value":%s}}`, path, value), fmt.Sprintf("(%s && token.%s == %s)", exists, path, value)
	case "greater":
		return fmt.Sprintf(`{"type":"field_greater_than","field":%q,"value":%s}`, path, value), fmt.Sprintf("(%s && token.%s > %s)", exists, path, value)
	case "less":
		return fmt.Sprintf(`{"field_less_than":{"field":%q,"value":%s}}`, path, value), fmt.Sprintf("(%s && token.%s < %s)", exists, path, value)
	case "in":
		return fmt.Sprintf(`{"in":{"field":%q,"values":[%s,2]}}`, path, value), fmt.Sprintf("(%s && token.%s in [%s,2])", exists, path, value)
	case "expression":
		text := fmt.Sprintf("token.%s != %s", path, value)
		return fmt.Sprintf(`{"expression":%q}`, text+" // )"), "(" + text + ")"
	case "not":
		tree, text := drawTree(t, depth-1)
		return `{"not":` + tree + `}`, "!(" + text + ")"
	}
	var trees, texts []string
	for range rapid.IntRange(1, 3).Draw(t, "operands") {
		tree, text := drawTree(t, depth-1)
		trees, texts = append(trees, tree), append(texts, "("+text+")")
	}
	operator := map[string]string{"and": " && ", "or": " || "}[kind]
	return `{"` + kind + `":[` + strings.Join(trees, ",") + `]}`, strings.Join(texts, operator)
}

// TestTreesMeanWhatCELMeans holds trees to conditions that were written independently, and
// explanations to answers.
func TestTreesMeanWhatCELMeans(t *testing.T) {
	t.Parallel()
	l := newTestLanguage(t)
	data := rapid.Custom(func(t *rapid.T) string {
		members := []string{}
		for _, name := range []string{"a", "b", "c"} {
			if rapid.Bool().Draw(t, "present") {
				value := rapid.SampledFrom([]string{"0", "1", "1.0", "2", "true", `"a"`, `"b"`, `{"a":1}`, `{"a":"x\"y","b":[1]}`, "[1]", "null"}).Draw(t, "value")
				members = append(members, fmt.Sprintf("%q:%s", name, value))
			}
		}
		return "{" + strings.Join(members, ",") + "}"
	})
	rapid.Check(t, func(t *rapid.T) {
		tree, text := drawTree(t, 3)
		p, err := l.Compile("condition", json.RawMessage(tree))
		if err != nil {
			t.Fatalf("%s: %v", tree, err)
		}
		plain, err := l.CompileText("condition", text)
		if err != nil {
			t.Skip("too long for plain CEL")
		}
		for range 4 {
			in := NewInput(Subject{Token: newTestToken(data.Draw(t, "data"))})
			got, err := p.Passes(t.Context(), in)
			want, wantErr := plain.Passes(t.Context(), in)
			if err != nil || wantErr != nil || got != want {
				t.Fatalf("over %s\n%s is %t, %v\n%s is %t, %v", in.subject.Token.Data, tree, got, err, text, want, wantErr)
			}
			for _, program := range []*Program{p, plain} {
				e, err := program.Explain(t.Context(), in)
				if err != nil || e.Passed != got || e.Text == "" {
					t.Fatalf("over %s\n%s is explained as %v, %v", in.subject.Token.Data, program.Text(), e, err)
				}
				x := &explainer{ctx: t.Context(), in: in, functions: l.functions}
				if why := x.program(program); (why.verdict == holds) != got {
					t.Fatalf("over %s\n%s: the reason says %v", in.subject.Token.Data, program.Text(), why)
				}
			}
		}
	})
}

func TestTextsSurviveTheirQuotes(t *testing.T) {
	t.Parallel()
	l := newTestLanguage(t)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringN(0, 60, 200), rapid.StringOfN(rapid.RuneFrom([]rune("\"\\\n\r\t\x00\x7f\u0085\u2028\ufeff\ufffd'`/*)😀")), 0, 20, -1)).Draw(t, "text")
		p, err := l.Compile("condition", fmt.Appendf(nil, `{"field_equals":{"field":"data.x","value":%s}}`, quoteJSON(text)))
		if err != nil {
			t.Fatal(err)
		}
		data := fmt.Sprintf(`{"x":%s}`, quoteJSON(text))
		if got, err := passes(t.Context(), p, newTestToken(data)); err != nil || !got {
			t.Fatalf("%q does not equal itself: %v; %s", text, err, p.Text())
		}
		again, err := l.Compile("again", p.Canonical())
		if err != nil || again.Text() != p.Text() {
			t.Fatalf("%s gives %v, %v", p.Canonical(), again, err)
		}
	})
}

func TestProgramsAreSharedByManyInputs(t *testing.T) {
	t.Parallel()
	l := newTestLanguage(t)
	p, err := l.Compile("condition", json.RawMessage(`{"and":[{"field_exists":"data.amount"},{"expression":"token.data.items.exists(i, i == 7)"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				in := newTestInput()
				passed, err := p.Passes(t.Context(), in)
				e, explainErr := p.Explain(t.Context(), in)
				if !passed || !e.Passed || err != nil || explainErr != nil {
					t.Errorf("got %t, %v, %v, %v", passed, e, err, explainErr)
				}
			}
		})
	}
	all.Wait()
}

func FuzzTree(f *testing.F) {
	for _, seed := range []string{
		`{"field_exists":"data.x"}`, `{"and":[{"not":{"expression":"token.data.x > 1 // )"}},{"in":{"field":"data[\"a b\"]","values":[1,2.5,"x",null]}}]}`,
		`{"type":"or","conditions":[{"type":"not","condition":{"type":"field_matches","field":"data.x","value":"^A"}}]}`,
		`"has(token.data.x)"`, `{"field_equals":{"field":"data.x[0].1","value":{"a":[1e3,-0.0]}}}`, `{"field_greater_than":{"field":"metadata.x","value":true}}`,
	} {
		f.Add([]byte(seed))
	}
	l := newTestLanguage(f)
	f.Fuzz(func(t *testing.T, condition []byte) {
		p, err := l.Compile("condition", condition)
		if err != nil {
			if !errors.Is(err, fault.InvalidField) {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		again, err := l.Compile("condition", p.Canonical())
		if err != nil || again.Text() != p.Text() || !bytes.Equal(again.Canonical(), p.Canonical()) {
			t.Fatalf("%s\nbecomes %s,\nwhich becomes %v, %v", p.Text(), p.Canonical(), again, err)
		}
		in := newTestInput()
		passed, err := p.Passes(t.Context(), in)
		if err != nil && !errors.Is(err, fault.LimitExceeded) {
			t.Fatalf("failed with %v", err)
		}
		if e, err := p.Explain(t.Context(), in); err != nil || e.Passed != passed {
			t.Fatalf("%s is %t, and explained as %v, %v", p.Text(), passed, e, err)
		}
	})
}
