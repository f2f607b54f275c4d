package petri

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// problemsOf gives what both steps report, as "path code".
func problemsOf(definition string) []string {
	def, problems := ParseDefinition([]byte(definition))
	if def != nil {
		_, problems = Compile(def)
	}
	var found []string
	for _, p := range problems {
		found = append(found, strings.TrimSpace(p.Path+" "+p.Code))
	}
	return found
}

// net writes a definition of places a, b and c around what a case is about.
func net(transitions, more string) string {
	return fmt.Sprintf(`{"name": "n", "initial_place": "a", "places": [{"id": "a"}, {"id": "b"}, {"id": "c"}],
		"transitions": [{"id": "t", "from": "a", "to": "b"}, {"id": "u", "from": "b", "to": "c"}%s]%s}`, transitions, more)
}

func placed(place string) string {
	return fmt.Sprintf(`{"name": "n", "initial_place": "a", "places": [%s, {"id": "b"}, {"id": "c"}],
		"transitions": [{"id": "t", "from": "a", "to": "b"}, {"id": "u", "from": "b", "to": "c"}]}`, place)
}

func TestProblems(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 4097)
	for name, c := range map[string]struct {
		definition string
		want       []string
	}{
		"none":           {net("", ""), nil},
		"none, one end":  {`{"name": "n", "initial_place": "a", "places": [{"id": "a"}]}`, nil},
		"none, all keys": {placed(`{"id": "a", "description": "d", "timeout": {"after": "1h30m", "transition": "t"}, "agents": [{"agent": "x", "input": {"a": 1}, "output": "o", "on_success": "t", "on_failure": "t", "decide": true}], "functions": [{"function": "f", "input": 3, "output": "o", "on_success": "t", "on_failure": null}]}`), nil},
		"none, null":     {net("", `, "schema": null, "retention": null, "labels": null, "description": null`), nil},
		"none, more":     {net("", `, "schema": true, "retention": {"completed": "0s", "cancelled": "24h"}, "labels": {"team": "x"}, "description": "d"`), nil},

		"empty":   {``, []string{"malformed"}},
		"cut":     {`{"name": `, []string{"malformed"}},
		"two":     {`{} {}`, []string{"malformed"}},
		"nested":  {strings.Repeat("[", 101) + strings.Repeat("]", 101), []string{"too_large"}},
		"huge":    {`"` + strings.Repeat("x", MaxDefinitionBytes) + `"`, []string{"too_large"}},
		"a list":  {`[]`, []string{"wrong_type"}},
		"nothing": {`{}`, []string{"name missing", "places missing", "initial_place missing"}},
		"null":    {`null`, []string{"wrong_type"}},
		"wrong types": {`{"name": 1, "initial_place": {}, "places": "x", "transitions": 7, "schema": [], "labels": {"a": 1}, "retention": 3, "description": []}`, []string{
			"name wrong_type", "description wrong_type", "initial_place wrong_type", "places wrong_type", "transitions wrong_type",
			"schema wrong_type", "retention wrong_type", "labels.a wrong_type",
		}},
		"wrong types inside": {net(`, {"id": "v", "from": 3, "to": [], "rules": ["a", 1], "auto": "yes", "priority": 1.5, "when": false}, 4, null`, ""), []string{
			"transitions[2].from wrong_type", "transitions[2].to wrong_type", "transitions[2].rules[1] wrong_type",
			"transitions[2].when wrong_type", "transitions[2].auto wrong_type", "transitions[2].priority wrong_type",
			"transitions[3] wrong_type", "transitions[4] wrong_type",
		}},

		"a misspelled key":   {net(`, {"id": "v", "form": "a", "to": "c"}`, ""), []string{"transitions[2].form unknown_key"}},
		"a strange key":      {net(``, `, "extra": 1, "Schema": {}`), []string{"extra unknown_key", "Schema unknown_key"}},
		"a key deep inside":  {placed(`{"id": "a", "timeout": {"afer": "1h", "transition": "t"}}`), []string{"places[0].timeout.afer unknown_key"}},
		"a key with a dot":   {net(``, `, "a.b": 1`), []string{`["a.b"] unknown_key`}},
		"a key twice":        {net(``, `, "name": "m"`), []string{"name duplicate_key"}},
		"a key twice inside": {net(``, `, "schema": {"type": "object", "x": [{"y": 1, "y": 2}], "type": "object"}, "labels": {"a": "b", "a": "c"}`), []string{"schema.x[0].y duplicate_key", "schema.type duplicate_key", "labels.a duplicate_key"}},
		"problems of all kind": {`{"name": "n", "initial_place": "a", "palces": [], "places": [{"id": "a"}, {"id": "b"}], "transitions": [{"id": "t", "from": "a", "to": "bb", "rulez": []}]}`, []string{
			"palces unknown_key", "transitions[0].rulez unknown_key", "transitions[0].to unknown_place", "places[1] unreachable_place",
		}},

		"ids": {`{"name": "My flow", "initial_place": "a.b", "places": [{"id": "a.b"}, {"id": ""}, {}, {"id": "a.b"}], "transitions": [{"from": "a.b", "to": "a.b"}]}`, []string{
			"name invalid_id", "places[0].id invalid_id", "places[1].id missing", "places[2].id missing", "places[3].id invalid_id", "places[3].id duplicate_id",
			"transitions[0].id missing", "places no_terminal_place",
		}},
		"ids of others": {placed(`{"id": "a", "agents": [{"agent": "X"}, {}], "functions": [{"function": "a b"}, {}]}`), []string{
			"places[0].agents[0].agent invalid_id", "places[0].agents[1].agent missing",
			"places[0].functions[0].function invalid_id", "places[0].functions[1].function missing",
		}},
		"a rule's id":               {net(`, {"id": "v", "from": "a", "to": "c", "rules": ["ok", "No"]}`, ""), []string{"transitions[2].rules[1] invalid_id"}},
		"a function twice":          {placed(`{"id": "a", "functions": [{"function": "f"}, {"function": "g"}, {"function": "f"}], "agents": [{"agent": "f"}, {"agent": "f"}]}`), []string{"places[0].agents[1].agent duplicate_id", "places[0].functions[2].function duplicate_id"}},
		"outputs that lead nowhere": {placed(`{"id": "a", "functions": [{"function": "f", "output": "a..b"}, {"function": "g", "output": "a b"}, {"function": "h", "output": "a.b"}]}`), []string{"places[0].functions[0].output invalid_output", "places[0].functions[1].output invalid_output"}},
		"a transition twice":        {net(`, {"id": "t", "from": "a", "to": "c"}`, ""), []string{"transitions[2].id duplicate_id"}},
		"an unknown beginning":      {`{"name": "n", "initial_place": "x", "places": [{"id": "a"}]}`, []string{"initial_place unknown_place"}},
		"unknown places": {net(`, {"id": "v", "from": ["a", "x"], "to": "y"}, {"id": "w", "inputs": ["a", {"place": "z"}], "outputs": ["b", "q"]}`, ""), []string{
			"transitions[2].from[1] unknown_place", "transitions[2].to unknown_place", "transitions[3].inputs[1] unknown_place",
			"transitions[3].outputs[1] unknown_place", "transitions[3] dead_transition",
		}},
		"arcs twice": {net(`, {"id": "v", "from": ["a", "a"], "to": "c"}, {"id": "w", "inputs": ["a", {"place": "a", "count": 2}], "outputs": ["b", "b"]}`, ""), []string{
			"transitions[2].from[1] duplicate_arc", "transitions[3].inputs[1] duplicate_arc", "transitions[3].outputs[1] duplicate_arc",
		}},
		"both forms":  {net(`, {"id": "v", "from": "a", "to": "c", "inputs": ["a"], "outputs": ["c"]}`, ""), []string{"transitions[2] both_arc_forms"}},
		"mixed forms": {net(`, {"id": "v", "from": "a", "outputs": ["c"]}`, ""), []string{"transitions[2] both_arc_forms"}},
		"no arcs": {net(`, {"id": "v"}, {"id": "w", "from": "a"}, {"id": "x", "to": "c"}, {"id": "y", "inputs": ["a"]}, {"id": "z", "outputs": ["c"]}`, ""), []string{
			"transitions[2] no_arcs", "transitions[3].to no_arcs", "transitions[4].from no_arcs", "transitions[5].outputs no_arcs", "transitions[6].inputs no_arcs",
		}},
		"arcs without a place": {net(`, {"id": "v", "inputs": [{"count": 2}], "outputs": [{}]}`, ""), []string{
			"transitions[2].inputs[0].place missing", "transitions[2].outputs[0].place missing", "transitions[2] dead_transition",
		}},
		"counts": {net(`, {"id": "v", "inputs": [{"place": "a", "count": 0}, {"place": "b", "count": "many"}], "outputs": [{"place": "b", "count": 257}, {"place": "c", "count": "all"}]}`, ""), []string{
			"transitions[2].inputs[0].count invalid_count", "transitions[2].inputs[1].count invalid_count",
			"transitions[2].outputs[0].count invalid_count", "transitions[2].outputs[1].count invalid_count",
		}},
		"each": {net(`, {"id": "v", "inputs": ["a"], "outputs": [{"place": "b", "each": "items"}, {"place": "c", "each": "data.items", "count": 2}, {"place": "a", "each": ""}]}`, ""), []string{
			"transitions[2].outputs[1].each invalid_each", "transitions[2].outputs[2].each invalid_each", "transitions[2].outputs[0].each invalid_each",
		}},
		"arcs of a wrong type": {net(`, {"id": "v", "inputs": [1, {"place": 2}], "outputs": [[], {"each": 3}]}`, ""), []string{
			"transitions[2].inputs[0] wrong_type", "transitions[2].inputs[1].place wrong_type", "transitions[2].outputs[0] wrong_type",
			"transitions[2].outputs[1].each wrong_type", "transitions[2].outputs[1].place missing",
		}},
		"no end": {`{"name": "n", "initial_place": "a", "places": [{"id": "a"}, {"id": "b"}], "transitions": [{"id": "t", "from": "a", "to": "b"}, {"id": "u", "from": "b", "to": "a"}]}`, []string{"places no_terminal_place"}},
		"unreachable": {`{"name": "n", "initial_place": "a", "places": [{"id": "a"}, {"id": "b"}, {"id": "c"}, {"id": "d"}], "transitions": [{"id": "t", "from": ["a", "d"], "to": "b"}, {"id": "u", "inputs": ["b", "d"], "outputs": ["c"]}]}`, []string{
			"places[2] unreachable_place", "places[3] unreachable_place", "transitions[1] dead_transition",
		}},
		"time-outs":          {placed(`{"id": "a", "timeout": {"after": "-1s", "transition": "u"}}`), []string{"places[0].timeout.after invalid_duration", "places[0].timeout.transition timeout_not_from_place"}},
		"time-outs, missing": {placed(`{"id": "a", "timeout": {"after": "2 days"}}`), []string{"places[0].timeout.after invalid_duration", "places[0].timeout.transition timeout_without_transition"}},
		"time-outs, unknown": {placed(`{"id": "a", "timeout": {"after": 3, "transition": "x"}}`), []string{"places[0].timeout.after wrong_type", "places[0].timeout.transition unknown_transition"}},
		"bindings": {placed(`{"id": "a", "agents": [{"agent": "x", "on_success": "u"}], "functions": [{"function": "f", "on_failure": "x"}]}`), []string{
			"places[0].agents[0].on_success binding_transition", "places[0].functions[0].on_failure binding_transition",
		}},
		"retention": {net("", `, "retention": {"completed": "-1h", "canceled": "x"}`), []string{"retention.canceled unknown_key", "retention.cancelled invalid_duration", "retention.completed invalid_duration"}},
		"descriptions": {fmt.Sprintf(`{"name": "n", "description": %q, "initial_place": "a", "places": [{"id": "a", "description": %q}, {"id": "b"}], "transitions": [{"id": "t", "description": %q, "from": "a", "to": "b"}]}`, long, long, long), []string{
			"description too_large", "places[0].description too_large", "transitions[0].description too_large",
		}},
		"too many places": {`{"name": "n", "initial_place": "a", "places": [` + strings.Repeat(`{"id": "a"},`, 500) + `{"id": "a"}]}`, []string{"places too_many"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, problemsOf(c.definition)); diff != "" {
				t.Errorf("the problems differ (-want +got):\n%s\n%s", diff, c.definition)
			}
		})
	}
}

