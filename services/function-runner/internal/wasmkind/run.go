package wasmkind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tetratelabs/wazero/sys"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// Why a run was ended before it was over.
var (
	errFull    = errors.New("its output is too long")
	errStopped = errors.New("the runner stops")
)

// Exit codes that mean that nobody need try again (EX_USAGE, EX_DATAERR).
const (
	exitUsage = 64
	exitData  = 65
)

// slack is how much of standard error is looked at, beyond what is kept, for secrets that begin
// before it.
const slack = 4 << 10

// Run makes one attempt. It ends soon after ctx does.
func (k *Kind) Run(ctx context.Context, fn *wire.Function, a *work.Attempt) (work.Result, *work.Failure) {
	if !k.begin() {
		return work.Result{}, stopping()
	}
	defer k.tasks.Done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(k.ctx, func() { cancel(errStopped) })()

	result, fail := k.run(ctx, cancel, fn, a)
	if fail != nil {
		told := *fail // It may be shared with others who wait for the same module.
		told.Message = k.secrets.Redact(told.Message)
		fail = &told
	}
	return result, fail
}

func (k *Kind) run(ctx context.Context, cancel context.CancelCauseFunc, fn *wire.Function, a *work.Attempt) (work.Result, *work.Failure) {
	if fn.WASM == nil {
		return work.Result{}, work.Failed(wire.FailureMisconfigured, "the function names no module")
	}
	env, err := k.environment(fn, a)
	if err != nil {
		return work.Result{}, work.Failed(wire.FailureMisconfigured, "its environment cannot be made: %v", err)
	}
	input := []byte(a.Input)
	if len(input) == 0 {
		input = []byte("null")
	}
	p := &process{
		ctx: ctx, args: append([]string{fn.WASM.Module}, fn.WASM.Args...), env: env,
		stdin:  bytes.NewReader(input),
		stdout: &output{most: k.cfg.MaxOutput, full: func() { cancel(errFull) }},
		stderr: &tail{most: work.MaxStderr + slack},
	}
	e, fail := k.module(ctx, fn.WASM)
	if fail != nil {
		return work.Result{}, fail
	}
	defer k.cache.release(e)
	defer k.fill(e)
	instance, err := e.module.take(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return work.Result{}, ended(ctx)
		}
		return work.Result{}, work.Failed(wire.FailureFailed, "no instance of the module could be made: %s", firstLine(err.Error()))
	}
	defer e.module.end(instance)
	err = instance.run(p)
	stderr := k.stderr(p.stderr)
	output, fail := k.outcome(ctx, p, instance, err)
	if fail != nil {
		fail.Stderr = stderr
		return work.Result{}, fail
	}
	return work.Result{Output: output, Stderr: stderr}, nil
}

// module gives the module of a function, as it is in the store now.
func (k *Kind) module(ctx context.Context, w *wire.WASMFunction) (*entry, *work.Failure) {
	memory := w.MemoryMB
	if memory == 0 {
		memory = defaultMemoryMB
	}
	for again := false; ; again = true {
		digest, fail := k.store.digest(ctx, w.Module, k.spawn)
		if fail != nil {
			return nil, fail
		}
		id := key{digest: digest, pages: uint32(memory) * pagesPerMB}
		e, fail := k.cache.acquire(ctx, id, func(e *entry) bool {
			return k.spawn(func(ctx context.Context) { k.load(ctx, w.Module, id, e) })
		})
		if fail == nil || again || fail != errMoved {
			return e, fail
		}
	}
}

// run runs the command to its end.
func (i *instance) run(p *process) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the runtime broke down: %v", r)
		}
	}()
	i.process = p
	_, err = i.start.Call(context.WithValue(p.ctx, processKey{}, p))
	return err
}

// outcome says what an end means.
func (k *Kind) outcome(ctx context.Context, p *process, i *instance, err error) ([]byte, *work.Failure) {
	var exit *sys.ExitError
	exited := errors.As(err, &exit)
	switch {
	case errors.Is(context.Cause(ctx), errFull):
		return nil, work.Failed(wire.FailureLimit, "the module wrote more than %d bytes to its standard output", k.cfg.MaxOutput)
	case exited && ctx.Err() != nil && (exit.ExitCode() == sys.ExitCodeDeadlineExceeded || exit.ExitCode() == sys.ExitCodeContextCanceled):
		return nil, ended(ctx)
	case err == nil, exited && exit.ExitCode() == 0:
		return k.output(p.stdout.Bytes())
	}
	memory := fmt.Sprintf("with %d MB of memory", i.module.Memory().Size()>>20)
	if !exited {
		return nil, work.Failed(wire.FailureFailed, "the module was ended, %s: %s", memory, firstLine(err.Error()))
	}
	code := wire.FailureFailed
	if exit.ExitCode() == exitUsage || exit.ExitCode() == exitData {
		code = wire.FailureRejected
	}
	return nil, work.Failed(code, "the module ended with exit code %d, %s", exit.ExitCode(), memory)
}

// output is what the module wrote, if it is JSON.
func (k *Kind) output(written []byte) ([]byte, *work.Failure) {
	written = bytes.TrimSpace(written)
	if len(written) == 0 {
		return []byte("null"), nil
	}
	if err := oneValue(written); err != nil {
		return nil, work.Failed(wire.FailureInvalidOutput, "the module's standard output is not one JSON value: %v", err)
	}
	return k.secrets.RedactJSON(written), nil
}

// stderr is the end of standard error without secrets, nor what may be the end of one.
func (k *Kind) stderr(t *tail) string {
	text := k.secrets.Redact(strings.ToValidUTF8(string(t.kept), "�"))
	if t.cut {
		text = text[min(slack, len(text)):]
	}
	text = text[max(0, len(text)-work.MaxStderr):]
	for len(text) > 0 && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return text
}

// environment is the function's, and what tells the run apart.
func (k *Kind) environment(fn *wire.Function, a *work.Attempt) ([]string, error) {
	var env []string
	for name, value := range fn.WASM.Env {
		value, err := k.secrets.Value(value)
		if err != nil {
			return nil, err
		}
		if strings.ContainsRune(value, 0) {
			return nil, fmt.Errorf("the value of %s has a zero byte", name)
		}
		env = append(env, name+"="+value)
	}
	slices.Sort(env)
	for _, own := range [][2]string{
		{"BREAKER_EXECUTION", a.Job.ID},
		{"BREAKER_ATTEMPT", strconv.Itoa(a.Job.Attempt)},
		{"IDEMPOTENCY_KEY", a.Job.ID},
		{"BREAKER_WORKFLOW", a.Job.WorkflowID},
		{"BREAKER_INSTANCE", a.Job.InstanceID},
		{"BREAKER_TOKEN", a.Job.TokenID},
	} {
		if own[1] != "" {
			env = append(env, own[0]+"="+own[1])
		}
	}
	return env, nil
}

func reserved(name string) bool {
	return strings.HasPrefix(name, "BREAKER_") || name == "IDEMPOTENCY_KEY"
}
