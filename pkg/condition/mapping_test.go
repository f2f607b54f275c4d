package condition

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const testInputValue = `{"a":2,"b":3,"half":0.5,"one":1.0,"big":12345678901234567890,"exp":1e5,"minus":-0,"huge":1e400,"text":"\u00e9<b>","none":null,
	"items":[{"sku":"A-1","price":1.50,"n":2},{"sku":"B-2","price":1e1,"n":1}],"prices":[1.0,12345678901234567890],"odd name":{"x":1.10}}`

// newTestWork is a token with its instance, and what a function was given and gave.
func newTestWork() *Input {
	subject := newTestInput().subject
	subject.Values = map[string]json.RawMessage{
		"input": json.RawMessage(testInputValue), "output": json.RawMessage(` [1.0, {"ok": true}] `), "error": nil,
		"event": json.RawMessage(`{"type":"token.moved","transition_id":"approve","from_place":"draft","to_place":"review","data":{"x":1.0}}`),
	}
	return NewInput(subject)
}

func compileMapping(t testing.TB, l *Language, raw string) *Mapping {
	t.Helper()
	m, err := l.CompileMapping("mapping", json.RawMessage(raw))
	if err != nil {
		t.Fatalf("%s was refused: %v", raw, err)
	}
	return m
}

// memberOfInput is the text of a member of the test's input.
func memberOfInput(name string) string {
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(testInputValue), &all); err != nil {
		panic(err)
	}
	return string(all[name])
}

func TestExpressionsGiveJSON(t *testing.T) {
	t.Parallel()
	token, err := json.Marshal(newTestWork().subject.Token)
	if err != nil {
		t.Fatal(err)
	}
	instance, err := json.Marshal(newTestWork().subject.Instance)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		// What is passed through keeps its text.
		`input`: testInputValue, `output`: `[1.0, {"ok": true}]`, `error`: `null`, `event.data`: `{"x":1.0}`,
		`token.data`: testData, `token.metadata`: testMetadata, `input.items`: memberOfInput("items"),
		`input.one`: `1.0`, `input.big`: `12345678901234567890`, `input.exp`: `1e5`, `input.minus`: `-0`, `input.huge`: `1e400`,
		`input.text`: `"\u00e9<b>"`, `input["odd name"].x`: `1.10`, `input.items[0].price`: `1.50`, `input.prices[1]`: `12345678901234567890`,
		`token.data.ratio`: `1.0`, `event.data.x`: `1.0`, `output[0]`: `1.0`,
		`{"b": input.exp, "a": [input.one, input.half]}`:                  `{"a":[1.0,0.5],"b":1e5}`,
		`has(input.absent) ? input.absent : input.exp`:                    `1e5`,
		`{"p": has(input.exp) ? {"q": input.exp} : {"q": input.one}}`:     `{"p":{"q":1e5}}`,
		`input.items.filter(i, i.n > 1)`:                                  `[{"sku":"A-1","price":1.50,"n":2}]`,
		`input.items.map(i, {"sku": i.sku, "is": i})[0]`:                  `{"is":{"sku":"A-1","price":1.50,"n":2},"sku":"A-1"}`,
		`input.items.map(i, i.price)`:                                     `[1.5,10.0]`,
		`input.prices.filter(p, p > 1.0)`:                                 `[12345678901234567000.0]`,
		`input.items.map(i, {"line": i.sku + ":" + string(i.n)})`:         `[{"line":"A-1:2"},{"line":"B-2:1"}]`,
		`{"total": input.a + input.b}`:                                    `{"total":5}`,
		`{"to": event.to_place, "from": token.place, "none": input.none}`: `{"from":"review","none":null,"to":"review"}`,
		`token`:                            string(token),
		`instance`:                         string(instance),
		`tokens.map(t, t.id)`:              `["019caa2d-6f00-8000-8000-0000000bc0de","019caa2d-6f00-8000-8000-0000000cc0de"]`,
		`instance.visits`:                  `{"draft":2,"review":1}`,
		`token.arrived_at`:                 `"2026-03-01T09:00:00Z"`,
		`token.age()`:                      `"2h0m0s"`,
		`duration("90m")`:                  `"1h30m0s"`,
		`b"abc"`:                           `"YWJj"`,
		`null`:                             `null`,
		`[null, true, "<é>\n"]`:            `[null,true,"<é>\n"]`,
		`1u + 2u`:                          `3`,
		`input.half + 0.5`:                 `1.0`,
		`0.1 + 0.2`:                        `0.30000000000000004`,
		`1e21 * 10.0`:                      `1e+22`,
		`1e-7 * 1.0`:                       `1e-7`,
		`{}`:                               `{}`,
		`[]`:                               `[]`,
		`[input.items[0].n] + [input.exp]`: `[2,100000.0]`,
		`error == null && event.type == "token.moved" && output[1].ok`:      `true`,
		`has(input.absent) || has(event.absent)`:                            `false`,
		`input.a > 1 ? "many" : "few"`:                                      `"many"`,
		`token.field("data.items[0].sku")`:                                  `"A-1"`,
		`token.function_output("check").words`:                              `12`,
		`[1.5].map(input, input)`:                                           `[1.5]`,
		`input.items.exists(i, i.sku == "A-1") ? input.items[0].sku : null`: `"A-1"`,
	}
	l, in := newTestLanguage(t), newTestWork()
	for text, want := range tests {
		e, err := l.CompileExpression("expression", text)
		if err != nil {
			t.Errorf("%s was refused: %v", text, err)
			continue
		}
		if e.Text() != text {
			t.Errorf("%s is %q", text, e.Text())
		}
		if got, err := e.Evaluate(t.Context(), in); err != nil || string(got) != want {
			t.Errorf("%s gives %s, %v; want %s", text, got, err, want)
		}
	}
}

