package condition

import (
	"bytes"
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
		b.WriteString(spell(v.Duration))
	case types.Bytes:
		fmt.Fprint(b, []byte(v[:min(len(v), maxValue)]))
	case types.Null:
		b.WriteString("null")
	case *tokenValue:
		b.WriteString("the token " + v.token.ID)
	case *instanceValue:
		b.WriteString("the instance " + v.instance.ID)
	case *object:
		writeObject(b, v)
	case *list:
		writeList(b, v)
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

// writeObject reads no more of an object than it shows, in the order that the document has.
func writeObject(b *strings.Builder, o *object) {
	b.WriteByte('{')
	separator := ""
	if begin := bytes.IndexByte(o.text, '{'); begin >= 0 { // an absent document has none
		for name, at, end := o.next(begin + 1); end > 0 && b.Len() <= maxValue; name, at, end = o.next(end) {
			b.WriteString(separator)
			b.Write(quoteJSON(clip(unquote(name), maxValue)))
			b.WriteByte(':')
			writeValue(b, valueOf(o.text[at:end]))
			separator = ","
		}
	}
	b.WriteByte('}')
}

// writeList reads no more of a list than it shows.
func writeList(b *strings.Builder, l *list) {
	b.WriteByte('[')
	separator := ""
	for at := gap(l.text, 1); at < len(l.text) && l.text[at] != ']' && b.Len() <= maxValue; at = gap(l.text, at) {
		end := skip(l.text, at)
		b.WriteString(separator)
		writeValue(b, valueOf(l.text[at:end]))
		at, separator = end, ","
	}
	b.WriteByte(']')
}

// spell writes a duration without the nanoseconds that a clock gives to an age.
func spell(d time.Duration) string {
	if d.Abs() >= time.Second {
		d = d.Round(time.Second)
	}
	return d.String()
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
