package condition

import (
	"math"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// The language compares an int with a double as doubles, so that beyond 2^53 neighbours are
// the same. The functions on fields compare the two as the numbers that they are.

// equal reports whether two values are equal.
func equal(a, b ref.Val) ref.Val {
	if order, mixed := compareMixed(a, b); mixed {
		return types.Bool(order == types.IntZero)
	}
	return types.Equal(a, b)
}

// holding reports whether one of the elements is the value.
func holding(elements traits.Lister, value ref.Val) ref.Val {
	switch value.(type) {
	case types.Int, types.Double:
	default:
		return elements.Contains(value)
	}
	for it := elements.Iterator(); it.HasNext() == types.True; {
		if equal(it.Next(), value) == types.True {
			return types.True
		}
	}
	return types.False
}

// unordered is the order of what is no number.
const unordered = types.Int(2)

// compareMixed compares an int and a double, in either order; others are not mixed.
func compareMixed(a, b ref.Val) (order types.Int, mixed bool) {
	switch x := a.(type) {
	case types.Int:
		if y, ok := b.(types.Double); ok {
			return compareExactly(int64(x), float64(y)), true
		}
	case types.Double:
		if y, ok := b.(types.Int); ok {
			order = compareExactly(int64(y), float64(x))
			if order != unordered {
				order = -order
			}
			return order, true
		}
	}
	return 0, false
}

func compareExactly(whole int64, decimal float64) types.Int {
	switch {
	case math.IsNaN(decimal):
		return unordered
	case decimal >= 1<<63:
		return types.IntNegOne
	case decimal < -1<<63:
		return types.IntOne
	}
	floor := math.Floor(decimal)
	switch {
	case whole > int64(floor):
		return types.IntOne
	case whole < int64(floor) || decimal > floor:
		return types.IntNegOne
	}
	return types.IntZero
}