func TestExpressionsWithoutAValue(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		`input.absent`:                        `input.absent is missing`,
		`{"a": [token.data.customer.absent]}`: `token.data.customer.absent is missing`,
		`input.a + input.items[7].n`:          `input.items[7] is missing`,
		`input.items.map(i, i.absent)`:        `the member absent is missing`,
		`input.a + input.half`:                `its values are of kinds that do not go together`,
		`input.a / 0`:                         `division by zero`,
		`double(input.a) / 0.0`:               `a number that JSON cannot hold`,
		`{1: true}`:                           `a map with a name that is no text`,
		`[type(input.a)]`:                     `it gives a type, which is nothing that JSON has`,
		`error.code`:                          `error.code is missing`,
		`input.items.map(i, type(i))`:         `which is nothing that JSON has`,
	}
	l := newTestLanguage(t)
	check := func(in *Input, text, reason string) {
		t.Helper()
		e, err := l.CompileExpression("input.x", text)
		if err != nil {
			t.Errorf("%s was refused: %v", text, err)
			return
		}
		_, err = e.Evaluate(t.Context(), in)
		var failed *EvaluationError
		if !errors.As(err, &failed) || failed.Field != "input.x" || !strings.Contains(failed.Reason, reason) {
			t.Errorf("%s: got %v, want %s", text, err, reason)
		}
	}
	for text, reason := range tests {
		check(newTestWork(), text, reason)
	}
	// What the caller does not know is an error, not a null.
	for _, text := range []string{`input`, `output.x`, `error == null`, `[event]`, `has(input.x)`, `token`, `instance`, `tokens`} {
		name, _, _ := strings.Cut(strings.TrimSuffix(strings.NewReplacer("has(", "", "[", "", "]", "", " == null", "", ".x", "").Replace(text), ")"), ".")
		check(NewInput(Subject{}), text, strings.TrimSuffix(name, "s")+" is not known here")
	}
	check(NewInput(Subject{Values: map[string]json.RawMessage{"input": json.RawMessage(`{"a":}`)}}), `input.a`, "input is no JSON")
	check(NewInput(Subject{Token: &wire.Token{ID: "t", Data: json.RawMessage(`{`)}}), `token`, "cannot be written as JSON")
}

func TestMappings(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		`"=input"`:           testInputValue,
		` "=token.data" `:    testData,
		`"\u003dinput.a"`:    `2`,
		`"== not =this"`:     `"= not =this"`,
		`"=\u003dx"`:         `"\u003dx"`,
		`"\u003D=x"`:         `"=x"`,
		`"==="`:              `"=="`,
		`"a = b"`:            `"a = b"`,
		`""`:                 `""`,
		`1.0`:                `1.0`,
		`[ ]`:                `[]`,
		`{"=key": "x=y"}`:    `{"=key":"x=y"}`,
		"\"= input.a\\n+1\"": `3`,
		`{ "items": "=input.items", "to": { "name": "=token.place", "rate": 1.0, "n": [1e5, "=input.one", null ] }, "keep": "==x" }`: `{"items":` +
			memberOfInput("items") + `,"to":{"name":"review","rate":1.0,"n":[1e5,1.0,null]},"keep":"=x"}`,
	}
	l, in := newTestLanguage(t), newTestWork()
	for raw, want := range tests {
		for range 2 { // the second is one that was kept
			if got, err := compileMapping(t, l, raw).Apply(t.Context(), in); err != nil || string(got) != want {
				t.Errorf("%s gives %s, %v; want %s", raw, got, err, want)
			}
		}
	}
	// A result belongs to its caller.
	same := compileMapping(t, l, `{"a":1}`)
	first, err := same.Apply(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	copy(first, "xxxxx")
	if second, err := same.Apply(t.Context(), in); err != nil || string(second) != `{"a":1}` {
		t.Errorf("got %s, %v", second, err)
	}
}

