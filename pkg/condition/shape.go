package condition

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

// maxTypes bounds the check of types, of one expression and of all in a tree. Each takes up to
// ten microseconds, the more the deeper they nest.
const maxTypes = 50_000

// shape is what a condition would cost to check. It is measured before the check: the types
// of [1].map(x, {x: x}).map(x, {x: x})… double with each loop, so afterwards it is too late.
type shape struct {
	// loop is the first loop too many.
	loop ast.Expr
	// types is about how many types the check goes through: for each part of the condition
	// those that its own type is made of.
	types int
	// names are the types that the loops around have given to their variables.
	names map[string]int
}

// measure says what a parsed condition costs to check, and refuses one that costs too much.
func (d *dialect) measure(field string, parsed *cel.Ast) (types int, refused *fault.Error) {
	s := &shape{names: map[string]int{}}
	s.part(parsed.NativeRep().Expr(), 0)
	switch {
	case s.loop != nil:
		position := parsed.NativeRep().SourceInfo().GetStartLocation(s.loop.ID())
		return 0, d.refusalAt(field, position.Line(), position.Column()+1,
			"comprehension exceeds nesting limit: all, exists, map, filter and their like nest at most %d deep, and those in a chain count", maxLoops)
	case s.types > maxTypes:
		return 0, tooIntricate(field)
	}
	return s.types, nil
}

func tooIntricate(field string) *fault.Error {
	return refuse(field, "is too intricate: the lists and maps that it builds are nested too deeply or are too many")
}

// part measures a part, and says of how many types its own is made; it stops where it is
// clear that they are too many.
func (s *shape) part(part ast.Expr, loops int) int {
	if s.types > maxTypes || s.loop != nil {
		return 1
	}
	own := 1
	switch part.Kind() {
	case ast.IdentKind:
		own = max(own, s.names[part.AsIdent()])
	case ast.ComprehensionKind:
		own = s.comprehension(part, loops+1)
	case ast.CallKind:
		call := part.AsCall()
		own = s.largest(loops, call.Args()...)
		if call.IsMemberFunction() {
			own = max(own, s.part(call.Target(), loops))
		}
	case ast.SelectKind:
		own = s.part(part.AsSelect().Operand(), loops)
	case ast.ListKind:
		own += s.largest(loops, part.AsList().Elements()...)
	case ast.MapKind:
		keys, values := 1, 1
		for _, entry := range part.AsMap().Entries() {
			keys = max(keys, s.part(entry.AsMapEntry().Key(), loops))
			values = max(values, s.part(entry.AsMapEntry().Value(), loops))
		}
		own += keys + values
	case ast.StructKind:
		for _, set := range part.AsStruct().Fields() {
			s.part(set.AsStructField().Value(), loops)
		}
	}
	s.types += own
	return own
}

func (s *shape) largest(loops int, parts ...ast.Expr) int {
	most := 1
	for _, part := range parts {
		most = max(most, s.part(part, loops))
	}
	return most
}

// comprehension measures a loop. Those that it goes through count as around it.
func (s *shape) comprehension(loop ast.Expr, loops int) int {
	if loops > maxLoops {
		s.loop = loop
		return 1
	}
	c := loop.AsComprehension()
	through := s.part(c.IterRange(), loops)
	defer s.name(c.AccuVar(), s.part(c.AccuInit(), loops))()
	defer s.name(c.IterVar(), through)()
	defer s.name(c.IterVar2(), through)()
	s.part(c.LoopCondition(), loops)
	gathered := max(s.names[c.AccuVar()], s.part(c.LoopStep(), loops))
	s.names[c.AccuVar()] = gathered
	return max(gathered, s.part(c.Result(), loops))
}

// name gives a variable to a loop; the function that comes back takes it away.
func (s *shape) name(variable string, types int) func() {
	before := s.names[variable]
	s.names[variable] = types
	return func() { s.names[variable] = before }
}
