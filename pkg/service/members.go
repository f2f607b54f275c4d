package service

import (
	"encoding/json"
	"iter"
	"reflect"
	"strings"
)

// memberNames lists the JSON members of a struct, those of embedded structs included, as
// encoding/json sees them.
func memberNames(t reflect.Type) []string {
	var names []string
	for field := range memberFields(t) {
		names = append(names, field)
	}
	return names
}

func memberField(t reflect.Type, name string) (reflect.StructField, bool) {
	for member, field := range memberFields(t) {
		if member == name {
			return field, true
		}
	}
	return reflect.StructField{}, false
}

func memberFields(t reflect.Type) iter.Seq2[string, reflect.StructField] {
	return func(yield func(string, reflect.StructField) bool) { eachMember(t, yield) }
}

func eachMember(t reflect.Type, yield func(string, reflect.StructField) bool) bool {
	if t.Kind() != reflect.Struct {
		return true
	}
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case field.Anonymous && name == "":
			if !eachMember(field.Type, yield) {
				return false
			}
		case !field.IsExported():
		default:
			if name == "" {
				name = field.Name
			}
			if !yield(name, field) {
				return false
			}
		}
	}
	return true
}

// members walks the members of a JSON object that is known to be valid, without building
// anything but their names. It stops quietly where the object is not valid after all.
func members(object []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		at := skipSpace(object, 0)
		if at >= len(object) || object[at] != '{' {
			return
		}
		at++
		for {
			at = skipSpace(object, at)
			if at >= len(object) || object[at] != '"' {
				return
			}
			end := skipValue(object, at)
			var name string
			if json.Unmarshal(object[at:end], &name) != nil {
				return
			}
			at = skipSpace(object, end)
			if at >= len(object) || object[at] != ':' {
				return
			}
			at = skipSpace(object, at+1)
			end = skipValue(object, at)
			if end <= at || !yield(name, object[at:end]) {
				return
			}
			at = skipSpace(object, end)
			if at >= len(object) || object[at] != ',' {
				return
			}
			at++
		}
	}
}

func skipSpace(b []byte, at int) int {
	for at < len(b) && (b[at] == ' ' || b[at] == '\t' || b[at] == '\n' || b[at] == '\r') {
		at++
	}
	return at
}

// skipValue is the end of the value that starts at this byte. It keeps no stack, so nesting
// costs nothing.
func skipValue(b []byte, at int) int {
	depth := 0
	for at < len(b) {
		switch b[at] {
		case '"':
			at = skipString(b, at)
			if depth == 0 {
				return at
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return at
			}
			if depth--; depth == 0 {
				return at + 1
			}
		case ',', ' ', '\t', '\n', '\r', ':':
			if depth == 0 {
				return at
			}
		}
		at++
	}
	return len(b)
}

func skipString(b []byte, at int) int {
	for at++; at < len(b); at++ {
		switch b[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return len(b)
}