func TestMappingsSayWhatTheyNeed(t *testing.T) {
	t.Parallel()
	l := newTestLanguage(t)
	tests := []struct {
		raw               string
		instance, history bool
	}{
		{`{"a":"=input.a","b":"instance"}`, false, false},
		{`{"a":"=input.a","b":["=instance.status"]}`, true, false},
		{`["=token.visits('x')"]`, true, false},
		{`["=token.has_transitioned_from('x')","=1"]`, false, true},
	}
	for _, test := range tests {
		if m := compileMapping(t, l, test.raw); m.NeedsInstance() != test.instance || m.NeedsHistory() != test.history {
			t.Errorf("%s needs the instance: %v, the history: %v", test.raw, m.NeedsInstance(), m.NeedsHistory())
		}
	}
	e, err := l.CompileExpression("e", `instance.status`)
	if err != nil || !e.NeedsInstance() || e.NeedsHistory() {
		t.Errorf("got %v", err)
	}
}

func TestMappingsThatFailNameThePath(t *testing.T) {
	t.Parallel()
	m := compileMapping(t, newTestLanguage(t), `{"items":[1,{"odd name":"=input.a","name":"=input.absent.x"}]}`)
	_, err := m.Apply(t.Context(), newTestWork())
	if err == nil || err.Error() != "mapping.items[1].name cannot be evaluated: input.absent is missing" {
		t.Errorf("got %v", err)
	}
}

func TestMappingsAreRefused(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 64) + `"=1"` + strings.Repeat("]", 64)
	tests := map[string]struct {
		raw, field, message string
		line, column        int
	}{
		"nothing":           {raw: ` `, field: "input", message: "is missing"},
		"no JSON":           {raw: `{"a":}`, field: "input", message: "is no JSON"},
		"two values":        {raw: `1 2`, field: "input", message: "is no JSON"},
		"bad UTF-8":         {raw: "\"\xff\"", field: "input", message: "UTF-8"},
		"an empty one":      {raw: `{"a":["="]}`, field: "input.a[0]", message: "is empty; give an expression such as"},
		"spaces":            {raw: `{"a":"= \n"}`, field: "input.a", message: "is empty"},
		"another variable":  {raw: `{"items":[0,1,{"name":"=inpt.x"}]}`, field: "input.items[2].name", message: "is no usable expression: at line 1, column 2: undeclared reference to 'inpt'", line: 1, column: 2},
		"an early end":      {raw: `{"odd name":"=1 +"}`, field: `input["odd name"]`, message: "ends too early", line: 1, column: 5},
		"a type":            {raw: `"=type(1)"`, field: "input", message: "must give a value, not a type"},
		"a made token":      {raw: `"=Token{}"`, field: "input", message: "an expression cannot make a Token"},
		"kinds that differ": {raw: `"=true ? {'a': 1} : null"`, field: "input", message: "; write dyn(…) around one of two", line: 1, column: 7},
		"three loops":       {raw: `"=[1].map(a, [1].map(b, [1].map(c, c)))"`, field: "input", message: "comprehension exceeds nesting limit"},
		"a repeated name":   {raw: `{"a":{"b":1,"\u0062":2}}`, field: "input.a.b", message: "is given twice"},
		"a long expression": {raw: `"=` + strings.Repeat("1", maxText) + `"`, field: "input", message: "at most 4096"},
		"a long mapping":    {raw: `"` + strings.Repeat("1", maxMapping) + `"`, field: "input", message: "at most 65536"},
		"many expressions":  {raw: `[` + strings.Repeat(`"=1",`, 256) + `"=1"]`, field: "input[256]", message: "at most 256"},
		"a deep one":        {raw: "[" + deep + "]", field: "input" + strings.Repeat("[0]", 64), message: "at most 64 levels"},
		"a very deep one":   {raw: strings.Repeat("[", 5000), field: "input", message: "nested too deeply"},
	}
	l := newTestLanguage(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := l.CompileMapping("input", json.RawMessage(test.raw))
			var refused *fault.Error
			if !errors.As(err, &refused) || refused.Code != fault.InvalidField || !strings.Contains(refused.Message, test.message) {
				t.Fatalf("got %v, want %s", err, test.message)
			}
			if refused.Details["field"] != test.field || len(refused.Message) > 3*maxMessage {
				t.Errorf("the field is %v, want %s", refused.Details["field"], test.field)
			}
			if test.line > 0 && (refused.Details["line"] != test.line || refused.Details["column"] != test.column) {
				t.Errorf("the position is %v:%v", refused.Details["line"], refused.Details["column"])
			}
		})
	}
	compileMapping(t, l, deep)
	compileMapping(t, l, `[`+strings.Repeat(`"=1",`, 255)+`"=1"]`)
}

