package wire

import (
	"encoding/json"
	"time"
)

// Headers of a request to a function, and of its replies.
const (
	// HeaderIdempotencyKey is the same in every attempt at one piece of work.
	HeaderIdempotencyKey = "Idempotency-Key"
	HeaderExecution      = "Breaker-Execution"
	HeaderAttempt        = "Breaker-Attempt"
	HeaderDeadline       = "Breaker-Deadline"
	HeaderWorkflow       = "Breaker-Workflow"
	HeaderInstance       = "Breaker-Instance"
	HeaderToken          = "Breaker-Token"
	// HeaderProgress is on a message to the reply subject that is not the reply yet.
	HeaderProgress = "Breaker-Progress"
)

// NoInstance stands in a subject where work belongs to no workflow, or to no instance.
const NoInstance = "-"

// What caused a job, besides the events that trigger functions.
const (
	CausePlace  = "place"
	CauseChain  = "chain"
	CauseInvoke = "invoke"
)

// Job is one piece of work that waits, or is being done: the message in JOBS.
type Job struct {
	// ID is that of the execution, and the same in every attempt and redrive. It is also the
	// idempotency key: a UUID made of the target, the token, its arrival and the chain.
	ID string `json:"id"`
	// Kind is that of the target: function or agent.
	Kind string `json:"kind"`
	// Target is the id of the function or agent.
	Target string `json:"target"`
	// Cause is what asked for the work: a place, a chain, an invocation, or the event that
	// triggered.
	Cause string `json:"cause"`
	// WorkflowID is that of the token that the work is about; absent, with all about the token,
	// where there is none.
	WorkflowID string `json:"workflow_id,omitempty"`
	InstanceID string `json:"instance_id,omitempty"`
	TokenID    string `json:"token_id,omitempty"`
	Place      string `json:"place,omitempty"`
	// ArrivalSequence is the revision at which the token entered its place: the fence.
	ArrivalSequence uint64 `json:"arrival_sequence,omitempty"`
	// Bound says that the work is that place's, and is dropped when the token has left.
	Bound bool `json:"bound,omitempty"`
	// OnSuccess is the transition that fires with the result.
	OnSuccess string `json:"on_success,omitempty"`
	// OnFailure is the transition that fires when the work has failed for good.
	OnFailure string `json:"on_failure,omitempty"`
	// Output is a dotted path below the token's data, where the output goes.
	Output string `json:"output,omitempty"`
	// Mapping goes before the target's own.
	Mapping json.RawMessage `json:"mapping,omitempty"`
	// Event is the one that triggered, as mappings and conditions see it.
	Event json.RawMessage `json:"event,omitempty"`
	// When is a condition that must hold before the work is begun.
	When string `json:"when,omitempty"`
	// Input is what the work was given.
	Input json.RawMessage `json:"input,omitempty"`
	// Mapped says that no mapping applies to Input any more.
	Mapped bool `json:"mapped,omitempty"`
	// Previous is what the run before has left, for the mapping: an object of input, output and
	// error.
	Previous json.RawMessage `json:"previous,omitempty"`
	// Parent is the execution before this one in a chain.
	Parent string `json:"parent,omitempty"`
	// Position is how many executions there are before this one in its chain.
	Position int `json:"position,omitempty"`
	// Budget is how many runs may come after this one, directly and further on; absent is 1,024.
	Budget int `json:"budget,omitempty"`
	// Attempt counts from 1.
	Attempt int `json:"attempt"`
	// Redrives is how often it was redriven.
	Redrives int `json:"redrives,omitempty"`
	// Failures are those of the attempts before, the last 8.
	Failures []AttemptFailure `json:"failures,omitempty"`
	// MayHaveRun says that what caused the job was seen before, so its execution is looked at
	// first.
	MayHaveRun bool `json:"may_have_run,omitempty"`
	// Scheduled says that it has waited as a schedule, so it is the one that its record says is
	// to come.
	Scheduled bool `json:"scheduled,omitempty"`
	// Admitted says that its turn within a rate limit has come.
	Admitted    bool   `json:"admitted,omitempty"`
	TriggeredBy string `json:"triggered_by,omitempty"`
	// RequestID is that of the redrive, of the invocation or of the custom event.
	RequestID string `json:"request_id,omitempty"`
	// RequestDigest identifies the content of the invocation or of the custom event.
	RequestDigest string    `json:"request_digest,omitempty"`
	QueuedAt      time.Time `json:"queued_at"`
}

