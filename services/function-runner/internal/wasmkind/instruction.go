package wasmkind

import "fmt"

const opLoop = 0x03

// emptyLoop is where wazero looks whether the run is over: loop, end.
var emptyLoop = []byte{opLoop, 0x40, 0x0b}

// appendCheck adds code that counts in a global, and looks at every 256th time: to look takes
// wazero 80 ns, to count takes less than one.
func appendCheck(to []byte, global uint32) []byte {
	to = appendU32(append(to, 0x23), global) // global.get
	to = append(to, 0x41, 1, 0x6a)           // i32.const 1, i32.add
	to = appendU32(append(to, 0x24), global) // global.set
	to = appendU32(append(to, 0x23), global) // global.get
	to = append(to, 0x41, 0xff, 0x01)        // i32.const 255
	to = append(to, 0x71, 0x45, 0x04, 0x40)  // i32.and, i32.eqz, if
	return append(append(to, emptyLoop...), 0x0b)
}

// checkedBlocks is how many blocks the compiler makes of a check and the instruction after it,
// about: filling a memory is a loop for it.
const checkedBlocks = 8

// walker goes through the instructions of functions and puts checks where wazero has none, which
// looks in loops alone: at the beginning of a function, because recursion needs no loop; before
// instructions that move or make a whole memory; and before calls of the host. So everything
// that can take long ends soon after the run's time.
type walker struct {
	*hardened
	check []byte
	to    []byte
	// blocks and loops are how many there are in the function; branches of tables count as blocks.
	blocks, loops uint64
}

// function copies the instructions of one function, with checks. What it gives is good until the
// next call.
func (w *walker) function(r *binaryReader, to []byte) []byte {
	w.to = to
	if len(r.b) > 0 && r.b[0] != opLoop { // As nearly all that Go makes.
		w.to = append(w.to, w.check...)
	}
	rest := r.b
	for len(r.b) > 0 && r.err == nil {
		before := r.b
		if check := w.instruction(r); check != nil {
			w.blocks += checkedBlocks
			w.to = append(w.to, rest[:len(rest)-len(before)]...)
			w.to = append(w.to, check...)
			rest = before
		}
	}
	w.to = append(w.to, rest...)
	return w.to
}

// instruction passes over one instruction, and gives the check that goes before it.
func (w *walker) instruction(r *binaryReader) []byte {
	switch op := r.byte(); {
	case op <= 0x01, op == 0x05, op == 0x0b, op == 0x0f, op == 0x1a, op == 0x1b, 0x45 <= op && op <= 0xc4, op == 0xd1:
	case 0x02 <= op && op <= 0x04: // block, loop, if
		w.blocks++
		if op == opLoop {
			w.loops++
		}
		r.skipLEB(5)
	case op == 0x0c, op == 0x0d, 0x20 <= op && op <= 0x22, op == 0x25, op == 0x26, op == 0xd2:
		r.u32()
	case op == 0x0e: // br_table
		n := r.count("branches", maxBody)
		w.blocks += uint64(n)
		for range n {
			r.u32()
		}
		r.u32()
	case op == 0x10: // call
		if r.u32() < w.imports {
			return emptyLoop
		}
	case op == 0x11: // call_indirect
		r.u32()
		r.u32()
	case op == 0x1c: // select with types
		for range r.count("types of a select", 1) {
			r.valueType()
		}
	case op == 0x23, op == 0x24: // global.get, global.set
		if i := r.u32(); i >= w.calls {
			r.fail(fmt.Errorf("it has no global %d", i))
		}
	case 0x28 <= op && op <= 0x3e: // loads and stores
		r.u32()
		r.u32()
	case op == 0x3f: // memory.size
		r.byte()
	case op == 0x40: // memory.grow
		r.byte()
		return w.check
	case op == 0x41:
		r.skipLEB(5)
	case op == 0x42:
		r.skipLEB(10)
	case op == 0x43:
		r.bytes(4)
	case op == 0x44:
		r.bytes(8)
	case op == 0xd0: // ref.null
		r.valueType()
	case op == 0xfc:
		return w.bulk(r)
	case op == 0xfd:
		w.vector(r)
	default:
		r.fail(fmt.Errorf("instruction %#x is not supported", op))
	}
	return nil
}

func (w *walker) bulk(r *binaryReader) []byte {
	switch op := r.u32(); op {
	case 0, 1, 2, 3, 4, 5, 6, 7: // Conversions.
		return nil
	case 9, 13: // data.drop, elem.drop
		r.u32()
		return nil
	case 16: // table.size
		r.u32()
		return nil
	case 8: // memory.init
		r.u32()
		r.byte()
	case 10: // memory.copy
		r.bytes(2)
	case 11: // memory.fill
		r.byte()
	case 12, 14: // table.init, table.copy
		r.u32()
		r.u32()
	case 15, 17: // table.grow, table.fill
		r.u32()
	default:
		r.fail(fmt.Errorf("instruction 0xfc %d is not supported", op))
	}
	return w.check
}

func (w *walker) vector(r *binaryReader) {
	switch op := r.u32(); {
	case op <= 11, op == 92, op == 93: // Loads and stores.
		r.u32()
		r.u32()
	case op == 12, op == 13: // v128.const, i8x16.shuffle
		r.bytes(16)
	case 21 <= op && op <= 34: // Lanes.
		r.byte()
	case 84 <= op && op <= 91: // Loads and stores of lanes.
		r.u32()
		r.u32()
		r.byte()
	case op > 255:
		r.fail(fmt.Errorf("instruction 0xfd %d is not supported", op))
	}
}
