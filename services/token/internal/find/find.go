package find

import (
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/types"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

const (
	// maxCondition is how long a condition may be, in bytes.
	maxCondition = 4 << 10
	// maxNesting is how deep its expressions may nest, maxLoops its comprehensions: two
	// compare two lists with one another, and three would only spend the cost limit.
	maxNesting = 64
	maxLoops   = 2
	maxNodes   = 4000
	// maxRecovery bounds what the parser tries after a first fault, of which we show one.
	maxRecovery = 4
	// maxMessage is how many bytes of the compiler's message are shown.
	maxMessage = 300

	maxCost = 200_000
	// maxMemory is in values, or in tens of bytes of text. An instance's state, and so a
	// token, has less than half of that.
	maxMemory = 2 << 20
	// maxDepth is above the nesting that token data may have.
	maxDepth = 80
	// checkEvery is after how many rounds of a loop an evaluation looks at its context.
	checkEvery = 16

	cachedConditions = 256
)

// Finder compiles conditions. It keeps the last ones, is safe for concurrent use and holds
// nothing that must be closed.
type Finder struct {
	env        *cel.Env
	regexes    *regexes
	conditions *lru.Cache[string, *Condition]
}

// New makes a Finder. It fails only when the language itself cannot be set up.
func New() (*Finder, error) {
	patterns, err := newRegexes()
	if err != nil {
		return nil, err
	}
	language, err := cel.NewCustomEnv(
		cel.StdLib(cel.StdLibSubset(&env.LibrarySubset{ExcludeFunctions: []*env.Function{{Name: matchesFunction}}})),
		patterns.function(),
		cel.Variable("token", cel.MapType(cel.StringType, cel.DynType)),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(maxCondition),
		cel.ParserRecursionLimit(maxNesting),
		cel.ParserErrorRecoveryLimit(maxRecovery),
		cel.ExpressionNodeLimit(maxNodes),
		cel.ASTValidators(
			cel.ValidateComprehensionNestingLimit(maxLoops),
			patterns,
			cel.ValidateTimestampLiterals(),
			cel.ValidateDurationLiterals(),
		),
	)
	if err != nil {
		return nil, fmt.Errorf("setting up the language of conditions: %w", err)
	}
	conditions, err := lru.New[string, *Condition](cachedConditions)
	if err != nil {
		return nil, err
	}
	return &Finder{env: language, regexes: patterns, conditions: conditions}, nil
}

// Compile reads a condition. It fails with fault.InvalidField, with the position where the
// compiler knows it.
func (f *Finder) Compile(where string) (*Condition, error) {
	if len(where) > maxCondition {
		return nil, invalid("is %d bytes long; at most %d are possible", len(where), maxCondition).
			With("max", maxCondition).With("actual", len(where))
	}
	if strings.TrimSpace(where) == "" {
		return nil, invalid("is empty; give a condition such as token.data.amount > 100")
	}
	if known, ok := f.conditions.Get(where); ok {
		return known, nil
	}
	ast, issues := f.env.Compile(where)
	if problems := issues.Errors(); len(problems) > 0 {
		return nil, refusal(problems[0])
	}
	if kind := ast.OutputType().Kind(); kind != types.BoolKind && kind != types.DynKind {
		return nil, invalid("must give true or false, not %s", ast.OutputType())
	}
	program, err := f.env.Program(ast,
		cel.CostLimit(maxCost), cel.CostTrackerOptions(f.regexes.costs()...),
		cel.MemoryLimit(maxMemory), cel.MemoryTracking(types.MemoryTrackerSizeCalculator(types.NewSizeCalculator(
			types.SizeCalculatorMaxDepth(maxDepth), types.SizeCalculatorMaxTraversal(maxMemory),
		))),
		cel.InterruptCheckFrequency(checkEvery),
	)
	if err != nil {
		return nil, invalid("cannot be evaluated: %s", shorten(err.Error()))
	}
	c := &Condition{program: program}
	f.conditions.Add(where, c)
	return c, nil
}

func invalid(format string, args ...any) *fault.Error {
	return fault.New(fault.InvalidField, "where "+format, args...).With("field", "where")
}

func refusal(problem *common.Error) *fault.Error {
	line, column := problem.Location.Line(), problem.Location.Column()+1
	if line < 1 {
		return invalid("is no usable condition: %s", shorten(problem.Message))
	}
	return invalid("is no usable condition: at line %d, column %d: %s", line, column, shorten(problem.Message)).
		With("line", line).With("column", column)
}

// shorten cuts a compiler's message, which may quote much of the condition.
func shorten(message string) string {
	if len(message) > maxMessage {
		return strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	return message
}
