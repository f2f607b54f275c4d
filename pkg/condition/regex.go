package condition

import (
	"fmt"
	"regexp"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	matchesFunction = overloads.Matches
	// maxPattern is how long a regular expression may be, in bytes, maxProgram how many
	// instructions it may compile to.
	maxPattern = 512
	maxProgram = 500
	// maxSteps bounds one match: bytes of text times instructions, about 20 ns each at worst.
	maxSteps = 5_000_000
	// stepsPerCost makes one unit of cost take as long as one of the language's own.
	stepsPerCost   = 25
	cachedPatterns = 256
)

// regexes is the function matches. The language's own asks for the cost only after the
// match, which on a long text can take seconds and hears no context; this one refuses such
// a match beforehand.
type regexes struct{ compiled *lru.Cache[string, *regex] }

type regex struct {
	*regexp.Regexp
	// program is its number of instructions.
	program int
}

// regexLimit says that a match would go beyond a limit.
type regexLimit struct {
	limit        string
	most, actual int64
}

func (l *regexLimit) Error() string {
	return fmt.Sprintf("%s is %d, and this needs %d", l.limit, l.most, l.actual)
}

func newRegexes() (*regexes, error) {
	compiled, err := lru.New[string, *regex](cachedPatterns)
	if err != nil {
		return nil, err
	}
	return &regexes{compiled: compiled}, nil
}

func (r *regexes) function() cel.EnvOption {
	both := []*cel.Type{cel.StringType, cel.StringType}
	return cel.Function(matchesFunction,
		cel.Overload(overloads.Matches, both, cel.BoolType),
		cel.MemberOverload(overloads.MatchesString, both, cel.BoolType),
		cel.SingletonBinaryBinding(r.matches),
	)
}

func (r *regexes) matches(text, pattern ref.Val) ref.Val {
	subject, ok := text.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(text)
	}
	expression, ok := pattern.(types.String)
	if !ok {
		return types.MaybeNoSuchOverloadErr(pattern)
	}
	compiled, err := r.compile(string(expression))
	if err != nil {
		return types.WrapErr(err)
	}
	if steps := compiled.steps(len(subject)); steps > maxSteps {
		return types.WrapErr(&regexLimit{limit: "regex_steps", most: maxSteps, actual: steps})
	}
	return types.Bool(compiled.MatchString(string(subject)))
}

func (r *regex) steps(text int) int64 { return int64(text) * int64(r.program) }

func (r *regexes) compile(pattern string) (*regex, error) {
	if known, ok := r.compiled.Get(pattern); ok {
		return known, nil
	}
	if len(pattern) > maxPattern {
		return nil, &regexLimit{limit: "regex_length", most: maxPattern, actual: int64(len(pattern))}
	}
	program, err := types.RegexProgramSize(pattern)
	if err != nil {
		return nil, err
	}
	if program > maxProgram {
		return nil, &regexLimit{limit: "regex_program", most: maxProgram, actual: int64(program)}
	}
	expression, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	compiled := &regex{Regexp: expression, program: program}
	r.compiled.Add(pattern, compiled)
	return compiled, nil
}

// chargeFor is what a match costs.
func (r *regexes) chargeFor(text, pattern ref.Val) uint64 {
	spent := uint64(1)
	subject, isText := text.(types.String)
	expression, isPattern := pattern.(types.String)
	if isText && isPattern {
		if compiled, err := r.compile(string(expression)); err == nil {
			spent += uint64(compiled.steps(len(subject)) / stepsPerCost)
		}
	}
	return spent
}

// costs tells the language what a match has cost.
func (r *regexes) costs() []cost.TrackerOption {
	charge := func(args []ref.Val, result ref.Val) *uint64 {
		if types.IsError(result) {
			return new(uint64(1))
		}
		return new(r.chargeFor(args[0], args[1]))
	}
	return []cost.TrackerOption{
		cost.OverloadTracker(overloads.Matches, charge), cost.OverloadTracker(overloads.MatchesString, charge),
	}
}

// Name and Validate make regexes the check of those patterns that a condition spells out.
func (r *regexes) Name() string { return "breaker.validator.matches" }

// Validate reports every pattern that is none, or is too large.
func (r *regexes) Validate(_ *cel.Env, _ cel.ValidatorConfig, condition *ast.AST, issues *cel.Issues) {
	for _, call := range ast.MatchDescendants(ast.NavigateAST(condition), ast.FunctionMatcher(matchesFunction)) {
		args := call.AsCall().Args()
		pattern := args[len(args)-1]
		if pattern.Kind() != ast.LiteralKind {
			continue
		}
		text, ok := pattern.AsLiteral().(types.String)
		if !ok {
			continue
		}
		if _, err := r.compile(string(text)); err != nil {
			issues.ReportErrorAtID(pattern.ID(), "the regular expression cannot be used: %s", err)
		}
	}
}
