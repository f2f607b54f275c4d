package main

// condition is the schema of conditions: in wire types they are raw JSON.
const condition = handmade("condition")

// What pkg/condition bounds of one, in bytes.
const (
	maxExpression = 4096
	maxFieldPath  = 256
	maxPattern    = 512
)

// fieldPath is a path below data or metadata.
const fieldPath = `^(data|metadata)(\.[^.\[\]"]+|\[[0-9]{1,9}\]|\["([^"\\]|\\.)*"\]){1,32}$`

// leaf is a kind of condition that asks about a field.
type leaf struct {
	kind, about string
	// takes is what it needs beside the field, and holds what that may be.
	takes string
	holds *object
}

var leaves = []leaf{
	{"field_exists", "The field is there, whatever it holds.", "", nil},
	{"field_equals", "The field is this value; 1 and 1.0 are the same.", "value", obj()},
	{"field_greater_than", "The field is a greater number, or a text that comes later.", "value", ordered()},
	{"field_less_than", "The field is a smaller number, or a text that comes earlier.", "value", ordered()},
	{"field_contains", "The field is a text with this part, a list with this element, or an object with this member.", "value", obj()},
	{"field_matches", "The field is a text in which this regular expression (RE2, at most 512 bytes) is found.", "pattern", text(maxPattern)},
	{"in", "The field is one of these values.", "values", obj("type", "array")},
}

func ordered() *object { return obj("type", []any{"number", "string", "boolean"}) }

func part(name string) *object { return obj("$ref", "#/$defs/"+name) }

// conditionPart points at a part of the schema of conditions.
func conditionPart(name string) *object { return obj("$ref", string(condition)+".json#/$defs/"+name) }

// conditionSchema says which conditions people may write, and under canonical in which form
// they are stored and shown.
func conditionSchema() *object {
	parts := obj(
		"expression", obj(
			"description", "CEL over the variables token, tokens and instance; it gives true or false.",
			"type", "string", "maxLength", maxExpression, "pattern", `\S`),
		"field", obj(
			"description", `A path below data or metadata, such as data.items[0].sku or metadata["odd name"]; at most 256 bytes and 32 steps.`,
			"type", "string", "maxLength", maxFieldPath, "pattern", fieldPath),
		"tree", obj(
			"description", "One condition: an object whose only member is its kind, or one that names its kind in type. At most 16 KB, 256 conditions and 32 levels.",
			"type", "object",
			"if", obj("required", []any{"type"}), "then", part("tagged"), "else", part("kind")),
		"kind", oneKind("tree", leaf.short).
			set("description", "The canonical forms, and shorter ones: a path alone for field_exists, value for pattern and values."),
		"tagged", tagged(),
		"canonical", oneKind("canonical", func(l leaf) *object { return part(l.kind) }).
			set("description", "A tree as it is stored and shown; an expression is a tree of one condition."),
	)
	for _, l := range leaves {
		parts.set(l.kind, l.form(obj(), l.takes).set("description", l.about))
	}
	return obj(
		"$schema", dialect,
		"title", string(condition),
		"description", "A predicate over a token: an expression in CEL, or a tree.",
		"oneOf", []any{part("expression"), part("tree")},
		"$defs", parts,
	)
}

// oneKind is {"<kind>": …}; inside are the conditions in it.
func oneKind(inside string, of func(leaf) *object) *object {
	kinds := obj("and", several(inside), "or", several(inside), "not", part(inside), "expression", part("expression"))
	for _, l := range leaves {
		kinds.set(l.kind, of(l))
	}
	return obj("type", "object", "properties", kinds, "minProperties", 1, "maxProperties", 1, "additionalProperties", false)
}

// tagged is {"type": "<kind>", …}.
func tagged() *object {
	tag := func(kind string) *object { return obj("type", obj("const", kind)) }
	forms := []any{
		closed(tag("and").set("conditions", several("tree"))),
		closed(tag("or").set("conditions", several("tree"))),
		closed(tag("not").set("condition", part("tree"))),
		closed(tag("expression").set("expression", part("expression"))),
	}
	for _, l := range leaves {
		forms = append(forms, l.form(tag(l.kind), l.takes))
		if l.abbreviates() {
			forms = append(forms, l.form(tag(l.kind), "value"))
		}
	}
	return obj("oneOf", forms)
}

func several(inside string) *object { return listOf(part(inside)).set("minItems", 1) }

// closed is an object of exactly these members.
func closed(members *object) *object {
	var required []any
	for _, name := range members.keys {
		required = append(required, name)
	}
	return obj("type", "object", "properties", members, "required", required, "additionalProperties", false)
}

// form is what a leaf holds after other members, with a name for what it takes.
func (l leaf) form(members *object, takes string) *object {
	members.set("field", part("field"))
	if takes != "" {
		members.set(takes, l.holds)
	}
	return closed(members)
}

// abbreviates reports whether what it takes may be called value.
func (l leaf) abbreviates() bool { return l.takes != "" && l.takes != "value" }

// short is a leaf in its canonical form or a shorter one.
func (l leaf) short() *object {
	switch {
	case l.takes == "":
		return obj("oneOf", []any{part(l.kind), part("field")})
	case l.abbreviates():
		return obj("oneOf", []any{part(l.kind), l.form(obj(), "value")})
	}
	return part(l.kind)
}
