package wasmkind

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

func TestSampleCountsWords(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	b.put("word_count.wasm", goModule(t, sampleSource))
	w := wire.WASMFunction{Module: "word_count.wasm"}
	b.wantOutput(`{"words":3}`)(b.run(enough, w, `{"text":"a durable  engine"}`))
	b.wantFailure(wire.FailureRejected, "exit code 65")(b.run(enough, w, `{"txt":""}`))
}

func TestRunsEndAsTheModuleSays(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{MaxOutput: 1 << 16})
	b.put("probe", goModule(t, probeSource))
	for name, c := range map[string]struct {
		args  []string
		env   map[string]string
		input string
		want  func(work.Result, *work.Failure)
	}{
		"output":         {args: []string{"echo"}, input: `{"a": [1, 2]}`, want: b.wantOutput(`{"a": [1, 2]}`)},
		"no input":       {args: []string{"echo"}, want: b.wantOutput(`null`)},
		"no output":      {args: []string{"print"}, want: b.wantOutput(`null`)},
		"text":           {args: []string{"print", "hello"}, want: b.wantFailure(wire.FailureInvalidOutput, "not one JSON value")},
		"two values":     {args: []string{"print", "1", "2"}, want: b.wantFailure(wire.FailureInvalidOutput, "after top-level value")},
		"arguments":      {args: []string{"args", "x", "y z"}, want: b.wantOutput(`"probe args x y z"`)},
		"environment":    {args: []string{"env", "COLOR"}, env: map[string]string{"COLOR": "red"}, want: b.wantOutput(`"red"`)},
		"whole":          {args: []string{"environ"}, want: b.wantOutput(`"BREAKER_EXECUTION=x-1 BREAKER_ATTEMPT=2 IDEMPOTENCY_KEY=x-1 BREAKER_WORKFLOW=w-1 BREAKER_INSTANCE=i-1 BREAKER_TOKEN=t-1"`)},
		"secret":         {args: []string{"env", "TOKEN"}, env: map[string]string{"TOKEN": "secret:TOKEN"}, want: b.wantOutput(`"***"`)},
		"no secret":      {args: []string{"env", "TOKEN"}, env: map[string]string{"TOKEN": "secret:NONE"}, want: b.wantFailure(wire.FailureMisconfigured, "NONE")},
		"usage":          {args: []string{"exit", "64"}, want: b.wantFailure(wire.FailureRejected, "exit code 64")},
		"failure":        {args: []string{"exit", "3"}, want: b.wantFailure(wire.FailureFailed, "exit code 3")},
		"code of wazero": {args: []string{"exit", fmt.Sprint(0xffffffff)}, want: b.wantFailure(wire.FailureFailed, "exit code")},
		"panic":          {args: []string{"panic"}, want: b.wantFailure(wire.FailureFailed, "exit code 2")},
		"flood":          {args: []string{"flood"}, want: b.wantFailure(wire.FailureLimit, "65536 bytes")},
		"memory":         {args: []string{"memory"}, want: b.wantFailure(wire.FailureFailed, "MB of memory")},
		"files":          {args: []string{"open"}, want: b.wantOutput(`"no files"`)},
		"network":        {args: []string{"dial", strings.TrimPrefix(b.server.URL(), "nats://")}, want: b.wantOutput(`"no network"`)},
	} {
		t.Run(name, func(t *testing.T) {
			c.want(b.run(enough, wire.WASMFunction{Module: "probe", Args: c.args, Env: c.env}, c.input))
		})
	}
}

func TestStderrIsTheEndWithoutSecrets(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	b.put("probe", goModule(t, probeSource))
	w := wire.WASMFunction{Module: "probe", Args: []string{"stderr", "€abc"}, Env: map[string]string{"TOKEN": "secret:TOKEN"}}
	r, fail := b.run(enough, w, "")
	if fail != nil {
		t.Fatal(fail)
	}
	if !strings.HasSuffix(r.Stderr, "€abc*** the end") || len(r.Stderr) > work.MaxStderr || len(r.Stderr) < work.MaxStderr-100 {
		t.Fatalf("stderr has %d bytes and ends with %q", len(r.Stderr), r.Stderr[max(0, len(r.Stderr)-40):])
	}
	// A secret of which only the end is kept is not shown either.
	cut := &tail{most: work.MaxStderr + slack}
	_, _ = cut.Write([]byte(secretValue + strings.Repeat("x", work.MaxStderr+slack-4)))
	if got := b.kind.stderr(cut); strings.Contains(got, "ter2") {
		t.Fatal("the end of a secret was shown")
	}
}