// AttemptFailure is how an attempt ended.
type AttemptFailure struct {
	Attempt int       `json:"attempt"`
	At      time.Time `json:"at"`
	Failure
}

// Codes of failures of work. The first ones may pass, and are tried again by default.
const (
	// FailureTimeout: the attempt took too long.
	FailureTimeout = "timeout"
	// FailureUnreachable: nobody answers there.
	FailureUnreachable = "unreachable"
	// FailureThrottled: the target has no room at the moment.
	FailureThrottled = "throttled"
	// FailureFailed: the target said, or showed, that it has failed.
	FailureFailed = "failed"

	// FailureRejected: the target said that it will not.
	FailureRejected = "rejected"
	// FailureInvalidInput and FailureInvalidOutput: not what the mapping or the schema wants.
	FailureInvalidInput  = "invalid_input"
	FailureInvalidOutput = "invalid_output"
	// FailureLimit: a limit of memory, processor time or output was hit.
	FailureLimit = "limit_exceeded"
	// FailureForbidden: the operator does not allow it.
	FailureForbidden = "forbidden"
	// FailureMisconfigured: a secret, a module or a program is missing, or an expression fails.
	FailureMisconfigured = "misconfigured"
)

// FailureCodes lists every code, and whether it may pass.
func FailureCodes() map[string]bool {
	return map[string]bool{
		FailureTimeout: true, FailureUnreachable: true, FailureThrottled: true, FailureFailed: true,
		FailureRejected: false, FailureInvalidInput: false, FailureInvalidOutput: false, FailureLimit: false,
		FailureForbidden: false, FailureMisconfigured: false,
	}
}

// Failure is why an attempt has failed.
type Failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// ExecutionStatus is how far a run has come.
type ExecutionStatus string

// The states of an execution.
const (
	ExecutionQueued  ExecutionStatus = "queued"
	ExecutionRunning ExecutionStatus = "running"
	// ExecutionWaiting: until NextAttemptAt, for another attempt or for an open circuit.
	ExecutionWaiting ExecutionStatus = "waiting"
	// ExecutionSuspended: until its instance is resumed.
	ExecutionSuspended ExecutionStatus = "suspended"
	ExecutionSucceeded ExecutionStatus = "succeeded"
	// ExecutionFailed: for good; it lies among the dead letters.
	ExecutionFailed ExecutionStatus = "failed"
	// ExecutionDropped: there was nothing to do any more, Reason says why.
	ExecutionDropped   ExecutionStatus = "dropped"
	ExecutionDiscarded ExecutionStatus = "discarded"
)

// ExecutionStatuses lists every status of an execution.
func ExecutionStatuses() []ExecutionStatus {
	return []ExecutionStatus{
		ExecutionQueued, ExecutionRunning, ExecutionWaiting, ExecutionSuspended,
		ExecutionSucceeded, ExecutionFailed, ExecutionDropped, ExecutionDiscarded,
	}
}

// Ended reports whether nothing more comes of a run by itself.
func (s ExecutionStatus) Ended() bool {
	switch s {
	case ExecutionSucceeded, ExecutionFailed, ExecutionDropped, ExecutionDiscarded:
		return true
	}
	return false
}

