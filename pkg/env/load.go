package env

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	caarlos "github.com/caarlos0/env/v11"
)

// Prefix starts the name of every variable that is ours alone.
const Prefix = "BREAKER_"

// SecretPrefix starts the names of variables that hold secrets (pkg/secret). The operator
// chooses what follows, so none of them is unknown.
const SecretPrefix = Prefix + "SECRET_"

// Validator checks a configuration after it was read; it joins all its faults into one error.
type Validator interface{ Validate() error }

// Load reads environ (KEY=value, as os.Environ gives it) into a struct by its env and
// envDefault tags. The error joins every fault: each value that does not parse, each
// BREAKER_ name that the struct does not know and that is no secret's, and whatever the
// struct's Validate says.
func Load[T any](environ []string, into *T) error {
	known := variables(reflect.TypeFor[T]())
	values := withUsualNames(caarlos.ToMap(environ), known)

	faults := parseFaults(caarlos.ParseWithOptions(into, caarlos.Options{Environment: values}), known)
	faults = append(faults, unknownNames(values, known)...)
	if len(faults) == 0 {
		if v, ok := any(into).(Validator); ok {
			if err := v.Validate(); err != nil {
				faults = append(faults, err)
			}
		}
	}
	return errors.Join(faults...)
}

// variable is a name that a configuration reads, with the field that takes its value.
type variable struct {
	name  string
	field reflect.StructField
}

// variables lists what a configuration reads, those of embedded structs included.
func variables(t reflect.Type) []variable {
	var all []variable
	for i := range t.NumField() {
		field := t.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("env"), ",")
		switch {
		case name != "":
			all = append(all, variable{name, field})
		case field.Type.Kind() == reflect.Struct && field.IsExported():
			all = append(all, variables(field.Type)...)
		}
	}
	return all
}

// usualNames are those that the nats command line and other clients read; ours goes first.
var usualNames = [...][2]string{
	{"NATS_URL", "BREAKER_NATS_URLS"},
	{"NATS_CREDS", "BREAKER_NATS_CREDS"},
	{"NATS_USER", "BREAKER_NATS_USER"},
	{"NATS_PASSWORD", "BREAKER_NATS_PASSWORD"},
	{"NATS_NKEY", "BREAKER_NATS_NKEY"},
	{"NATS_CA", "BREAKER_NATS_CA"},
	{"NATS_CERT", "BREAKER_NATS_CERT"},
	{"NATS_KEY", "BREAKER_NATS_KEY"},
}

func withUsualNames(values map[string]string, known []variable) map[string]string {
	for _, pair := range usualNames {
		usual, ours := pair[0], pair[1]
		if values[ours] == "" && values[usual] != "" && reads(known, ours) {
			values[ours] = values[usual]
		}
	}
	// An empty variable means the same as an absent one, as compose files need it, unless
	// the field says what empty stands for.
	for _, v := range known {
		value, set := values[v.name]
		if !set || value != "" {
			continue
		}
		if empty := v.field.Tag.Get("envEmpty"); empty != "" {
			values[v.name] = empty
		} else {
			delete(values, v.name)
		}
	}
	return values
}

func reads(known []variable, name string) bool {
	return slices.ContainsFunc(known, func(v variable) bool { return v.name == name })
}

// parseFaults words the faults of the parser with the variable's name instead of the
// field's, and without the value, which might be a secret in the wrong place.
func parseFaults(err error, known []variable) []error {
	if err == nil {
		return nil
	}
	var all caarlos.AggregateError
	if !errors.As(err, &all) {
		return []error{err}
	}
	var faults []error
	for _, one := range all.Errors {
		var parse caarlos.ParseError
		if !errors.As(one, &parse) {
			faults = append(faults, one)
			continue
		}
		name := parse.Name
		for _, v := range known {
			if v.field.Name == parse.Name {
				name = v.name
			}
		}
		faults = append(faults, fmt.Errorf("%s is not %s", name, wanted(parse.Type)))
	}
	return faults
}

func wanted(t reflect.Type) string {
	if d, ok := reflect.Zero(t).Interface().(interface{ wanted() string }); ok {
		return d.wanted()
	}
	switch t.String() {
	case "time.Duration":
		return "a duration such as 500ms, 30s or 168h"
	case "bool":
		return "true or false"
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		return "a whole number from 0"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a " + t.String()
}

// unknownNames are the BREAKER_ names that nobody reads, in alphabetical order.
func unknownNames(values map[string]string, known []variable) []error {
	var names []string
	for name, value := range values {
		if !strings.HasPrefix(name, Prefix) || strings.HasPrefix(name, SecretPrefix) {
			continue
		}
		if !reads(known, name) && !injected(name, value) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	candidates := make([]string, len(known))
	for i, v := range known {
		candidates[i] = v.name
	}
	var faults []error
	for _, name := range names {
		if near, ok := Nearest(name, candidates); ok {
			faults = append(faults, fmt.Errorf("%s is unknown; did you mean %s?", name, near))
		} else {
			faults = append(faults, fmt.Errorf("%s is unknown; remove it", name))
		}
	}
	return faults
}

// injected reports whether Kubernetes put the variable there: it describes every Service to
// every pod, and for one called breaker-nats the names start as ours do.
func injected(name, value string) bool {
	if strings.HasSuffix(name, "_SERVICE_HOST") || strings.Contains(name, "_SERVICE_PORT") {
		return true
	}
	if strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://") {
		return true
	}
	_, rest, ok := strings.Cut(name, "_PORT_")
	if !ok {
		return false
	}
	digits := strings.TrimLeft(rest, "0123456789")
	return len(digits) < len(rest) && (strings.HasPrefix(digits, "_TCP") || strings.HasPrefix(digits, "_UDP"))
}

// Variable is a name that a configuration reads.
type Variable struct {
	Name    string
	Default string
}

// Describe lists what a configuration reads, for a help text.
func Describe[T any]() []Variable {
	var all []Variable
	for _, v := range variables(reflect.TypeFor[T]()) {
		all = append(all, Variable{v.name, v.field.Tag.Get("envDefault")})
	}
	return all
}
