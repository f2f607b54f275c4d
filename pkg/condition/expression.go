package condition

import (
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
	"cel.dev/cel-go/parser"
)

// expressions explains an evaluated CEL expression from what its parts came to.
type expressions struct {
	*explainer
	state interpreter.EvalState
	info  *ast.SourceInfo
}

// source is the text of a part.
func (e *expressions) source(part ast.Expr) string {
	text, err := parser.Unparse(part, e.info, parser.WrapOnColumn(maxTreeText))
	if err != nil {
		return "this condition"
	}
	return clip(text, maxReason/2)
}

// value is what a part came to, nil where it was not evaluated.
func (e *expressions) value(part ast.Expr) ref.Val {
	if part.Kind() == ast.LiteralKind {
		return part.AsLiteral()
	}
	if value, known := e.state.Value(part.ID()); known {
		return value
	}
	value, _ := e.in.follow(part)
	return value
}

func (e *expressions) explain(part ast.Expr) reason {
	switch part.Kind() {
	case ast.CallKind:
		if r, ok := e.call(part, part.AsCall()); ok {
			return r
		}
	case ast.SelectKind:
		if part.AsSelect().IsTestOnly() {
			return e.presence(part)
		}
	}
	return e.plainly(part)
}

func (e *expressions) call(part ast.Expr, call ast.CallExpr) (reason, bool) {
	args := call.Args()
	switch name := call.FunctionName(); name {
	case operators.LogicalAnd:
		return joined(kindAnd, e.explainAll(operands(part, name, nil))), true
	case operators.LogicalOr:
		return joined(kindOr, e.explainAll(operands(part, name, nil))), true
	case operators.LogicalNot:
		return negated(e.explain(args[0])), true
	case operators.Conditional:
		return e.explain(e.chosen(args)[0]), true
	case operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals,
		operators.Greater, operators.GreaterEquals, operators.In:
		return e.comparison(part, name, args[0], args[1])
	default:
		return e.tokenCall(part, call)
	}
}

func (e *expressions) explainAll(parts []ast.Expr) []reason {
	reasons := make([]reason, len(parts))
	for i, part := range parts {
		reasons[i] = e.explain(part)
	}
	return reasons
}

// operands are those of a chain of one operator, which the parser has made a tree.
func operands(part ast.Expr, operator string, found []ast.Expr) []ast.Expr {
	if part.Kind() != ast.CallKind || part.AsCall().FunctionName() != operator {
		return append(found, part)
	}
	for _, operand := range part.AsCall().Args() {
		found = operands(operand, operator, found)
	}
	return found
}

// plainly says what a part came to.
func (e *expressions) plainly(part ast.Expr) reason {
	value := e.value(part)
	if _, failed := value.(*types.Err); failed || value == nil {
		if missing := e.missing(part); missing != "" {
			return reason{verdict: unclear, text: missing + " is missing"}
		}
	}
	r := outcome(e.source(part), value)
	if part.Kind() == ast.CallKind && part.AsCall().IsMemberFunction() && r.verdict != unclear {
		if target := part.AsCall().Target(); isPath(target) {
			r.text += " (" + e.source(target) + " is " + show(e.value(target)) + ")"
		}
	}
	return r
}

func (e *expressions) presence(part ast.Expr) reason {
	selected := part.AsSelect()
	name := e.source(selected.Operand()) + "." + selected.FieldName()
	switch e.value(part) {
	case types.True:
		return reason{verdict: holds, text: name + " is present"}
	case types.False:
		return reason{verdict: fails, text: name + " is missing"}
	}
	if missing := e.missing(selected.Operand()); missing != "" {
		return reason{verdict: unclear, text: missing + " is missing"}
	}
	return outcome(e.source(part), e.value(part))
}

var mirrored = map[string]string{
	operators.Equals: operators.Equals, operators.NotEquals: operators.NotEquals,
	operators.Less: operators.Greater, operators.LessEquals: operators.GreaterEquals,
	operators.Greater: operators.Less, operators.GreaterEquals: operators.LessEquals,
}

// comparison explains an operator that compares two values.
func (e *expressions) comparison(part ast.Expr, operator string, left, right ast.Expr) (reason, bool) {
	if turned, ok := mirrored[operator]; ok && left.Kind() == ast.LiteralKind {
		operator, left, right = turned, right, left
	}
	answer, value, other := e.value(part), e.value(left), e.value(right)
	if left.Kind() == ast.LiteralKind || value == nil || other == nil || types.IsError(value) || types.IsError(other) {
		return reason{}, false
	}
	is, against := e.source(left)+" is "+show(value), show(other)
	if !isConstant(right) {
		against = e.source(right) + " (" + against + ")"
	}
	v := verdictOf(answer)
	switch {
	case v == unclear:
		return reason{verdict: v, text: is + ", which cannot be compared with " + against}, true
	case operator == operators.Equals && v == holds, operator == operators.NotEquals && v == fails:
		if !isConstant(right) {
			is += ", as " + against
		}
		return reason{verdict: v, text: is}, true
	case operator == operators.Equals, operator == operators.NotEquals:
		return reason{verdict: v, text: is + ", not " + against}, true
	}
	sign, _ := operators.FindReverse(operator)
	words := ", which is "
	if v == fails {
		words += "not "
	}
	return reason{verdict: v, text: is + words + sign + " " + against}, true
}

