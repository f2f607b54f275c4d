package wasmkind

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// Kind runs functions of the kind wasm. It is safe for concurrent use.
type Kind struct {
	tel     *telemetry.Telemetry
	cfg     Config
	secrets Secrets
	store   *store
	cache   *cache
	counts  *counts
	// reading bounds how many modules are read into memory at the same time, compiling how many
	// of these are compiled.
	reading, compiling chan struct{}

	ctx    context.Context
	cancel context.CancelFunc
	mu     sync.Mutex
	closed bool
	tasks  sync.WaitGroup
	code   wazero.CompilationCache // Under the lock; nil until the first module.
}

// New makes the kind. It does no I/O; Close ends it.
func New(b *bus.Bus, tel *telemetry.Telemetry, cfg Config, secrets Secrets) *Kind {
	cfg = cfg.withDefaults()
	k := &Kind{
		tel: tel.For("wasm"), cfg: cfg, secrets: secrets,
		store: newStore(b, cfg.MaxModule), cache: &cache{idle: cfg.Idle, entries: map[key]*entry{}},
		counts: &counts{}, reading: make(chan struct{}, maxReading), compiling: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k
}

// Ensure creates the bucket of modules where it is missing, so that modules can be put there
// before the first run.
func (k *Kind) Ensure(ctx context.Context) error {
	_, err := k.store.open(ctx)
	return err
}

// Close ends all runs and waits until they have ended, or ctx has. It repeats safely.
func (k *Kind) Close(ctx context.Context) {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.cache.refuse()
	k.cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.tasks.Wait()
		k.cache.clear()
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.code != nil {
			_ = k.code.Close(context.Background())
			k.code = nil
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// begin reports whether there may be one more task; it ends with k.tasks.Done.
func (k *Kind) begin() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.closed {
		k.tasks.Add(1)
	}
	return !k.closed
}

// spawn does something beside, until the kind is closed.
func (k *Kind) spawn(do func(context.Context)) bool {
	if !k.begin() {
		return false
	}
	go func() {
		defer k.tasks.Done()
		do(k.ctx)
	}()
	return true
}

var moduleName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// Bounds of what an author says.
const (
	maxList = 64
	maxText = 32 << 10
)

// Check says what is wrong with a function, with fault.InvalidField. The module need not be
// there yet.
func (k *Kind) Check(fn *wire.FunctionSpec) error {
	invalid := func(field, format string, args ...any) error {
		return fault.New(fault.InvalidField, format, args...).With("field", field)
	}
	w := fn.WASM
	switch {
	case w == nil:
		return invalid("wasm", "a function of kind wasm needs wasm.module")
	case !moduleName.MatchString(w.Module):
		return invalid("wasm.module", "wasm.module is the name of an object in the bucket %s: letters, digits, dots, hyphens and underscores, at most 128", wire.BucketModules)
	case w.MemoryMB < 0 || w.MemoryMB > maxMemoryMB:
		return invalid("wasm.memory_mb", "wasm.memory_mb must be 1 to %d, or absent for %d", maxMemoryMB, defaultMemoryMB)
	case len(w.Args) > maxList:
		return invalid("wasm.args", "wasm.args has %d elements, at most %d are allowed", len(w.Args), maxList)
	case len(w.Env) > maxList:
		return invalid("wasm.env", "wasm.env has %d members, at most %d are allowed", len(w.Env), maxList)
	}
	size := 0
	for _, arg := range w.Args {
		if strings.ContainsRune(arg, 0) {
			return invalid("wasm.args", "an element of wasm.args has a zero byte")
		}
		size += len(arg)
	}
	for name, value := range w.Env {
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			return invalid("wasm.env", "wasm.env has the name %q: it must not be empty, nor have = or a zero byte", name)
		case reserved(name):
			return invalid("wasm.env."+name, "wasm.env.%s is set by every run itself: choose another name", name)
		case strings.ContainsRune(value, 0):
			return invalid("wasm.env."+name, "wasm.env.%s has a zero byte", name)
		}
		size += len(name) + len(value)
	}
	if size > maxText {
		return invalid("wasm", "wasm.args and wasm.env have %d bytes, at most %d are allowed", size, maxText)
	}
	return nil
}

// load reads and compiles a module for the cache.
func (k *Kind) load(ctx context.Context, name string, id key, e *entry) {
	m, fail, keep := k.compile(ctx, name, id)
	k.cache.loaded(id, e, m, fail, keep)
}

// errMoved: the store has other bytes than when it was asked for the digest.
var errMoved = work.Failed(wire.FailureUnreachable, "the module was changed just now")

func (k *Kind) compile(ctx context.Context, name string, id key) (m *module, fail *work.Failure, keep bool) {
	if !enter(ctx, k.reading) {
		return nil, stopping(), false
	}
	defer leave(k.reading)
	body, digest, fail := k.store.read(ctx, name)
	if fail != nil {
		return nil, fail, false
	}
	if digest != id.digest {
		k.store.forget(name)
		return nil, errMoved, false
	}
	if !enter(ctx, k.compiling) {
		return nil, stopping(), false
	}
	defer leave(k.compiling)
	m, err := k.compileInTime(body, id.pages)
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, stopping(), false
	case errors.Is(err, errMemory):
		return nil, work.Failed(wire.FailureLimit, "module %s has too little %v", name, err), true
	case err != nil:
		return nil, work.Failed(wire.FailureMisconfigured, "module %s cannot be run: %s", name, firstLine(err.Error())), true
	}
	return m, nil, true
}

