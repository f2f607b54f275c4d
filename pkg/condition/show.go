package condition

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// show writes a value as JSON, no longer than an explanation bears.
func show(value ref.Val) string {
	var b strings.Builder
	writeValue(&b, value)
	return clip(b.String(), maxValue)
}

func writeValue(b *strings.Builder, value ref.Val) {
	if b.Len() > maxValue {
		return
	}
	switch v := value.(type) {
	case types.String:
		b.Write(quoteJSON(clip(string(v), maxValue)))
	case types.Double:
		b.WriteString(decimal(float64(v)))
	case types.Timestamp:
		b.WriteString(v.UTC().Format(time.RFC3339Nano))
	case types.Duration:
		b.WriteString(v.Duration.String())
	case types.Null:
		b.WriteString("null")
	case *tokenValue:
		b.WriteString("the token " + v.token.ID)
	case *instanceValue:
		b.WriteString("the instance " + v.instance.ID)
	case *object:
		writeObject(b, v)
	case traits.Lister:
		b.WriteByte('[')
		separator := ""
		for it := v.Iterator(); it.HasNext() == types.True && b.Len() <= maxValue; separator = "," {
			b.WriteString(separator)
			writeValue(b, it.Next())
		}
		b.WriteByte(']')
	case traits.Mapper:
		b.WriteByte('{')
		separator := ""
		for it := v.Iterator(); it.HasNext() == types.True && b.Len() <= maxValue; separator = "," {
			name := it.Next()
			b.WriteString(separator)
			writeValue(b, name)
			b.WriteByte(':')
			writeValue(b, v.Get(name))
		}
		b.WriteByte('}')
	default:
		fmt.Fprint(b, value.Value())
	}
}

// writeObject keeps the order that the document has.
func writeObject(b *strings.Builder, o *object) {
	o.index()
	b.WriteByte('{')
	for i := range o.members {
		if b.Len() > maxValue {
			break
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(quoteJSON(string(o.members[i].name)))
		b.WriteByte(':')
		writeValue(b, o.get(i))
	}
	b.WriteByte('}')
}

func decimal(number float64) string {
	if math.IsInf(number, 0) || math.IsNaN(number) {
		return "a number out of range"
	}
	if number == math.Trunc(number) && math.Abs(number) < 1e15 {
		return strconv.FormatFloat(number, 'f', -1, 64)
	}
	return strconv.FormatFloat(number, 'g', -1, 64)
}
