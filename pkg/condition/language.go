package condition

import (
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/types"
	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// maxText is how long a CEL expression may be, in bytes.
	maxText = 4 << 10
	// maxNesting is how deep its expressions may nest, maxLoops its comprehensions: two
	// compare two lists with one another, and three would only spend the cost limit.
	maxNesting = 64
	maxLoops   = 2
	maxNodes   = 4000
	// A tree may hold several expressions, and has been checked node by node before.
	maxTreeText    = 128 << 10
	maxTreeNesting = 4 * maxNesting
	maxTreeNodes   = 8 * maxNodes
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
	// checkEvery is after how many rounds of a loop an evaluation looks at its context. One
	// round may read a whole document a hundred times.
	checkEvery = 1

	// cachedPrograms and cachedMappings are how many are kept, maxCached how long the text of one may be.
	cachedPrograms = 256
	cachedMappings = 64
	maxCached      = 2 << 10
)

// Language compiles conditions, expressions and mappings. It keeps the last ones, is safe for concurrent use and holds
// nothing that must be closed.
type Language struct {
	// text is the language as people write it, tree that which trees are turned into: the
	// same, with room for more. work are conditions and value is any expression that also know
	// what a function was given and gave.
	text, tree, work, value dialect

	functions *functions
	programs  *lru.Cache[string, *Program]
	mappings  *lru.Cache[string, *Mapping]
}

// dialect is the language for one purpose.
type dialect struct {
	env *cel.Env
	// noun is what an expression in it is called, sample shows one, key sets it apart where
	// programs are kept.
	noun, sample, key string
	// anyValue says that it gives more than true and false.
	anyValue bool
}

// New makes a Language. It fails only when the language itself cannot be set up.
func New() (*Language, error) {
	ours, err := newFunctions()
	if err != nil {
		return nil, err
	}
	registry, err := types.NewRegistry()
	if err != nil {
		return nil, fmt.Errorf("setting up the language of conditions: %w", err)
	}
	options := append([]cel.EnvOption{
		cel.CustomTypeAdapter(registry),
		cel.CustomTypeProvider(provider{registry}),
		cel.StdLib(cel.StdLibSubset(&env.LibrarySubset{ExcludeFunctions: []*env.Function{{Name: matchesFunction}}})),
		cel.Variable(tokenVariable, tokenType),
		cel.Variable(tokensVariable, tokensType),
		cel.Variable(instanceVariable, instanceType),
		cel.EnableMacroCallTracking(),
		cel.CrossTypeNumericComparisons(true),
		cel.DefaultUTCTimeZone(true),
		cel.ParserExpressionSizeLimit(maxText),
		cel.ParserRecursionLimit(maxNesting),
		cel.ParserErrorRecoveryLimit(maxRecovery),
		cel.ExpressionNodeLimit(maxNodes),
		cel.ASTValidators(
			ours.regexes, ours,
			cel.ValidateTimestampLiterals(),
			cel.ValidateDurationLiterals(),
		),
	}, ours.declarations()...)
	text, err := cel.NewCustomEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("setting up the language of conditions: %w", err)
	}
	tree, err := cel.NewCustomEnv(append(options,
		cel.ParserExpressionSizeLimit(maxTreeText), cel.ParserRecursionLimit(maxTreeNesting), cel.ExpressionNodeLimit(maxTreeNodes))...)
	if err != nil {
		return nil, fmt.Errorf("setting up the language of conditions: %w", err)
	}
	work, err := text.Extend(workVariables()...)
	if err != nil {
		return nil, fmt.Errorf("setting up the language of mappings: %w", err)
	}
	programs, err := lru.New[string, *Program](cachedPrograms)
	if err != nil {
		return nil, err
	}
	mappings, err := lru.New[string, *Mapping](cachedMappings)
	if err != nil {
		return nil, err
	}
	const sample = "a condition such as token.data.amount > 100"
	return &Language{
		text:      dialect{env: text, noun: "condition", sample: sample, key: "text "},
		tree:      dialect{env: tree, noun: "condition", sample: sample, key: "tree "},
		work:      dialect{env: work, noun: "condition", sample: "a condition such as output.amount > 100", key: "work "},
		value:     dialect{env: work, noun: "expression", sample: "an expression such as input.amount", key: "value ", anyValue: true},
		functions: ours, programs: programs, mappings: mappings,
	}, nil
}

// Name and Validate make functions the check of what only a compiler can say about calls.
func (f *functions) Name() string { return "breaker.validator.functions" }

// Validate reports every path that is none, every pattern of field_matches that is none, and
// every attempt to make a token or an instance.
func (f *functions) Validate(_ *cel.Env, _ cel.ValidatorConfig, condition *ast.AST, issues *cel.Issues) {
	root := ast.NavigateAST(condition)
	for _, made := range ast.MatchDescendants(root, ast.KindMatcher(ast.StructKind)) {
		if name := made.AsStruct().TypeName(); name == tokenType.TypeName() || name == instanceType.TypeName() {
			issues.ReportErrorAtID(made.ID(), "an expression cannot make a %s", name)
		}
	}
	for _, function := range onFields {
		for _, call := range ast.MatchDescendants(root, ast.FunctionMatcher(function.name)) {
			f.validateCall(call.AsCall().Args(), function.name, issues)
		}
	}
}

func (f *functions) validateCall(args []ast.Expr, name string, issues *cel.Issues) {
	if len(args) == 0 {
		return
	}
	text, ok := literalText(args[0])
	if !ok {
		issues.ReportErrorAtID(args[0].ID(), `the path of %s must be written out, such as "data.amount"`, name)
		return
	}
	if _, err := f.path(text); err != nil {
		issues.ReportErrorAtID(args[0].ID(), "%s", err)
	}
	if len(args) < 2 {
		return
	}
	pattern, isText := literalText(args[1])
	switch {
	case name == fieldIn && args[1].Kind() == ast.LiteralKind:
		issues.ReportErrorAtID(args[1].ID(), `what %s looks into must be a list, such as ["draft", "review"]`, name)
	case name == fieldMatches && args[1].Kind() == ast.LiteralKind && !isText:
		issues.ReportErrorAtID(args[1].ID(), "the regular expression must be a text, such as '^A-'")
	case name == fieldMatches && isText:
		if _, err := f.compile(pattern); err != nil {
			issues.ReportErrorAtID(args[1].ID(), "the regular expression cannot be used: %s", err)
		}
	}
}

func literalText(expression ast.Expr) (string, bool) {
	if expression.Kind() != ast.LiteralKind {
		return "", false
	}
	text, ok := expression.AsLiteral().(types.String)
	return string(text), ok
}
