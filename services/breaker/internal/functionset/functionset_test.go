package functionset_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/functionset"
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
id: notify
description: Tells somebody.
kind: http
http: { url: "https://example.com/{{ .input.id }}", headers: { authorization: "secret:KEY" } }
input: { id: "=token.data.id", x: 1, y: 2, rate: 1.0, on: yes }
input_schema: { type: object }
timeout: 1m30s
retry: { attempts: 5, jitter: 0, errors: [timeout] }
circuit_breaker: { off: true }
triggers: [{ event: transitioned, to: review, when: token.data.n > 1 }]
chains: [{ function: tell, on: failure, when: error.code == 'timeout', delay: 5s }]
tags: [mail, people]
`

func problems(file *functionset.File) (all []string) {
	for _, p := range file.Problems {
		all = append(all, p.Path+" "+p.Code)
	}
	return all
}

func TestOneFunctionOrAList(t *testing.T) {
	t.Parallel()
	language := newTestLanguage(t)
	one := functionset.Parse(language, "one.yaml", []byte(sound))
	if len(one.Problems) > 0 || len(one.Functions) != 1 {
		t.Fatalf("got %+v", one)
	}
	jitter := 0.0
	want := functionset.Function{ID: "notify", FunctionSpec: wire.FunctionSpec{
		Description: "Tells somebody.", Kind: "http", Timeout: 90_000_000_000, Tags: []string{"mail", "people"},
		HTTP: &wire.HTTPFunction{URL: "https://example.com/{{ .input.id }}", Headers: map[string]string{"authorization": "secret:KEY"}},
		// Numbers keep their text, and on, y and yes are texts.
		Input:       json.RawMessage(`{"id":"=token.data.id","x":1,"y":2,"rate":1.0,"on":"yes"}`),
		InputSchema: json.RawMessage(`{"type":"object"}`),
		Retry:       &wire.RetryPolicy{Attempts: 5, Jitter: &jitter, Errors: []string{"timeout"}},
		Circuit:     &wire.CircuitPolicy{Off: true},
		Triggers:    []wire.Trigger{{Event: "transitioned", To: "review", When: "token.data.n > 1"}},
		Chains:      []wire.Chain{{Function: "tell", On: "failure", When: "error.code == 'timeout'", Delay: 5_000_000_000}},
	}}
	if diff := cmp.Diff(want, one.Functions[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	list := functionset.Parse(language, "list.json", []byte(`{"functions": [{"id": "a", "kind": "nats"}, {"id": "b", "kind": "expression", "expression": "input.a + 1"}]}`))
	if len(list.Problems) > 0 || len(list.Functions) != 2 || list.Functions[1].Expression != "input.a + 1" {
		t.Errorf("got %+v", list)
	}
}

func TestEveryProblemHasItsPath(t *testing.T) {
	t.Parallel()
	file := functionset.Parse(newTestLanguage(t), "bad.yaml", []byte(`
name: x
functions:
  - { id: Notify, kind: htp }
  - { kind: nats, timout: 5s, by: me }
  - { id: a, timeout: soon, retry: { atempts: 3, initial: 5, backoff: wild, errors: [timeout, late] } }
  - { id: b, kind: http, exec: { command: c, memory_mb: lots, env: { A: 1 } } }
  - { id: b, kind: http, http: { method: GET } }
  - 7
  - { id: c, kind: wasm, wasm: { module: ../x }, tags: a, enabled: no }
  - { id: d, kind: expression, expression: input.a +, input: { a: "=token.dat", list: ["=1 +"] } }
  - { id: e, kind: nats, input_schema: { type: thing }, triggers: [{ event: gone }, { event: custom, when: "1" }, { outcome: maybe }] }
  - { id: f, kind: nats, kind: http, chains: [{ on: never }, { function: B }], input: { a: 1, a: 2 } }
