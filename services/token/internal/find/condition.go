package find

import (
	"context"
	"errors"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// maxTime is how long one evaluation may take, far above what maxCost needs: some functions
// cost more than the language counts.
const maxTime = time.Second

// Condition is a compiled condition, safe for concurrent use.
type Condition struct{ program cel.Program }

// Matches reports whether a token meets the condition. Where that cannot be said, the token
// does not. It fails with the context's error, and with fault.LimitExceeded when the
// condition needs more work, memory or time for this token than one evaluation may have.
func (c *Condition) Matches(ctx context.Context, token *wire.Token) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	variable, err := variableOf(token)
	if err != nil {
		return false, fault.New(fault.Internal, "a stored token is no JSON").Because(err)
	}
	limited, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	answer, _, err := c.program.ContextEval(limited, map[string]any{"token": variable})
	if err != nil {
		return false, beyond(ctx, err)
	}
	return answer == types.True, nil
}

// beyond is the error to report for a failed evaluation, nil for one that only failed on
// this token's data.
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
	return fault.New(fault.LimitExceeded, "where takes too much work on one token (%s is %d); make it simpler", limit, most).
		With("field", "where").With("limit", limit).With("max", most).Because(cause)
}
