package httpkind

import (
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/render"
	"github.com/seed-42b4788c/circuit-breaker/pkg/secret"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

const (
	// maxExcerpt is how much of a body an error shows, maxReason how much of another's error.
	maxExcerpt = 256
	maxReason  = 256
)

// failed makes a failure without secrets.
func (k *Kind) failed(code, format string, args ...any) *work.Failure {
	failure := work.Failed(code, format, args...)
	failure.Message = k.secrets.Redact(failure.Message)
	return failure
}

// unfilled is the failure before a request was sent: of the definition, a secret or the input.
func (k *Kind) unfilled(err error) *work.Failure {
	var refused *fault.Error
	var missing *secret.Error
	switch {
	case errors.As(err, &refused):
		return k.failed(wire.FailureMisconfigured, "%s", refused.Message)
	case errors.As(err, &missing):
		return k.failed(wire.FailureMisconfigured, "%s", err)
	case errors.Is(err, render.ErrLimit):
		return k.failed(wire.FailureLimit, "%s", err)
	}
	return k.failed(wire.FailureInvalidInput, "%s", err)
}

// unanswered is the failure when no answer came.
func (k *Kind) unanswered(ctx context.Context, request *http.Request, err error) *work.Failure {
	host := request.URL.Hostname()
	if failure := k.stopped(ctx, host, err); failure != nil {
		return failure
	}
	var refused *forbiddenError
	if errors.As(err, &refused) {
		return k.failed(wire.FailureForbidden, "%s leads to %s", host, refused)
	}
	// Neither net/http nor its HTTP/2 has a value for this.
	if reason := err.Error(); strings.Contains(reason, "response headers exceeded") || strings.Contains(reason, "header list larger") {
		return k.failed(wire.FailureLimit, "%s answered with headers of more than %d bytes", host, maxResponseHeaders)
	}
	return k.failed(wire.FailureUnreachable, "%s cannot be reached: %s", host, line(k.secrets.Redact(err.Error()), maxReason))
}

// unread is the failure when an answer came in part.
func (k *Kind) unread(ctx context.Context, response *http.Response, err error) *work.Failure {
	host, status := response.Request.URL.Hostname(), response.StatusCode
	if errors.Is(err, errTooLong) {
		return k.failed(wire.FailureLimit, "%s answered %d with more than %d bytes", host, status, k.maxResponse)
	}
	if failure := k.stopped(ctx, host, err); failure != nil {
		return failure
	}
	var corrupt flate.CorruptInputError
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.As(err, &corrupt) {
		return k.failed(wire.FailureInvalidOutput, "%s answered %d and announced gzip, and this is none", host, status)
	}
	return k.failed(wire.FailureUnreachable, "%s answered %d and broke off: %s", host, status, line(k.secrets.Redact(err.Error()), maxReason))
}

// deadlineSlack: a socket notices a deadline a little before its context does.
const deadlineSlack = 20 * time.Millisecond

// stopped is the failure when time was up, or the runner stops; nil when neither is so.
func (k *Kind) stopped(ctx context.Context, host string, err error) *work.Failure {
	deadline, hasDeadline := ctx.Deadline()
	var slow net.Error
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		failure := k.failed(wire.FailureTimeout, "the attempt was stopped before %s had answered", host)
		failure.Ill = false // Nothing is known of the target.
		return failure
	case ctx.Err() != nil, hasDeadline && errors.As(err, &slow) && slow.Timeout() && time.Until(deadline) < deadlineSlack:
		return k.failed(wire.FailureTimeout, "%s did not answer in time", host)
	}
	return nil
}

// excerpt is the beginning of a body, as the end of a sentence. It is redacted before it is cut.
func (k *Kind) excerpt(body []byte) string {
	text := ""
	if json.Valid(body) {
		text = string(k.secrets.RedactJSON(body))
	} else {
		text = k.secrets.Redact(string(body))
	}
	if text = line(text, maxExcerpt); text == "" {
		return ""
	}
	return ": " + text
}

// line makes one line of at most so many bytes.
func line(text string, most int) string {
	cut := len(text) > 4*most
	if cut {
		text = text[:4*most]
	}
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, "�"))
	text = strings.Join(strings.Fields(text), " ")
	const ellipsis = "…"
	if len(text) <= most && !cut {
		return text
	}
	return strings.ToValidUTF8(text[:min(len(text), most-len(ellipsis))], "") + ellipsis
}
