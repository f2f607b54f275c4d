package work

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Attempt is one attempt at a job, as those see it who do the work.
type Attempt struct {
	Job *wire.Job
	// Token is the job's token as it was read right before; nil where the job has none, or the
	// token has ended. Instance is its instance then. Both are shared: change nothing.
	Token    *wire.Token
	Instance *wire.Instance
	// Input is what the mapping made.
	Input json.RawMessage

	// kept is the job's message.
	kept *kept
}

// Result is what an attempt that succeeded gives.
type Result struct {
	// Output is JSON; nil is none.
	Output json.RawMessage
	// Stderr is the end of what a program wrote there.
	Stderr string
}

// MaxStderr is how many bytes of a program's standard error are kept: the last ones.
const MaxStderr = 4 << 10

// Failure is why an attempt has failed. It is an error.
type Failure struct {
	wire.Failure
	// After, where it is set, is how long the target asks to be left alone.
	After time.Duration
	// Ill: the target itself is to blame, and not this input, so it counts for its circuit.
	Ill bool
	// Stderr is the end of what a program wrote there.
	Stderr string
}

// Error is the code and the message.
func (f *Failure) Error() string { return f.Code + ": " + f.Message }

// Failed makes a failure with one of wire's codes. Those that may pass count as illness of the
// target.
func Failed(code, format string, args ...any) *Failure {
	return &Failure{
		Failure: wire.Failure{Code: code, Message: fmt.Sprintf(format, args...)},
		Ill:     code == wire.FailureTimeout || code == wire.FailureUnreachable || code == wire.FailureThrottled || code == wire.FailureFailed,
	}
}
