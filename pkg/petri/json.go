package petri

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"reflect"
	"slices"
)

// object is a decoded JSON object. Decoded documents are never changed: whatever changes
// one copies the objects along its way and shares the rest.
type object = map[string]any

var (
	emptyObject = json.RawMessage(`{}`)
	nullValue   = []byte("null")
)

// Normalize writes a JSON value in the normal form that tokens are kept in: members that
// are null are removed at every depth (elements of lists stay), keys are sorted, numbers
// keep their text, and the bytes are those of encoding/json, so that marshalling them
// again changes nothing. maxDepth bounds the nesting ({} is 1); 0 is no bound.
//
// Errors are Rejections: invalid_field when raw is no JSON, limit_exceeded when it is too
// deep.
func Normalize(raw json.RawMessage, maxDepth int) (json.RawMessage, error) {
	v, err := decodeBounded(raw, maxDepth)
	if err != nil {
		return nil, err
	}
	return encode(prune(v))
}

// MergePatch applies a merge patch (RFC 7396) to a document; the result is in normal form.
func MergePatch(base, patch json.RawMessage) (json.RawMessage, error) {
	b, err := decode(base)
	if err != nil {
		return nil, err
	}
	p, err := decode(patch)
	if err != nil {
		return nil, err
	}
	return encode(merge(prune(b), p))
}

// Diff is a merge patch that makes target out of base; {} when they are the same object.
// Both are taken in normal form, since a merge patch cannot say null.
func Diff(base, target json.RawMessage) (json.RawMessage, error) {
	b, err := decode(base)
	if err != nil {
		return nil, err
	}
	t, err := decode(target)
	if err != nil {
		return nil, err
	}
	return encode(diff(prune(b), prune(t)))
}

// absent reports whether a document was not given; null counts as not given, as it does
// for members.
func absent(raw json.RawMessage) bool {
	trimmed := bytes.TrimSpace(raw)
	return len(trimmed) == 0 || bytes.Equal(trimmed, nullValue)
}

// document reads a token's data or metadata in normal form; absent gives {}.
func document(field string, raw json.RawMessage, maxDepth int) (json.RawMessage, error) {
	o, err := decodeObject(field, raw, maxDepth)
	if err != nil || len(o) == 0 {
		return emptyObject, err
	}
	return encode(prune(o))
}

// patchOf reads a merge patch in its own normal form, which keeps the nulls that remove a
// member; nil when it was not given or says nothing.
func patchOf(field string, raw json.RawMessage, maxDepth int) (json.RawMessage, error) {
	o, err := decodeObject(field, raw, maxDepth)
	if err != nil || len(o) == 0 {
		return nil, err
	}
	return encode(prunePatch(o))
}

func decodeObject(field string, raw json.RawMessage, maxDepth int) (object, error) {
	if absent(raw) {
		return nil, nil
	}
	v, err := decodeBounded(raw, maxDepth)
	if err != nil {
		return nil, inField(field, err)
	}
	o, ok := v.(object)
	if !ok {
		return nil, invalidField(field, "must be a JSON object")
	}
	return o, nil
}

// inField says which field a rejection of Normalize is about.
func inField(field string, err error) error {
	if r, ok := err.(*Rejection); ok {
		named := &Rejection{Code: r.Code, Message: field + ": " + r.Message, Details: maps.Clone(r.Details)}
		return named.with("field", field)
	}
	return err
}

func decodeBounded(raw json.RawMessage, maxDepth int) (any, error) {
	if d := depth(raw); maxDepth > 0 && d > maxDepth {
		return nil, limitExceeded("depth", maxDepth, d, "nests %d deep; at most %d is possible", d, maxDepth)
	}
	return decode(raw)
}

// depth counts how deep brackets nest, without decoding; on text that is no JSON it is
// some number.
func depth(raw []byte) int {
	deepest, now := 0, 0
	inString, escaped := false, false
	for _, c := range raw {
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped = c == '\\'
			inString = c != '"'
		case c == '"':
			inString = true
		case c == '{' || c == '[':
			now++
			deepest = max(deepest, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return deepest
}

func decode(raw []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, reject(codeInvalidField, "is not valid JSON: %v", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, reject(codeInvalidField, "is not valid JSON: something follows the value")
	}
	return v, nil
}

func encode(v any) (json.RawMessage, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, reject(codeInvalidField, "cannot be written as JSON: %v", err)
	}
	return b, nil
}

// prune removes null members. It owns what it is given, fresh from the decoder.
func prune(v any) any {
	switch v := v.(type) {
	case object:
		for key, member := range v {
			if member == nil {
				delete(v, key)
				continue
			}
			v[key] = prune(member)
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
	}
	return v
}

// prunePatch removes the null members that a patch cannot mean: those inside lists, which
// replace as a whole.
func prunePatch(v any) any {
	o, ok := v.(object)
	if !ok {
		return prune(v)
	}
	for key, member := range o {
		if member != nil {
			o[key] = prunePatch(member)
		}
	}
	return o
}

// merge applies a patch to a normal document and gives a normal one.
func merge(base, patch any) any {
	p, ok := patch.(object)
	if !ok {
		return prune(patch)
	}
	b, _ := base.(object)
	merged := maps.Clone(b)
	if merged == nil {
		merged = object{}
	}
	for key, member := range p {
		if member == nil {
			delete(merged, key)
			continue
		}
		merged[key] = merge(merged[key], member)
	}
	return merged
}

// diff is the patch that makes target of base, both normal.
func diff(base, target any) any {
	b, ok := base.(object)
	if !ok {
		return target
	}
	t, ok := target.(object)
	if !ok {
		return target
	}
	patch := object{}
	if same(b, t) {
		return patch
	}
	for key := range b {
		if _, stays := t[key]; !stays {
			patch[key] = nil
		}
	}
	for key, member := range t {
		old, was := b[key]
		if was && equal(old, member) {
			continue
		}
		patch[key] = diff(old, member)
	}
	return patch
}

func equal(a, b any) bool {
	switch a := a.(type) {
	case object:
		b, ok := b.(object)
		return ok && (same(a, b) || maps.EqualFunc(a, b, equal))
	case []any:
		b, ok := b.([]any)
		return ok && (len(a) == len(b) && len(a) > 0 && &a[0] == &b[0] || slices.EqualFunc(a, b, equal))
	}
	switch b.(type) {
	case object, []any:
		return false
	}
	return a == b
}

// same reports whether two objects are one: a document and its changed copy share most of
// their parts, and need not be compared member by member.
func same(a, b object) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// lookup follows a path of members.
func lookup(v any, path []string) (any, bool) {
	for _, key := range path {
		o, ok := v.(object)
		if !ok {
			return nil, false
		}
		if v, ok = o[key]; !ok {
			return nil, false
		}
	}
	return v, true
}

// put sets the member at a path in a copy of the object; objects that are missing on the
// way are made, and what is no object is replaced by one.
func put(v any, path []string, member any) object {
	o, _ := v.(object)
	changed := maps.Clone(o)
	if changed == nil {
		changed = object{}
	}
	if len(path) == 1 {
		changed[path[0]] = member
	} else {
		changed[path[0]] = put(changed[path[0]], path[1:], member)
	}
	return changed
}

// without removes the member at a path in a copy of the object.
func without(v any, path []string) any {
	o, ok := v.(object)
	if !ok {
		return v
	}
	member, ok := o[path[0]]
	if !ok {
		return v
	}
	changed := maps.Clone(o)
	if len(path) == 1 {
		delete(changed, path[0])
	} else {
		changed[path[0]] = without(member, path[1:])
	}
	return changed
}
