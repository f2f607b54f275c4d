package execkind

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/propagation"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// The variables that the runner sets itself.
const (
	variablePath        = "PATH"
	variableLang        = "LANG"
	variableHome        = "HOME"
	variableTemp        = "TMPDIR"
	variableExecution   = "BREAKER_EXECUTION"
	variableAttempt     = "BREAKER_ATTEMPT"
	variableWorkflow    = "BREAKER_WORKFLOW"
	variableInstance    = "BREAKER_INSTANCE"
	variableToken       = "BREAKER_TOKEN"
	variableIdempotency = "IDEMPOTENCY_KEY"
	variableTrace       = "TRACEPARENT"
	// variableRun is a random number, by which the processes of a run are found.
	variableRun = "BREAKER_RUN"

	safePath = "/usr/local/bin:/usr/bin:/bin"
	safeLang = "C.UTF-8"
)

// reserved are the variables that a function may not set: those that are ours, and those that
// make the loader run something else. LANG is only a default.
func reserved(name string) bool {
	switch name {
	case variablePath, variableHome, variableTemp, variableIdempotency, variableTrace:
		return true
	}
	return strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "BREAKER_")
}

func newMarks() (mark string, seal uint64) {
	var random [24]byte
	_, _ = rand.Read(random[:]) // It never fails.
	// Far from 0, and from the greatest number, which is no limit at all.
	return hex.EncodeToString(random[:16]), binary.BigEndian.Uint64(random[16:])>>2 | 1<<61
}

// environ is all of the program's environment: nothing of the runner's own comes in.
func (k *Kind) environ(ctx context.Context, fn *wire.Function, job *wire.Job, p *program) ([]string, error) {
	all := map[string]string{variableLang: safeLang}
	for name, text := range fn.Exec.Env {
		value, err := k.secrets.Value(text)
		if err != nil {
			return nil, fmt.Errorf("exec.env.%s: %w", name, err)
		}
		if strings.ContainsRune(value, 0) {
			return nil, fmt.Errorf("exec.env.%s: the secret contains a NUL, which no variable can", name)
		}
		all[name] = value
	}
	trace := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, trace)
	maps.Copy(all, map[string]string{
		variablePath: safePath, variableHome: p.folder, variableTemp: p.folder, variableRun: p.mark,
		variableExecution: job.ID, variableIdempotency: job.ID, variableAttempt: strconv.Itoa(job.Attempt),
	})
	for name, value := range map[string]string{
		variableWorkflow: job.WorkflowID, variableInstance: job.InstanceID, variableToken: job.TokenID,
		variableTrace: trace.Get("traceparent"),
	} {
		if value != "" {
			all[name] = value
		}
	}
	env := make([]string, 0, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		env = append(env, name+"="+all[name])
	}
	return env, nil
}