// compileInTime waits for a compilation, but not for ever. wazero cannot interrupt one: what takes
// too long goes on beside, for nobody, and its module is refused.
func (k *Kind) compileInTime(body []byte, pages uint32) (*module, error) {
	type result struct {
		module *module
		err    error
	}
	done := make(chan result, 1)
	var settled atomic.Bool // By the end of the compilation, or by that of the patience.
	started := k.spawn(func(ctx context.Context) {
		m, err := compile(ctx, body, pages, k.cfg.Pool, k.compilationCache(), k.counts)
		switch {
		case settled.CompareAndSwap(false, true):
			done <- result{m, err}
		case m != nil:
			m.close()
		}
	})
	if !started {
		return nil, errStopped
	}
	k.counts.compiled.Add(1)
	timer := time.NewTimer(compileTimeout)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.module, r.err
	case <-timer.C:
	}
	if settled.CompareAndSwap(false, true) {
		return nil, fmt.Errorf("its compilation took more than %s", compileTimeout)
	}
	r := <-done
	return r.module, r.err
}

func enter(ctx context.Context, room chan struct{}) bool {
	select {
	case room <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func leave(room chan struct{}) { <-room }

// compilationCache is where wazero keeps code: one for all modules, so that one module with two
// limits of memory is compiled once.
func (k *Kind) compilationCache() wazero.CompilationCache {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.code != nil {
		return k.code
	}
	if k.cfg.CacheDir != "" {
		cache, err := wazero.NewCompilationCacheWithDir(k.cfg.CacheDir)
		if err == nil {
			k.code = cache
			return cache
		}
		k.tel.Log.Warn().Err(err).Str("dir", k.cfg.CacheDir).Msg("compiled modules were kept in memory alone")
	}
	k.code = wazero.NewCompilationCache()
	return k.code
}

// fill makes the instances that are missing in the pool.
func (k *Kind) fill(e *entry) {
	if !k.cache.fill(e) {
		return
	}
	started := k.spawn(func(ctx context.Context) {
		defer k.cache.filled(e)
		for ctx.Err() == nil && e.module.wants() {
			i, err := e.module.instantiate(ctx)
			if err != nil {
				return
			}
			e.module.keep(i)
		}
	})
	if !started {
		k.cache.filled(e)
	}
}
