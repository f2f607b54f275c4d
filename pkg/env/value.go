package env

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Secret is a value that must not be seen. Only Reveal gives it away.
type Secret string

const redacted = "(secret)"

// String hides the value, so that no logger or %v prints it.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalJSON hides the value.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// Reveal is the value.
func (s Secret) Reveal() string { return string(s) }

// Bytes is a size, written as a number of bytes or with a unit: 64KB, 512MiB, 10GB.
type Bytes int64

var units = [...]struct {
	suffix string
	factor int64
}{
	{"KIB", 1 << 10},
	{"MIB", 1 << 20},
	{"GIB", 1 << 30},
	{"TIB", 1 << 40},
	{"KB", 1000},
	{"MB", 1000 * 1000},
	{"GB", 1000 * 1000 * 1000},
	{"TB", 1000 * 1000 * 1000 * 1000},
	{"B", 1},
	{"", 1},
}

// UnmarshalText reads a size.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.ToUpper(strings.TrimSpace(string(text)))
	for _, unit := range units {
		number, ok := strings.CutSuffix(s, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 0 || (n*unit.factor)/unit.factor != n {
			return fmt.Errorf("not %s", b.wanted())
		}
		*b = Bytes(n * unit.factor)
		return nil
	}
	return fmt.Errorf("not %s", b.wanted())
}

func (Bytes) wanted() string { return "a size such as 1048576, 64MB or 10GiB" }