`))
	want := []string{
		"name unknown_key",
		"functions[0].id invalid_id",
		"functions[0].kind invalid_value",
		"functions[1].timout unknown_key",
		"functions[1].by unknown_key",
		"functions[1].id missing",
		"functions[2].timeout invalid_duration",
		"functions[2].retry.atempts unknown_key",
		"functions[2].retry.initial invalid_duration",
		"functions[2].kind missing",
		"functions[3].exec.memory_mb wrong_type",
		"functions[3].exec.env.A wrong_type",
		"functions[3].http missing",
		"functions[4].id duplicate_id",
		"functions[4].http.url missing",
		"functions[5] wrong_type",
		"functions[6].tags wrong_type",
		"functions[6].enabled wrong_type",
		"functions[6].wasm.module invalid_value",
		"functions[7].input.a invalid_condition",
		"functions[7].expression invalid_condition",
		"functions[8].triggers[0].event invalid_value",
		"functions[8].triggers[1].name missing",
		"functions[8].triggers[1].when invalid_condition",
		"functions[8].triggers[2].event missing",
		"functions[8].triggers[2].outcome invalid_value",
		"functions[8].input_schema invalid_schema",
		"functions[9].kind duplicate_key",
		"functions[9].input.a duplicate_key",
		"functions[9].chains[0].function missing",
		"functions[9].chains[0].on invalid_value",
		"functions[9].chains[1].function invalid_id",
	}
	if diff := cmp.Diff(want, problems(file)); diff != "" {
		t.Errorf("(-want +got):\n%s\n%v", diff, file.Problems)
	}
	for _, p := range file.Problems {
		if p.Path == "functions[1].timout" && !strings.Contains(p.Message, "did you mean timeout?") {
			t.Errorf("a slip of the pen: %s", p.Message)
		}
	}
}

func TestWhatHoldsNoFunctions(t *testing.T) {
	t.Parallel()
	language := newTestLanguage(t)
	for name, raw := range map[string]string{
		"empty": "", "text": "hello", "list": "- a\n", "no functions": "functions: []\n", "null": "functions:\n", "broken": `{"id": "x"`,
		"two documents": sound + "---\nid: other\n", "duplicate": sound + "id: again\n", "an object": "functions: { id: a }\n",
		"merged": "base: &b { kind: nats }\nfunctions: [{ <<: *b, id: a }]\n", "no number": sound + "concurrency: .inf\n",
		"itself": "functions: &f [*f]\n", "duplicate in JSON": `{"id": "x", "kind": "nats", "kind": "nats"}`,
		"much": "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + aliases(9),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if file := functionset.Parse(language, "x", []byte(raw)); len(file.Problems) == 0 {
				t.Errorf("%q passed as %+v", raw, file.Functions)
			}
		})
	}
}

// aliases is a text that has ten times as much written out with each line.
func aliases(lines int) string {
	var b strings.Builder
	for i := range lines {
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i+1, i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i), 10), ","))
	}
	return b.String()
}

// A stored function is the same however it came to say so, and another for any difference; what
// it has and the file has not is to go.
func TestSameAndReset(t *testing.T) {
	t.Parallel()
	file := functionset.Parse(newTestLanguage(t), "one.yaml", []byte(sound)).Functions[0]
	stored := func() *wire.Function {
		have := &wire.Function{ID: file.ID, Version: 3, FunctionSpec: file.FunctionSpec}
		yes := true
		have.Enabled, have.Tags = &yes, []string{"people", "mail"}
		// > as the service's encoder writes it.
		have.Triggers = []wire.Trigger{{Event: "transitioned", To: "review", When: "token.data.n > 1"}}
		have.InputSchema = json.RawMessage(`{ "type": "object" }`)
		return have
	}
	if !file.Same(stored()) {
		t.Error("the same function counts as different")
	}
	for name, change := range map[string]func(*wire.Function){
		"description": func(f *wire.Function) { f.Description = "" },
		"input":       func(f *wire.Function) { f.Input = json.RawMessage(`{"id":"=token.data.id","rate":1}`) },
		"tags":        func(f *wire.Function) { f.Tags = f.Tags[:1] },
		"enabled":     func(f *wire.Function) { no := false; f.Enabled = &no },
		"concurrency": func(f *wire.Function) { f.Concurrency = 1 },
		"chains":      func(f *wire.Function) { f.Chains = nil },
	} {
		other := stored()
		change(other)
		if file.Same(other) {
			t.Errorf("another %s counts as the same", name)
		}
	}
	other := stored()
	other.Concurrency, other.OutputSchema = 1, json.RawMessage(`{}`)
	if diff := cmp.Diff([]string{"concurrency", "enabled", "output_schema"}, file.Reset(other)); diff != "" {
		t.Errorf("what is to go (-want +got):\n%s", diff)
	}
}

func TestReadTakesStandardInput(t *testing.T) {
	t.Parallel()
	file, err := functionset.Read(newTestLanguage(t), "-", strings.NewReader(sound))
	if err != nil || len(file.Problems) > 0 || file.Path != "-" {
		t.Errorf("got %+v, %v", file, err)
	}
	if _, err := functionset.Read(newTestLanguage(t), "/nowhere/x.yaml", nil); err == nil {
		t.Error("a file that does not exist was read")
	}
}

func Example() {
	language, err := condition.New()
	if err != nil {
		panic(err)
	}
	file := functionset.Parse(language, "functions.yaml", []byte("id: total\nkind: expression\nexpresion: input.a + input.b\n"))
	for _, p := range file.Problems {
		fmt.Println(p.Path, p.Message)
	}
	// Output: expresion is not known here; did you mean expression?
}
