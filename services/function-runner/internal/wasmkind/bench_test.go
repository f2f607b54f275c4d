package wasmkind

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// BenchmarkRun is one run of a compiled module: of one instruction, and of 3 MB from Go. With a
// pool it is one after a pause, in which the pool was filled.
func BenchmarkRun(b *testing.B) {
	for _, pool := range []int{-1, 4} {
		bench := newBench(b, Config{Pool: pool})
		bench.put("tiny", command(1, []byte{0x01}))
		bench.put("go", goModule(b, sampleSource))
		for _, name := range []string{"tiny", "go"} {
			b.Run(fmt.Sprintf("%s/pool=%d", name, pool), func(b *testing.B) {
				w := wire.WASMFunction{Module: name}
				for b.Loop() {
					if _, fail := bench.run(enough, w, `{"text":"a b"}`); fail != nil {
						b.Fatal(fail)
					}
					b.StopTimer()
					for e, _ := bench.kind.module(b.Context(), &w); ; time.Sleep(time.Millisecond) {
						if !e.module.wants() {
							bench.kind.cache.release(e)
							break
						}
					}
					b.StartTimer()
				}
			})
		}
	}
}
