package condition

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/seed-42b4788c/circuit-breaker/pkg/jsonscan"
)

const (
	// maxMapping is how long a mapping may be, in bytes of JSON, maxMappingParts how many
	// expressions it may have.
	maxMapping      = 64 << 10
	maxMappingParts = 256
)

// Mapping makes a JSON value out of a subject, safe for concurrent use.
type Mapping struct {
	field string
	// computed are the expressions in their order, each after the text before it; rest is the
	// text after the last one.
	computed []computed
	rest     []byte
	// history and instance say that they are asked about.
	history, instance bool
}

// computed is an expression in a mapping.
type computed struct {
	before     []byte
	depth      int
	expression *Expression
}

// NeedsHistory is as Program.NeedsHistory.
func (m *Mapping) NeedsHistory() bool { return m.history }

// NeedsInstance is as Program.NeedsInstance.
func (m *Mapping) NeedsInstance() bool { return m.instance }

// Apply gives the value that the mapping makes of a subject. It fails as Expression.Evaluate
// does, with the path of the expression that failed. All expressions of a mapping share what
// one evaluation may have of time and work; memory is counted for each, since each value is
// written down before the next is made.
func (m *Mapping) Apply(ctx context.Context, in *Input) (json.RawMessage, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, stop := newComputation(ctx, in)
	defer stop()
	for i := range m.computed {
		next := &m.computed[i]
		c.out, c.depth = append(c.out, next.before...), next.depth
		if err := c.append(next.expression); err != nil {
			return nil, err
		}
	}
	c.out = append(c.out, m.rest...)
	if err := c.room(0); err != nil {
		return nil, c.refuse(m.field, err)
	}
	return c.out, nil
}

// CompileMapping reads a mapping: a JSON value in which every text that begins with = is an
// expression, and everything else, at any depth of objects and arrays, stands for itself. A
// text that begins with == stands for the one that has a = less. field is what the caller calls
// the mapping.
//
// It fails with fault.InvalidField, whose detail field is the path of what is wrong, such as
// input.items[2].name, with line and column for faults in CEL.
func (l *Language) CompileMapping(field string, raw json.RawMessage) (*Mapping, error) {
	text := trimJSON(raw)
	switch {
	case len(text) > maxMapping:
		return nil, refuse(field, "is %d bytes long; at most %d are possible", len(text), maxMapping).
			With("max", maxMapping).With("actual", len(text))
	case !utf8.Valid(text):
		return nil, refuse(field, "is not written in UTF-8")
	case len(text) == 0:
		return nil, refuse(field, `is missing; give a JSON value, such as {"amount": "=token.data.amount"}`)
	}
	key := field + "\x00" + string(text)
	if known, ok := l.mappings.Get(key); ok {
		return known, nil
	}
	if !isJSON(text) {
		return nil, refuse(field, "is no JSON, or nested too deeply")
	}
	r := &mappingReader{language: l, field: field, scan: jsonscan.New(text), mapping: &Mapping{field: field}}
	if err := r.value(); err != nil {
		return nil, err
	}
	r.mapping.rest = r.text
	if len(key) <= maxCached {
		l.mappings.Add(key, r.mapping)
	}
	return r.mapping, nil
}

// mappingReader reads one mapping.
type mappingReader struct {
	language *Language
	field    string
	scan     *jsonscan.Scanner
	mapping  *Mapping
	// text is what stands before the next expression.
	text []byte
	// path is where the reader stands.
	path []step
	// types is how much there was to check in the expressions.
	types int
}

// step leads to a member or, without a name, to an element.
type step struct {
	name  []byte
	index int
}

// at is the path for people.
func (r *mappingReader) at() string {
	var b strings.Builder
	b.WriteString(r.field)
	for _, s := range r.path {
		name := clip(unquote(s.name), maxValue)
		switch {
		case s.name == nil:
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case name == "" || strings.ContainsAny(name, ".[] ") || len(quoteJSON(name)) > len(name)+2:
			b.WriteString("[" + string(quoteJSON(name)) + "]")
		default:
			b.WriteString("." + name)
		}
	}
	return b.String()
}

func (r *mappingReader) value() error {
	switch r.scan.Next() {
	case '{':
		return r.object()
	case '[':
		return r.array()
	case '"':
		quoted, err := r.scan.Quoted()
		if err != nil {
			return refuse(r.at(), "is no JSON")
		}
		return r.string(quoted)
	}
	text, err := r.scan.Value()
	if err != nil {
		return refuse(r.at(), "is no JSON")
	}
	r.text = append(r.text, text...)
	return nil
}

// enter goes a level deeper; leave goes back.
func (r *mappingReader) enter(bracket byte) error {
	if len(r.path) >= maxResultDepth {
		return refuse(r.at(), "is nested too deeply; at most %d levels are possible", maxResultDepth).With("max", maxResultDepth)
	}
	r.text, r.path = append(r.text, bracket), append(r.path, step{})
	return nil
}

func (r *mappingReader) leave(bracket byte) {
	r.text, r.path = append(r.text, bracket), r.path[:len(r.path)-1]
}

func (r *mappingReader) array() error {
	if err := r.enter('['); err != nil {
		return err
	}
	index := 0
	err := r.scan.Array(func() error {
		if index > 0 {
			r.text = append(r.text, ',')
		}
		r.path[len(r.path)-1].index = index
		index++
		return r.value()
	})
	r.leave(']')
	return err
}

func (r *mappingReader) object() error {
	if err := r.enter('{'); err != nil {
		return err
	}
	known := map[string]bool{}
	err := r.scan.Object(func(quoted []byte) error {
		if len(known) > 0 {
			r.text = append(r.text, ',')
		}
		if quoted == nil {
			quoted = []byte{}
		}
		r.path[len(r.path)-1].name = quoted
		name := unquote(quoted)
		if known[name] {
			return refuse(r.at(), "is given twice; write it once")
		}
		known[name] = true
		r.text = append(append(append(r.text, '"'), quoted...), `":`...)
		return r.value()
	})
	r.leave('}')
	return err
}

// string reads a text between its quotes.
func (r *mappingReader) string(quoted []byte) error {
	sign := 0
	for _, written := range []string{"=", `\u003d`, `\u003D`} {
		if bytes.HasPrefix(quoted, []byte(written)) {
			sign = len(written)
		}
	}
	text := ""
	if sign > 0 {
		text = unquote(quoted)
	}
	switch {
	case strings.HasPrefix(text, "=="):
		quoted = quoted[sign:]
	case sign > 0:
		return r.expression(text)
	}
	r.text = append(append(append(r.text, '"'), quoted...), '"')
	return nil
}

func (r *mappingReader) expression(text string) error {
	if len(r.mapping.computed) == maxMappingParts {
		return refuse(r.at(), "is one expression too many; a mapping may have at most %d", maxMappingParts).With("max", maxMappingParts)
	}
	// A space in place of the = keeps the columns that a fault is reported at. The expressions
	// of a mapping are kept with it, so that they do not drive out conditions.
	at, m := r.at(), r.mapping
	p, err := r.language.readText(&r.language.value, at, " "+text[1:])
	if err != nil {
		return err
	}
	if r.types += p.types; r.types > maxTypes {
		return tooIntricate(at)
	}
	m.computed = append(m.computed, computed{before: r.text, depth: len(r.path), expression: &Expression{field: at, program: p}})
	m.history, m.instance = m.history || p.history, m.instance || p.instance
	r.text = nil
	return nil
}
