package petri

import (
	"bytes"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// MaxDefinitionBytes bounds the text of a definition.
const MaxDefinitionBytes = 1 << 20

// ParseDefinition reads a definition from JSON, strictly: a key that is unknown, misspelled
// or given twice and a value of the wrong type are problems, each with its path. When there
// is a problem, the definition is nil, and what else is wrong with the net is reported too,
// as far as it can be understood, so that one round shows everything. A definition without
// a problem here is still to be checked by Compile.
//
// null counts as not given. It never panics, whatever it is given.
func ParseDefinition(raw []byte) (*wire.Definition, []wire.Problem) {
	r := &definitionReader{}
	root := r.open(raw)
	if root == nil {
		return nil, r.problems
	}
	def := r.definition(root)
	if len(r.problems) == 0 {
		return def, nil
	}
	for _, p := range validate(def) {
		if r.trusts(p) {
			r.problems = append(r.problems, p)
		}
	}
	return nil, r.problems
}

// definitionReader turns a tree into a definition and notes what does not fit.
type definitionReader struct {
	problems
	// broken are the paths whose values were lost, so that what is missing there is no
	// news.
	broken []string
}

// open checks size, syntax and depth before anything is built.
func (r *definitionReader) open(raw []byte) *node {
	if len(raw) > MaxDefinitionBytes {
		r.add("", problemTooLarge, "the definition is %d bytes long; at most %d are possible", len(raw), MaxDefinitionBytes)
		return nil
	}
	if d := depth(raw); d > maxDefinitionDepth {
		r.add("", problemTooLarge, "the definition nests %d deep; at most %d is possible", d, maxDefinitionDepth)
		return nil
	}
	var probe json.RawMessage
	if err := json.Unmarshal(raw, &probe); err != nil {
		line, column := position(raw, err)
		r.add("", problemMalformed, "is not valid JSON at line %d, column %d: %v", line, column, err)
		return nil
	}
	root, err := parseTree(raw)
	if err != nil {
		r.add("", problemMalformed, "is not valid JSON: %v", err)
		return nil
	}
	return root
}

func position(raw []byte, err error) (line, column int) {
	offset := len(raw)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		offset = min(int(syntax.Offset), len(raw))
	}
	before := raw[:offset]
	return 1 + bytes.Count(before, []byte("\n")), len(before) - (bytes.LastIndexByte(before, '\n') + 1)
}

// trusts reports whether a problem of the net is likely to be real, and not the echo of
// something that could not be read.
func (r *definitionReader) trusts(p wire.Problem) bool {
	needsPlaces, needsArcs := false, false
	switch p.Code {
	case problemUnknownPlace:
		needsPlaces = true
	case problemUnknownTransition, problemBindingTransition, problemTimeoutElsewhere:
		needsArcs = true
	case problemUnreachablePlace, problemDeadTransition, problemNoTerminalPlace:
		needsPlaces, needsArcs = true, true
	}
	for _, path := range r.broken {
		switch {
		case path == "" || covers(path, p.Path) || covers(p.Path, path):
			return false
		case needsPlaces && declares.places.MatchString(path):
			return false
		case needsArcs && declares.arcs.MatchString(path):
			return false
		}
	}
	return true
}

// declares match the paths that tell which places there are, and what leads where.
var declares = struct{ places, arcs *regexp.Regexp }{
	places: regexp.MustCompile(`^places(\[\d+\](\.id)?)?$`),
	arcs:   regexp.MustCompile(`^transitions(\[\d+\](\.(id|from|to|inputs|outputs).*)?)?$`),
}