func TestCompileBoundsWhatParsingHasNotSeen(t *testing.T) {
	t.Parallel()
	def := &wire.Definition{Name: "n", InitialPlace: "p0", Places: make([]wire.Place, 501), Transitions: make([]wire.Transition, 1001)}
	for i := range def.Places {
		def.Places[i].ID = fmt.Sprint("p", i)
	}
	for i := range def.Transitions {
		def.Transitions[i] = wire.Transition{ID: fmt.Sprint("t", i), Inputs: []wire.InputArc{{Place: "p0", Count: -2}}, Outputs: []wire.OutputArc{{Place: fmt.Sprint("p", i%501), Count: -1}}}
	}
	_, problems := Compile(def)
	var codes []string
	for _, p := range problems {
		codes = append(codes, p.Code)
	}
	slices.Sort(codes)
	if diff := cmp.Diff([]string{"invalid_count", "too_many"}, slices.Compact(codes)); diff != "" {
		t.Error(diff)
	}
	if net, problems := Compile(&wire.Definition{}); net != nil || len(problems) == 0 {
		t.Errorf("an empty definition compiled: %v", problems)
	}
}

func TestMessagesSuggestTheRightWord(t *testing.T) {
	t.Parallel()
	for definition, want := range map[string]string{
		net(`, {"id": "v", "form": "a", "to": "c"}`, ""):                       "did you mean from?",
		net(``, `, "retentoin": {}`):                                           "did you mean retention?",
		net(``, `, "zzz": {}`):                                                 "known are name, description",
		`{"name": "n", "initial_place": "drfat", "places": [{"id": "draft"}]}`: "did you mean draft?",
		"{\n  \"name\": x}":                                                    "line 2, column 11",
	} {
		_, problems := ParseDefinition([]byte(definition))
		if len(problems) == 0 {
			def, _ := ParseDefinition([]byte(definition))
			_, problems = Compile(def)
		}
		if !slices.ContainsFunc(problems, func(p wire.Problem) bool { return strings.Contains(p.Message, want) }) {
			t.Errorf("%v does not say %q", problems, want)
		}
	}
}

