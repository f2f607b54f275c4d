package condition

import (
	"encoding/json"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Subject is what conditions are asked about. Nothing in it may change while an Input made
// of it is in use.
type Subject struct {
	// Token is the variable token. nil: the first of Tokens, or a token without anything.
	Token *wire.Token
	// Tokens are those that a firing would consume, in its order. nil: Token alone.
	Tokens []*wire.Token
	// Instance is nil where only a document was given.
	Instance *wire.Instance
	// History is that of Token, with the tokens it came from, oldest first. nil: it was not
	// loaded, and Token.TransitionHistory counts. Program.NeedsHistory says who asks for it.
	History []wire.TransitionRecord
	// Values are JSON values by the names that only work conditions, expressions and mappings
	// know: input, output, error and event. One that is left out is not known to them; one
	// without text is null.
	Values map[string]json.RawMessage
	// Now is what ages are measured by. Zero: ages are not known.
	Now time.Time
}

// Input is a subject made ready for questions: each part of it is decoded when it is first
// asked for, and at most once, however many programs ask. It is not safe for concurrent use.
type Input struct {
	subject  Subject
	token    *tokenValue
	tokens   traits.Lister
	instance *instanceValue
	given    map[string]ref.Val
	// charge is what the last function on a token has cost.
	charge uint64
}

// NewInput makes an Input. It decodes nothing yet.
func NewInput(s Subject) *Input {
	switch {
	case s.Token == nil && len(s.Tokens) > 0:
		s.Token = s.Tokens[0]
	case s.Token == nil:
		s.Token = &wire.Token{}
	}
	if s.Tokens == nil {
		s.Tokens = []*wire.Token{s.Token}
	}
	if s.History == nil {
		s.History = s.Token.TransitionHistory
	}
	in := &Input{subject: s}
	in.token = &tokenValue{in: in, token: s.Token}
	return in
}

// valueOf is a token's value; the variable token has only one, so that it is decoded once.
func (in *Input) valueOf(t *wire.Token) *tokenValue {
	if t == in.subject.Token {
		return in.token
	}
	return &tokenValue{in: in, token: t}
}

func (in *Input) allTokens() traits.Lister {
	if in.tokens == nil {
		values := make([]ref.Val, len(in.subject.Tokens))
		for i, t := range in.subject.Tokens {
			values[i] = in.valueOf(t)
		}
		in.tokens = types.NewRefValList(types.DefaultTypeAdapter, values)
	}
	return in.tokens
}

// marking is the tokens of the instance; without one, those that would be consumed.
func (in *Input) marking() traits.Lister {
	if in.subject.Instance == nil {
		return in.allTokens()
	}
	values := make([]ref.Val, len(in.subject.Instance.Tokens))
	for i := range in.subject.Instance.Tokens {
		values[i] = in.valueOf(&in.subject.Instance.Tokens[i])
	}
	return types.NewRefValList(types.DefaultTypeAdapter, values)
}

// variables is an Input as CEL asks it.
type variables Input

// ResolveName finds a variable.
func (v *variables) ResolveName(name string) (any, bool) {
	in := (*Input)(v)
	switch name {
	case tokenVariable:
		return in.token, true
	case tokensVariable:
		return in.allTokens(), true
	case instanceVariable:
		if in.instance == nil {
			in.instance = &instanceValue{in: in, instance: in.subject.Instance}
			if in.instance.instance == nil {
				in.instance.instance = &wire.Instance{}
			}
		}
		return in.instance, true
	case inputVariable, outputVariable, errorVariable, eventVariable:
		return in.value(name), true
	}
	return nil, false
}

// Parent is nil: these are all variables.
func (v *variables) Parent() interpreter.Activation { return nil }
