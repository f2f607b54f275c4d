package breaker

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

// Exit codes; exitHelp documents them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitRejected    = 4
	exitUnavailable = 5
	exitDifferences = 6
	exitNotPassed   = 7
	exitRunFailed   = 8
	exitInterrupted = 130
)

const exitHelp = `Every command ends with one of these codes:

  0    it worked
  1    it failed in another way, or a definition, a rule or a function has problems
  2    it was called in a wrong way: arguments, flags, or a request that is malformed (400)
  3    what it names does not exist (404), or is over (410)
  4    the fleet refused: a conflict (409), or the net or a rule said no (422); or some dead letters
       were not redriven or discarded
  5    the fleet cannot be reached or cannot do it now (429, 503, 504, 507)
  6    verify found differences between the log, the states and the view
  7    rules test or rules explain: a rule did not pass
  8    functions invoke: the run has failed, or was dropped
  130  it was interrupted

With --json an error is one JSON object on stderr: {"code", "message", "details"}.
`

// usageError is a call that cannot be understood.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// errDifferences is verify's finding, already reported.
var errDifferences = errors.New("the log, the states and the view differ")

// errProblems is a file with problems, already reported.
var errProblems = errors.New("the file has problems")

// errNotPassed is what rules test found, already reported.
var errNotPassed = errors.New("the rule did not pass")

// errRunFailed is how a run that invoke has shown ended.
var errRunFailed = errors.New("the run has failed")

// errRefused is what redrive and discard have shown to be refused.
var errRefused = errors.New("some were refused")

// reported tells errors that a command has shown already.
func reported(err error) bool {
	for _, known := range []error{errDifferences, errProblems, errNotPassed, errRunFailed, errRefused} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// exitCode gives an error its meaning for the calling shell.
func exitCode(err error) int {
	var usage usageError
	var coded *fault.Error
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case errors.Is(err, errDifferences):
		return exitDifferences
	case errors.Is(err, errNotPassed):
		return exitNotPassed
	case errors.Is(err, errRunFailed):
		return exitRunFailed
	case errors.Is(err, errRefused):
		return exitRejected
	case errors.As(err, &coded):
		return faultExit(coded.Code)
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrTimeout),
		errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	}
	return exitFailure
}

func faultExit(code fault.Code) int {
	if code == fault.InvalidDefinition {
		return exitFailure
	}
	switch code.Status() {
	case 400:
		return exitUsage
	case 404, 410:
		return exitNotFound
	case 409, 422:
		return exitRejected
	case 429, 503, 504, 507:
		return exitUnavailable
	}
	return exitFailure
}
