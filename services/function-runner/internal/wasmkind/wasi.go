package wasmkind

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// Numbers of WASI for what these functions answer.
const (
	errnoSuccess = 0
	errnoFault   = 21
)

// process is what a module sees of one run.
type process struct {
	ctx       context.Context
	args, env []string
	stdin     *bytes.Reader
	stdout    *output
	stderr    *tail
}

type processKey struct{}

// instantiateWASI gives the runtime the functions of WASI. wazero fixes arguments and
// environment when an instance is made; a ready instance learns them when its run begins, so
// these four functions are ours.
func instantiateWASI(ctx context.Context, runtime wazero.Runtime) error {
	host := runtime.NewHostModuleBuilder(wasiModule)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(host)
	args := func(p *process) []string { return p.args }
	env := func(p *process) []string { return p.env }
	for name, of := range map[string]func(*process) []string{"args": args, "environ": env} {
		i32 := api.ValueTypeI32
		host.NewFunctionBuilder().
			WithGoModuleFunction(listSizes(of), []api.ValueType{i32, i32}, []api.ValueType{i32}).Export(name + "_sizes_get")
		host.NewFunctionBuilder().
			WithGoModuleFunction(listGet(of), []api.ValueType{i32, i32}, []api.ValueType{i32}).Export(name + "_get")
	}
	_, err := host.Instantiate(ctx)
	return err
}

// listSizes writes how many texts there are, and how many bytes they need.
func listSizes(of func(*process) []string) api.GoModuleFunc {
	return func(ctx context.Context, module api.Module, stack []uint64) {
		memory, list := module.Memory(), listOf(ctx, of)
		size := 0
		for _, text := range list {
			size += len(text) + 1
		}
		ok := memory.WriteUint32Le(uint32(stack[0]), uint32(len(list))) && memory.WriteUint32Le(uint32(stack[1]), uint32(size))
		stack[0] = errno(ok)
	}
}

// listGet writes where each text is, and the texts, each with a zero behind it.
func listGet(of func(*process) []string) api.GoModuleFunc {
	return func(ctx context.Context, module api.Module, stack []uint64) {
		memory, at, to, ok := module.Memory(), uint32(stack[0]), uint32(stack[1]), true
		for _, text := range listOf(ctx, of) {
			ok = ok && memory.WriteUint32Le(at, to) && memory.WriteString(to, text) && memory.WriteByte(to+uint32(len(text)), 0)
			at, to = at+4, to+uint32(len(text))+1
		}
		stack[0] = errno(ok)
	}
}

func listOf(ctx context.Context, of func(*process) []string) []string {
	if p, ok := ctx.Value(processKey{}).(*process); ok {
		return of(p)
	}
	return nil
}

func errno(ok bool) uint64 {
	if ok {
		return errnoSuccess
	}
	return errnoFault
}

// instance is a module in memory of its own, for one run. Its files are those of the process
// that was put into it.
type instance struct {
	module  api.Module
	start   api.Function
	size    int64
	process *process
}

// config is what an instance is made with: no files, no network, no environment of the host.
// Time and chance are real.
func (i *instance) config() wazero.ModuleConfig {
	return wazero.NewModuleConfig().
		WithName("").WithStartFunctions().
		WithStdin(stdinOf{i}).WithStdout(stdoutOf{i}).WithStderr(stderrOf{i}).
		WithSysWalltime().WithSysNanotime().WithNanosleep(i.sleep).WithRandSource(rand.Reader)
}

// sleep sleeps as long as the run goes on.
func (i *instance) sleep(ns int64) {
	timer := time.NewTimer(time.Duration(ns))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-i.process.ctx.Done():
	}
}

type (
	stdinOf  struct{ *instance }
	stdoutOf struct{ *instance }
	stderrOf struct{ *instance }
)

func (o stdinOf) Read(p []byte) (int, error)   { return o.process.stdin.Read(p) }
func (o stdoutOf) Write(p []byte) (int, error) { return o.process.stdout.Write(p) }
func (o stderrOf) Write(p []byte) (int, error) { return o.process.stderr.Write(p) }

// output keeps what was written up to a bound. Beyond it, it ends the run.
type output struct {
	bytes.Buffer
	most int64
	full func()
}

func (o *output) Write(p []byte) (int, error) {
	if int64(o.Len())+int64(len(p)) > o.most {
		o.full()
		return 0, io.ErrShortWrite
	}
	return o.Buffer.Write(p)
}

// tail keeps the last bytes that were written.
type tail struct {
	kept []byte
	most int
	// cut: there was more.
	cut bool
}

func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if n > t.most {
		p, t.cut = p[n-t.most:], true
	}
	if over := len(t.kept) + len(p) - t.most; over > 0 {
		t.kept, t.cut = t.kept[:copy(t.kept, t.kept[over:])], true
	}
	t.kept = append(t.kept, p...)
	return n, nil
}