func TestParsingReadsWhatWireReads(t *testing.T) {
	t.Parallel()
	text := placed(`{"id": "a", "timeout": {"after": "90m", "transition": "t"}, "agents": [{"agent": "x", "input": {"a": 1.0}, "decide": true}],
		"functions": [{"function": "f", "input": ["x"], "output": "o", "on_success": "t", "on_failure": "t"}]}`)
	text = strings.Replace(text, `"transitions": [`, `"description": "d", "schema": {"type": "object"}, "labels": {"a": "b"},
		"retention": {"completed": "1h"}, "transitions": [{"id": "v", "inputs": ["a", {"place": "b", "count": 2}, {"place": "c", "count": "all"}],
		"outputs": [{"place": "b", "count": 3}, {"place": "c", "each": "data.x"}, "a"], "rules": ["r"], "when": "true", "auto": true, "priority": -3},
		{"id": "w", "from": ["a", "b"], "to": "c", "description": "d"}, `, 1)
	def, problems := ParseDefinition([]byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var want wire.Definition
	fromJSON(t, text, &want)
	if a, b := toJSON(t, want), toJSON(t, def); a != b {
		t.Fatalf("read\n%s\nnot\n%s", b, a)
	}
}

func TestTheNetAnswersForItsPlaces(t *testing.T) {
	t.Parallel()
	n := newTestNet(t, reviewNet)
	ids := func(list []*wire.Transition) (ids []string) {
		for _, t := range list {
			ids = append(ids, t.ID)
		}
		return ids
	}
	if diff := cmp.Diff([]string{"return", "withdraw", "check"}, ids(n.Leaving("review"))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"return"}, ids(n.Entering("draft"))); diff != "" {
		t.Error(diff)
	}
	if n.Terminal("review") || !n.Terminal("approved") || n.Terminal("nowhere") || n.Leaving("nowhere") != nil || n.Entering("nowhere") != nil {
		t.Error("the terminal places are others")
	}
	if _, ok := n.Place("nowhere"); ok {
		t.Error("there is a place nowhere")
	}
	if _, ok := n.Transition("nope"); ok {
		t.Error("there is a transition nope")
	}
	inputs, outputs, any := n.Arcs("withdraw")
	if len(inputs) != 2 || len(outputs) != 1 || !any {
		t.Errorf("the arcs are %v, %v, %v", inputs, outputs, any)
	}
	if p, _ := n.Place("review"); p.ID != "review" || n.Definition().Name != "review" {
		t.Error("the definition is another")
	}
}

