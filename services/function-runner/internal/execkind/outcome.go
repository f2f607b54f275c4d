package execkind

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// reason is why a program was killed.
type reason int

const (
	notKilled reason = iota
	byContext
	byOutput
	byProcesses
	byThreads
	byMemory
)

// ending is how a program ended.
type ending struct {
	killed reason
	// code is that of its exit; signal is set instead where a signal ended it, and limit names
	// the limit that the signal stands for, if any.
	code          int
	signal, limit string
	stdout        []byte
	overflown     bool
	stderr        []byte
	// peak is the most memory that it, or a child that it waited for, had at once.
	peak uint64
}

// Exit codes of sysexits.h that mean: do not try this again.
const (
	exitUsage     = 64
	exitDataError = 65
)

const (
	quoted     = 256
	maxMessage = 1 << 10
)

// outcome is what is made of an ending.
func (k *Kind) outcome(ctx context.Context, p *program, e *ending) (work.Result, *work.Failure) {
	var none work.Result
	limit := func(format string, args ...any) (work.Result, *work.Failure) {
		return none, work.Failed(wire.FailureLimit, "the program %q "+format, append([]any{p.name}, args...)...)
	}
	switch {
	case e.killed == byContext:
		return none, stopped(ctx, p.name)
	case e.killed == byOutput, e.overflown:
		return limit("has written more than the %d bytes that are allowed", p.maxOutput)
	case e.killed == byProcesses:
		return limit("had more than the %d processes at once that are allowed", p.maxProcesses)
	case e.killed == byThreads:
		return limit("had more than the %d threads at once that are allowed", p.maxProcesses*threadsPerProcess)
	case e.killed == byMemory:
		return limit("used more memory than the %d MB that it may", p.memory>>20)
	case e.limit != "":
		return limit("was ended by %s: it used up its %s", e.signal, e.limit)
	case e.signal != "":
		return none, work.Failed(wire.FailureFailed, "the program %q was ended by %s%s", p.name, e.signal, e.hint(p))
	case e.code == exitUsage, e.code == exitDataError:
		return none, work.Failed(wire.FailureRejected, "the program %q ended with code %d%s", p.name, e.code, k.said(e))
	case e.code != 0:
		return none, work.Failed(wire.FailureFailed, "the program %q ended with code %d%s%s", p.name, e.code, k.said(e), e.hint(p))
	}
	return k.output(p, e)
}

// stopped is the failure of a run that the context ended.
func stopped(ctx context.Context, name string) *work.Failure {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return work.Failed(wire.FailureTimeout, "the program %q was not done in time", name)
	}
	return work.Failed(wire.FailureUnreachable, "the runner stops, and the program %q with it", name)
}

// output is the result of a program that succeeded.
func (k *Kind) output(p *program, e *ending) (work.Result, *work.Failure) {
	text := bytes.TrimSpace(e.stdout)
	if len(text) == 0 {
		return work.Result{Output: json.RawMessage("null")}, nil
	}
	if !utf8.Valid(text) || !json.Valid(text) {
		return work.Result{}, work.Failed(wire.FailureInvalidOutput, "the program %q did not write exactly one JSON value, but %q", p.name, k.beginning(string(text), quoted))
	}
	return work.Result{Output: text}, nil
}

// said is what the program says of its failure: {"error": {"code": "…", "message": "…"}}.
func (k *Kind) said(e *ending) string {
	var answer struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(e.stdout, &answer) != nil || answer.Error.Message == "" {
		return ""
	}
	return ": " + k.beginning(answer.Error.Message, maxMessage)
}

// beginning hides secrets before it cuts, so that no half of one is left.
func (k *Kind) beginning(text string, limit int) string {
	return firstBytes(k.secrets.Redact(text), limit)
}

// hint helps whoever wonders: a program without memory fails in its own way.
func (e *ending) hint(p *program) string {
	if e.peak < p.memory/10*9 {
		return ""
	}
	return fmt.Sprintf(" (it had %d MB in memory at once, and may have %d)", e.peak>>20, p.memory>>20)
}