func TestTimeEndsEveryRun(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	b.put("probe", goModule(t, probeSource))
	loop := []byte{opLoop, 0x40, 0x0c, 0, 0x0b}
	b.put("loop", command(1, loop))
	// Each function calls the next one twice: 2 to the power of 60 calls, and no loop.
	var doubling [][]byte
	for i := range byte(60) {
		doubling = append(doubling, []byte{0x10, i + 1, 0x10, i + 1})
	}
	b.put("recursion", command(1, append(doubling, []byte{0x01})...))
	// A function that fills the memory again and again, without a loop.
	var fills []byte
	for range 1000 {
		fills = append(fills, 0x41, 0, 0x41, 0, 0x41, 0x80, 0x80, 0x80, 0x1f, 0xfc, 11, 0)
	}
	b.put("fills", command(1024, fills))
	for name, w := range map[string]wire.WASMFunction{
		"loop": {Module: "loop"}, "recursion": {Module: "recursion"}, "fills": {Module: "fills"},
		"sleep": {Module: "probe", Args: []string{"sleep"}},
	} {
		t.Run(name, func(t *testing.T) {
			b.compile(w)
			began := time.Now()
			b.wantFailure(wire.FailureTimeout, "in time")(b.run(200*time.Millisecond, w, ""))
			if took := time.Since(began); took > enough {
				t.Fatalf("it took %s", took)
			}
		})
	}
}

func TestTrapsHaveNames(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	for name, c := range map[string]struct {
		code []byte
		want string
	}{
		"unreachable": {[]byte{0x00}, "unreachable"},
		"bounds":      {[]byte{0x41, 0x7f, 0x28, 0, 0, 0x1a}, "out of bounds memory access"},
		"division":    {[]byte{0x41, 1, 0x41, 0, 0x6d, 0x1a}, "integer divide by zero"},
		"recursion":   {[]byte{0x10, 0}, "stack overflow"},
	} {
		b.put(name, command(1, c.code))
		b.wantFailure(wire.FailureFailed, c.want)(b.run(enough, wire.WASMFunction{Module: name}, ""))
	}
}

func TestMemoryIsLimited(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	b.put("large", command(17, []byte{0x01}))
	b.wantFailure(wire.FailureLimit, "17 pages")(b.run(enough, wire.WASMFunction{Module: "large", MemoryMB: 1}, ""))
	b.wantOutput("null")(b.run(enough, wire.WASMFunction{Module: "large", MemoryMB: 2}, ""))
	// It traps unless it cannot grow by 16 pages, but can by 8.
	grow := func(pages, want byte) []byte {
		return []byte{0x41, pages, 0x40, 0, 0x41, want, 0x47, 0x04, 0x40, 0x00, 0x0b}
	}
	b.put("grows", command(1, append(grow(16, 0x7f), grow(8, 1)...)))
	b.wantOutput("null")(b.run(enough, wire.WASMFunction{Module: "grows", MemoryMB: 1}, ""))
}

func TestModulesThatCannotRun(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{MaxModule: 1000})
	b.wantFailure(wire.FailureMisconfigured, "there is no module missing")(b.run(enough, wire.WASMFunction{Module: "missing"}, ""))
	plain := command(1, []byte{0x01})
	imports := append(append([]byte{}, plain[:14]...), section(sectionImport, append([]byte("\x01\x16wasi_snapshot_preview1\x04nope"), 0, 0)...)...)
	foreign := append(append([]byte{}, plain[:14]...), section(sectionImport, append([]byte("\x01\x03env\x04nope"), 0, 0)...)...)
	for name, c := range map[string]struct {
		module []byte
		want   string
	}{
		"empty":     {nil, "not a WebAssembly module"},
		"text":      {[]byte("#!/bin/sh"), "not a WebAssembly module"},
		"large":     {make([]byte, 1001), "more than 1000 bytes"},
		"library":   {[]byte("\x00asm\x01\x00\x00\x00"), "no _start"},
		"imports":   {append(imports, plain[14:]...), "nope"},
		"foreign":   {append(foreign, plain[14:]...), "there are only the functions of wasi"},
		"invalid":   {command(1, []byte{0x6a}), "cannot be run"},
		"tail-call": {command(1, []byte{0x12, 0}), "0x12 is not supported"},
		"cheat":     {command(1, []byte{0x41, 1, 0x24, 0}), "no global 0"},
	} {
		b.put(name, c.module)
		b.wantFailure(wire.FailureMisconfigured, c.want)(b.run(enough, wire.WASMFunction{Module: name}, ""))
	}
}

