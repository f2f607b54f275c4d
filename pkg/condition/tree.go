package condition

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/jsonscan"
)

const (
	// maxTree is how long a tree may be, in bytes of JSON; maxTreeDepth how deep its
	// conditions may nest, and maxTreeParts how many it may have.
	maxTree      = 16 << 10
	maxTreeDepth = 32
	maxTreeParts = 256
	// maxValueDepth is how deep a value in a tree may nest.
	maxValueDepth = 16
)

// Kinds of conditions in a tree; those on a field are called as their functions, except one.
const (
	kindAnd        = "and"
	kindOr         = "or"
	kindNot        = "not"
	kindExpression = "expression"
	kindIn         = "in"
)

// leaves are the kinds that ask about a field, with what they take beside its path.
var leaves = map[string]string{
	fieldExists: "", fieldEquals: "value", fieldGreaterThan: "value", fieldLessThan: "value",
	fieldContains: "value", fieldMatches: "pattern", kindIn: "values",
}

var kinds = strings.Join(slices.Sorted(maps.Keys(leaves)), ", ") + ", and, or, not, expression"

// node is one condition of a tree.
type node struct {
	kind string
	// field is the path of a leaf, value what it takes beside it, as JSON and as CEL.
	field   string
	value   json.RawMessage
	literal string
	parts   []*node
	// program is a compiled expression.
	program *Program
}

// treeReader reads one tree.
type treeReader struct {
	language *Language
	parts    int
	// types is how much there was to check in the expressions.
	types int
}

func (l *Language) readTree(field string, text json.RawMessage) (*node, error) {
	if len(text) > maxTree {
		return nil, refuse(field, "is %d bytes long; at most %d are possible", len(text), maxTree).
			With("max", maxTree).With("actual", len(text))
	}
	s := jsonscan.New(text)
	if _, err := s.Value(); err != nil || s.End() != nil {
		return nil, refuse(field, "is no JSON, or nested too deeply")
	}
	return (&treeReader{language: l}).read(field, text, 1)
}

// members are those of a JSON object, each as text.
type members map[string]json.RawMessage

// object reads the members of an object. One that is given twice is refused, since a guard
// would be weaker than it reads; how describes what belongs here.
func (r *treeReader) object(at string, text json.RawMessage, how string) (members, error) {
	s, all, repeated := jsonscan.New(text), members{}, ""
	if s.Next() != '{' {
		return nil, refuse(at, "must be an object such as %s", how)
	}
	err := s.Object(func(quoted []byte) error {
		name := unquote(quoted)
		if _, known := all[name]; known && repeated == "" {
			repeated = name
		}
		value, err := s.Value()
		all[name] = value
		return err
	})
	switch {
	case err != nil:
		return nil, refuse(at, "is no JSON")
	case repeated != "":
		return nil, refuse(at+"."+clip(repeated, maxValue), "is given twice; write it once")
	}
	return all, nil
}

func (r *treeReader) read(at string, text json.RawMessage, depth int) (*node, error) {
	if r.parts++; r.parts > maxTreeParts {
		return nil, refuse(at, "is one condition too many; a tree may have at most %d", maxTreeParts).With("max", maxTreeParts)
	}
	if depth > maxTreeDepth {
		return nil, refuse(at, "is nested too deeply; at most %d levels are possible", maxTreeDepth).With("max", maxTreeDepth)
	}
	all, err := r.object(at, text, `{"field_equals": {"field": "data.status", "value": "approved"}}`)
	if err != nil {
		return nil, err
	}
	if kind, tagged := all["type"]; tagged {
		return r.tagged(at, kind, all, depth)
	}
	if len(all) != 1 {
		return nil, refuse(at, "must have exactly one member, which is its kind (%s), not %d", kinds, len(all))
	}
	for kind, body := range all {
		inside := at + "." + kind
		if _, ok := leaves[kind]; ok {
			return r.leaf(inside, kind, body)
		}
		switch kind {
		case kindAnd, kindOr:
			return r.several(inside, kind, body, depth)
		case kindNot:
			return r.not(inside, body, depth)
		case kindExpression:
			return r.expression(inside, body)
		}
		return nil, refuse(inside, "is no kind of condition; write one of %s", kinds)
	}
	return nil, nil // not reached: there is one member
}

// tagged reads {"type": kind, …}.
func (r *treeReader) tagged(at string, tag json.RawMessage, all members, depth int) (*node, error) {
	var kind string
	if json.Unmarshal(tag, &kind) != nil {
		return nil, refuse(at+".type", "must be a text, one of %s", kinds)
	}
	delete(all, "type")
	if _, ok := leaves[kind]; ok {
		return r.leafOf(at, kind, all)
	}
	takes, ok := map[string]string{kindAnd: "conditions", kindOr: "conditions", kindNot: "condition", kindExpression: "expression"}[kind]
	if !ok {
		return nil, refuse(at+".type", "is no kind of condition; write one of %s", kinds)
	}
	if err := only(at, all, takes); err != nil {
		return nil, err
	}
	at, body := at+"."+takes, all[takes]
	if body == nil {
		return nil, refuse(at, "is missing; a condition of the type %s needs it", kind)
	}
	switch kind {
	case kindNot:
		return r.not(at, body, depth)
	case kindExpression:
		return r.expression(at, body)
	}
	return r.several(at, kind, body, depth)
}

