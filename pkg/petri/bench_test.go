package petri

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func document2KB() json.RawMessage {
	var b strings.Builder
	b.WriteString(`{"lines":[`)
	for i := range 40 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"sku":"article-%03d","amount":%d,"price":%d.50}`, i, i, i*3)
	}
	b.WriteString(`],"title":"order"}`)
	return json.RawMessage(b.String())
}

func benchmarkFire(b *testing.B, definition, place string, cmd Fire) {
	e := newTestEngine(b, definition)
	e.create(place, string(document2KB()))
	meta := Meta{Time: e.now, RequestID: "3f6c1f1f-2a10-4a52-9d3b-0b5e2c7a0e6b", Digest: "0123456789abcdef"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decide(e.net, e.state, cmd, meta, e.limits); err != nil {
			b.Fatal(err)
		}
	}
}

// A move must not look inside a document of 2 KB.
func BenchmarkMove(b *testing.B) {
	benchmarkFire(b, reviewNet, "draft", Fire{TransitionID: "submit"})
}

func BenchmarkMoveWithPatch(b *testing.B) {
	benchmarkFire(b, reviewNet, "draft", Fire{TransitionID: "submit", Data: json.RawMessage(`{"by":"ann"}`)})
}

func BenchmarkSplit(b *testing.B) {
	benchmarkFire(b, reviewNet, "review", Fire{TransitionID: "check"})
}

func BenchmarkApplyMove(b *testing.B) {
	e := newTestEngine(b, reviewNet)
	e.create("draft", string(document2KB()))
	before := e.state
	ev := e.do(Fire{TransitionID: "submit"})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Apply(before, ev, 99); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNormalize2KB(b *testing.B) {
	raw := document2KB()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Normalize(raw, maxDataDepth); err != nil {
			b.Fatal(err)
		}
	}
}
