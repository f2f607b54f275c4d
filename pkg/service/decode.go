package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/env"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

// DecodeRequest reads the payload of a request; nothing at all counts as {}. It fails with
// fault.BadRequest when the payload is not one JSON object, fault.UnknownField when a
// member is not known (in exactly this spelling), and fault.InvalidField when a member has
// the wrong form. What encoding/json gives for the same payload it gives too. No input makes
// it panic.
func DecodeRequest[Req any](data []byte) (Req, error) {
	return newDecoder[Req]().decode(data)
}

// decoder reads requests of one type. It walks the members itself, which is stricter than
// encoding/json about names, says which member is wrong, and reads a raw document once
// instead of twice.
type decoder[Req any] struct {
	members map[string]member
	names   []string
}

// member is a field of the request.
type member struct {
	index []int
	read  func(value []byte, into reflect.Value) error
}

func newDecoder[Req any]() *decoder[Req] {
	d := &decoder[Req]{members: map[string]member{}}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Req]()) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if !field.IsExported() || name == "-" || (field.Anonymous && name == "") {
			continue
		}
		if name == "" {
			name = field.Name
		}
		d.members[name] = member{field.Index, reader(field.Type)}
		d.names = append(d.names, name)
	}
	return d
}

func (d *decoder[Req]) decode(data []byte) (req Req, err error) {
	at := skipSpace(data, 0)
	if at == len(data) {
		return req, nil
	}
	if data[at] != '{' {
		return req, fault.New(fault.BadRequest, "a request is a JSON object, this is something else")
	}
	into := reflect.ValueOf(&req).Elem()
	at = skipSpace(data, at+1)
	if at < len(data) && data[at] == '}' {
		return req, nothingFollows(data, at+1)
	}
	for {
		// A member: "name" : value
		end := skipValue(data, at)
		if at >= len(data) || data[at] != '"' {
			return req, malformed(at)
		}
		name, ok := readString(data[at:end])
		if !ok {
			return req, malformed(at)
		}
		at = skipSpace(data, end)
		if at >= len(data) || data[at] != ':' {
			return req, malformed(at)
		}
		at = skipSpace(data, at+1)
		end = skipValue(data, at)
		value := data[at:end]
		m, known := d.members[name]
		if !known {
			if !json.Valid(value) {
				return req, malformed(at)
			}
			return req, d.unknown(name)
		}
		if err := m.read(value, into.FieldByIndex(m.index)); err != nil {
			if !json.Valid(value) {
				return req, malformed(at)
			}
			return req, invalid(name, err)
		}
		// What separates it from the next.
		at = skipSpace(data, end)
		switch {
		case at < len(data) && data[at] == '}':
			return req, nothingFollows(data, at+1)
		case at < len(data) && data[at] == ',':
			at = skipSpace(data, at+1)
		default:
			return req, malformed(at)
		}
	}
}

func malformed(at int) error {
	return fault.New(fault.BadRequest, "the request is not valid JSON at byte %d", at)
}

func nothingFollows(data []byte, at int) error {
	if skipSpace(data, at) < len(data) {
		return fault.New(fault.BadRequest, "something follows the JSON object of the request")
	}
	return nil
}

// invalid says what is wrong with the value of a member.
func invalid(name string, err error) error {
	path := name
	if inner, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		path += "." + shortened(strings.Trim(inner, `"`))
		return fault.New(fault.UnknownField, "%s is not a field of this request", path).With("field", path)
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		if wrong.Field != "" {
			path += "." + wrong.Field
		}
		return fault.New(fault.InvalidField, "%s cannot be %s; it is %s", path, shortened(wrong.Value), kind(wrong.Type)).With("field", path)
	}
	return fault.New(fault.InvalidField, "%s: %s", path, clip(strings.TrimPrefix(err.Error(), "json: "))).With("field", path)
}

func (d *decoder[Req]) unknown(name string) error {
	shown := shortened(name)
	err := fault.New(fault.UnknownField, "%s is not a field of this request", shown).With("field", shown)
	if near, ok := env.Nearest(strings.ToLower(shown), d.names); ok {
		err.Message += "; did you mean " + near + "?"
		return err.With("did_you_mean", near)
	}
	return err.With("fields", d.names)
}

// shortened bounds what an error repeats of the request.
func shortened(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

func kind(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number from 0"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	}
	return "an object"
}

var errSyntax = errors.New("not valid JSON")

// reader chooses how values of a type are read.
func reader(t reflect.Type) func(value []byte, into reflect.Value) error {
	switch {
	case t == reflect.TypeFor[json.RawMessage]():
		return readRaw
	case t.Kind() == reflect.String && !reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()):
		return readText
	}
	return readStrictly
}

func readRaw(value []byte, into reflect.Value) error {
	if !json.Valid(value) {
		return errSyntax
	}
	into.SetBytes(bytes.Clone(value))
	return nil
}

func readText(value []byte, into reflect.Value) error {
	if s, ok := plainString(value); ok {
		into.SetString(s)
		return nil
	}
	return json.Unmarshal(value, into.Addr().Interface())
}

func readStrictly(value []byte, into reflect.Value) error {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into.Addr().Interface())
}