// covers reports whether path is outer or lies within it.
func covers(outer, path string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func (r *definitionReader) wrong(path string, n *node, want string) {
	r.broken = append(r.broken, path)
	r.add(path, problemWrongType, "must be %s, not %s", want, n.kind)
}

// fields are the members of an object by key; null members are left out.
type fields map[string]*node

// object reads the members of an object that has only these keys. A key that is nearly
// right is taken for the right one, so that it does not look missing as well.
func (r *definitionReader) object(n *node, path string, keys ...string) (fields, bool) {
	if n.kind != nodeObject {
		r.wrong(path, n, "an object")
		return nil, false
	}
	found := fields{}
	seen := map[string]bool{}
	var misspelled []member
	for _, m := range n.members {
		if seen[m.key] {
			r.add(join(path, m.key), problemDuplicateKey, "is given twice")
			continue
		}
		seen[m.key] = true
		switch {
		case !slices.Contains(keys, m.key):
			misspelled = append(misspelled, m)
		case m.value.kind != nodeNull:
			found[m.key] = m.value
		}
	}
	for _, m := range misspelled {
		meant := nearest(strings.ToLower(m.key), keys)
		if meant == "" {
			r.add(join(path, m.key), problemUnknownKey, "is no known key; known are %s", strings.Join(keys, ", "))
			continue
		}
		r.add(join(path, m.key), problemUnknownKey, "is no known key; did you mean %s?", meant)
		if !seen[meant] && m.value.kind != nodeNull {
			seen[meant] = true
			found[meant] = m.value
		}
	}
	return found, true
}

func (r *definitionReader) str(f fields, path, key string) string {
	n := f[key]
	if n == nil {
		return ""
	}
	if n.kind != nodeString {
		r.wrong(join(path, key), n, "a string")
		return ""
	}
	return n.text
}

func (r *definitionReader) boolean(f fields, path, key string) bool {
	n := f[key]
	if n == nil {
		return false
	}
	if n.kind != nodeBool {
		r.wrong(join(path, key), n, "true or false")
	}
	return n.truth
}

func (r *definitionReader) integer(f fields, path, key string) int {
	n := f[key]
	if n == nil {
		return 0
	}
	v, err := strconv.ParseInt(n.text, 10, 32)
	if n.kind != nodeNumber || err != nil {
		r.broken = append(r.broken, join(path, key))
		r.add(join(path, key), problemWrongType, "must be a whole number")
		return 0
	}
	return int(v)
}

func (r *definitionReader) duration(f fields, path, key string) *wire.Duration {
	n := f[key]
	if n == nil {
		return nil
	}
	where := join(path, key)
	if n.kind != nodeString {
		r.wrong(where, n, "a duration, a string such as 90s, 15m or 48h")
		return nil
	}
	v, err := time.ParseDuration(n.text)
	if err != nil {
		r.broken = append(r.broken, where)
		r.add(where, problemInvalidDuration, "%q is no duration; write it as 90s, 15m or 48h", clip(n.text))
		return nil
	}
	d := wire.Duration(v)
	return &d
}

// opaque keeps a value that is understood elsewhere. Keys given twice are a mistake there
// too.
func (r *definitionReader) opaque(f fields, path, key string, kinds ...nodeKind) json.RawMessage {
	n := f[key]
	if n == nil {
		return nil
	}
	where := join(path, key)
	if len(kinds) > 0 && !slices.Contains(kinds, n.kind) {
		want := make([]string, len(kinds))
		for i, k := range kinds {
			want[i] = k.String()
		}
		r.wrong(where, n, strings.Join(want, " or "))
		return nil
	}
	r.uniqueKeys(n, where)
	var compact bytes.Buffer
	if err := json.Compact(&compact, n.raw); err != nil {
		r.broken = append(r.broken, where)
		r.add(where, problemMalformed, "is not valid JSON: %v", err)
		return nil
	}
	return compact.Bytes()
}

func (r *definitionReader) uniqueKeys(n *node, path string) {
	seen := map[string]bool{}
	for _, m := range n.members {
		where := join(path, m.key)
		if seen[m.key] {
			r.add(where, problemDuplicateKey, "is given twice")
		}
		seen[m.key] = true
		r.uniqueKeys(m.value, where)
	}
	for i, item := range n.items {
		r.uniqueKeys(item, at(path, i))
	}
}

// list reads each element of a list; bounded, since what is too many is not worth reading.
func list[T any](r *definitionReader, f fields, path, key string, most int, read func(*node, string) T) []T {
	n := f[key]
	if n == nil {
		return nil
	}
	where := join(path, key)
	if n.kind != nodeList {
		r.wrong(where, n, "a list")
		return nil
	}
	if most > 0 && len(n.items) > most {
		r.broken = append(r.broken, where)
		r.add(where, problemTooMany, "there are %d; at most %d are possible", len(n.items), most)
		return nil
	}
	all := make([]T, len(n.items))
	for i, item := range n.items {
		all[i] = read(item, at(where, i))
	}
	return all
}

func (r *definitionReader) text(n *node, path string) string {
	if n.kind != nodeString {
		r.wrong(path, n, "a string")
		return ""
	}
	return n.text
}
