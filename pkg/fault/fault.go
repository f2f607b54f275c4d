package fault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// Code identifies a kind of error for good: a code may be added, never changed. A Code is
// itself an error, so that errors.Is(err, fault.TokenMoved) asks for it.
type Code string

// Error is the code's text, so that a Code can be a target of errors.Is.
func (c Code) Error() string { return string(c) }

// The codes, by status.
const (
	// 400: the request itself is wrong.
	BadRequest        Code = "bad_request"
	UnknownField      Code = "unknown_field"
	InvalidField      Code = "invalid_field"
	InvalidDefinition Code = "invalid_definition"

	// 404: what it names does not exist.
	WorkflowNotFound   Code = "workflow_not_found"
	VersionNotFound    Code = "version_not_found"
	InstanceNotFound   Code = "instance_not_found"
	TokenNotFound      Code = "token_not_found"
	TransitionNotFound Code = "transition_not_found"
	RuleNotFound       Code = "rule_not_found"
	FunctionNotFound   Code = "function_not_found"
	ExecutionNotFound  Code = "execution_not_found"

	// 409: it contradicts what happened meanwhile.
	Conflict          Code = "conflict"
	SequenceMismatch  Code = "sequence_mismatch"
	VersionMismatch   Code = "version_mismatch"
	RequestIDReused   Code = "request_id_reused"
	TokenMoved        Code = "token_moved"
	WorkflowExists    Code = "workflow_exists"
	RuleExists        Code = "rule_exists"
	RuleInUse         Code = "rule_in_use"
	FunctionExists    Code = "function_exists"
	FunctionInUse     Code = "function_in_use"
	FunctionDisabled  Code = "function_disabled"
	InstanceSuspended Code = "instance_suspended"
	StreamMismatch    Code = "stream_mismatch"

	// 410: it is over.
	InstanceFinished Code = "instance_finished"
	TokenEnded       Code = "token_ended"
	WorkflowArchived Code = "workflow_archived"

	// 422: the net or a rule says no.
	RuleRejected         Code = "rule_rejected"
	TransitionNotEnabled Code = "transition_not_enabled"
	PlaceMismatch        Code = "place_mismatch"
	SchemaViolation      Code = "schema_violation"
	LimitExceeded        Code = "limit_exceeded"

	// 429 and above: not now.
	Overloaded   Code = "overloaded"
	Internal     Code = "internal"
	Unavailable  Code = "unavailable"
	RulesMissing Code = "rules_unavailable"
	Timeout      Code = "timeout"
	WorkflowFull Code = "workflow_full"
)

var statuses = map[Code]int{
	BadRequest: 400, UnknownField: 400, InvalidField: 400, InvalidDefinition: 400,
	WorkflowNotFound: 404, VersionNotFound: 404, InstanceNotFound: 404, TokenNotFound: 404, TransitionNotFound: 404,
	RuleNotFound: 404, FunctionNotFound: 404, ExecutionNotFound: 404,
	Conflict: 409, SequenceMismatch: 409, VersionMismatch: 409, RequestIDReused: 409, TokenMoved: 409,
	WorkflowExists: 409, RuleExists: 409, RuleInUse: 409, FunctionExists: 409, FunctionInUse: 409, FunctionDisabled: 409, InstanceSuspended: 409, StreamMismatch: 409,
	InstanceFinished: 410, TokenEnded: 410, WorkflowArchived: 410,
	RuleRejected: 422, TransitionNotEnabled: 422, PlaceMismatch: 422, SchemaViolation: 422, LimitExceeded: 422,
	Overloaded: 429, Internal: 500, Unavailable: 503, RulesMissing: 503, Timeout: 504, WorkflowFull: 507,
}

// Codes lists the vocabulary: every code with its status.
func Codes() map[Code]int {
	all := make(map[Code]int, len(statuses))
	for code, status := range statuses {
		all[code] = status
	}
	return all
}

// Status is the numeric class of a code, as HTTP counts; 500 for a code that is not ours.
func (c Code) Status() int {
	if s, ok := statuses[c]; ok {
		return s
	}
	return 500
}

// Error is an error with a code.
type Error struct {
	Code    Code           `json:"code"`
	Message string         `json:"message"`
	Details map[string]any `json:"details,omitempty"`
	cause   error
}

// New makes an error. The message says what was wrong and what to do; it is shown to the
// caller, so it holds no internals.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// With adds a detail and returns the error.
func (e *Error) With(key string, value any) *Error {
	if e.Details == nil {
		e.Details = map[string]any{}
	}
	e.Details[key] = value
	return e
}

// Because keeps the cause for the log and for errors.Is; it does not go to the caller.
func (e *Error) Because(cause error) *Error {
	e.cause = cause
	return e
}

// Error is the message, with the cause if there is one.
func (e *Error) Error() string {
	if e.cause != nil {
		return string(e.Code) + ": " + e.Message + ": " + e.cause.Error()
	}
	return string(e.Code) + ": " + e.Message
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is matches the code.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == e.Code
}

// Coded is an error of a package that does not know this one (the pure core) and yet
// carries a code of the vocabulary.
type Coded interface {
	error
	FaultCode() string
	FaultDetails() map[string]any
}

// From gives any error a code: its own, Timeout for an expired deadline, else Internal
// with the cause kept for the log only.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var coded Coded
	if errors.As(err, &coded) {
		return &Error{Code: Code(coded.FaultCode()), Message: coded.Error(), Details: coded.FaultDetails()}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return New(Timeout, "the request was not finished in time; look before you repeat it without a request_id").Because(err)
	}
	return New(Internal, "internal error").Because(err)
}

// Headers of an error reply, as nats.go/micro and ADR-32 spell them.
const (
	HeaderCode    = "Nats-Service-Error-Code"
	HeaderMessage = "Nats-Service-Error"
)

// Encode turns an error into its wire form: the two headers and the body.
func Encode(err error) (code, message string, body []byte) {
	e := From(err)
	message = oneLine(e.Message)
	body, mErr := marshal(e)
	if mErr != nil {
		body, _ = marshal(&Error{Code: e.Code, Message: e.Message})
	}
	return strconv.Itoa(e.Code.Status()), message, body
}

// marshal leaves <, > and & as they are: explanations compare, and people read them raw.
func marshal(e *Error) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(e)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// Decode turns an error reply back; nil when the reply is no error. header is the value of
// HeaderCode.
func Decode(headerCode, headerMessage string, body []byte) error {
	if headerCode == "" {
		return nil
	}
	var e Error
	if json.Unmarshal(body, &e) == nil && e.Code != "" {
		return &e
	}
	status, _ := strconv.Atoi(headerCode)
	code := Internal
	switch status {
	case 400:
		code = BadRequest
	case 409:
		code = Conflict
	case 429:
		code = Overloaded
	case 503:
		code = Unavailable
	case 504:
		code = Timeout
	}
	return New(code, "%s", headerMessage)
}

func oneLine(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c == 0x7f {
			b[i] = ' '
		}
	}
	return string(b)
}