func (r *treeReader) several(at, kind string, body json.RawMessage, depth int) (*node, error) {
	var parts []json.RawMessage
	if json.Unmarshal(body, &parts) != nil || len(parts) == 0 {
		return nil, refuse(at, "must be a list of at least one condition")
	}
	n := &node{kind: kind}
	for i, part := range parts {
		read, err := r.read(fmt.Sprintf("%s[%d]", at, i), part, depth+1)
		if err != nil {
			return nil, err
		}
		n.parts = append(n.parts, read)
	}
	return n, nil
}

func (r *treeReader) not(at string, body json.RawMessage, depth int) (*node, error) {
	read, err := r.read(at, body, depth+1)
	if err != nil {
		return nil, err
	}
	return &node{kind: kindNot, parts: []*node{read}}, nil
}

// expression compiles an expression alone first, so that it has its own faults and cannot
// reach beyond its place in the tree.
func (r *treeReader) expression(at string, body json.RawMessage) (*node, error) {
	var text string
	if json.Unmarshal(body, &text) != nil || len(body) == 0 || body[0] != '"' {
		return nil, refuse(at, "must be a text, an expression such as \"token.data.amount > 100\"")
	}
	program, err := r.language.CompileText(at, text)
	if err != nil {
		return nil, err
	}
	if r.types += program.types; r.types > maxTypes {
		return nil, tooIntricate(at)
	}
	return &node{kind: kindExpression, program: program}, nil
}

func (r *treeReader) leaf(at, kind string, body json.RawMessage) (*node, error) {
	if kind == fieldExists && len(body) > 0 && body[0] == '"' {
		return r.leafOf(at, kind, members{"field": body})
	}
	all, err := r.object(at, body, sample(kind))
	if err != nil {
		return nil, err
	}
	return r.leafOf(at, kind, all)
}

// sample is what a leaf of a kind takes, to show.
func sample(kind string) string {
	switch leaves[kind] {
	case "":
		return `{"field": "data.amount"}`
	case "pattern":
		return `{"field": "data.sku", "pattern": "^A-"}`
	case "values":
		return `{"field": "data.status", "values": ["draft", "review"]}`
	}
	return `{"field": "data.amount", "value": 100}`
}

// only refuses members that a condition does not have.
func only(at string, all members, names ...string) error {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(names, name) {
			return refuse(at+"."+name, "is not known here; possible are %s", strings.Join(names, ", "))
		}
	}
	return nil
}

func (r *treeReader) leafOf(at, kind string, all members) (*node, error) {
	n, takes, names := &node{kind: kind}, leaves[kind], []string{"field"}
	if takes != "" {
		names = append(names, takes)
		if value, short := all["value"]; short && takes != "value" {
			if _, both := all[takes]; both {
				return nil, refuse(at+".value", "says the same as %s; write only that", takes)
			}
			delete(all, "value")
			all[takes] = value
		}
	}
	if err := only(at, all, names...); err != nil {
		return nil, err
	}
	field, ok := all["field"]
	if !ok {
		return nil, refuse(at+".field", "is missing; name a field, such as data.amount")
	}
	if json.Unmarshal(field, &n.field) != nil || field[0] != '"' {
		return nil, refuse(at+".field", "must be a text, such as data.amount")
	}
	if _, err := r.language.functions.path(n.field); err != nil {
		return nil, refuse(at+".field", "cannot be used: %s", err)
	}
	if takes == "" {
		return n, nil
	}
	value, ok := all[takes]
	if !ok {
		return nil, refuse(at+"."+takes, "is missing; write %s", sample(kind))
	}
	return n, r.take(at+"."+takes, n, value)
}

// take gives a leaf what it takes beside its path.
func (r *treeReader) take(at string, n *node, value json.RawMessage) error {
	first := value[0]
	switch n.kind {
	case fieldGreaterThan, fieldLessThan:
		if first == '{' || first == '[' || first == 'n' {
			return refuse(at, "must be a number or a text, such as 100")
		}
	case kindIn:
		if first != '[' {
			return refuse(at, `must be a list, such as ["draft", "review"]`)
		}
	case fieldMatches:
		var pattern string
		if first != '"' || json.Unmarshal(value, &pattern) != nil {
			return refuse(at, "must be a text, a regular expression such as ^A-")
		}
		if _, err := r.language.functions.compile(pattern); err != nil {
			return refuse(at, "is no usable regular expression: %s", shorten(err.Error()))
		}
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, value); err != nil {
		return refuse(at, "is no JSON")
	}
	n.value = compact.Bytes()
	var err error
	n.literal, err = literal(n.value)
	if err != nil {
		return refuse(at, "%s", err)
	}
	return nil
}
