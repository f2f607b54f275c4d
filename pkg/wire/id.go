package wire

import (
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/google/uuid"
)

// MaxBirths is the largest birth number: how many tokens one instance can ever have had.
const MaxBirths = 1<<16 - 1

// NewInstanceID makes the id of an instance, which is also the id of its root token: a
// UUID v8 (RFC 9562) of 48-bit Unix milliseconds, the low 26 bits of seed, a 16-bit birth
// number (0) and the first 32 bits of the workflow's UUID. It is not a secret.
func NewInstanceID(workflowID string, unixMilli int64, seed uint32) (string, error) {
	w, err := uuid.Parse(workflowID)
	if err != nil {
		return "", err
	}
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:8], uint64(unixMilli)<<16)
	id[6] = 0x80 | byte(seed>>22)&0x0f
	id[7] = byte(seed >> 14)
	id[8] = 0x80 | byte(seed>>8)&0x3f
	id[9] = byte(seed)
	copy(id[12:], w[:4])
	return id.String(), nil
}

// An id is 36 characters; the birth number stands in 24..28, the workflow's prefix in 28..36.
const (
	birthFrom  = 24
	prefixFrom = 28
	idLength   = 36
)

// IsRoutedID reports whether id has the form that NewInstanceID and TokenID make: a
// lower-case UUID v8.
func IsRoutedID(id string) bool {
	return IsUUID(id) && id[14] == '8'
}

// IsUUID reports whether s is a UUID in its lower-case, hyphenated form, the only form
// that appears in a subject.
func IsUUID(s string) bool {
	if len(s) != idLength || strings.ToLower(s) != s {
		return false
	}
	_, err := uuid.Parse(s)
	return err == nil
}

// TokenID is the id of the token with this birth number in an instance; number 0 is the
// root token and gives the instance's own id.
func TokenID(instanceID string, birth uint16) string {
	if len(instanceID) != idLength {
		return ""
	}
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], birth)
	return instanceID[:birthFrom] + hex.EncodeToString(b[:]) + instanceID[prefixFrom:]
}

// InstanceOf is the instance that a token belongs to: its id with the birth number 0.
func InstanceOf(tokenID string) string { return TokenID(tokenID, 0) }

// BirthOf is the birth number in a token's id.
func BirthOf(tokenID string) uint16 {
	if len(tokenID) != idLength {
		return 0
	}
	b, err := hex.DecodeString(tokenID[birthFrom:prefixFrom])
	if err != nil {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

// WorkflowPrefixOf is the first eight hexadecimal digits of the UUID of the workflow that
// an instance or token belongs to. Two workflows can share it: try both.
func WorkflowPrefixOf(id string) string {
	if len(id) != idLength {
		return ""
	}
	return id[prefixFrom:]
}
