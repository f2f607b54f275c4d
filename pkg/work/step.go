package work

import (
	"encoding/json"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// step is what a job needs that was taken from its queue.
type step int

const (
	// makeAttempt: the work is to be done.
	makeAttempt step = iota
	// settleResult: it was done, and what follows from that is not sure to have been.
	settleResult
	// nothingLeft: the job is a copy of one that was dealt with.
	nothingLeft
)

// next decides what a job needs from the record of its run, nil where there is none.
func next(job *wire.Job, e *wire.Execution) step {
	switch {
	case e == nil, e.Redrives < job.Redrives:
		return makeAttempt
	case e.Status == wire.ExecutionSuspended:
		return makeAttempt
	case e.Redrives > job.Redrives:
		// A redrive of it is under way. What the instance's resumption asks for is that redrive.
		if e.Status == wire.ExecutionSucceeded || e.Status == wire.ExecutionFailed {
			return unsettled(e)
		}
		return nothingLeft
	}
	switch e.Status {
	case wire.ExecutionSucceeded, wire.ExecutionFailed:
		return unsettled(e)
	case wire.ExecutionDropped, wire.ExecutionDiscarded:
		return nothingLeft
	case wire.ExecutionWaiting:
		// What waits is a schedule already; Attempt is the last one made.
		if !job.Scheduled || e.Attempt >= job.Attempt {
			return nothingLeft
		}
	case wire.ExecutionRunning:
		if e.Attempt > job.Attempt {
			return nothingLeft
		}
	}
	return makeAttempt
}

// unsettled is what is left of a run whose result is stored.
func unsettled(e *wire.Execution) step {
	if e.Settled {
		return nothingLeft
	}
	return settleResult
}

// newExecution is the record of a job's run before its next attempt.
func newExecution(job *wire.Job) *wire.Execution {
	return &wire.Execution{
		ID: job.ID, Kind: job.Kind, Target: job.Target, Status: wire.ExecutionQueued, Cause: job.Cause,
		WorkflowID: job.WorkflowID, InstanceID: job.InstanceID, TokenID: job.TokenID, Place: job.Place, ArrivalSequence: job.ArrivalSequence,
		Parent: job.Parent, Position: job.Position, Attempt: job.Attempt - 1, Redrives: job.Redrives, TriggeredBy: job.TriggeredBy,
		RequestID: job.RequestID, RequestDigest: job.RequestDigest, QueuedAt: job.QueuedAt,
	}
}

// keptFailures is how many failures of earlier attempts a job carries along.
const keptFailures = 8

// afterFailure is the job of the attempt that follows one which failed.
func afterFailure(job *wire.Job, failed wire.AttemptFailure) *wire.Job {
	again := *job
	again.Attempt++
	again.Admitted = false
	again.Failures = append(append([]wire.AttemptFailure{}, job.Failures...), failed)
	if extra := len(again.Failures) - keptFailures; extra > 0 {
		again.Failures = again.Failures[extra:]
	}
	return &again
}

// patchFor is the merge patch that puts an output at a dotted path of the data; nil for none.
func patchFor(path string, output json.RawMessage) (json.RawMessage, error) {
	if path == "" || len(output) == 0 || string(output) == "null" {
		return nil, nil
	}
	parts := strings.Split(path, ".")
	patch := output
	for i := len(parts) - 1; i >= 0; i-- {
		outer, err := json.Marshal(map[string]json.RawMessage{parts[i]: patch})
		if err != nil {
			return nil, err
		}
		patch = outer
	}
	return patch, nil
}
