package functionset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/env"
	"github.com/seed-42b4788c/circuit-breaker/pkg/jsonscan"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// member is one of an object, in the order of the file.
type member struct {
	name  string
	value json.RawMessage
}

func find(all []member, name string) *member {
	for i := range all {
		if all[i].name == name {
			return &all[i]
		}
	}
	return nil
}

// inside is the path of a member.
func inside(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func absent(value json.RawMessage) bool { return bytes.Equal(value, []byte("null")) }

// object reads the members of an object; nil, and a problem, where it is none.
func (r *reader) object(at string, text json.RawMessage, want string) []member {
	all := []member{}
	scan := jsonscan.New(text)
	seen := map[string]bool{}
	if scan.Next() != '{' {
		r.problem(at, wrongType, "must be %s", want)
		return nil
	}
	err := scan.Object(func(quoted []byte) error {
		name, err := jsonscan.Unquote(quoted)
		if err != nil {
			return err
		}
		value, err := scan.Value()
		switch {
		case err != nil:
			return err
		case seen[name]:
			r.problem(inside(at, name), duplicateKey, "is given twice")
		default:
			all = append(all, member{name, bytes.TrimSpace(value)})
		}
		seen[name] = true
		return nil
	})
	if err != nil {
		r.problem(at, malformed, "is no JSON, or nested too deeply")
		return nil
	}
	return all
}

// elements are those of a list.
func elements(text json.RawMessage) (all []json.RawMessage, ok bool) {
	if !bytes.HasPrefix(text, []byte("[")) {
		return nil, false
	}
	scan := jsonscan.New(text)
	err := scan.Array(func() error {
		value, err := scan.Value()
		all = append(all, bytes.TrimSpace(value))
		return err
	})
	return all, err == nil
}

// field is what a type knows of a member.
type field struct {
	name string
	is   reflect.Type
}

// definition are the members of a function.
var definition = fieldsOf(reflect.TypeFor[Function]())

// fieldsOf lists the members that the JSON of a struct has.
func fieldsOf(t reflect.Type) (all []field) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous {
			all = append(all, fieldsOf(f.Type)...)
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		all = append(all, field{name, f.Type})
	}
	return all
}

// members checks the members of an object. It returns those that are what they should be, and
// the names of those that are not: a misspelt one counts as the one that was meant.
func (r *reader) members(at string, all []member, known []field) (sound []member, broken map[string]bool) {
	names := make([]string, len(known))
	for i, f := range known {
		names[i] = f.name
	}
	broken = map[string]bool{}
	for _, m := range all {
		i := slices.Index(names, m.name)
		if i < 0 {
			broken[r.unknown(inside(at, m.name), m.name, names)] = true
			continue
		}
		before := len(r.file.Problems)
		if absent(m.value) {
			continue
		}
		r.value(inside(at, m.name), m.value, known[i].is)
		if len(r.file.Problems) == before {
			sound = append(sound, m)
		} else {
			broken[m.name] = true
		}
	}
	return sound, broken
}

func (r *reader) unknown(path, name string, known []string) (meant string) {
	near, ok := env.Nearest(strings.ToLower(name), known)
	if ok {
		r.problem(path, unknownKey, "is not known here; did you mean %s?", near)
	} else {
		r.problem(path, unknownKey, "is not known here; possible are %s", strings.Join(known, ", "))
	}
	return near
}

// value checks that a value is one of this type.
func (r *reader) value(at string, text json.RawMessage, t reflect.Type) {
	switch {
	case t.Kind() == reflect.Pointer:
		r.value(at, text, t.Elem())
	case t == reflect.TypeFor[json.RawMessage]():
		r.once(at, text)
	case t == reflect.TypeFor[wire.Duration]():
		if err := json.Unmarshal(text, new(wire.Duration)); err != nil {
			r.problem(at, invalidDuration, "%s", err)
		}
	case t.Kind() == reflect.Struct:
		r.members(at, r.object(at, text, "an object"), fieldsOf(t))
	case t.Kind() == reflect.Map:
		for _, m := range r.object(at, text, "an object") {
			r.value(inside(at, m.name), m.value, t.Elem())
		}
	case t.Kind() == reflect.Slice:
		all, ok := elements(text)
		if !ok {
			r.problem(at, wrongType, "must be a list")
		}
		for i, one := range all {
			r.value(fmt.Sprintf("%s[%d]", at, i), one, t.Elem())
		}
	case absent(text) || json.Unmarshal(text, reflect.New(t).Interface()) != nil:
		r.problem(at, wrongType, "must be %s", simple[t.Kind()])
	}
}

// simple says what values of these kinds are.
var simple = map[reflect.Kind]string{
	reflect.String: "a text", reflect.Bool: "true or false", reflect.Int: "a whole number", reflect.Float64: "a number",
}

// once refuses members that are given twice, at any depth of a value that is read elsewhere.
func (r *reader) once(at string, text json.RawMessage) {
	switch text[0] {
	case '{':
		for _, m := range r.object(at, text, "") {
			r.once(inside(at, m.name), m.value)
		}
	case '[':
		all, _ := elements(text)
		for i, one := range all {
			r.once(fmt.Sprintf("%s[%d]", at, i), one)
		}
	}
}
