package bus

import (
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// PageSize is the limit of a list request: the default for 0, or fault.InvalidField when it
// is out of bounds.
func PageSize(limit int) (int, error) {
	switch {
	case limit == 0:
		return wire.DefaultPage, nil
	case limit < 0, limit > wire.MaxPage:
		return 0, fault.New(fault.InvalidField, "limit must be 1 to %d, not %d", wire.MaxPage, limit).With("field", "limit")
	}
	return limit, nil
}