func TestUploadTakesEffect(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	w := wire.WASMFunction{Module: "m"}
	b.put("m", command(1, []byte{0x01}))
	b.wantOutput("null")(b.run(enough, w, ""))
	b.put("m", command(1, []byte{0x00}))
	for deadline := time.Now().Add(enough); ; {
		if _, fail := b.run(enough, w, ""); fail != nil {
			b.wantFailure(wire.FailureFailed, "unreachable")(work.Result{}, fail)
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the old module still runs")
		}
	}
	if err := b.store.Delete(t.Context(), "m"); err != nil {
		t.Fatal(err)
	}
	b.kind.store.forget("m")
	b.wantFailure(wire.FailureMisconfigured, "no module m")(b.run(enough, w, ""))
}

func TestStoreOutOfReach(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	b.put("m", command(1, []byte{0x01}))
	b.server.Shutdown()
	b.wantFailure(wire.FailureUnreachable, "")(b.run(time.Second, wire.WASMFunction{Module: "m"}, ""))
}

func TestConcurrentRunsCompileOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{})
	b.put("probe", goModule(t, probeSource))
	var group sync.WaitGroup
	for i := range 64 {
		group.Go(func() {
			text := fmt.Sprintf(`{"run":%d}`, i)
			r, fail := b.run(enough, wire.WASMFunction{Module: "probe", Args: []string{"echo"}}, text)
			if fail != nil || string(r.Output) != text {
				t.Errorf("run %d gave %s, %v", i, r.Output, fail)
			}
		})
	}
	group.Wait()
	if n := b.kind.counts.compiled.Load(); n != 1 {
		t.Errorf("the module was compiled %d times", n)
	}
}

func TestRunsLeaveNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{Pool: 3, Idle: 50 * time.Millisecond})
	b.put("m", command(1, []byte{0x01}))
	for range 200 {
		b.wantOutput("null")(b.run(enough, wire.WASMFunction{Module: "m"}, ""))
		if open := b.kind.counts.instances.Load(); open > 4 {
			t.Fatalf("%d instances are open", open)
		}
	}
	servicetest.Eventually(t, "an idle module has gone", func() bool { return b.kind.counts.instances.Load() == 0 })
	if bytes := b.kind.counts.ready.Load(); bytes != 0 {
		t.Fatalf("%d bytes of ready instances are counted", bytes)
	}
}

func TestCloseEndsRuns(t *testing.T) {
	t.Parallel()
	b := newBench(t, Config{CacheDir: t.TempDir()})
	b.put("loop", command(1, []byte{opLoop, 0x40, 0x0c, 0, 0x0b}))
	ended := make(chan *work.Failure)
	go func() {
		_, fail := b.run(enough, wire.WASMFunction{Module: "loop"}, "")
		ended <- fail
	}()
	servicetest.Eventually(t, "the module runs", func() bool { return b.kind.counts.instances.Load() > 0 })
	b.kind.Close(context.Background())
	b.wantFailure(wire.FailureUnreachable, "stops")(work.Result{}, <-ended)
	b.wantFailure(wire.FailureUnreachable, "stops")(b.run(enough, wire.WASMFunction{Module: "loop"}, ""))
}

func TestCheckNamesTheField(t *testing.T) {
	t.Parallel()
	k := New(nil, newBench(t, Config{}).kind.tel, Config{}, secrets{})
	defer k.Close(context.Background())
	many := make([]string, maxList+1)
	for field, w := range map[string]*wire.WASMFunction{
		"wasm":                   nil,
		"wasm.module":            {Module: "../x"},
		"wasm.memory_mb":         {Module: "m", MemoryMB: -1},
		"wasm.args":              {Module: "m", Args: many},
		"wasm.env.BREAKER_TOKEN": {Module: "m", Env: map[string]string{"BREAKER_TOKEN": "x"}},
	} {
		err := k.Check(&wire.FunctionSpec{WASM: w})
		var coded *fault.Error
		if !errors.As(err, &coded) || coded.Code != fault.InvalidField || coded.Details["field"] != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if err := k.Check(&wire.FunctionSpec{WASM: &wire.WASMFunction{Module: "m.wasm"}}); err != nil {
		t.Error(err)
	}
}
