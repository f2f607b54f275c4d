package condition

import (
	"context"
	"errors"
	"slices"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

const (
	// maxReason is how long the text of an explanation may be, in bytes, maxValue a value in it.
	maxReason = 500
	maxValue  = 80
	// maxParts is how many parts an explanation has in all, maxPartDepth how deep they nest.
	maxParts     = 64
	maxPartDepth = 8
)

// Explanation says whether a condition passed, and why, in a sentence for people with the
// values that decided it.
type Explanation struct {
	Passed bool
	// Text has at most 500 bytes and an ellipsis; values in it are JSON, of at most 80.
	Text string
	// Parts are the operands of and, or and not; nil for anything else. There are at most 64
	// of them in all, 8 levels deep; the others are left out.
	Parts []Explanation
}

// Explain evaluates everything, even what could not change the answer, and says why the
// subject passes or not: Passed is always what Passes answers. A limit that is hit and a
// member that is missing are explanations; it fails only with the context's error.
func (p *Program) Explain(ctx context.Context, in *Input) (Explanation, error) {
	passed, err := p.Passes(ctx, in)
	var limit *fault.Error
	if errors.As(err, &limit) {
		return Explanation{Text: limit.Message}, nil
	}
	if err != nil {
		return Explanation{}, err
	}
	limited, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	x := &explainer{ctx: limited, in: in, functions: p.functions}
	why := x.program(p)
	if err := ctx.Err(); err != nil {
		return Explanation{}, err
	}
	left := maxParts
	e := why.explanation(&left, maxPartDepth)
	e.Passed = passed
	return e, nil
}

// verdict is what came out of a condition.
type verdict int

const (
	fails verdict = iota
	holds
	// unclear: it could not be answered.
	unclear
)

func verdictOf(value ref.Val) verdict {
	switch value {
	case types.True:
		return holds
	case types.False:
		return fails
	}
	return unclear
}

// reason is an explanation in the making.
type reason struct {
	verdict verdict
	text    string
	// bare is the text without what a not has added, where that is another.
	bare  string
	parts []reason
}

// fact is what is the case, whatever the condition wanted.
func (r reason) fact() string {
	if r.bare != "" {
		return r.bare
	}
	return r.text
}

func (r reason) explanation(left *int, depth int) Explanation {
	e := Explanation{Passed: r.verdict == holds, Text: clip(r.text, maxReason)}
	if depth == 0 {
		return e
	}
	for _, part := range r.parts {
		if *left == 0 {
			break
		}
		*left--
		e.Parts = append(e.Parts, part.explanation(left, depth-1))
	}
	return e
}

// joined is the reason of several conditions that and or or joins.
func joined(kind string, parts []reason) reason {
	r := reason{parts: parts}
	decisive, rest := fails, holds
	if kind == kindOr {
		decisive, rest = holds, fails
	}
	switch {
	case some(parts, decisive):
		r.verdict = decisive
	case some(parts, unclear):
		r.verdict = unclear
	default:
		r.verdict = rest
	}
	var said, facts []string
	for _, part := range parts {
		counts := part.verdict == r.verdict
		if kind == kindOr && r.verdict == unclear {
			counts = true
		}
		if counts && !slices.Contains(said, part.text) {
			said, facts = append(said, part.text), append(facts, part.fact())
		}
		if kind == kindOr && r.verdict == holds && len(said) > 0 {
			break
		}
	}
	r.text, r.bare = clip(strings.Join(said, "; "), maxReason), clip(strings.Join(facts, "; "), maxReason)
	return r
}

func some(parts []reason, v verdict) bool {
	return slices.ContainsFunc(parts, func(part reason) bool { return part.verdict == v })
}

// unwanted is said of what is the case where a not forbids it.
const unwanted = ", and that must not be"

// negated is the reason of a not.
func negated(part reason) reason {
	r := reason{parts: []reason{part}, bare: part.fact()}
	switch part.verdict {
	case holds:
		r.verdict, r.text = fails, clip(r.bare, maxReason-len(unwanted))+unwanted
	case fails:
		r.verdict, r.text = holds, r.bare
	case unclear:
		r.verdict, r.text = unclear, part.text
	}
	return r
}

// explainer explains one condition, or one part of it after the other.
type explainer struct {
	ctx       context.Context // ends an explanation that takes too long; it is made for one call
	in        *Input
	functions *functions
}

func (x *explainer) program(p *Program) reason {
	if p.tree != nil {
		return x.node(p.tree)
	}
	program, err := p.explaining()
	if err != nil {
		return reason{verdict: unclear, text: clip(p.text, maxValue) + " cannot be explained"}
	}
	answer, details, err := p.evaluate(x.ctx, program, x.in)
	if details.State() == nil || err != nil && beyond(x.ctx, err) != nil {
		return x.briefly(p)
	}
	info := p.checked.NativeRep()
	e := &expressions{explainer: x, state: details.State(), info: info.SourceInfo()}
	why := e.explain(info.Expr())
	why.verdict = verdictOf(answer)
	return why
}

// briefly says what came out where a full explanation would take too much.
func (x *explainer) briefly(p *Program) reason {
	answer, _, err := p.evaluate(x.ctx, p.fast, x.in)
	var limit *fault.Error
	switch {
	case x.ctx.Err() != nil:
		return outOfTime
	case err != nil && errors.As(beyond(x.ctx, err), &limit):
		return reason{verdict: unclear, text: limit.Message}
	}
	return outcome(clip(p.text, maxReason/2), answer)
}

// outOfTime stands for what is left when an explanation takes too long.
var outOfTime = reason{verdict: unclear, text: "the time for an explanation is over"}

// outcome is the reason that says no more than what came out.
func outcome(source string, value ref.Val) reason {
	switch v := verdictOf(value); v {
	case holds:
		return reason{verdict: v, text: source + " is true"}
	case fails:
		return reason{verdict: v, text: source + " is false"}
	case unclear:
	}
	if err, ok := value.(*types.Err); ok {
		return reason{verdict: unclear, text: source + " cannot be evaluated: " + why(err)}
	}
	if value == nil {
		return reason{verdict: unclear, text: source + " cannot be evaluated"}
	}
	return reason{verdict: unclear, text: source + " is " + show(value) + ", which is neither true nor false"}
}

// missingKey is how the language says that a map has no such member.
const missingKey = "no such key: "

// why is an error of the language for people.
func why(err *types.Err) string {
	text := err.String()
	switch {
	case errors.Is(err, interpreter.InterruptError{}):
		return "it takes too long"
	case strings.HasPrefix(text, "no such overload"):
		return "its values are of kinds that do not go together"
	case strings.HasPrefix(text, missingKey):
		return "the member " + clip(strings.TrimPrefix(text, missingKey), maxValue) + " is missing"
	}
	return clip(text, maxMessage)
}

func (x *explainer) node(n *node) reason {
	switch n.kind {
	case kindAnd, kindOr:
		parts := make([]reason, len(n.parts))
		for i, part := range n.parts {
			parts[i] = x.node(part)
		}
		return joined(n.kind, parts)
	case kindNot:
		return negated(x.node(n.parts[0]))
	case kindExpression:
		return x.program(n.program)
	}
	var argument ref.Val
	if n.value != nil {
		argument = valueOf(n.value)
	}
	return x.field(n.function(), x.in.token, n.field, n.field, argument)
}

// field explains a function on the field at a path, which the reader knows under a name.
func (x *explainer) field(function string, t *tokenValue, path, name string, argument ref.Val) reason {
	if x.ctx.Err() != nil {
		return outOfTime
	}
	p, err := x.functions.path(path)
	if err != nil {
		return reason{verdict: unclear, text: err.Error()}
	}
	value := p.find(t)
	if value == nil {
		return reason{verdict: fails, text: name + " is missing"}
	}
	if err, failed := value.(*types.Err); failed {
		return reason{verdict: unclear, text: why(err)}
	}
	known := byName(function)
	answer := known.answer(x.functions, t, value, argument)
	is := name + " is " + show(value)
	if err, failed := answer.(*types.Err); failed {
		return reason{verdict: unclear, text: is + ": " + why(err)}
	}
	v := verdictOf(answer)
	switch function {
	case fieldExists:
		return reason{verdict: v, text: is}
	case fieldEquals:
		if v == fails {
			is += ", not " + show(argument)
		}
		return reason{verdict: v, text: is}
	}
	return reason{verdict: v, text: is + ", which " + relations[function].says(v) + " " + show(argument)}
}

// relation is how a function is put into words.
type relation struct{ holds, fails string }

func (r relation) says(v verdict) string {
	if v == holds {
		return r.holds
	}
	return r.fails
}

var relations = map[string]relation{
	fieldGreaterThan: {"is greater than", "is not greater than"},
	fieldLessThan:    {"is less than", "is not less than"},
	fieldContains:    {"contains", "does not contain"},
	fieldMatches:     {"matches", "does not match"},
	fieldIn:          {"is one of", "is none of"},
}

func byName(function string) onField {
	for _, known := range onFields {
		if known.name == function {
			return known
		}
	}
	return onField{}
}
