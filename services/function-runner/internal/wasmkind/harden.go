package wasmkind

import (
	"bytes"
	"errors"
	"fmt"
)

// What a module may have. The first ones are about those that browsers agree on
// (https://webassembly.github.io/spec/js-api/#limits), or less.
const (
	maxTypes     = 1 << 16
	maxValues    = 1000 // Parameters, and results, of one function.
	maxImports   = 1000
	maxFunctions = 1 << 18
	maxGlobals   = 1 << 17
	maxExports   = 1 << 16
	maxSegments  = 1 << 17
	maxElements  = 1 << 19 // In all segments together.
	maxTables    = 4
	maxTableSize = 1 << 18
	maxBody      = 512 << 10
	maxLocals    = 10_000
	// What compilation costs grows with the square of a function's blocks (50 ns each), with blocks
	// times locals (1 us each), and with locals times the square of loops (30 ns each). What Go
	// makes has up to 900 blocks, 20 locals and 3 loops. The sums keep a compilation under some
	// minutes of one core, whatever the module is.
	maxBlocks     = 1 << 13
	maxProduct    = 1 << 22
	maxInLoops    = 1 << 27
	maxAllLocals  = 1 << 24
	maxSquares    = 1 << 29
	maxProducts   = 1 << 25
	maxAllInLoops = 1 << 30
)

const wasiModule = "wasi_snapshot_preview1"

// Sections of a module.
const (
	sectionCustom = iota
	sectionType
	sectionImport
	sectionFunction
	sectionTable
	sectionMemory
	sectionGlobal
	sectionExport
	sectionStart
	sectionElement
	sectionCode
	sectionData
	sectionDataCount
)

// hardened is a module that can be compiled and run without fear for the process.
type hardened struct {
	binary []byte
	// memory is how many pages it begins with.
	memory uint32
	// imports is how many functions the module imports.
	imports uint32
	// calls is the index of the global that counts calls; it follows those of the module.
	calls   uint32
	counted bool
	// pages bounds the memory.
	pages uint32
}

// harden reads the structure of a module before the compiler does, and changes what the
// compiler would not bound. It refuses lengths that are not true, and numbers and sizes above
// the limits. It gives tables a bound to their growth. It lets functions count their calls in a
// global of their own, see walker. It lowers the most memory that the module says it can have to
// the limit. Custom sections (names, debugging) are left out.
func harden(module []byte, pages uint32) (*hardened, error) {
	body, ok := bytes.CutPrefix(module, []byte("\x00asm\x01\x00\x00\x00"))
	if !ok {
		return nil, errors.New("it is not a WebAssembly module (version 1)")
	}
	h := &hardened{binary: make([]byte, 0, len(module)+len(module)/8), pages: pages}
	h.binary = append(h.binary, module[:8]...)
	r := &binaryReader{b: body}
	for len(r.b) > 0 {
		id := r.byte()
		content := r.bytes(r.u32())
		if r.err != nil {
			return nil, r.err
		}
		if id == sectionCustom {
			continue
		}
		if id > sectionGlobal && !h.counted {
			h.append(sectionGlobal, h.globals(&binaryReader{b: []byte{0}}))
		}
		content, err := h.section(id, content)
		if err != nil {
			return nil, err
		}
		h.append(id, content)
	}
	return h, nil
}

func (h *hardened) append(id byte, content []byte) {
	h.binary = append(h.binary, id)
	h.binary = appendU32(h.binary, uint32(len(content)))
	h.binary = append(h.binary, content...)
}

// section checks the content of one section and gives what replaces it.
func (h *hardened) section(id byte, content []byte) ([]byte, error) {
	r := &binaryReader{b: content}
	switch id {
	case sectionType:
		types(r)
	case sectionImport:
		h.imports = imports(r)
	case sectionFunction:
		for range r.count("functions", maxFunctions) {
			r.u32()
		}
	case sectionTable:
		content = tables(r)
	case sectionMemory:
		content = h.memories(r)
	case sectionGlobal:
		content = h.globals(r)
	case sectionExport:
		for range r.count("exports", maxExports) {
			r.name()
			r.byte()
			r.u32()
		}
	case sectionStart:
		// It would run before there is a run.
		r.fail(errors.New("it has a start section: the code of a command begins at _start"))
	case sectionElement:
		elements(r)
	case sectionCode:
		content = h.code(r)
	case sectionData:
		data(r)
	case sectionDataCount:
		r.u32()
	default:
		r.fail(fmt.Errorf("section %d is not supported", id))
	}
	if r.err == nil && len(r.b) > 0 {
		r.err = errShort
	}
	return content, r.err
}

func types(r *binaryReader) {
	for range r.count("types", maxTypes) {
		if form := r.byte(); r.err == nil && form != 0x60 {
			r.fail(fmt.Errorf("type %#x is not supported", form))
		}
		for range 2 {
			for range r.count("parameters or results", maxValues) {
				r.valueType()
			}
		}
	}
}

