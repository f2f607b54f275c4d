package wasmkind

import (
	"context"
	"testing"

	"github.com/tetratelabs/wazero"
)

// FuzzModule: bytes that nobody vouches for end in an error, not in a panic.
func FuzzModule(f *testing.F) {
	f.Add(command(1, []byte{0x01}))
	f.Add(command(1, []byte{opLoop, 0x40, 0x0c, 0, 0x0b}, []byte{0x10, 0}))
	f.Add(command(1, []byte{0x41, 0, 0x41, 0, 0x41, 10, 0xfc, 11, 0}))
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x01\x05\xff\xff\xff\xff\x0f"))
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x0a\x08\x01\x06\x01\xff\xff\xff\xff\x0f\x7f\x0b"))
	cache := wazero.NewCompilationCache()
	f.Fuzz(func(_ *testing.T, body []byte) {
		_, _ = harden(body, 16) // Here nothing recovers.
		m, err := compile(context.Background(), body, 16, 1, cache, &counts{})
		if err == nil {
			m.close()
		}
	})
}

// TestLengthsThatAreNotTrue: a decoder that believed these would ask for gigabytes.
func TestLengthsThatAreNotTrue(t *testing.T) {
	t.Parallel()
	for id := byte(1); id <= sectionDataCount; id++ {
		for _, count := range []uint32{1 << 16, 1 << 31, 1<<32 - 1} {
			module := append([]byte("\x00asm\x01\x00\x00\x00"), section(id, appendU32(nil, count)...)...)
			if _, err := harden(module, 1); err == nil && id != sectionDataCount {
				t.Errorf("section %d with %d elements was taken", id, count)
			}
		}
	}
}

// TestCompilationIsBounded: each of these would take minutes, or gigabytes.
func TestCompilationIsBounded(t *testing.T) {
	t.Parallel()
	repeat := func(n int, code ...byte) (all []byte) {
		for range n {
			all = append(all, code...)
		}
		return all
	}
	for name, module := range map[string][]byte{
		"blocks": command(1, repeat(maxBlocks+1, 0x02, 0x40, 0x0b)),
		"tables": command(1, append(appendU32([]byte{0x41, 0, 0x0e}, maxBlocks+1), make([]byte, maxBlocks+2)...)),
		"body":   command(1, repeat(maxBody, 0x01)),
		"many":   command(1, repeatFunction(16, repeat(maxBlocks, 0x02, 0x40, 0x0b))...),
	} {
		if _, err := harden(module, 1); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func repeatFunction(n int, code []byte) (all [][]byte) {
	for range n {
		all = append(all, code)
	}
	return all
}
