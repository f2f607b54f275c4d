package work

import (
	"crypto/sha256"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// ID makes the id of an execution from what it is about: the same words give the same id. It is
// a UUID v8 (RFC 9562) of their SHA-256.
func ID(words ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(words, "\x00")))
	var id uuid.UUID
	copy(id[:], sum[:])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

func sequence(n uint64) string { return strconv.FormatUint(n, 10) }