func FuzzParseDefinition(f *testing.F) {
	for _, seed := range []string{
		reviewNet, itemsNet, net("", ""), `{}`, `null`, `[`, `{"places": [{"id": 1}], "form": {}}`, `{"a": {"a": 1, "a": null}}`,
		placed(`{"id": "a", "timeout": {"after": "1h", "transition": "t"}, "agents": [{"agent": "x", "input": "<"}]}`),
		net(`, {"id": "v", "inputs": [{"place": "a", "count": "all"}], "outputs": [{"place": "b", "each": "data.x"}, {"place": "c", "count": 2}]}`, `, "schema": {"a": [1e9]}`),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		def, problems := ParseDefinition(raw)
		if (def == nil) != (len(problems) > 0) {
			t.Fatalf("a definition %v with problems %v", def, problems)
		}
		for _, p := range problems {
			if p.Code == "" || p.Message == "" {
				t.Fatalf("an unclear problem: %+v", p)
			}
		}
		if def == nil {
			return
		}
		text := toJSON(t, def)
		again, problems := ParseDefinition([]byte(text))
		if len(problems) > 0 || toJSON(t, again) != text {
			t.Fatalf("it does not read what it wrote: %v\n%s", problems, text)
		}
		compiled, _ := Compile(def)
		if compiled == nil {
			return
		}
		e := &engine{t: t, net: compiled, limits: DefaultLimits(1 << 20), seq: 1}
		e.create("", `{"x": [1]}`)
		for i := range def.Transitions {
			_, _ = e.try(Fire{TransitionID: def.Transitions[i].ID})
		}
	})
}
