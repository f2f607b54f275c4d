package wasmkind

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// built are modules that were compiled from Go, by the folder or file they are made of.
var built sync.Map

func goModule(t testing.TB, source string) []byte {
	t.Helper()
	once, _ := built.LoadOrStore(source, sync.OnceValues(func() ([]byte, error) {
		folder, err := os.MkdirTemp("", "wasm")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(folder)
		out := filepath.Join(folder, "x.wasm")
		build := exec.Command("go", "build", "-trimpath", "-o", out, source)
		build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWORK=off", "CGO_ENABLED=0")
		if said, err := build.CombinedOutput(); err != nil {
			return nil, errors.New(err.Error() + ": " + string(said))
		}
		return os.ReadFile(out)
	}))
	module, err := once.(func() ([]byte, error))()
	if err != nil {
		t.Fatal(err)
	}
	return module
}

const (
	probeSource  = "testdata/probe/main.go"
	sampleSource = "../../../../protocols/examples/wasm/word_count.go"
	secretValue  = "hunter2hunter2"
)

// secrets know one.
type secrets struct{}

func (secrets) Value(text string) (string, error) {
	name, ok := strings.CutPrefix(text, "secret:")
	switch {
	case !ok:
		return text, nil
	case name == "TOKEN":
		return secretValue, nil
	}
	return "", errors.New("there is no secret " + name)
}

func (secrets) Redact(text string) string { return strings.ReplaceAll(text, secretValue, "***") }

func (s secrets) RedactJSON(raw json.RawMessage) json.RawMessage {
	return json.RawMessage(s.Redact(string(raw)))
}

// bench is a kind with a server of its own.
type bench struct {
	t      testing.TB
	kind   *Kind
	server *natstest.Server
	store  jetstream.ObjectStore
}

func newBench(t testing.TB, cfg Config) *bench {
	t.Helper()
	server := natstest.Start(t)
	busCfg := bus.DefaultConfig()
	busCfg.URLs = []string{server.URL()}
	b, err := bus.Connect(t.Context(), busCfg, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	k := New(b, telemetry.Discard(), cfg, secrets{})
	t.Cleanup(func() {
		k.Close(context.Background())
		if open := k.counts.instances.Load(); open != 0 {
			t.Errorf("%d instances were left open", open)
		}
	})
	return &bench{t: t, kind: k, server: server}
}

// put uploads a module.
func (b *bench) put(name string, module []byte) {
	b.t.Helper()
	if b.store == nil {
		if err := b.kind.Ensure(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
		var err error
		if b.store, err = b.kind.store.bus.JS.ObjectStore(b.t.Context(), wire.BucketModules); err != nil {
			b.t.Fatal(err)
		}
	}
	if _, err := b.store.PutBytes(b.t.Context(), name, module); err != nil {
		b.t.Fatal(err)
	}
}

// run runs a module with an input, within a time.
func (b *bench) run(within time.Duration, w wire.WASMFunction, input string) (work.Result, *work.Failure) {
	b.t.Helper()
	fn := &wire.Function{ID: "f", FunctionSpec: wire.FunctionSpec{Kind: wire.FunctionWASM, WASM: &w}}
	if err := b.kind.Check(&fn.FunctionSpec); err != nil {
		b.t.Fatal(err)
	}
	b.compile(w) // Outside the time that a test gives the run.
	ctx, cancel := context.WithTimeout(b.t.Context(), within)
	defer cancel()
	return b.kind.Run(ctx, fn, &work.Attempt{
		Job:   &wire.Job{ID: "x-1", Attempt: 2, WorkflowID: "w-1", InstanceID: "i-1", TokenID: "t-1"},
		Input: json.RawMessage(input),
	})
}

func (b *bench) compile(w wire.WASMFunction) {
	if e, fail := b.kind.module(b.t.Context(), &w); fail == nil {
		b.kind.cache.release(e)
	}
}

const enough = time.Minute

// wantOutput and wantFailure say how a run must end.
func (b *bench) wantOutput(want string) func(work.Result, *work.Failure) {
	return func(r work.Result, fail *work.Failure) {
		b.t.Helper()
		if fail != nil {
			b.t.Fatalf("the run failed: %v (stderr %q)", fail, fail.Stderr)
		}
		if string(r.Output) != want {
			b.t.Fatalf("the output is %s, want %s", r.Output, want)
		}
	}
}

func (b *bench) wantFailure(code, text string) func(work.Result, *work.Failure) {
	return func(r work.Result, fail *work.Failure) {
		b.t.Helper()
		if fail == nil {
			b.t.Fatalf("the run succeeded with %.100s, want %s", r.Output, code)
		}
		if fail.Code != code || !strings.Contains(fail.Message, text) {
			b.t.Fatalf("the run failed with %v, want %s with %q", fail, code, text)
		}
	}
}

// section and command assemble modules by hand: a command has a memory of pages, and these
// functions without parameters and results, the first of which is _start.
func section(id byte, content ...byte) []byte {
	return append(appendU32([]byte{id}, uint32(len(content))), content...)
}

func command(pages uint32, functions ...[]byte) []byte {
	m := []byte("\x00asm\x01\x00\x00\x00")
	m = append(m, section(sectionType, 1, 0x60, 0, 0)...)
	types := appendU32(nil, uint32(len(functions)))
	types = append(types, make([]byte, len(functions))...)
	m = append(m, section(sectionFunction, types...)...)
	m = append(m, section(sectionMemory, appendU32([]byte{1, 0}, pages)...)...)
	m = append(m, section(sectionExport, []byte("\x02\x06memory\x02\x00\x06_start\x00\x00")...)...)
	code := appendU32(nil, uint32(len(functions)))
	for _, f := range functions {
		code = appendU32(code, uint32(len(f)+2))
		code = append(append(append(code, 0), f...), 0x0b)
	}
	return append(m, section(sectionCode, code...)...)
}
