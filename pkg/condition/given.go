package condition

import (
	"bytes"
	"encoding/json"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/seed-42b4788c/circuit-breaker/pkg/jsonscan"
)

// Variables that only work conditions, expressions and mappings know: Subject.Values.
const (
	inputVariable  = "input"
	outputVariable = "output"
	errorVariable  = "error"
	eventVariable  = "event"
)

func workVariables() []cel.EnvOption {
	var options []cel.EnvOption
	for _, name := range []string{inputVariable, outputVariable, errorVariable, eventVariable} {
		options = append(options, cel.Variable(name, cel.DynType))
	}
	return options
}

var null = []byte("null")

// value is a variable out of Subject.Values. It is read strictly, since everything below trusts
// the text.
func (in *Input) value(name string) ref.Val {
	if known, ok := in.given[name]; ok {
		return known
	}
	if in.given == nil {
		in.given = make(map[string]ref.Val, len(in.subject.Values))
	}
	text, ok := in.valueText(name)
	var value ref.Val
	switch {
	case !ok:
		value = types.NewErr("%s is not known here", name)
	case !isJSON(text):
		value = types.NewErr("%s is no JSON, or nested too deeply", name)
	default:
		value = valueOf(text)
	}
	in.given[name] = value
	return value
}

// valueText is a variable's text, without spaces around it.
func (in *Input) valueText(name string) ([]byte, bool) {
	text, ok := in.subject.Values[name]
	if text = trimJSON(text); len(text) == 0 {
		text = null
	}
	return text, ok
}

func trimJSON(text json.RawMessage) json.RawMessage { return bytes.Trim(text, " \t\r\n") }

func isJSON(text []byte) bool {
	s := jsonscan.New(text)
	_, err := s.Value()
	return err == nil && s.End() == nil
}

// textOf is the text in a document of what a part leads to; nil where it leads to none.
func (in *Input) textOf(part ast.Expr) []byte {
	if !isPath(part) {
		return nil
	}
	var of ast.Expr
	var key ref.Val
	switch part.Kind() {
	case ast.IdentKind:
		text, _ := in.valueText(part.AsIdent())
		return text
	case ast.SelectKind:
		of, key = part.AsSelect().Operand(), types.String(part.AsSelect().FieldName())
	default:
		of, key = part.AsCall().Args()[0], part.AsCall().Args()[1].AsLiteral()
	}
	value, _ := in.follow(of)
	switch document := value.(type) {
	case *object:
		if name, ok := key.(types.String); ok {
			return document.textOf(string(name))
		}
	case *list:
		if index, ok := key.(types.Int); ok {
			return document.textOf(int64(index))
		}
	}
	return nil
}

// textOf is the text of a member.
func (o *object) textOf(name string) []byte {
	i := o.position(name)
	if i < 0 {
		return nil
	}
	return o.text[o.members[i].at:o.members[i].end]
}

// textOf is the text of an element.
func (l *list) textOf(index int64) []byte {
	for at := gap(l.text, 1); at < len(l.text) && l.text[at] != ']'; at = gap(l.text, at) {
		end := skip(l.text, at)
		if index == 0 {
			return l.text[at:end]
		}
		at = end
		index--
	}
	return nil
}
