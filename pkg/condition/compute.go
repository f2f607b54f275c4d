package condition

import (
	"context"
	"encoding/json"
	"errors"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

// CompileWorkCondition reads a CEL expression that must give true or false, as CompileText
// does, and that may ask about input, output, error and event as well.
func (l *Language) CompileWorkCondition(field, text string) (*Program, error) {
	return l.compileText(&l.work, field, text)
}

// CompileExpression reads a CEL expression that may give any JSON value and that knows the
// variables of a work condition. field is what the caller calls it. It fails as Compile does.
func (l *Language) CompileExpression(field, text string) (*Expression, error) {
	p, err := l.compileText(&l.value, field, text)
	if err != nil {
		return nil, err
	}
	return &Expression{field: field, program: p}, nil
}

// Expression is a compiled expression that gives a JSON value, safe for concurrent use.
type Expression struct {
	field   string
	program *Program
}

// Text is the CEL expression that is evaluated.
func (e *Expression) Text() string { return e.program.text }

// NeedsHistory is as Program.NeedsHistory.
func (e *Expression) NeedsHistory() bool { return e.program.history }

// NeedsInstance is as Program.NeedsInstance.
func (e *Expression) NeedsInstance() bool { return e.program.instance }

// Evaluate gives the value as JSON text. It fails with an EvaluationError where there is none:
// a member is missing, kinds do not go together, or the value is nothing that JSON has; with
// fault.LimitExceeded where it needs more work, memory or time than one evaluation may have, or
// the value is too large or too deep; and with the context's error.
func (e *Expression) Evaluate(ctx context.Context, in *Input) (json.RawMessage, error) {
	c, stop := newComputation(ctx, in)
	defer stop()
	if err := c.append(e); err != nil {
		return nil, err
	}
	return c.out, nil
}

// EvaluationError says why an expression has no value for its subject.
type EvaluationError struct {
	// Field is what the expression was called when it was compiled, such as input.items[2].name.
	Field string
	// Reason is a sentence for people, such as "token.data.amount is missing".
	Reason string
}

// Error is the field with the reason.
func (e *EvaluationError) Error() string { return e.Field + " cannot be evaluated: " + e.Reason }

// computation is what the expressions of one mapping share: the time, the cost and the text
// that they come to.
type computation struct {
	*Input
	ctx     context.Context // the caller's; a computation lives as long as one call
	limited context.Context // ctx, and maxTime
	cost    uint64
	out     []byte
	// depth is how deep what comes next stands in out.
	depth int
}

func newComputation(ctx context.Context, in *Input) (*computation, context.CancelFunc) {
	limited, cancel := context.WithTimeout(ctx, maxTime)
	return &computation{Input: in, ctx: ctx, limited: limited}, cancel
}

// append evaluates an expression and writes its value.
func (c *computation) append(e *Expression) error {
	value, details, err := e.program.evaluate(c.limited, e.program.fast, c.Input)
	if details != nil {
		if spent := details.ActualCost(); spent != nil {
			c.cost += *spent
		}
	}
	if err == nil && c.cost > maxCost {
		err = exceeded("condition_cost", maxCost, nil)
	}
	if err == nil {
		err = c.write(value, []ast.Expr{e.program.checked.NativeRep().Expr()})
	}
	if err == nil {
		err = c.late()
	}
	if err == nil {
		return nil
	}
	var evaluation *types.Err
	if errors.As(err, &evaluation) && beyond(c.ctx, err) == nil && c.late() == nil {
		return &EvaluationError{Field: e.field, Reason: c.reason(e.program, evaluation)}
	}
	return c.refuse(e.field, err)
}

// late is an error where the time is over: what does not loop is not interrupted.
func (c *computation) late() error {
	switch {
	case c.ctx.Err() != nil:
		return c.ctx.Err()
	case c.limited.Err() != nil:
		return exceeded("condition_time", maxTime.Milliseconds(), nil)
	}
	return nil
}

// refuse is the error to report for what is called field.
func (c *computation) refuse(field string, err error) error {
	if late := c.late(); late != nil {
		err = late
	} else if stopped := beyond(c.ctx, err); stopped != nil {
		err = stopped
	}
	var limit *fault.Error
	var unfit *unfitError
	switch {
	case c.ctx.Err() != nil:
		return c.ctx.Err()
	case errors.As(err, &limit):
		return tooMuch(field, limit)
	case errors.As(err, &unfit):
		return &EvaluationError{Field: field, Reason: unfit.reason}
	}
	return &EvaluationError{Field: field, Reason: shorten(err.Error())}
}

// tooMuch is a limit in the words of an expression.
func tooMuch(field string, limit *fault.Error) *fault.Error {
	what := "takes too much work"
	switch limit.Details["limit"] {
	case limitResult:
		what = "makes the result too large"
	case limitResultDepth:
		what = "makes the result too deep"
	}
	refused := fault.New(fault.LimitExceeded, "%s %s (%s is %v); make it simpler", field, what, limit.Details["limit"], limit.Details["max"]).
		With("field", field).Because(errors.Unwrap(limit))
	for key, value := range limit.Details {
		refused = refused.With(key, value)
	}
	return refused
}

// reason says why a program has no value, as an explanation would.
func (c *computation) reason(p *Program, cause *types.Err) string {
	said := why(cause)
	explaining, failed := p.explaining()
	if failed != nil {
		return said
	}
	_, details, failed := p.evaluate(c.limited, explaining, c.Input)
	if details.State() == nil || failed != nil && beyond(c.limited, failed) != nil {
		return said
	}
	info := p.checked.NativeRep()
	x := &expressions{
		explainer: &explainer{ctx: c.limited, in: c.Input, functions: p.functions},
		state:     details.State(), info: info.SourceInfo(),
	}
	if missing := x.missing(info.Expr()); missing != "" {
		return missing + " is missing"
	}
	return said
}
