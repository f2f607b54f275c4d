package wasmkind

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// errMemory: the module begins with more memory than it may have.
var errMemory = errors.New("memory")

// module is a compiled module with a limit of memory, and its instances that are ready.
type module struct {
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	counts   *counts
	pool     int

	mu    sync.Mutex
	ready []*instance
}

// compile makes a module of bytes that nobody vouches for. It cannot be interrupted: harden
// bounds what it costs.
func compile(ctx context.Context, body []byte, pages uint32, pool int, cache wazero.CompilationCache, c *counts) (compiled *module, err error) {
	var m *module
	defer func() {
		if r := recover(); r != nil {
			compiled, err = nil, fmt.Errorf("the compiler broke down: %v", r)
		}
		if err != nil && m != nil {
			m.close()
		}
	}()
	h, err := harden(body, pages)
	if err != nil {
		return nil, err
	}
	if h.memory > pages {
		return nil, fmt.Errorf("%w: it begins with %d pages of 64 KiB, and may have %d", errMemory, h.memory, pages)
	}
	// WebAssembly 2.0 without later features: tail calls would make loops that do not end.
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
		WithCoreFeatures(api.CoreFeaturesV2).WithMemoryLimitPages(pages).
		WithCloseOnContextDone(true).WithDebugInfoEnabled(false).WithCompilationCache(cache))
	m = &module{runtime: runtime, counts: c, pool: pool}
	if err := instantiateWASI(ctx, runtime); err != nil {
		return nil, err
	}
	m.compiled, err = runtime.CompileModule(ctx, h.binary)
	if err != nil {
		return nil, err
	}
	start, ok := m.compiled.ExportedFunctions()["_start"]
	switch {
	case !ok:
		return nil, errors.New("it exports no _start: it is not a command")
	case len(start.ParamTypes())+len(start.ResultTypes()) > 0:
		return nil, errors.New("its _start is not that of a command")
	}
	if m.compiled.ExportedMemories()["memory"] == nil {
		return nil, errors.New("it exports no memory")
	}
	// The first one shows that everything it imports is there.
	first, err := m.instantiate(ctx)
	if err != nil {
		return nil, err
	}
	m.keep(first)
	return m, nil
}

func (m *module) instantiate(ctx context.Context) (i *instance, err error) {
	defer func() {
		if r := recover(); r != nil {
			i, err = nil, fmt.Errorf("the runtime broke down: %v", r)
		}
	}()
	i = &instance{}
	i.module, err = m.runtime.InstantiateModule(ctx, m.compiled, i.config())
	if err != nil {
		return nil, err
	}
	i.start, i.size = i.module.ExportedFunction("_start"), int64(i.module.Memory().Size())
	m.counts.instances.Add(1)
	return i, nil
}

// take gives a ready instance, or a new one.
func (m *module) take(ctx context.Context) (*instance, error) {
	m.mu.Lock()
	if last := len(m.ready) - 1; last >= 0 {
		i := m.ready[last]
		m.ready = m.ready[:last]
		m.mu.Unlock()
		m.counts.ready.Add(-i.size)
		return i, nil
	}
	m.mu.Unlock()
	return m.instantiate(ctx)
}

// wants reports whether there should be more ready instances.
func (m *module) wants() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.ready) < m.pool && m.counts.ready.Load() < maxReady
}

// keep makes an instance a ready one, if there is room.
func (m *module) keep(i *instance) {
	if !m.wants() {
		m.end(i)
		return
	}
	m.mu.Lock()
	m.ready = append(m.ready, i)
	m.mu.Unlock()
	m.counts.ready.Add(i.size)
}

// end lets go of an instance.
func (m *module) end(i *instance) {
	_ = i.module.Close(context.Background()) // It has nothing that can fail to be closed.
	m.counts.instances.Add(-1)
}

// close ends a module that nobody runs.
func (m *module) close() {
	m.mu.Lock()
	ready := m.ready
	m.ready = nil
	m.mu.Unlock()
	for _, i := range ready {
		m.counts.ready.Add(-i.size)
		m.end(i)
	}
	ctx := context.Background()
	if m.compiled != nil {
		_ = m.compiled.Close(ctx)
	}
	_ = m.runtime.Close(ctx)
}
