package condition

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// InvalidCondition is the code of the problems that CheckWhens finds.
const InvalidCondition = "invalid_condition"

// InvalidMapping is the code of the problems that CheckMappings finds.
const InvalidMapping = "invalid_mapping"

// Compile reads a condition in wire form: a JSON string holds a CEL expression, a JSON object
// a tree. field is what the caller calls the condition, such as "condition".
//
// It fails with fault.InvalidField, whose detail field is the path of what is wrong, such as
// condition.and[1].field_matches.pattern, with line and column for faults in CEL.
func (l *Language) Compile(field string, condition json.RawMessage) (*Program, error) {
	trimmed := strings.Trim(string(condition), " \t\r\n")
	switch {
	case !utf8.ValidString(trimmed):
		return nil, refuse(field, "is not written in UTF-8")
	case strings.HasPrefix(trimmed, `"`):
		var text string
		if json.Unmarshal([]byte(trimmed), &text) != nil {
			return nil, refuse(field, "is no JSON")
		}
		return l.CompileText(field, text)
	case !strings.HasPrefix(trimmed, "{"):
		return nil, refuse(field, `must be a text, an expression such as "token.data.amount > 100", or an object such as {"field_exists": {"field": "data.amount"}}`)
	}
	key := "tree " + trimmed
	if known, ok := l.programs.Get(key); ok {
		return known, nil
	}
	tree, err := l.readTree(field, json.RawMessage(trimmed))
	if err != nil {
		return nil, err
	}
	if tree.kind == kindExpression {
		l.keep(key, tree.program)
		return tree.program, nil
	}
	p, err := l.compile(&l.tree, field, tree.text())
	if err != nil {
		return nil, err
	}
	p.tree, p.canonical = tree, tree.canonical()
	l.keep(key, p)
	return p, nil
}

// keep remembers a program. A long one takes up to two megabytes, and is rare.
func (l *Language) keep(key string, p *Program) {
	if max(len(key), len(p.text)) <= maxCached {
		l.programs.Add(key, p)
	}
}

// CompileText reads a CEL expression, which must give true or false. It fails as Compile does.
func (l *Language) CompileText(field, text string) (*Program, error) {
	return l.compileText(&l.text, field, text)
}

// compileText finds an expression among those that are kept, or compiles and keeps it.
func (l *Language) compileText(d *dialect, field, text string) (*Program, error) {
	key := d.key + text
	if known, ok := l.programs.Get(key); ok {
		return known, nil
	}
	p, err := l.readText(d, field, text)
	if err != nil {
		return nil, err
	}
	l.keep(key, p)
	return p, nil
}

func (l *Language) readText(d *dialect, field, text string) (*Program, error) {
	switch {
	case len(text) > maxText:
		return nil, refuse(field, "is %d bytes long; at most %d are possible", len(text), maxText).
			With("max", maxText).With("actual", len(text))
	case !utf8.ValidString(text):
		return nil, refuse(field, "is not written in UTF-8")
	case strings.TrimSpace(text) == "":
		return nil, refuse(field, "is empty; give %s", d.sample)
	}
	p, err := l.compile(d, field, text)
	if err != nil {
		return nil, err
	}
	p.canonical = append(append([]byte(`{"expression":`), quoteJSON(text)...), '}')
	return p, nil
}

// CheckWhens reports every inline guard of a definition that does not compile.
func (l *Language) CheckWhens(def *wire.Definition) []wire.Problem {
	var problems []wire.Problem
	for i := range def.Transitions {
		when := def.Transitions[i].When
		if when == "" {
			continue
		}
		path := fmt.Sprintf("transitions[%d].when", i)
		_, err := l.CompileText(path, when)
		var refused *fault.Error
		if errors.As(err, &refused) {
			problems = append(problems, wire.Problem{Path: path, Code: InvalidCondition, Message: "this " + strings.TrimPrefix(refused.Message, path+" ")})
		}
	}
	return problems
}

// CheckMappings reports every input of a definition's bindings that is no mapping, or asks for
// what is not known where functions and agents run.
func (l *Language) CheckMappings(def *wire.Definition) []wire.Problem {
	var problems []wire.Problem
	check := func(path string, raw json.RawMessage) {
		if len(raw) == 0 {
			return
		}
		m, err := l.CompileMapping(path, raw)
		var refused *fault.Error
		switch {
		case errors.As(err, &refused):
			at, _ := refused.Details["field"].(string)
			problems = append(problems, wire.Problem{Path: at, Code: InvalidMapping, Message: "this " + strings.TrimPrefix(refused.Message, at+" ")})
		case err == nil && m.NeedsHistory():
			problems = append(problems, wire.Problem{Path: path, Code: InvalidMapping, Message: "this asks for the token's history, which is not read here"})
		}
	}
	for i := range def.Places {
		for k := range def.Places[i].Functions {
			check(fmt.Sprintf("places[%d].functions[%d].input", i, k), def.Places[i].Functions[k].Input)
		}
		for k := range def.Places[i].Agents {
			check(fmt.Sprintf("places[%d].agents[%d].input", i, k), def.Places[i].Agents[k].Input)
		}
	}
	return problems
}

func (l *Language) compile(d *dialect, field, text string) (*Program, error) {
	parsed, issues := d.env.Parse(text)
	if problems := issues.Errors(); len(problems) > 0 {
		return nil, d.refusal(field, text, problems[0])
	}
	measured, refused := d.measure(field, parsed)
	if refused != nil {
		return nil, refused
	}
	checked, issues := d.env.Check(parsed)
	if problems := issues.Errors(); len(problems) > 0 {
		return nil, d.refusal(field, text, problems[0])
	}
	switch kind := checked.OutputType().Kind(); {
	case d.anyValue && kind == types.TypeKind:
		return nil, refuse(field, "must give a value, not a type")
	case !d.anyValue && kind != types.BoolKind && kind != types.DynKind:
		return nil, refuse(field, "must give true or false, not %s", checked.OutputType())
	}
	p := &Program{text: text, env: d.env, functions: l.functions, checked: checked, types: measured}
	root := ast.NavigateAST(checked.NativeRep())
	for _, loop := range ast.MatchDescendants(root, ast.KindMatcher(ast.ComprehensionKind)) {
		p.loops = true
		p.builds = p.builds || loop.AsComprehension().AccuInit().Kind() != ast.LiteralKind
	}
	// What a loop names can be written many times into a list that an inner loop names, which
	// is written many times into another: small in memory, but long to compare.
	for _, kind := range []ast.ExprKind{ast.ListKind, ast.MapKind} {
		p.builds = p.builds || p.loops && slices.ContainsFunc(ast.MatchDescendants(root, ast.KindMatcher(kind)),
			func(e ast.NavigableExpr) bool { return !isConstant(e) })
	}
	p.history = len(ast.MatchDescendants(root, ast.FunctionMatcher(transitionedFrom))) > 0
	p.instance = len(ast.MatchDescendants(root, ast.FunctionMatcher(visitsFunction))) > 0 ||
		slices.ContainsFunc(ast.MatchDescendants(root, ast.KindMatcher(ast.IdentKind)), func(e ast.NavigableExpr) bool {
			return e.AsIdent() == instanceVariable
		})
	var err error
	if p.fast, err = p.plan(); err != nil {
		return nil, refuse(field, "cannot be evaluated: %s", shorten(err.Error()))
	}
	return p, nil
}

// shorten cuts a compiler's message, which may quote much of the condition.
func shorten(message string) string { return clip(message, maxMessage) }

func clip(text string, most int) string {
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
