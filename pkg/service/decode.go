package service

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/env"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

// DecodeRequest reads the payload of a request; nothing at all counts as {}. It fails with
// fault.BadRequest when the payload is not one JSON object, fault.UnknownField when a
// member is not known (in exactly this spelling), and fault.InvalidField when a member has
// the wrong form. No input makes it panic.
func DecodeRequest[Req any](data []byte) (Req, error) {
	var req Req
	data = bytes.TrimLeft(data, " \t\r\n")
	if len(data) == 0 {
		return req, nil
	}
	if data[0] != '{' {
		return req, fault.New(fault.BadRequest, "a request is a JSON object, this is something else")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&req); err != nil {
		return req, explain(err, data, reflect.TypeFor[Req]())
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return req, fault.New(fault.BadRequest, "something follows the JSON object of the request")
	}
	// encoding/json takes members in any case; the contract does not.
	known := memberNames(reflect.TypeFor[Req]())
	for name := range members(data) {
		if !slices.Contains(known, name) {
			return req, unknownField(name, known)
		}
	}
	return req, nil
}

// explain gives a decoding error its code and its field.
func explain(err error, data []byte, t reflect.Type) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fault.New(fault.BadRequest, "the request is not valid JSON: %s (at byte %d)", syntax, syntax.Offset)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.New(fault.BadRequest, "the request is not valid JSON: it ends too early")
	}
	known := memberNames(t)
	for name := range members(data) {
		if !slices.Contains(known, name) {
			return unknownField(name, known)
		}
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return fault.New(fault.InvalidField, "%s cannot be %s %s; it is %s", wrong.Field, article(wrong.Value), wrong.Value, kind(wrong.Type)).
			With("field", wrong.Field)
	}
	// The text of a member's own decoder names no field: find the member that it refuses.
	for name, value := range members(data) {
		field, ok := memberField(t, name)
		if !ok {
			continue
		}
		one := json.NewDecoder(bytes.NewReader(value))
		one.DisallowUnknownFields()
		if fieldErr := one.Decode(reflect.New(field.Type).Interface()); fieldErr != nil {
			if inner, ok := unknownIn(fieldErr); ok {
				return unknownField(name+"."+inner, nil)
			}
			return fault.New(fault.InvalidField, "%s: %s", name, strings.TrimPrefix(fieldErr.Error(), "json: ")).With("field", name)
		}
	}
	return fault.New(fault.BadRequest, "the request cannot be read: %s", strings.TrimPrefix(err.Error(), "json: "))
}

func unknownField(name string, known []string) error {
	shown := name
	if len(shown) > 64 {
		shown = strings.ToValidUTF8(shown[:64], "") + "…"
	}
	if near, ok := env.Nearest(strings.ToLower(name), known); ok {
		return fault.New(fault.UnknownField, "%s is not a field of this request; did you mean %s?", shown, near).
			With("field", shown).With("did_you_mean", near)
	}
	err := fault.New(fault.UnknownField, "%s is not a field of this request", shown).With("field", shown)
	if len(known) > 0 {
		err.With("fields", known)
	}
	return err
}

// unknownIn reads the name of an unknown member out of the decoder's error, which has no
// type of its own.
func unknownIn(err error) (string, bool) {
	name, ok := strings.CutPrefix(err.Error(), "json: unknown field ")
	return strings.Trim(name, `"`), ok
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

func article(noun string) string {
	if strings.HasPrefix(noun, "object") || strings.HasPrefix(noun, "array") {
		return "an"
	}
	return "a"
}
