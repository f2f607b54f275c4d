package projector

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestWindowIsCompleteUpToTheFirstOpenEvent(t *testing.T) {
	t.Parallel()
	type open struct{ ticket, sequence uint64 }
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		var w window
		var pending []open
		sequence := uint64(0)
		for range 2000 {
			if r.IntN(2) == 0 || len(pending) == 0 {
				sequence += 1 + uint64(r.IntN(3))
				n := r.IntN(3)
				ticket := w.add(sequence, n, time.Now())
				for range n {
					pending = append(pending, open{ticket, sequence})
				}
			} else {
				k := r.IntN(len(pending))
				w.done(pending[k].ticket)
				pending = append(pending[:k], pending[k+1:]...)
			}
			for _, p := range pending {
				if p.sequence <= w.low {
					t.Fatalf("complete up to %d, but event %d is open", w.low, p.sequence)
				}
			}
			if len(pending) == 0 && w.low != sequence {
				t.Fatalf("nothing is open, and yet complete only up to %d of %d", w.low, sequence)
			}
		}
	}
}

func TestKnownIsBoundedAndKeepsTheNewest(t *testing.T) {
	t.Parallel()
	k := newKnown(100)
	id := func(n int) key { return key{id: [16]byte{byte(n), byte(n >> 8)}} }
	for n := range 1000 {
		k.put(id(n), position{last: uint64(n)})
		if size := len(k.young) + len(k.old); size > 100 {
			t.Fatalf("%d positions are kept, at most 100 should be", size)
		}
	}
	for n := 960; n < 1000; n++ {
		if p, ok := k.get(id(n)); !ok || p.last != uint64(n) {
			t.Errorf("position %d: %v %t", n, p, ok)
		}
	}
	k.forget(id(999))
	if _, ok := k.get(id(999)); ok {
		t.Error("a forgotten position is remembered")
	}
}
