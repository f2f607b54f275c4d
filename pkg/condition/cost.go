package condition

import (
	"strings"

	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// bytesPerCost makes reading text cost what the language's own functions ask for it.
const bytesPerCost = 10

// comparing is what it costs to compare two values. The language counts only the first
// level of lists and maps; ours are as deep as a document.
func comparing(a, b ref.Val) uint64 { return min(extent(a), extent(b)) / bytesPerCost }

func extent(value ref.Val) uint64 {
	switch v := value.(type) {
	case *object:
		return uint64(weight(v.text))
	case *list:
		return uint64(weight(v.text))
	case *tokenValue:
		return uint64(v.AggregateSize(nil))
	case types.String:
		return uint64(len(v))
	case types.Bytes:
		return uint64(len(v))
	case traits.Lister:
		return extents(v, func(element ref.Val) uint64 { return extent(element) })
	case traits.Mapper:
		return extents(v, func(name ref.Val) uint64 { return extent(name) + extent(v.Get(name)) })
	}
	return 1
}

// extents adds up what a list or map holds, until it is clearly too much.
func extents(values traits.Iterable, extent func(ref.Val) uint64) uint64 {
	total := uint64(1)
	for it := values.Iterator(); it.HasNext() == types.True && total <= maxCost*bytesPerCost; {
		total += extent(it.Next())
	}
	return total
}

// costs tell the language what our functions, and comparisons of our values, have cost.
func (f *functions) costs() []cost.TrackerOption {
	options := f.regexes.costs()
	charged := func(args []ref.Val, _ ref.Val) *uint64 {
		spent := uint64(1)
		if t, ok := args[0].(*tokenValue); ok {
			spent = t.in.charge
		}
		return &spent
	}
	for _, function := range onFields {
		options = append(options, cost.OverloadTracker(overload(function.name), charged))
	}
	compared := func(args []ref.Val, _ ref.Val) *uint64 {
		spent := 1 + comparing(args[0], args[1])
		return &spent
	}
	return append(options, cost.OverloadTracker(overloads.Equals, compared), cost.OverloadTracker(overloads.NotEquals, compared))
}

// bytesPerLook is for what reads a text faster than bytesPerCost, such as counting its letters.
const bytesPerLook = 100

// costPerZone is about the time that a time zone takes to be found.
const costPerZone = 50

// dynamics is the cost of the language's own operators where they read much. The language
// knows that only by the types at compile time, and what documents hold has none.
type dynamics struct{}

// CallCost is the cost of a call, nil where the language counts well.
func (dynamics) CallCost(function, overloadID string, args []ref.Val, result ref.Val) *uint64 {
	spent := uint64(1)
	switch function {
	case operators.In:
		if _, isList := args[1].(traits.Lister); !isList {
			return nil
		}
		spent += extent(args[1]) / bytesPerCost
	case operators.Add:
		switch sum := result.(type) {
		case types.String, types.Bytes:
			spent += extent(sum) / bytesPerCost
		case traits.MutableLister:
			// What map and filter gather is not copied for each round.
			return nil
		case traits.Lister:
			// The language links lists rather than copying them, so that an element is found
			// by walking along all of them.
			spent += uint64(sum.Size().(types.Int))
		default:
			return nil
		}
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		if overloadID != "" {
			return nil
		}
		spent += comparing(args[0], args[1])
	case overloads.Size, overloads.TypeConvertString, overloads.TypeConvertBytes, overloads.TypeConvertInt, overloads.TypeConvertUint,
		overloads.TypeConvertDouble, overloads.TypeConvertBool, overloads.TypeConvertTimestamp, overloads.TypeConvertDuration:
		switch text := args[0].(type) {
		case types.String, types.Bytes:
			spent += extent(text) / bytesPerLook
		default:
			return nil
		}
	default:
		if !strings.HasPrefix(function, "get") || len(args) < 2 {
			return nil
		}
		// getHours and its like look a time zone up by its name, in a file.
		spent += costPerZone + extent(args[1])/bytesPerCost
	}
	return &spent
}