// Execution is the record of one run: the message in EXECUTIONS, replaced at every step.
type Execution struct {
	ID     string          `json:"id"`
	Kind   string          `json:"kind"`
	Target string          `json:"target"`
	Status ExecutionStatus `json:"status"`
	Cause  string          `json:"cause"`
	// Version is that of the target's definition.
	Version         int    `json:"version,omitempty"`
	WorkflowID      string `json:"workflow_id,omitempty"`
	InstanceID      string `json:"instance_id,omitempty"`
	TokenID         string `json:"token_id,omitempty"`
	Place           string `json:"place,omitempty"`
	ArrivalSequence uint64 `json:"arrival_sequence,omitempty"`
	Parent          string `json:"parent,omitempty"`
	Position        int    `json:"position,omitempty"`
	Attempt         int    `json:"attempt,omitempty"`
	Redrives        int    `json:"redrives,omitempty"`
	TriggeredBy     string `json:"triggered_by,omitempty"`
	// RequestID is that of the invocation, the custom event, the redrive or the discarding.
	RequestID string `json:"request_id,omitempty"`
	// RequestDigest identifies the content of the invocation or of the custom event.
	RequestDigest string `json:"request_digest,omitempty"`
	// Copy is the one that ran the last attempt.
	Copy     string    `json:"copy,omitempty"`
	QueuedAt time.Time `json:"queued_at"`
	// StartedAt is when the last attempt began.
	StartedAt time.Time `json:"started_at,omitzero"`
	// FinishedAt is when the run ended.
	FinishedAt time.Time `json:"finished_at,omitzero"`
	// NextAttemptAt is until when it waits.
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	// DurationMS is how long the last attempt took, in milliseconds.
	DurationMS  int64           `json:"duration_ms,omitempty"`
	InputBytes  int             `json:"input_bytes,omitempty"`
	OutputBytes int             `json:"output_bytes,omitempty"`
	Output      json.RawMessage `json:"output,omitempty"`
	Error       *Failure        `json:"error,omitempty"`
	// Stderr is the end of what a program wrote there.
	Stderr string `json:"stderr,omitempty"`
	// TransitionID is the one that the result fired.
	TransitionID string `json:"transition_id,omitempty"`
	// NatsSequence is the event that holds the result; absent where none does, and Reason says why.
	NatsSequence uint64 `json:"nats_sequence,omitempty"`
	// Reason is why it waits, was dropped or discarded, why no event holds its result, or why
	// only a part of it counts.
	Reason string `json:"reason,omitempty"`
	// Settled says that all that follows from the result has been done.
	Settled bool `json:"settled,omitempty"`
	// Input is that of a dead letter; the reply of breaker.execution.get alone has it.
	Input json.RawMessage `json:"input,omitempty"`
	// Failures are those of a dead letter's attempts, the last 8; likewise.
	Failures []AttemptFailure `json:"failures,omitempty"`
}

// DeadLetter is a run that has failed for good: the message in DEAD_LETTERS, until somebody
// redrives or discards it.
type DeadLetter struct {
	Job      Job             `json:"job"`
	Input    json.RawMessage `json:"input,omitempty"`
	Error    Failure         `json:"error"`
	Attempts int             `json:"attempts"`
	FailedAt time.Time       `json:"failed_at"`
}

// ExecutionGetRequest reads the record of a run.
type ExecutionGetRequest struct {
	ID string `json:"id"`
}

// ExecutionFilter chooses runs. What is absent does not narrow.
type ExecutionFilter struct {
	// Kind is that of the target: function or agent.
	Kind string `json:"kind,omitempty"`
	// Target is the id of the function or agent.
	Target string `json:"target,omitempty"`
	// WorkflowID is a UUID or a unique name; - is work about no token.
	WorkflowID string `json:"workflow_id,omitempty"`
	// InstanceID is that of the token's instance; - is work about no token.
	InstanceID string `json:"instance_id,omitempty"`
	// From is the earliest time at which the record, or the dead letter, was last written.
	From time.Time `json:"from,omitzero"`
	// To is the latest one.
	To time.Time `json:"to,omitzero"`
}

// ExecutionListRequest lists runs, those that changed longest ago first.
type ExecutionListRequest struct {
	ExecutionFilter
	Status ExecutionStatus `json:"status,omitempty"`
	// DeadLetters lists what has failed for good and waits for somebody.
	DeadLetters bool `json:"dead_letters,omitempty"`
	Page
}

// ExecutionListReply is a page of runs. It may be short of Limit, or empty, and still have a
// next one.
type ExecutionListReply struct {
	Executions []Execution `json:"executions"`
	NextCursor string      `json:"next_cursor,omitempty"`
}

// ExecutionRedriveRequest runs dead letters again: one by ID, or all that the filter chooses,
// for which a target is needed.
type ExecutionRedriveRequest struct {
	ID string `json:"id,omitempty"`
	ExecutionFilter
	Page
	Origin
}

// ExecutionDiscardRequest drops dead letters, chosen likewise, with a reason.
type ExecutionDiscardRequest struct {
	ID string `json:"id,omitempty"`
	ExecutionFilter
	Page
	Reason string `json:"reason"`
	Origin
}

// ExecutionChangeReply says what became of the dead letters that were chosen.
type ExecutionChangeReply struct {
	Executions []string           `json:"executions"`
	Refused    []RefusedExecution `json:"refused,omitempty"`
	// NextCursor is there when there may be more: ask again with it.
	NextCursor string `json:"next_cursor,omitempty"`
}

// RefusedExecution is a dead letter that stays, and why.
type RefusedExecution struct {
	ID      string `json:"id"`
	Code    string `json:"code"`
	Message string `json:"message"`
}
