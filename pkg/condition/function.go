package condition

import (
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Functions of a token.
const (
	fieldExists      = "field_exists"
	fieldValue       = "field"
	fieldEquals      = "field_equals"
	fieldGreaterThan = "field_greater_than"
	fieldLessThan    = "field_less_than"
	fieldContains    = "field_contains"
	fieldMatches     = "field_matches"
	fieldIn          = "field_in"

	transitionedFrom = "has_transitioned_from"
	visitsFunction   = "visits"
	ageFunction      = "age"
	timeInPlace      = "time_in_place"

	agentOutput          = "agent_output"
	agentOutputExists    = "agent_output_exists"
	agentSucceeded       = "agent_succeeded"
	functionOutput       = "function_output"
	functionOutputExists = "function_output_exists"
	functionSucceeded    = "function_succeeded"
)

const cachedPaths = 1024

// functions are those that the language adds to CEL's.
type functions struct {
	*regexes
	paths *lru.Cache[string, *path]
}

func newFunctions() (*functions, error) {
	patterns, err := newRegexes()
	if err != nil {
		return nil, err
	}
	paths, err := lru.New[string, *path](cachedPaths)
	if err != nil {
		return nil, err
	}
	return &functions{regexes: patterns, paths: paths}, nil
}

// onField is a function that asks about the field at a path. value is nil where there is none.
type onField struct {
	name   string
	takes  []*cel.Type
	gives  *cel.Type
	answer func(f *functions, t *tokenValue, value, argument ref.Val) ref.Val
}

// What the functions take is left open, so that a missing field makes them false whatever
// they are asked to compare it with.
var onFields = []onField{
	{fieldExists, nil, cel.BoolType, func(_ *functions, _ *tokenValue, value, _ ref.Val) ref.Val { return types.Bool(value != nil) }},
	{fieldValue, nil, cel.DynType, func(_ *functions, _ *tokenValue, value, _ ref.Val) ref.Val { return value }},
	{fieldEquals, []*cel.Type{cel.DynType}, cel.BoolType, equals},
	{fieldGreaterThan, []*cel.Type{cel.DynType}, cel.BoolType, greater},
	{fieldLessThan, []*cel.Type{cel.DynType}, cel.BoolType, less},
	{fieldContains, []*cel.Type{cel.DynType}, cel.BoolType, contains},
	{fieldMatches, []*cel.Type{cel.DynType}, cel.BoolType, (*functions).fieldMatches},
	{fieldIn, []*cel.Type{cel.DynType}, cel.BoolType, among},
}

// onToken is a function that asks about the token itself, with one text or nothing.
type onToken struct {
	name   string
	takes  []*cel.Type
	gives  *cel.Type
	answer func(t *tokenValue, argument string) ref.Val
}

var (
	oneText  = []*cel.Type{cel.StringType}
	onTokens = []onToken{
		{transitionedFrom, oneText, cel.BoolType, (*tokenValue).transitionedFrom},
		{visitsFunction, oneText, cel.IntType, (*tokenValue).visits},
		{ageFunction, nil, cel.DurationType, (*tokenValue).age},
		{timeInPlace, nil, cel.DurationType, (*tokenValue).timeInPlace},
		{agentOutputExists, oneText, cel.BoolType, agents.exists},
		{agentOutput, oneText, cel.DynType, agents.output},
		{agentSucceeded, oneText, cel.BoolType, agents.succeeded},
		{functionOutputExists, oneText, cel.BoolType, works.exists},
		{functionOutput, oneText, cel.DynType, works.output},
		{functionSucceeded, oneText, cel.BoolType, works.succeeded},
	}
)

func overload(function string) string { return "token_" + function }

// declarations add the functions to the language.
func (f *functions) declarations() []cel.EnvOption {
	options := []cel.EnvOption{f.function()}
	for _, function := range onFields {
		takes := append([]*cel.Type{tokenType, cel.StringType}, function.takes...)
		options = append(options, cel.Function(function.name,
			cel.MemberOverload(overload(function.name), takes, function.gives, cel.FunctionBinding(f.ofField(function)))))
	}
	for _, function := range onTokens {
		takes := append([]*cel.Type{tokenType}, function.takes...)
		options = append(options, cel.Function(function.name,
			cel.MemberOverload(overload(function.name), takes, function.gives, cel.FunctionBinding(ofToken(function)))))
	}
	return options
}

func (f *functions) ofField(function onField) func(...ref.Val) ref.Val {
	return func(args ...ref.Val) ref.Val {
		t, isToken := args[0].(*tokenValue)
		text, isText := args[1].(types.String)
		if !isToken || !isText {
			return types.MaybeNoSuchOverloadErr(args[0])
		}
		var argument ref.Val
		if len(args) > 2 {
			argument = args[2]
		}
		return f.ask(function, t, string(text), argument)
	}
}

// ask answers a function on the field at a path.
func (f *functions) ask(function onField, t *tokenValue, text string, argument ref.Val) ref.Val {
	t.in.charge = 1
	p, err := f.path(text)
	if err != nil {
		return types.WrapErr(err)
	}
	value := p.find(t)
	if value == nil {
		switch function.name {
		case fieldValue:
			return types.NewErr("%s is missing", text)
		default:
			return types.False
		}
	}
	if types.IsError(value) {
		return value
	}
	return function.answer(f, t, value, argument)
}

func (f *functions) path(text string) (*path, error) {
	if known, ok := f.paths.Get(text); ok {
		return known, nil
	}
	p, err := parsePath(text)
	if err != nil {
		return nil, err
	}
	f.paths.Add(text, p)
	return p, nil
}

func ofToken(function onToken) func(...ref.Val) ref.Val {
	return func(args ...ref.Val) ref.Val {
		t, isToken := args[0].(*tokenValue)
		if !isToken {
			return types.MaybeNoSuchOverloadErr(args[0])
		}
		t.in.charge = 1
		var argument types.String
		if len(args) > 1 {
			argument, _ = args[1].(types.String)
		}
		return function.answer(t, string(argument))
	}
}

func equals(_ *functions, t *tokenValue, value, argument ref.Val) ref.Val {
	t.in.charge += comparing(value, argument)
	return equal(value, argument)
}

func greater(_ *functions, t *tokenValue, value, argument ref.Val) ref.Val {
	return ordered(t, value, argument, types.IntOne)
}

func less(_ *functions, t *tokenValue, value, argument ref.Val) ref.Val {
	return ordered(t, value, argument, types.IntNegOne)
}

func ordered(t *tokenValue, value, argument ref.Val, wanted types.Int) ref.Val {
	t.in.charge += comparing(value, argument)
	if order, mixed := compareMixed(value, argument); mixed {
		return types.Bool(order == wanted)
	}
	if comparer, ok := value.(traits.Comparer); ok {
		if order, ok := comparer.Compare(argument).(types.Int); ok {
			return types.Bool(order == wanted)
		}
	}
	return types.NewErr("%s and %s cannot be compared", kindOf(value), kindOf(argument))
}

// contains asks for a part of a text, an element of a list or a key of an object.
func contains(_ *functions, t *tokenValue, value, argument ref.Val) ref.Val {
	switch v := value.(type) {
	case types.String:
		part, ok := argument.(types.String)
		if !ok {
			return types.NewErr("%s cannot contain %s", kindOf(value), kindOf(argument))
		}
		t.in.charge += uint64(len(v)/bytesPerCost) + 1
		return types.Bool(strings.Contains(string(v), string(part)))
	case traits.Lister:
		t.in.charge += uint64(v.Size().(types.Int)) + comparing(value, value)
		return holding(v, argument)
	case traits.Mapper:
		return v.Contains(argument)
	}
	return types.NewErr("%s cannot contain anything", kindOf(value))
}

func (f *functions) fieldMatches(t *tokenValue, value, pattern ref.Val) ref.Val {
	text, ok := value.(types.String)
	if !ok {
		return types.NewErr("%s cannot be matched with a pattern", kindOf(value))
	}
	if _, ok := pattern.(types.String); !ok {
		return types.NewErr("%s is no pattern", kindOf(pattern))
	}
	answer := f.matches(text, pattern)
	if !types.IsError(answer) {
		t.in.charge += f.chargeFor(text, pattern)
	}
	return answer
}

func among(_ *functions, t *tokenValue, value, argument ref.Val) ref.Val {
	values, ok := argument.(traits.Lister)
	if !ok {
		return types.NewErr("%s is no list", kindOf(argument))
	}
	t.in.charge += uint64(values.Size().(types.Int)) + comparing(argument, argument)
	return holding(values, value)
}

// kindOf says what a value is, in a word for people.
func kindOf(value ref.Val) string {
	switch value.(type) {
	case types.String:
		return "a text"
	case types.Int, types.Uint, types.Double:
		return "a number"
	case types.Bool:
		return "true or false"
	case types.Null:
		return "null"
	case traits.Lister:
		return "a list"
	case traits.Mapper:
		return "an object"
	case types.Timestamp:
		return "a time"
	case types.Duration:
		return "a duration"
	}
	return "a " + value.Type().TypeName()
}
