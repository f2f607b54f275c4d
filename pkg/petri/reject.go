package petri

import "fmt"

// Codes of the rejections, spelled as the vocabulary of errors spells them.
const (
	codeInvalidField         = "invalid_field"
	codeInstanceNotFound     = "instance_not_found"
	codeTokenNotFound        = "token_not_found"
	codeTransitionNotFound   = "transition_not_found"
	codeConflict             = "conflict"
	codeSequenceMismatch     = "sequence_mismatch"
	codeTokenMoved           = "token_moved"
	codeInstanceSuspended    = "instance_suspended"
	codeInstanceFinished     = "instance_finished"
	codeTokenEnded           = "token_ended"
	codeTransitionNotEnabled = "transition_not_enabled"
	codePlaceMismatch        = "place_mismatch"
	codeLimitExceeded        = "limit_exceeded"
)

// Rejection is the engine's refusal of a command: nothing has changed, and the same
// command may be given again. It is a fault.Coded, so fault.From keeps its code.
type Rejection struct {
	// Code is a code of package fault, as text.
	Code string
	// Message says what was wrong and what would be right; it is shown to the caller.
	Message string
	// Details name the field, the place or the limit; may be nil.
	Details map[string]any
}

// Error is the message alone: the code travels beside it.
func (r *Rejection) Error() string { return r.Message }

// FaultCode is the code.
func (r *Rejection) FaultCode() string { return r.Code }

// FaultDetails are the details.
func (r *Rejection) FaultDetails() map[string]any { return r.Details }

func reject(code, format string, args ...any) *Rejection {
	return &Rejection{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (r *Rejection) with(key string, value any) *Rejection {
	if r.Details == nil {
		r.Details = map[string]any{}
	}
	r.Details[key] = value
	return r
}

func invalidField(field, format string, args ...any) *Rejection {
	return reject(codeInvalidField, field+": "+format, args...).with("field", field)
}

func limitExceeded(limit string, most, actual int, format string, args ...any) *Rejection {
	return reject(codeLimitExceeded, format, args...).
		with("limit", limit).with("max", most).with("actual", actual)
}
