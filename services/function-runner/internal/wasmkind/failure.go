package wasmkind

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// stopping is for who comes while the kind is closed. The module is not to blame.
func stopping() *work.Failure {
	fail := work.Failed(wire.FailureUnreachable, "%v", errStopped)
	fail.Ill = false
	return fail
}

// ended says why a context has ended.
func ended(ctx context.Context) *work.Failure {
	switch {
	case errors.Is(context.Cause(ctx), errStopped):
		return stopping()
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return work.Failed(wire.FailureTimeout, "the module did not end in time")
	default:
		fail := work.Failed(wire.FailureTimeout, "the run was given up")
		fail.Ill = false
		return fail
	}
}

// oneValue says what is wrong with JSON.
func oneValue(raw []byte) error {
	if !utf8.Valid(raw) {
		return errors.New("it is not UTF-8")
	}
	var value json.RawMessage
	return json.Unmarshal(raw, &value)
}

// firstLine cuts a message to what people read of it: wazero adds stacks.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimPrefix(text, "wasm error: "), "\n")
	if len(line) > 300 {
		line = strings.ToValidUTF8(line[:300], "") + "..."
	}
	return line
}
