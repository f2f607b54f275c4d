package projector

import "encoding/hex"

// kind is what an item of the view is.
type kind uint8

const (
	tokenItem kind = iota
	recordItem
	timeoutItem
	purgeItem
)

// key identifies an item within its workflow.
type key struct {
	kind kind
	id   [16]byte
}

// parseID reads a lower-case UUID.
func parseID(s string) (id [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	var digits [32]byte
	n := 0
	for i := range len(s) {
		c := s[i]
		if i == 8 || i == 13 || i == 18 || i == 23 {
			continue
		}
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return id, false
		}
		digits[n] = c
		n++
	}
	_, err := hex.Decode(id[:], digits[:])
	return id, err == nil
}

// position is what is known of an item's messages in the view: the last one, and the one
// that will be the last when a tombstone has expired (0: none).
type position struct {
	last, put uint64
	// clearedAt is when the tombstone was written, in seconds of the projection's life.
	clearedAt int32
}

// known remembers the positions of the items that were written last, a bounded number. It
// has two generations: when the young one is full, the old one is dropped.
type known struct {
	young, old map[key]position
	limit      int
}

func newKnown(limit int) known { return known{limit: max(limit/2, 1)} }

func (k *known) get(id key) (position, bool) {
	if p, ok := k.young[id]; ok {
		return p, true
	}
	p, ok := k.old[id]
	return p, ok
}

func (k *known) put(id key, p position) {
	if len(k.young) >= k.limit {
		k.old, k.young = k.young, nil
	}
	if k.young == nil {
		k.young = map[key]position{}
	}
	k.young[id] = p
}

func (k *known) forget(id key) {
	delete(k.young, id)
	delete(k.old, id)
}
