package condition

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

const (
	// maxResult is how long the JSON text of a result may be, in bytes, maxResultDepth how deep
	// it may nest.
	maxResult      = 1 << 20
	maxResultDepth = 64

	limitResult      = "result_bytes"
	limitResultDepth = "result_depth"
)

// unfitError says why a value cannot be written as JSON.
type unfitError struct{ reason string }

func (e *unfitError) Error() string { return e.reason }

func unfit(format string, args ...any) error { return &unfitError{fmt.Sprintf(format, args...)} }

// write appends a value as JSON. from are the parts of the expression that it may have come
// from: a number or a text that one of them leads to is written as it stands in the document.
func (c *computation) write(value ref.Val, from []ast.Expr) error {
	if err := c.room(1); err != nil {
		return err
	}
	if text := c.asGiven(value, from); text != nil {
		return c.text(text)
	}
	switch v := value.(type) {
	case types.Null:
		return c.text(null)
	case types.Bool:
		c.out = strconv.AppendBool(c.out, bool(v))
	case types.Int:
		c.out = strconv.AppendInt(c.out, int64(v), 10)
	case types.Uint:
		c.out = strconv.AppendUint(c.out, uint64(v), 10)
	case types.Double:
		return c.double(float64(v))
	case types.String:
		return c.quote(string(v))
	case types.Bytes:
		if err := c.room(base64.StdEncoding.EncodedLen(len(v)) + 2); err != nil {
			return err
		}
		return c.quote(base64.StdEncoding.EncodeToString(v))
	case types.Timestamp:
		return c.quote(v.UTC().Format(time.RFC3339Nano))
	case types.Duration:
		return c.quote(v.String())
	case *object:
		return c.document(v)
	case *list:
		return c.text(v.text)
	case *tokenValue:
		return c.token(v)
	case *instanceValue:
		return c.instanceOf(v)
	case traits.Lister:
		return c.list(v, from)
	case traits.Mapper:
		return c.object(v, from)
	case *types.Err:
		return v
	default:
		return unfit("it gives %s, which is nothing that JSON has", kindOf(value))
	}
	return c.room(0)
}

// room fails where the result has no room for so many bytes more.
func (c *computation) room(bytes int) error {
	if len(c.out)+bytes > maxResult {
		return fault.New(fault.LimitExceeded, "the result is too large").With("limit", limitResult).With("max", maxResult)
	}
	return nil
}

func (c *computation) levels(more int) error {
	if c.depth+more > maxResultDepth {
		return fault.New(fault.LimitExceeded, "the result is too deep").With("limit", limitResultDepth).With("max", maxResultDepth)
	}
	return nil
}

// text appends a text that is known to be JSON.
func (c *computation) text(text []byte) error {
	if err := c.room(len(text)); err != nil {
		return err
	}
	if err := c.levels(levels(text)); err != nil {
		return err
	}
	c.out = append(c.out, text...)
	return nil
}