func TestWorkConditions(t *testing.T) {
	t.Parallel()
	l := newTestLanguage(t)
	tests := []struct {
		text   string
		passed bool
		why    string
	}{
		{`event.to_place == "review" && event.data.x == 1`, true, `event.to_place is "review"; event.data.x is 1`},
		{`error == null && output[1].ok && token.data.amount > input.a`, true, ``},
		{`input.absent == 1`, false, `input.absent is missing`},
		{`has(error.code)`, false, ``},
		{`input.a > 2`, false, `input.a is 2, which is not > 2`},
	}
	for _, test := range tests {
		p, err := l.CompileWorkCondition("condition", test.text)
		if err != nil {
			t.Errorf("%s was refused: %v", test.text, err)
			continue
		}
		e, err := p.Explain(t.Context(), newTestWork())
		if err != nil || e.Passed != test.passed || test.why != "" && e.Text != test.why {
			t.Errorf("%s: %v %s, %v", test.text, e.Passed, e.Text, err)
		}
	}
	// Neither of the two knows the other's variables, in whatever order they are compiled.
	const text = `input.a == 2`
	p, err := l.CompileWorkCondition("condition", text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.CompileText("condition", text); err == nil || !strings.Contains(err.Error(), "undeclared reference to 'input'") {
		t.Errorf("a condition of a rule: %v", err)
	}
	if _, err := l.CompileWorkCondition("condition", `input.a + 1 > 0 ? 1 : 2`); err == nil || !strings.Contains(err.Error(), "must give true or false") {
		t.Errorf("got %v", err)
	}
	if e, err := p.Explain(t.Context(), NewInput(Subject{})); err != nil || e.Passed || e.Text != "input.a == 2 cannot be evaluated: input is not known here" {
		t.Errorf("got %v, %v", e, err)
	}
	if passed, err := p.Passes(t.Context(), newTestWork()); err != nil || !passed {
		t.Errorf("got %v, %v", passed, err)
	}
}

func BenchmarkMapping(b *testing.B) {
	l := newTestLanguage(b)
	raw := `{"order":"=token.data.order_id","total":"=token.data.amount","items":"=token.data.items.map(i, {\"sku\": i.sku, \"n\": i.quantity})","customer":"=token.data.customer","note":"fixed"}`
	m, token := compileMapping(b, l, raw), newTestOrder()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Apply(b.Context(), NewInput(Subject{Token: token})); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompileMapping(b *testing.B) {
	l, expressions := newTestLanguage(b), make([]string, maxMappingParts)
	for i := range expressions {
		expressions[i] = fmt.Sprintf(`"=input.items[%d].price * 2.0"`, i)
	}
	raw := json.RawMessage("[" + strings.Join(expressions, ",") + "]")
	for b.Loop() {
		if _, err := l.CompileMapping("input", raw); err != nil {
			b.Fatal(err)
		}
	}
}

func TestCheckMappings(t *testing.T) {
	t.Parallel()
	got := newTestLanguage(t).CheckMappings(&wire.Definition{Places: []wire.Place{
		{ID: "a"},
		{
			ID: "b", Functions: []wire.FunctionBinding{{Function: "f"}, {Function: "g", Input: []byte(`{"x": ["=token.data.", 1]}`)}},
			Agents: []wire.AgentBinding{{Agent: "h", Input: []byte(`"=token.has_transitioned_from('a')"`)}, {Agent: "i", Input: []byte(`{"x": "=token.data.x"}`)}},
		},
	}})
	if len(got) != 2 || got[0].Path != "places[1].functions[1].input.x[0]" || got[1].Path != "places[1].agents[0].input" || got[0].Code != InvalidMapping {
		t.Errorf("problems are %+v", got)
	}
}
