package render

import (
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
)

var orderFunctions = map[string]func(order int) bool{
	"lt": func(order int) bool { return order < 0 },
	"le": func(order int) bool { return order <= 0 },
	"gt": func(order int) bool { return order > 0 },
	"ge": func(order int) bool { return order >= 0 },
}

// equal reports whether the first value is one of the others.
func equal(args []any) (any, error) {
	if len(args) < 2 {
		return nil, errors.New("needs two values or more")
	}
	for _, other := range args[1:] {
		same, err := isSame(args[0], other)
		if err != nil || same {
			return same, err
		}
	}
	return false, nil
}

func notEqual(args []any) (any, error) {
	same, err := isSame(args[0], args[1])
	return !same, err
}

// isSame takes values of two kinds for different; those that have members are not compared.
func isSame(a, b any) (bool, error) {
	for _, value := range []any{a, b} {
		switch value.(type) {
		case []any, map[string]any:
			return false, errors.New("compares texts, numbers, truths and null, and has " + kind(value))
		}
	}
	if order, ok := order(a, b); ok {
		return order == 0, nil
	}
	return a == b, nil
}

func inOrder(f func(order int) bool) function {
	return func(args []any) (any, error) {
		order, ok := order(args[0], args[1])
		if !ok {
			return nil, errors.New("compares two numbers or two texts, and has " + kind(args[0]) + " and " + kind(args[1]))
		}
		return f(order), nil
	}
}

func order(a, b any) (int, bool) {
	if a, ok := a.(string); ok {
		b, ok := b.(string)
		return strings.Compare(a, b), ok
	}
	x, okX := number(a)
	y, okY := number(b)
	if !okX || !okY {
		return 0, false
	}
	if x.isWhole && y.isWhole {
		return cmp.Compare(x.whole, y.whole), true
	}
	return cmp.Compare(x.float, y.float), true
}

// numeric is a number, exact where it is whole and fits.
type numeric struct {
	whole   int64
	float   float64
	isWhole bool
}

func number(value any) (numeric, bool) {
	switch n := value.(type) {
	case int:
		return numeric{int64(n), float64(n), true}, true
	case int64:
		return numeric{n, float64(n), true}, true
	case float64:
		return numeric{float: n}, !math.IsNaN(n)
	case json.Number:
		if whole, err := n.Int64(); err == nil {
			return numeric{whole, float64(whole), true}, true
		}
		float, err := strconv.ParseFloat(n.String(), 64)
		return numeric{float: float}, err == nil || errors.Is(err, strconv.ErrRange)
	}
	return numeric{}, false
}
