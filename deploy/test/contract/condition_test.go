package contract

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
)

func newTestLanguage(t *testing.T) *condition.Language {
	t.Helper()
	language, err := condition.New()
	if err != nil {
		t.Fatal(err)
	}
	return language
}

// TestTheLanguageAgreesWithTheConditions: the fleet takes the valid conditions, in a
// canonical form that the schema of stored ones knows, and refuses the others.
func TestTheLanguageAgreesWithTheConditions(t *testing.T) {
	t.Parallel()
	c, samples := newTestSamples(t)
	language := newTestLanguage(t)
	for _, s := range samples {
		if s.Schema != "condition.json" {
			continue
		}
		program, err := language.Compile("condition", c.sample(t, s))
		if s.Valid != (err == nil) {
			t.Errorf("%s: valid is %v, the language says %v", s.File, s.Valid, err)
		}
		if err != nil {
			continue
		}
		if err := c.Check("schema/condition.json#/$defs/canonical", program.Canonical()); err != nil {
			t.Errorf("%s: in its canonical form %s: %v", s.File, program.Canonical(), err)
		}
		again, err := language.Compile("condition", program.Canonical())
		if err != nil || string(again.Canonical()) != string(program.Canonical()) {
			t.Errorf("%s: the canonical form is read as another, %v", s.File, err)
		}
	}
}

// TestTheSchemaOfConditionsIsNoStricter: what the language takes, the schema lets pass, and
// the form in which it is stored as well. The conditions are made of parts that are right and
// parts that are wrong.
func TestTheSchemaOfConditionsIsNoStricter(t *testing.T) {
	t.Parallel()
	c, language := Load(t), newTestLanguage(t)
	taken := 0
	for seed := range uint64(5000) {
		m := maker{rand.New(rand.NewPCG(seed, 0))}
		text, err := json.Marshal(m.condition(3))
		if err != nil {
			t.Fatal(err)
		}
		program, err := language.Compile("condition", text)
		if err != nil {
			continue
		}
		taken++
		if err := c.Check("schema/condition.json", text); err != nil {
			t.Errorf("%s: the language takes it: %v", text, err)
		}
		if err := c.Check("schema/condition.json#/$defs/canonical", program.Canonical()); err != nil {
			t.Errorf("%s: %v", program.Canonical(), err)
		}
	}
	if taken < 500 {
		t.Errorf("the language took only %d of them", taken)
	}
}

// maker makes conditions.
type maker struct{ *rand.Rand }

func pick[T any](m maker, of ...T) T { return of[m.IntN(len(of))] }

func (m maker) condition(depth int) any {
	kinds := []string{"field_exists", "field_equals", "field_greater_than", "field_less_than", "field_contains", "field_matches", "in", "expression", "xor"}
	if depth > 0 {
		kinds = append(kinds, "and", "or", "not", "and", "or", "not")
	}
	kind := pick(m, kinds...)
	switch kind {
	case "and", "or":
		parts := make([]any, m.IntN(4))
		for i := range parts {
			parts[i] = m.condition(depth - 1)
		}
		return m.said(kind, "conditions", parts)
	case "not":
		return m.said(kind, "condition", m.condition(depth-1))
	case "expression":
		return m.said(kind, "expression", pick[any](m, "true", "token.data.x == 1", " ", "1 + 1", 1))
	}
	field := pick[any](m, "data.a", "data.a", "metadata.b.c", "data[0]", `data["odd name"].x`, "data.a b-c", "data.\"x", `data["a\"b"]`, "data.\t", "data", "token.data.a", "data.", 7)
	if kind == "field_exists" && m.IntN(3) == 0 {
		return map[string]any{kind: field}
	}
	leaf := map[string]any{"field": field}
	switch member := pick(m, "value", "value", "pattern", "values", ""); {
	case member == "" && kind != "field_exists":
	case kind != "field_exists" || m.IntN(4) == 0:
		leaf[member] = pick[any](m, 1, 1.5, "a", "(", true, nil, []any{}, []any{1, "a", nil}, map[string]any{"a": 1})
	}
	if m.IntN(3) == 0 {
		leaf["type"] = kind
		return leaf
	}
	return map[string]any{kind: leaf}
}

// said is a condition in one of the two forms.
func (m maker) said(kind, member string, body any) any {
	if m.IntN(3) == 0 {
		return map[string]any{"type": kind, member: body}
	}
	return map[string]any{kind: body}
}
