package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

const (
	// MaxText is how long a template may be, MaxOutput what it makes.
	MaxText   = 64 << 10
	MaxOutput = 1 << 20
	// MaxNesting is how deep range may nest.
	MaxNesting = 2
)

// ErrLimit is what the error of Execute matches when there was too much to do.
var ErrLimit = errors.New("more than a template may do")

// Error is why a template could not be filled in. It unwraps to the error of a function, or to
// ErrLimit.
type Error struct {
	// Name is the template's, Line where it went wrong; 0 is unknown.
	Name string
	Line int
	Err  error
}

// Error is a sentence without its full stop.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Name + ": " + e.Err.Error()
	}
	return fmt.Sprintf("%s: line %d: %v", e.Name, e.Line, e.Err)
}

// Unwrap is what went wrong.
func (e *Error) Unwrap() error { return e.Err }

// Function is one that the caller adds. It has one argument, which stands as a text in the
// template itself: no input decides what it is.
type Function struct {
	Name string
	// Call is the value, at every execution.
	Call func(argument string) (string, error)
	// Check, where it is set, looks at the argument when the template is compiled.
	Check func(argument string) error
}

// Template is a text that was read. It is safe for concurrent use.
type Template struct {
	name   string
	tree   *parse.Tree
	added  []Function
	static bool
}

// Compile reads a text. The name is that of the field which it comes from: errors are
// fault.InvalidField, with the details field and, where one line is to blame, line.
func Compile(name, text string, functions ...Function) (*Template, error) {
	if len(text) > MaxText {
		return nil, fault.New(fault.InvalidField, "%s has %d bytes; at most %d are possible", name, len(text), MaxText).With("field", name)
	}
	known := map[string]any{"and": true, "or": true} // These two are text/template's: they stop early.
	for function := range new(run).listed() {
		known[function] = true
	}
	for _, f := range functions {
		known[f.Name] = true
	}
	set := map[string]*parse.Tree{}
	tree, err := parse.New(inner).Parse(text, "", "", set, known)
	if err != nil {
		line, reason := locate(err.Error())
		return nil, unusable(name, line, reason)
	}
	r := &rewriter{tree: tree, functions: functions}
	for _, defined := range set {
		if defined != tree {
			return nil, unusable(name, 0, "define, template and block are not possible")
		}
	}
	r.list(tree.Root, 0)
	if r.reason != "" {
		return nil, unusable(name, r.line, r.reason)
	}
	return &Template{name: name, tree: tree, added: functions, static: isStatic(tree)}, nil
}

// Static reports whether the template is only text, the same for all data.
func (t *Template) Static() bool { return t.static }

func isStatic(tree *parse.Tree) bool {
	for _, node := range tree.Root.Nodes {
		if node.Type() != parse.NodeText {
			return false
		}
	}
	return true
}

// Decode reads JSON for Execute; numbers keep their text. Nothing is null.
func Decode(raw json.RawMessage) (any, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	var data any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&data); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON value")
	}
	return data, nil
}

// Execute fills the template in. Data is what Decode gives, or map[string]any, []any, string,
// bool and int by hand. The error is an *Error.
func (t *Template) Execute(data any) (string, error) {
	r := &run{left: maxWork}
	functions := r.functions()
	for _, f := range t.added {
		functions[f.Name] = r.added(f)
	}
	filled, err := template.New(inner).Funcs(functions).AddParseTree(inner, t.tree)
	if err != nil {
		return "", &Error{Name: t.name, Err: err}
	}
	if err := filled.Execute(r, data); err != nil {
		return "", t.failed(err)
	}
	return r.output.String(), nil
}

func (t *Template) failed(err error) *Error {
	line, reason := locate(err.Error())
	var own *problem
	switch {
	case errors.As(err, &own):
		return &Error{Name: t.name, Line: line, Err: own.err}
	case errors.Is(err, ErrLimit):
		return &Error{Name: t.name, Line: line, Err: ErrLimit}
	}
	return &Error{Name: t.name, Line: line, Err: errors.New(reason)}
}

// inner is the name of every template for text/template, whose errors begin with it.
const inner = "t"

var (
	located   = regexp.MustCompile(`^template: ` + inner + `:(\d+):(?:\d+:)? *`)
	executing = regexp.MustCompile(`^executing "` + inner + `" at <(?s:.*?)>: `)
)

// locate takes an error of text/template apart.
func locate(message string) (line int, reason string) {
	found := located.FindStringSubmatch(message)
	if found == nil {
		return 0, message
	}
	line, _ = strconv.Atoi(found[1])
	reason = executing.ReplaceAllString(strings.TrimPrefix(message, found[0]), "")
	return line, strings.ReplaceAll(reason, " started at "+inner+":", " started in line ")
}

func unusable(name string, line int, reason string) *fault.Error {
	if line == 0 {
		return fault.New(fault.InvalidField, "%s is no usable template: %s", name, reason).With("field", name)
	}
	return fault.New(fault.InvalidField, "%s is no usable template: line %d: %s", name, line, reason).With("field", name).With("line", line)
}