// levels is how deep a JSON text nests.
func levels(text []byte) int {
	depth, deepest := 0, 0
	for at := 0; at < len(text); at++ {
		switch text[at] {
		case '"':
			at = skipText(text, at) - 1
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	return deepest
}

func (c *computation) quote(text string) error {
	if err := c.room(len(text) + 2); err != nil {
		return err
	}
	return c.text(quoteJSON(text))
}

// double appends the shortest text that is read as the same number, and as a double: the
// language does not mix those with ints.
func (c *computation) double(number float64) error {
	if math.IsInf(number, 0) || math.IsNaN(number) {
		return unfit("it gives a number that JSON cannot hold, such as 1.0 / 0.0")
	}
	text, err := json.Marshal(number)
	if err != nil {
		return unfit("it gives a number that JSON cannot hold")
	}
	if isWhole(string(text)) {
		text = append(text, ".0"...)
	}
	return c.text(text)
}

// document appends an object of a document; an absent one is empty.
func (c *computation) document(o *object) error {
	if text := trimJSON(o.text); len(text) > 0 && text[0] == '{' {
		return c.text(text)
	}
	return c.text([]byte("{}"))
}

func (c *computation) token(t *tokenValue) error {
	if t.token.ID == "" && t.token.Data == nil {
		return unfit("%s is not known here", tokenVariable)
	}
	return c.marshal(t.token, t.AggregateSize(nil))
}

func (c *computation) instanceOf(i *instanceValue) error {
	if i.in.subject.Instance == nil {
		return unfit("%s is not known here", instanceVariable)
	}
	return c.marshal(i.instance, i.AggregateSize(nil))
}

func (c *computation) marshal(value any, weight uint32) error {
	if err := c.late(); err != nil {
		return err
	}
	// What is clearly too large is not worth the memory. Spaces in it may be left out.
	if weight/2 > maxResult/bytesPerValue {
		return c.room(maxResult + 1)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return unfit("it gives something that cannot be written as JSON: %s", shorten(err.Error()))
	}
	return c.text(text)
}

func (c *computation) list(l traits.Lister, from []ast.Expr) error {
	if err := c.levels(1); err != nil {
		return err
	}
	written := listsOf(from)
	c.depth++
	c.out = append(c.out, '[')
	index := 0
	for it := l.Iterator(); it.HasNext() == types.True; index++ {
		if index > 0 {
			c.out = append(c.out, ',')
		}
		if index%checkRendering == 0 {
			if err := c.late(); err != nil {
				return err
			}
		}
		if err := c.write(it.Next(), elementsAt(written, index)); err != nil {
			return err
		}
	}
	c.depth--
	c.out = append(c.out, ']')
	return c.room(0)
}

// checkRendering is after how many elements a look at the time is taken.
const checkRendering = 256

// object appends a map with its names sorted, so that equal values have equal texts.
func (c *computation) object(m traits.Mapper, from []ast.Expr) error {
	if err := c.levels(1); err != nil {
		return err
	}
	// Each member takes five bytes at least, such as "":1, and the last no comma.
	if size, ok := m.Size().(types.Int); !ok || size > maxResult/4 {
		return c.room(maxResult + 1)
	}
	var names []string
	for it := m.Iterator(); it.HasNext() == types.True; {
		name, ok := it.Next().(types.String)
		if !ok {
			return unfit("it gives a map with a name that is no text; JSON has only texts, such as {\"1\": true}")
		}
		names = append(names, string(name))
	}
	slices.Sort(names)
	written := mapsOf(from)
	c.depth++
	c.out = append(c.out, '{')
	for i, name := range names {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		if err := c.quote(name); err != nil {
			return err
		}
		c.out = append(c.out, ':')
		if err := c.write(m.Get(types.String(name)), membersOf(written, name)); err != nil {
			return err
		}
	}
	c.depth--
	c.out = append(c.out, '}')
	return c.room(0)
}

// asGiven is the text of a number or a text in the document that it came from, nil where it
// was computed.
func (c *computation) asGiven(value ref.Val, from []ast.Expr) []byte {
	switch v := value.(type) {
	case types.Double, types.String:
	case types.Int:
		if v != 0 { // -0 is the only other text of an int
			return nil
		}
	default:
		return nil
	}
	for _, origin := range ways(from) {
		if c.late() != nil {
			return nil
		}
		text := c.textOf(origin)
		if len(text) == 0 || text[0] == '{' || text[0] == '[' {
			continue
		}
		if given := valueOf(text); given.Type() == value.Type() && given.Equal(value) == types.True {
			return text
		}
	}
	return nil
}

// ways replaces conditionals by what they may choose.
func ways(from []ast.Expr) []ast.Expr {
	if !slices.ContainsFunc(from, isConditional) {
		return from
	}
	var all []ast.Expr
	for _, origin := range from {
		if isConditional(origin) {
			all = append(all, ways(origin.AsCall().Args()[1:])...)
		} else {
			all = append(all, origin)
		}
	}
	return all
}

func isConditional(p ast.Expr) bool {
	return p.Kind() == ast.CallKind && p.AsCall().FunctionName() == operators.Conditional
}

func listsOf(from []ast.Expr) (lists []ast.ListExpr) {
	for _, origin := range ways(from) {
		if origin.Kind() == ast.ListKind {
			lists = append(lists, origin.AsList())
		}
	}
	return lists
}

func elementsAt(lists []ast.ListExpr, index int) (elements []ast.Expr) {
	for _, l := range lists {
		if written := l.Elements(); index < len(written) {
			elements = append(elements, written[index])
		}
	}
	return elements
}

func mapsOf(from []ast.Expr) (maps []ast.MapExpr) {
	for _, origin := range ways(from) {
		if origin.Kind() == ast.MapKind {
			maps = append(maps, origin.AsMap())
		}
	}
	return maps
}

func membersOf(maps []ast.MapExpr, name string) (members []ast.Expr) {
	for _, m := range maps {
		for _, entry := range m.Entries() {
			if key, ok := literalText(entry.AsMapEntry().Key()); ok && key == name {
				members = append(members, entry.AsMapEntry().Value())
			}
		}
	}
	return members
}
