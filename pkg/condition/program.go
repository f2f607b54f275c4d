package condition

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

// maxTime is how long one evaluation may take, far above what maxCost needs: some functions
// cost more than the language counts.
const maxTime = time.Second

// Program is a compiled condition, safe for concurrent use.
type Program struct {
	text      string
	canonical json.RawMessage
	env       *cel.Env
	functions *functions
	checked   *cel.Ast
	fast      cel.Program
	// types is how much there was to check.
	types int
	// tree is nil where the condition is an expression.
	tree *node
	// loops says that there is something to interrupt, builds that lists or maps are made beside
	// loops.
	loops, builds bool
	// history and instance say that they are asked about.
	history, instance bool
	// slow evaluates everything and remembers it; few programs are ever explained.
	slow     cel.Program
	slowErr  error
	slowOnce sync.Once
}

// Canonical is the condition in its canonical wire form, a tree: an expression is
// {"expression": "…"}. It compiles to the same Text again.
func (p *Program) Canonical() json.RawMessage { return p.canonical }

// Text is the CEL expression that is evaluated.
func (p *Program) Text() string { return p.text }

// NeedsHistory reports whether the condition asks from which places the token came, so that
// Subject.History must be loaded.
func (p *Program) NeedsHistory() bool { return p.history }

// NeedsInstance reports whether the condition asks about the instance or its visits, so that
// Subject.Instance must be given.
func (p *Program) NeedsInstance() bool { return p.instance }

// Passes reports whether the subject meets the condition. Where that cannot be said (a
// member is missing, a text stands where a number was meant), it does not. It fails with the
// context's error, and with fault.LimitExceeded when the condition needs more work, memory
// or time for this subject than one evaluation may have.
func (p *Program) Passes(ctx context.Context, in *Input) (bool, error) {
	answer, _, err := p.evaluate(ctx, p.fast, in)
	if err != nil {
		return false, beyond(ctx, err)
	}
	// A context that ended meanwhile has not stopped what does not loop.
	if err := ctx.Err(); err != nil {
		return false, err
	}
	return answer == types.True, nil
}

// evaluate runs a program within the limits. Its error may be one of the data.
func (p *Program) evaluate(ctx context.Context, program cel.Program, in *Input) (ref.Val, *cel.EvalDetails, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if !p.loops {
		// Nothing in it takes long enough to be interrupted, and a context is not free.
		return program.Eval((*variables)(in))
	}
	limited, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	return program.ContextEval(limited, (*variables)(in))
}

// plan makes an evaluable program within the limits. Memory is watched only where there are
// loops and lists or maps are built: what is built anywhere else is bounded by the condition's
// length and its cost.
func (p *Program) plan(options ...cel.ProgramOption) (cel.Program, error) {
	options = append(options,
		cel.CostLimit(maxCost), cel.CostTracking(dynamics{}), cel.CostTrackerOptions(p.functions.costs()...),
		cel.InterruptCheckFrequency(checkEvery))
	if p.builds {
		options = append(options, cel.MemoryLimit(maxMemory), cel.MemoryTracking(types.MemoryTrackerSizeCalculator(types.NewSizeCalculator(
			types.SizeCalculatorMaxDepth(maxDepth), types.SizeCalculatorMaxTraversal(maxMemory),
		))))
	}
	return p.env.Program(p.checked, options...)
}

// explaining is the program that evaluates everything and remembers it.
func (p *Program) explaining() (cel.Program, error) {
	p.slowOnce.Do(func() {
		p.slow, p.slowErr = p.plan(cel.EvalOptions(cel.OptTrackState | cel.OptExhaustiveEval))
	})
	return p.slow, p.slowErr
}

// beyond is the error to report for a failed evaluation, nil for one that only failed on
// the data.
func beyond(ctx context.Context, err error) error {
	var cancelled interpreter.EvalCancelledError
	var regex *regexLimit
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, interpreter.InterruptError{}):
		return exceeded("condition_time", maxTime.Milliseconds(), err)
	case errors.As(err, &regex):
		return exceeded(regex.limit, regex.most, err).With("actual", regex.actual)
	case errors.As(err, &cancelled) && cancelled.Cause == interpreter.MemoryLimitExceeded:
		return exceeded("condition_memory", maxMemory, err)
	case errors.As(err, &cancelled):
		return exceeded("condition_cost", maxCost, err)
	}
	return nil
}

func exceeded(limit string, most int64, cause error) *fault.Error {
	return fault.New(fault.LimitExceeded, "the condition takes too much work on one token (%s is %d); make it simpler", limit, most).
		With("limit", limit).With("max", most).Because(cause)
}
