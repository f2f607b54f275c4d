package view

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

// A cursor is where the next page begins, bound to the filter that it belongs to.
const (
	cursorVersion = 1
	filterBytes   = 6
	cursorBytes   = 1 + filterBytes + 8
)

func encodeCursor(filter string, from uint64) string {
	sum := sha256.Sum256([]byte(filter))
	b := append([]byte{cursorVersion}, sum[:filterBytes]...)
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(b, from))
}

// decodeCursor is where to begin; an empty cursor is the beginning.
func decodeCursor(filter, cursor string) (uint64, error) {
	if cursor == "" {
		return 1, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(b) != cursorBytes || b[0] != cursorVersion {
		return 0, fault.New(fault.InvalidField, "cursor is not one that a list returned").With("field", "cursor")
	}
	sum := sha256.Sum256([]byte(filter))
	if string(b[1:1+filterBytes]) != string(sum[:filterBytes]) {
		return 0, fault.New(fault.InvalidField, "cursor belongs to a list with another filter").With("field", "cursor")
	}
	return binary.BigEndian.Uint64(b[1+filterBytes:]), nil
}
