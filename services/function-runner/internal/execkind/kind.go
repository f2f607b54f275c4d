package execkind

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"syscall"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// Config is what the operator says of the kind.
type Config struct {
	// Allow maps the names that functions use to absolute paths of programs; empty: the kind
	// is off.
	Allow map[string]string
	// MaxOutput is how many bytes of standard output a run may write; 0 is 1 MiB.
	MaxOutput int64
	// MaxProcesses is how many processes a run may have at once; 0 is 64.
	MaxProcesses int
}

const (
	defaultMaxOutput    = 1 << 20
	defaultMaxProcesses = 64
	defaultMemoryMB     = 256
	// defaultTimeout is that of functions, see wire.FunctionSpec.
	defaultTimeout = 30 * time.Second
)

// Secrets resolves texts that name a secret, and hides secrets in what is shown.
type Secrets interface {
	// Value is the secret for secret:NAME, and any other text itself.
	Value(text string) (string, error)
	Redact(text string) string
	RedactJSON(raw json.RawMessage) json.RawMessage
}

// Kind runs programs. Its methods may be called at once from many goroutines.
type Kind struct {
	cfg     Config
	secrets Secrets
	runs    runs
	system  system
}

// New makes the kind, and does nothing yet.
func New(cfg Config, secrets Secrets) *Kind {
	if cfg.MaxOutput <= 0 {
		cfg.MaxOutput = defaultMaxOutput
	}
	if cfg.MaxProcesses <= 0 {
		cfg.MaxProcesses = defaultMaxProcesses
	}
	return &Kind{cfg: cfg, secrets: secrets, runs: newRuns()}
}

// Close kills what runs, and waits until it is gone. Later runs fail. It may be called again.
func (k *Kind) Close() { k.runs.close() }

// program is all that a run needs to know.
type program struct {
	name, path string
	args, env  []string
	folder     string
	input      []byte
	// mark and seal are random: the first is a variable, the second a limit that means nothing.
	// By both of them the processes of the run are found.
	mark         string
	seal         uint64
	memory       uint64 // bytes
	seconds      uint64 // of processor time
	maxOutput    int64
	maxProcesses int
}

// Run does one attempt. Its failures have the codes
//   - forbidden: the operator does not allow the command here
//   - misconfigured: a secret or the program is missing, or the function is not valid
//   - timeout: the deadline of ctx has passed
//   - limit_exceeded: of output, processes, memory, processor time or the size of a file
//   - rejected: the program ended with 64 or 65, the EX_USAGE and EX_DATAERR of sysexits.h
//   - failed: it ended with another code than 0, or by a signal
//   - invalid_output: it succeeded, and its output is not one JSON value
//   - throttled: there is no room for another process
//   - unreachable: ctx was cancelled, or the kind closed
//
// Whatever happens, the program and what it started are gone when Run returns, as far as the
// package promises that.
func (k *Kind) Run(ctx context.Context, fn *wire.Function, a *work.Attempt) (work.Result, *work.Failure) {
	result, failure := k.run(ctx, fn, a)
	if failure != nil {
		failure.Message = k.secrets.Redact(failure.Message)
		failure.Stderr = k.stderr(failure.Stderr)
		return work.Result{}, failure
	}
	result.Output = k.secrets.RedactJSON(result.Output)
	result.Stderr = k.stderr(result.Stderr)
	return result, nil
}

// stderr hides secrets first and cuts then: what is kept begins before what is shown, so that
// no half of a secret stands at the beginning.
func (k *Kind) stderr(text string) string { return lastBytes(k.secrets.Redact(text), work.MaxStderr) }

func (k *Kind) run(ctx context.Context, fn *wire.Function, a *work.Attempt) (work.Result, *work.Failure) {
	var none work.Result
	if err := k.Check(&fn.FunctionSpec); err != nil {
		return none, work.Failed(wire.FailureMisconfigured, "%v", err)
	}
	p := program{name: fn.Exec.Command, args: fn.Exec.Args, input: a.Input, maxOutput: k.cfg.MaxOutput, maxProcesses: k.cfg.MaxProcesses}
	var allowed bool
	if p.path, allowed = k.cfg.Allow[p.name]; !allowed {
		if len(k.cfg.Allow) == 0 {
			return none, work.Failed(wire.FailureForbidden, "the operator allows no programs here")
		}
		return none, work.Failed(wire.FailureForbidden, "the operator does not allow the program %q here", p.name)
	}
	p.limit(fn)

	ctx, done, open := k.runs.begin(ctx)
	defer done()
	if !open || ctx.Err() != nil {
		return none, stopped(ctx, p.name)
	}
	folder, err := newFolder()
	if err != nil {
		return none, work.Failed(wire.FailureMisconfigured, "the program has no folder to work in: %v", err)
	}
	defer removeFolder(folder)
	p.folder = folder
	p.mark, p.seal = newMarks()
	if p.env, err = k.environ(ctx, fn, a.Job, &p); err != nil {
		return none, work.Failed(wire.FailureMisconfigured, "%v", err)
	}
	end, err := k.execute(ctx, &p)
	if err != nil {
		return none, notStarted(p.name, err)
	}
	result, failure := k.outcome(ctx, &p, &end)
	result.Stderr = string(end.stderr)
	if failure != nil {
		failure.Stderr = string(end.stderr)
	}
	return result, failure
}

func (p *program) limit(fn *wire.Function) {
	p.memory = defaultMemoryMB << 20
	if fn.Exec.MemoryMB > 0 {
		p.memory = uint64(fn.Exec.MemoryMB) << 20
	}
	timeout := time.Duration(fn.Timeout)
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	p.seconds = uint64((timeout + time.Second - 1) / time.Second)
	if fn.Exec.CPUSeconds > 0 {
		p.seconds = uint64(fn.Exec.CPUSeconds)
	}
}

// notStarted is the failure of a program that did not begin. That there is no room passes, and
// so does a program that is just being replaced.
func notStarted(name string, err error) *work.Failure {
	code := wire.FailureMisconfigured
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		code = wire.FailureThrottled
	case errors.Is(err, syscall.ETXTBSY):
		code = wire.FailureFailed
	}
	var path *fs.PathError
	if errors.As(err, &path) && path.Op == "fork/exec" {
		err = path.Err // The path is the operator's business.
	}
	return work.Failed(code, "the program %q cannot be started: %v", name, err)
}
