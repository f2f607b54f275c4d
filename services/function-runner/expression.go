package functionrunner

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// expression is the kind of function that is evaluated here: CEL over input, token and instance.
type expression struct {
	service *Service
	program *condition.Expression
}

func (s *Service) newExpression(fn *wire.Function) (kind, error) {
	if fn.Expression == "" {
		return nil, fault.New(fault.InvalidField, "expression is missing: give one such as input.amount * 2").With("field", "expression")
	}
	program, err := s.language.CompileExpression("expression", fn.Expression)
	if err != nil {
		return nil, err
	}
	if program.NeedsHistory() {
		return nil, noHistory("expression")
	}
	return &expression{service: s, program: program}, nil
}

// Check finds nothing that newExpression has not found.
func (e *expression) Check(*wire.FunctionSpec) error { return nil }

// Run evaluates the expression.
func (e *expression) Run(ctx context.Context, _ *wire.Function, a *work.Attempt) (work.Result, *work.Failure) {
	output, err := e.program.Evaluate(ctx, condition.NewInput(condition.Subject{
		Token: a.Token, Instance: a.Instance, Now: e.service.now(), Values: map[string]json.RawMessage{"input": a.Input},
	}))
	var values *condition.EvaluationError
	switch {
	case errors.As(err, &values):
		return work.Result{}, work.Failed(wire.FailureInvalidInput, "%v", err)
	case err != nil:
		return work.Result{}, work.Failed(wire.FailureMisconfigured, "%v", err)
	}
	return work.Result{Output: output}, nil
}