// tokenCall explains a function of a token.
func (e *expressions) tokenCall(part ast.Expr, call ast.CallExpr) (reason, bool) {
	if !call.IsMemberFunction() {
		return reason{}, false
	}
	t, ok := e.value(call.Target()).(*tokenValue)
	if !ok {
		return reason{}, false
	}
	name, args, owner, prefix := call.FunctionName(), call.Args(), "the token", ""
	if call.Target().Kind() != ast.IdentKind || call.Target().AsIdent() != tokenVariable {
		owner = e.source(call.Target())
		prefix = owner + "."
	}
	var text string
	if len(args) > 0 {
		literal, _ := e.value(args[0]).(types.String)
		text = string(literal)
	}
	if known := byName(name); known.answer != nil && name != fieldValue {
		var argument ref.Val
		if len(args) > 1 {
			if argument = e.value(args[1]); argument == nil || types.IsError(argument) {
				return reason{}, false
			}
		}
		return e.field(name, t, text, prefix+text, argument), true
	}
	sentence, ok := sentences[name]
	answer := e.value(part)
	v := verdictOf(answer)
	if !ok || v == unclear {
		return reason{}, false
	}
	return reason{verdict: v, text: strings.NewReplacer("{token}", owner, "{id}", clip(text, maxValue)).Replace(sentence.says(v))}, true
}

var sentences = map[string]relation{
	transitionedFrom:     {"{token} has left {id} before", "{token} has never left {id}"},
	agentOutputExists:    {"the agent {id} has left an output", "the agent {id} has left no output"},
	agentSucceeded:       {"the agent {id} has succeeded", "the agent {id} has not succeeded"},
	functionOutputExists: {"the function {id} has left an output", "the function {id} has left no output"},
	functionSucceeded:    {"the function {id} has succeeded", "the function {id} has not succeeded"},
}

// isConstant reports whether a part is a value that was written out, such as
// duration("48h"), so that its text would say nothing more.
func isConstant(part ast.Expr) bool {
	switch part.Kind() {
	case ast.LiteralKind:
		return true
	case ast.ListKind:
		return all(part.AsList().Elements(), isConstant)
	case ast.MapKind:
		return all(part.AsMap().Entries(), func(e ast.EntryExpr) bool {
			return isConstant(e.AsMapEntry().Key()) && isConstant(e.AsMapEntry().Value())
		})
	case ast.CallKind:
		return !part.AsCall().IsMemberFunction() && all(part.AsCall().Args(), isConstant)
	}
	return false
}

func all[T any](parts []T, is func(T) bool) bool {
	for _, part := range parts {
		if !is(part) {
			return false
		}
	}
	return true
}

// isPath reports whether a part only leads from a variable to a value.
func isPath(part ast.Expr) bool {
	switch part.Kind() {
	case ast.IdentKind:
		return true
	case ast.SelectKind:
		return !part.AsSelect().IsTestOnly() && isPath(part.AsSelect().Operand())
	case ast.CallKind:
		call := part.AsCall()
		return call.FunctionName() == operators.Index && isPath(call.Args()[0]) && call.Args()[1].Kind() == ast.LiteralKind
	}
	return false
}

// follow follows a part that leads from a variable to a value. What is missing on the way is
// returned, and is nil where nothing is.
func (in *Input) follow(part ast.Expr) (value ref.Val, missing ast.Expr) {
	if !isPath(part) {
		return nil, nil
	}
	var key ref.Val
	var of ast.Expr
	switch part.Kind() {
	case ast.IdentKind:
		known, _ := (*variables)(in).ResolveName(part.AsIdent())
		value, _ = known.(ref.Val)
		return value, nil
	case ast.SelectKind:
		of, key = part.AsSelect().Operand(), types.String(part.AsSelect().FieldName())
	default:
		of, key = part.AsCall().Args()[0], part.AsCall().Args()[1].AsLiteral()
	}
	value, missing = in.follow(of)
	if missing != nil || value == nil || types.IsError(value) {
		return value, missing
	}
	indexer, ok := value.(traits.Indexer)
	if !ok {
		return nil, part
	}
	if value = indexer.Get(key); types.IsError(value) {
		return nil, part
	}
	return value, nil
}

// missing names the first member that a part could not be answered without and that is not
// there.
func (e *expressions) missing(part ast.Expr) string {
	if value, known := e.state.Value(part.ID()); known && !types.IsError(value) {
		return ""
	}
	if isPath(part) {
		if _, missing := e.in.follow(part); missing != nil {
			return e.source(missing)
		}
		return ""
	}
	switch part.Kind() {
	case ast.SelectKind:
		return e.missing(part.AsSelect().Operand())
	case ast.CallKind:
		call := part.AsCall()
		needed := call.Args()
		switch {
		case call.FunctionName() == operators.Conditional:
			needed = e.chosen(needed)
		case call.IsMemberFunction():
			needed = append([]ast.Expr{call.Target()}, needed...)
		}
		return e.missingOf(needed)
	case ast.ComprehensionKind:
		return e.missing(part.AsComprehension().IterRange())
	case ast.ListKind:
		return e.missingOf(part.AsList().Elements())
	case ast.MapKind:
		for _, entry := range part.AsMap().Entries() {
			if found := e.missingOf([]ast.Expr{entry.AsMapEntry().Key(), entry.AsMapEntry().Value()}); found != "" {
				return found
			}
		}
	}
	return ""
}

func (e *expressions) missingOf(parts []ast.Expr) string {
	for _, part := range parts {
		if found := e.missing(part); found != "" {
			return found
		}
	}
	return ""
}

// chosen are those of the three parts of a conditional that its value came from.
func (e *expressions) chosen(parts []ast.Expr) []ast.Expr {
	switch e.value(parts[0]) {
	case types.True:
		return parts[1:2]
	case types.False:
		return parts[2:]
	}
	return parts[:1]
}
