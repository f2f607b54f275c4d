package condition

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/jsonscan"
)

// text is a tree as a CEL expression.
func (n *node) text() string {
	var b strings.Builder
	n.write(&b)
	return b.String()
}

func (n *node) write(b *strings.Builder) {
	switch n.kind {
	case kindAnd, kindOr:
		operator := map[string]string{kindAnd: " && ", kindOr: " || "}[n.kind]
		for i, part := range n.parts {
			if i > 0 {
				b.WriteString(operator)
			}
			part.writeInside(b)
		}
	case kindNot:
		b.WriteByte('!')
		n.parts[0].writeInside(b)
	case kindExpression:
		b.WriteString(n.program.text)
	default:
		b.WriteString(tokenVariable + "." + n.function() + "(")
		writeText(b, n.field)
		if n.literal != "" {
			b.WriteString(", " + n.literal)
		}
		b.WriteByte(')')
	}
}

// writeInside writes a part so that what stands around it cannot change it: an expression
// may end with a comment.
func (n *node) writeInside(b *strings.Builder) {
	b.WriteByte('(')
	n.write(b)
	if n.kind == kindExpression {
		b.WriteByte('\n')
	}
	b.WriteByte(')')
}

// function is the function of a leaf.
func (n *node) function() string {
	if n.kind == kindIn {
		return fieldIn
	}
	return n.kind
}

// canonical is a tree in the form that is stored and shown.
func (n *node) canonical() json.RawMessage {
	var b bytes.Buffer
	n.writeJSON(&b)
	return b.Bytes()
}

func (n *node) writeJSON(b *bytes.Buffer) {
	b.WriteString(`{"` + n.kind + `":`)
	switch n.kind {
	case kindAnd, kindOr:
		b.WriteByte('[')
		for i, part := range n.parts {
			if i > 0 {
				b.WriteByte(',')
			}
			part.writeJSON(b)
		}
		b.WriteByte(']')
	case kindNot:
		n.parts[0].writeJSON(b)
	case kindExpression:
		b.Write(quoteJSON(n.program.text))
	default:
		b.WriteString(`{"field":`)
		b.Write(quoteJSON(n.field))
		if takes := leaves[n.kind]; takes != "" {
			b.WriteString(`,"` + takes + `":`)
			b.Write(n.value)
		}
		b.WriteByte('}')
	}
	b.WriteByte('}')
}

// quoteJSON writes a text as JSON, its < and > as they are.
func quoteJSON(text string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string always encodes
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}

// literal turns a JSON value into a CEL literal. The names of an object are sorted, so that
// equal values have equal texts.
func literal(value json.RawMessage) (string, error) {
	var b strings.Builder
	err := writeLiteral(&b, jsonscan.New(value), 1)
	return b.String(), err
}

func writeLiteral(b *strings.Builder, s *jsonscan.Scanner, depth int) error {
	if depth > maxValueDepth {
		return fmt.Errorf("is nested too deeply; at most %d levels are possible", maxValueDepth)
	}
	switch s.Next() {
	case '[':
		b.WriteByte('[')
		separator := ""
		err := s.Array(func() error {
			b.WriteString(separator)
			separator = ", "
			return writeLiteral(b, s, depth+1)
		})
		b.WriteByte(']')
		return err
	case '{':
		return writeObjectLiteral(b, s, depth)
	case '"':
		quoted, err := s.Quoted()
		writeText(b, unquote(quoted))
		return err
	}
	text, err := s.Value()
	if err != nil || text[0] == 'n' || text[0] == 't' || text[0] == 'f' {
		b.Write(text)
		return err
	}
	return writeNumber(b, string(text))
}

func writeObjectLiteral(b *strings.Builder, s *jsonscan.Scanner, depth int) error {
	values := map[string]string{}
	err := s.Object(func(quoted []byte) error {
		name := unquote(quoted)
		if _, known := values[name]; known {
			return fmt.Errorf("has the name %s twice", clip(string(quoteJSON(name)), maxValue))
		}
		var inner strings.Builder
		err := writeLiteral(&inner, s, depth+1)
		values[name] = inner.String()
		return err
	})
	b.WriteByte('{')
	for i, name := range slices.Sorted(maps.Keys(values)) {
		if i > 0 {
			b.WriteString(", ")
		}
		writeText(b, name)
		b.WriteString(": " + values[name])
	}
	b.WriteByte('}')
	return err
}

// writeNumber keeps what a number means in a document: whole numbers are ints.
func writeNumber(b *strings.Builder, text string) error {
	if isWhole(text) {
		whole, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("holds the number %s, which is too large; write it as a text", clip(text, maxValue))
		}
		b.WriteString(strconv.FormatInt(whole, 10))
		return nil
	}
	decimal, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(decimal, 0) {
		return fmt.Errorf("holds the number %s, which is too large; write it as a text", clip(text, maxValue))
	}
	b.WriteString(strconv.FormatFloat(decimal, 'e', -1, 64))
	return nil
}

// writeText writes a CEL string.
func writeText(b *strings.Builder, text string) {
	b.WriteByte('"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ' || c >= 0x7f && c < 0xa0 || c == '\u2028' || c == '\u2029' || c == '\ufeff':
			fmt.Fprintf(b, `\u%04x`, c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
}
