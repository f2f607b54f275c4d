package examples

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// job is work for a function that waits in the testEngine: of a place, or of a chain.
type job struct {
	wire.FunctionBinding
	tokenID string
	// arrival is when the token came to where the work is about it.
	arrival uint64
	// before is what the run before in a chain has left.
	before map[string]json.RawMessage
}

// enqueue takes in the functions of the places to which the last event has brought tokens.
func (e *testEngine) enqueue() {
	for i := range e.state.Tokens {
		token := &e.state.Tokens[i]
		place, ok := e.net.Place(token.Place)
		if !ok || token.ArrivalSequence != e.revision {
			continue
		}
		for _, binding := range place.Functions {
			e.queue = append(e.queue, job{FunctionBinding: binding, tokenID: token.ID, arrival: token.ArrivalSequence})
		}
	}
}

// work runs the function that has waited longest.
func (e *testEngine) work(ctx context.Context) (ran bool, err error) {
	for len(e.queue) > 0 && !ran {
		next := e.queue[0]
		e.queue = e.queue[1:]
		if token := e.state.Token(next.tokenID); token == nil || token.ArrivalSequence != next.arrival {
			continue // It has gone on without the function.
		}
		if err := e.run(ctx, next); err != nil {
			return false, err
		}
		ran = true
	}
	return ran, nil
}

// maxAttempts is how many a function has in the testEngine.
const maxAttempts = 3

// run does what the function-runner does, without waiting between attempts.
func (e *testEngine) run(ctx context.Context, j job) error {
	fn := e.functions[j.Function]
	input, failure := e.input(ctx, fn, j)
	var output json.RawMessage
	attempts := 1
	if failure == nil {
		again := false
		for output, again, failure = e.attempt(ctx, fn, j, input, attempts); again && attempts < maxAttempts; attempts++ {
			output, again, failure = e.attempt(ctx, fn, j, input, attempts+1)
		}
	}
	done := petri.Complete{
		TokenID: j.tokenID, ArrivalSequence: j.arrival, Binding: fn.ID, Kind: wire.KindFunction,
		Outcome: wire.OutcomeSuccess, Output: output, TransitionID: j.OnSuccess, Attempts: attempts,
	}
	runs := Runs{Succeeded: 1, Retries: attempts - 1}
	if j.Output != "" {
		done.Data = patch(j.Output, output)
	}
	if failure != nil {
		text, err := json.Marshal(wire.Failure{Code: wire.FailureFailed, Message: failure.Error()})
		if err != nil {
			return err
		}
		done.Outcome, done.TransitionID, done.Output, done.Data, done.Error = wire.OutcomeFailure, j.OnFailure, nil, nil, text
		runs = Runs{Failed: 1, Retries: attempts - 1}
	}
	e.runs[fn.ID] = e.runs[fn.ID].Add(runs)
	if done.TransitionID != "" {
		if err := e.permit(ctx, done, done.TransitionID); err != nil {
			return err
		}
	}
	if err := e.commit(done, functionsBy); err != nil {
		return err
	}
	e.chain(fn, j, map[string]json.RawMessage{"input": input, "output": done.Output, "error": done.Error})
	return e.settle(ctx)
}

// chain queues what comes after a run, for the token as it is then.
func (e *testEngine) chain(fn wire.FunctionCreateRequest, j job, before map[string]json.RawMessage) {
	token, failed := e.state.Token(j.tokenID), before["error"] != nil
	for _, c := range fn.Chains {
		if token == nil || (c.On == wire.ChainFailure) != failed && c.On != wire.ChainAlways {
			continue
		}
		after := job{FunctionBinding: wire.FunctionBinding{Function: c.Function, Input: c.Input}, tokenID: token.ID, arrival: token.ArrivalSequence, before: before}
		// What a chain goes on with comes before what other places ask for.
		e.queue = append([]job{after}, e.queue...)
	}
}

func (e *testEngine) subject(j job) condition.Subject {
	return condition.Subject{Token: e.state.Token(j.tokenID), Instance: &e.state.Instance, Now: e.now, Values: j.before}
}

// input is made by the binding's mapping, else by the function's own; else it is the data.
func (e *testEngine) input(ctx context.Context, fn wire.FunctionCreateRequest, j job) (json.RawMessage, error) {
	text := j.Input
	if len(text) == 0 {
		text = fn.Input
	}
	if len(text) == 0 {
		return e.state.Token(j.tokenID).Data, nil
	}
	mapping, err := e.language.CompileMapping("input", text)
	if err != nil {
		return nil, err
	}
	return mapping.Apply(ctx, condition.NewInput(e.subject(j)))
}

func (e *testEngine) attempt(ctx context.Context, fn wire.FunctionCreateRequest, j job, input json.RawMessage, attempt int) (output json.RawMessage, again bool, err error) {
	switch fn.Kind {
	case wire.FunctionNATS:
		output, refusal := Programs()[fn.ID](input, attempt)
		if refusal != nil {
			return nil, refusal.Code >= 500, refusal
		}
		return output, false, nil
	case wire.FunctionExpression:
		expression, err := e.language.CompileExpression("expression", fn.Expression)
		if err != nil {
			return nil, false, err
		}
		subject := e.subject(j)
		subject.Values = map[string]json.RawMessage{"input": input}
		output, err = expression.Evaluate(ctx, condition.NewInput(subject))
		return output, false, err
	}
	return nil, false, errors.New("the engine of these tests runs no functions of kind " + fn.Kind)
}

// patch puts an output at a dotted path.
func patch(path string, output json.RawMessage) json.RawMessage {
	names := strings.Split(path, ".")
	for i := len(names) - 1; i >= 0; i-- {
		output = json.RawMessage(`{"` + names[i] + `":` + string(output) + `}`)
	}
	return output
}
