package wasmkind

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// errShort: the module ends where more should come, or a length is not true.
var errShort = errors.New("the module is cut off, or a length in it is wrong")

// binaryReader reads the WebAssembly binary format, strictly: what it takes, every decoder
// reads in the same way. After an error it gives zeros and stays at its place.
type binaryReader struct {
	b   []byte
	err error
}

func (r *binaryReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *binaryReader) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.b)) {
		r.fail(errShort)
		return nil
	}
	taken := r.b[:n:n]
	r.b = r.b[n:]
	return taken
}

func (r *binaryReader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// u32 reads an unsigned LEB128 number.
func (r *binaryReader) u32() uint32 {
	var n uint32
	for shift := 0; ; shift += 7 {
		b := r.byte()
		if shift == 28 && b > 0x0f {
			r.fail(errors.New("a number has more than 32 bits"))
		}
		if r.err != nil {
			return 0
		}
		n |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
}

// skipLEB passes over a signed LEB128 number of at most so many bytes.
func (r *binaryReader) skipLEB(most int) {
	for range most {
		if r.byte() < 0x80 {
			return
		}
	}
	r.fail(errors.New("a number is too long"))
}

// count reads the length of a list, whose elements have a byte each at least. A decoder that
// believes every length makes room for four thousand million elements first.
func (r *binaryReader) count(of string, most uint32) uint32 {
	n := r.u32()
	if n > most {
		r.fail(fmt.Errorf("it has %d %s, at most %d are allowed", n, of, most))
		return 0
	}
	if uint64(n) > uint64(len(r.b)) {
		r.fail(errShort)
		return 0
	}
	return n
}

func (r *binaryReader) name() string { return string(r.bytes(r.u32())) }

// valueType passes over the type of a value: those of WebAssembly 2.0 have one byte.
func (r *binaryReader) valueType() byte {
	t := r.byte()
	switch t {
	case 0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f:
	default:
		r.fail(fmt.Errorf("value type %#x is not supported", t))
	}
	return t
}

// limits reads the size of a table or memory.
func (r *binaryReader) limits() (least, most uint32, bounded bool) {
	switch flag := r.byte(); flag {
	case 0:
		return r.u32(), 0, false
	case 1:
		return r.u32(), r.u32(), true
	default:
		r.fail(fmt.Errorf("limits of kind %#x are not supported", flag))
		return 0, 0, false
	}
}

// constant passes over a constant expression.
func (r *binaryReader) constant() {
	for r.err == nil {
		switch op := r.byte(); op {
		case 0x0b: // end
			return
		case 0x41, 0x23, 0xd2: // i32.const, global.get, ref.func
			r.skipLEB(5)
		case 0x42: // i64.const
			r.skipLEB(10)
		case 0x43: // f32.const
			r.bytes(4)
		case 0x44: // f64.const
			r.bytes(8)
		case 0xd0: // ref.null
			r.valueType()
		case 0xfd: // v128.const
			if r.u32() != 12 {
				r.fail(errors.New("a constant expression has an instruction that is not constant"))
			}
			r.bytes(16)
		default:
			r.fail(fmt.Errorf("instruction %#x in a constant expression is not supported", op))
		}
	}
}

// appendU32 writes an unsigned LEB128 number.
func appendU32(to []byte, n uint32) []byte { return binary.AppendUvarint(to, uint64(n)) }