func imports(r *binaryReader) uint32 {
	n := r.count("imports", maxImports)
	for range n {
		module, name := r.name(), r.name()
		kind := r.byte()
		r.u32()
		if r.err == nil && (module != wasiModule || kind != 0) {
			r.fail(fmt.Errorf("it imports %.100q of %.100q: there are only the functions of %s", name, module, wasiModule))
		}
		if r.err != nil {
			return 0
		}
	}
	return n
}

// tables bounds how far every table can grow.
func tables(r *binaryReader) []byte {
	n := r.count("tables", maxTables)
	to := appendU32(nil, n)
	for range n {
		to = append(to, r.valueType(), 1)
		least, most, bounded := r.limits()
		if least > maxTableSize {
			r.fail(fmt.Errorf("a table has %d elements, at most %d are allowed", least, maxTableSize))
		}
		if !bounded || most > maxTableSize {
			most = maxTableSize
		}
		to = appendU32(appendU32(to, least), most)
	}
	return to
}

// memories bounds how far the memory can grow.
func (h *hardened) memories(r *binaryReader) []byte {
	if r.count("memories", 1) == 0 {
		return []byte{0}
	}
	least, most, bounded := r.limits()
	if !bounded || most > h.pages {
		most = h.pages
	}
	h.memory = least
	return appendU32(appendU32([]byte{1, 1}, least), max(least, most))
}

func elements(r *binaryReader) {
	left := uint32(maxElements)
	for range r.count("element segments", maxSegments) {
		kind := r.u32()
		if kind > 7 {
			r.fail(fmt.Errorf("element segments of kind %d are not supported", kind))
		}
		// Bit 0: passive or declarative. Bit 1: with a table, or declarative. Bit 2: expressions.
		if kind&1 == 0 {
			if kind&2 != 0 {
				r.u32()
			}
			r.constant()
		}
		if kind&3 != 0 {
			r.byte() // Kind or type of the elements.
		}
		n := r.count("elements", left)
		left -= n
		for range n {
			if kind&4 != 0 {
				r.constant()
			} else {
				r.u32()
			}
		}
		if r.err != nil {
			return
		}
	}
}

func data(r *binaryReader) {
	for range r.count("data segments", maxSegments) {
		switch kind := r.u32(); kind {
		case 0:
			r.constant()
		case 1:
		case 2:
			r.u32()
			r.constant()
		default:
			r.fail(fmt.Errorf("data segments of kind %d are not supported", kind))
		}
		r.bytes(r.u32())
		if r.err != nil {
			return
		}
	}
}

// globals adds the one that counts calls.
func (h *hardened) globals(r *binaryReader) []byte {
	h.calls, h.counted = r.count("globals", maxGlobals), true
	own := r.b
	for range h.calls {
		r.valueType()
		r.byte()
		r.constant()
	}
	to := appendU32(nil, h.calls+1)
	to = append(to, own[:len(own)-len(r.b)]...)
	return append(to, 0x7f, 1, 0x41, 0, 0x0b) // A mutable i32 that begins with 0.
}

// code adds the checks, and bounds what compilation costs.
func (h *hardened) code(r *binaryReader) []byte {
	n := r.count("functions", maxFunctions)
	to := make([]byte, 0, len(r.b)+len(r.b)/8)
	to = appendU32(to, n)
	w := &walker{hardened: h, check: appendCheck(nil, h.calls)}
	var all costs
	for range n {
		body := r.bytes(r.u32())
		if len(body) > maxBody {
			r.fail(fmt.Errorf("a function has %d bytes, at most %d are allowed", len(body), maxBody))
		}
		f := &binaryReader{b: body, err: r.err}
		locals := uint64(0)
		for range f.count("groups of locals", maxLocals) {
			locals += uint64(f.u32())
			f.valueType()
		}
		if locals > maxLocals {
			f.fail(fmt.Errorf("a function has %d locals, at most %d are allowed", locals, maxLocals))
		}
		w.blocks, w.loops = 0, 0
		changed := w.function(f, append(w.to[:0], body[:len(body)-len(f.b)]...))
		if f.err == nil {
			f.err = all.add(locals, w.blocks, w.loops)
		}
		if f.err != nil {
			r.fail(f.err)
			return nil
		}
		to = appendU32(to, uint32(len(changed)))
		to = append(to, changed...)
	}
	return to
}

// costs is what grows faster than a module when it is compiled, summed over its functions.
type costs struct{ locals, squares, products, loops uint64 }

func (c *costs) add(locals, blocks, loops uint64) error {
	inLoops := (locals + 1) * loops * loops
	c.locals += locals
	c.squares += blocks * blocks
	c.products += locals * blocks
	c.loops += inLoops
	switch {
	case blocks > maxBlocks:
		return fmt.Errorf("a function has %d blocks, at most %d are allowed", blocks, maxBlocks)
	case locals*blocks > maxProduct, inLoops > maxInLoops:
		return fmt.Errorf("a function has %d locals, %d blocks and %d loops, which is too much together", locals, blocks, loops)
	case c.locals > maxAllLocals, c.squares > maxSquares, c.products > maxProducts, c.loops > maxAllInLoops:
		return errors.New("its functions have too many locals, blocks or loops in all")
	}
	return nil
}
