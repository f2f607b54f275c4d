package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const dialect = "https://json-schema.org/draft/2020-12/schema"

// generator makes schemas; files are the types that have a file of their own.
type generator struct {
	said  *comments
	files map[reflect.Type]string
}

func newGenerator(said *comments) *generator {
	g := &generator{said: said, files: map[reflect.Type]string{}}
	for _, v := range standalone {
		g.own(v)
	}
	for _, e := range endpoints {
		g.own(e.request)
		g.own(e.reply)
	}
	for _, p := range publishedMessages {
		g.own(p.payload)
	}
	return g
}

func (g *generator) own(v any) {
	if _, ok := v.(handmade); ok {
		return
	}
	t := reflect.TypeOf(v)
	g.files[t] = snake(t.Name()) + ".json"
}

// schemas are the files of protocols/schema, by name.
func (g *generator) schemas() (map[string]*object, error) {
	all := map[string]*object{commonFile: commonSchema()}
	for name, s := range handmadeSchemas {
		all[string(name)+".json"] = s
	}
	for t, name := range g.files {
		s, err := g.file(t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all[name] = s
	}
	return all, nil
}

// document is one file while it is made: the parts that it needs gather in defs.
type document struct {
	*generator
	// closed refuses unknown members: in what people send, a misspelled member must be
	// found. What the fleet sends may gain members in a later version.
	closed bool
	defs   map[string]*object
	order  []string
}

func (g *generator) file(t reflect.Type) (*object, error) {
	d := &document{generator: g, closed: isRequest(t) || t == reflect.TypeFor[wire.Definition](), defs: map[string]*object{}}
	s := obj("$schema", dialect, "title", snake(t.Name()))
	body, err := d.structure(t)
	if err != nil {
		return nil, err
	}
	for _, k := range body.keys {
		s.set(k, body.values[k])
	}
	if len(d.order) > 0 {
		defs := obj()
		for _, name := range d.order {
			defs.set(name, d.defs[name])
		}
		s.set("$defs", defs)
	}
	return s, nil
}

// structure is the schema of a struct, its embedded structs flattened as encoding/json does.
func (d *document) structure(t reflect.Type) (*object, error) {
	members, required := obj(), []any{}
	for _, f := range reflect.VisibleFields(t) {
		name, always := jsonName(f)
		if f.Anonymous || name == "" {
			continue
		}
		owner := declaring(t, f)
		member, err := d.member(owner, f, name)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t.Name(), name, err)
		}
		members.set(name, member)
		if always {
			required = append(required, name)
		}
	}
	s := obj()
	if about := d.said.aboutType(t); about != "" {
		s.set("description", about)
	}
	s.set("type", "object").set("properties", members)
	if len(required) > 0 {
		s.set("required", required)
	}
	if d.closed {
		s.set("additionalProperties", false)
	}
	if more, ok := conditions[t.Name()]; ok {
		for _, k := range more.keys {
			s.set(k, more.values[k])
		}
	}
	return s, nil
}

// member is the schema of a field. What fields.go says of it comes before what its type says.
func (d *document) member(owner reflect.Type, f reflect.StructField, name string) (any, error) {
	said, ok := fieldSchema(owner, name)
	if !ok {
		var err error
		if said, err = d.typed(f.Type); err != nil {
			return nil, err
		}
	}
	if more, ok := besides[owner.Name()+"."+name]; ok {
		for _, k := range more.keys {
			said.set(k, more.values[k])
		}
	}
	about := d.said.aboutField(owner, f)
	if about == "" {
		about = usualMeaning(owner, name)
	}
	if about == "" || said.has("description") {
		return said, nil
	}
	described := obj("description", about)
	for _, k := range said.keys {
		described.set(k, said.values[k])
	}
	return described, nil
}

// typed is the schema of a type of which nothing more needs to be said.
func (d *document) typed(t reflect.Type) (*object, error) {
	switch t {
	case reflect.TypeFor[time.Time]():
		return ref("timestamp"), nil
	case reflect.TypeFor[wire.Duration]():
		return ref("duration"), nil
	case reflect.TypeFor[wire.AsOf]():
		return ref("as_of"), nil
	case reflect.TypeFor[wire.Status]():
		return enum("active", "suspended", "completed", "cancelled"), nil
	case reflect.TypeFor[wire.WorkflowStatus]():
		return enum("active", "archived"), nil
	case reflect.TypeFor[wire.ExecutionStatus]():
		return enum(executionStatuses()...), nil
	case reflect.TypeFor[wire.Snapshot]():
		return d.reference(reflect.TypeFor[wire.State]())
	case reflect.TypeFor[json.RawMessage]():
		return nil, fmt.Errorf("any JSON: say in fields.go what it is")
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.typed(t.Elem())
	case reflect.Bool:
		return obj("type", "boolean"), nil
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return obj("type", "integer", "minimum", 0), nil
	case reflect.Float64:
		return obj("type", "number", "minimum", 0), nil
	case reflect.Slice:
		items, err := d.typed(t.Elem())
		if err != nil {
			return nil, err
		}
		return obj("type", "array", "items", items), nil
	case reflect.Map:
		values, err := d.typed(t.Elem())
		if err != nil {
			return nil, err
		}
		return obj("type", "object", "additionalProperties", values), nil
	case reflect.Struct:
		return d.reference(t)
	case reflect.String:
		return nil, fmt.Errorf("a string: say in fields.go what it may hold")
	}
	return nil, fmt.Errorf("no schema for %s", t)
}

// reference points at the file of a struct, or at its part in this file.
func (d *document) reference(t reflect.Type) (*object, error) {
	if file, ok := d.files[t]; ok {
		return obj("$ref", file), nil
	}
	name := snake(t.Name())
	if _, there := d.defs[name]; !there {
		d.defs[name] = nil // Ends the descent in a type that holds itself.
		d.order = append(d.order, name)
		var part *object
		var err error
		switch t {
		case reflect.TypeFor[wire.InputArc]():
			part = inputArc()
		case reflect.TypeFor[wire.OutputArc]():
			part = outputArc()
		default:
			part, err = d.structure(t)
		}
		if err != nil {
			return nil, err
		}
		d.defs[name] = part
	}
	return obj("$ref", "#/$defs/"+name), nil
}

// declaring is the type that declares the field, which may be embedded in t.
func declaring(t reflect.Type, f reflect.StructField) reflect.Type {
	for _, i := range f.Index[:len(f.Index)-1] {
		t = t.Field(i).Type
	}
	return t
}

// jsonName is a field's name on the wire, and whether the member is always there.
func jsonName(f reflect.StructField) (name string, always bool) {
	tag, ok := f.Tag.Lookup("json")
	if !ok || !f.IsExported() {
		return "", false
	}
	name, options, _ := strings.Cut(tag, ",")
	return name, !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero")
}

func isRequest(t reflect.Type) bool { return strings.HasSuffix(t.Name(), "Request") }

// mutates reports whether a request changes something: those carry an Origin.
func mutates(request any) bool {
	_, ok := reflect.TypeOf(request).FieldByName("Origin")
	return ok
}

// initialisms are written as words before they become snake_case.
var initialisms = strings.NewReplacer("HTTP", "Http", "HMAC", "Hmac", "WASM", "Wasm")

func snake(name string) string {
	var b strings.Builder
	for i, c := range initialisms.Replace(name) {
		if unicode.IsUpper(c) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}
