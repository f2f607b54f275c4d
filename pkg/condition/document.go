package condition

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/seed-42b4788c/circuit-breaker/pkg/jsonscan"
)

// manyMembers is from how many members on an object is searched through a map.
const manyMembers = 64

// smallObject is up to what length an object is read anew for each question: that takes less
// than an index.
const smallObject = 256

// bytesPerValue turns the length of a JSON text into the memory that it counts for.
const bytesPerValue = 4

// object is a JSON object as a CEL map. One level is indexed when it is first asked, and a
// member is converted when it is first asked for. The text is known to be JSON.
type object struct {
	text    []byte
	members []member
	// byName finds members where they are many.
	byName map[string]int
	whole  traits.Mapper
}

// member is one member of an object: its name, where its text begins and ends, and its value
// once it was asked for.
type member struct {
	name    []byte
	at, end uint32
	value   ref.Val
}

// document reads the data or metadata of a token: strictly, since everything below trusts
// the text. An absent one is empty, so that has() can ask below it.
func document(text []byte) (*object, error) {
	o := &object{text: text, members: []member{}}
	if len(text) == 0 {
		return o, nil
	}
	s := jsonscan.New(text)
	o.members = make([]member, 0, expected(text))
	err := s.Object(func(name []byte) error {
		s.Next()
		mark := s.Mark()
		_, err := s.Value()
		o.members = append(o.members, member{name: name, at: uint32(mark), end: uint32(s.Mark())})
		return err
	})
	if err == nil {
		err = s.End()
	}
	if err != nil {
		return nil, err
	}
	o.clean()
	return o, nil
}

// index reads the first level.
func (o *object) index() {
	if o.members != nil {
		return
	}
	o.members = make([]member, 0, expected(o.text))
	for name, at, end := o.next(1); end > 0; name, at, end = o.next(end) {
		o.members = append(o.members, member{name: name, at: uint32(at), end: uint32(end)})
	}
	o.clean()
}

// scan finds a member without an index.
func (o *object) scan(wanted string) (ref.Val, bool) {
	var found []byte
	for name, at, end := o.next(1); end > 0; name, at, end = o.next(end) {
		if string(name) == wanted || !plain(name) && unquote(name) == wanted {
			found = o.text[at:end]
		}
	}
	if found == nil {
		return nil, false
	}
	return valueOf(found), true
}

// next is the member after a position: its name, and where its text begins and ends; nowhere
// at the end of the object.
func (o *object) next(from int) (name []byte, at, end int) {
	at = gap(o.text, from)
	if at >= len(o.text) || o.text[at] == '}' {
		return nil, 0, 0
	}
	end = skip(o.text, at)
	name = o.text[at+1 : end-1]
	at = gap(o.text, end)
	return name, at, skip(o.text, at)
}

// clean makes names comparable, and finds many of them fast.
func (o *object) clean() {
	for i := range o.members {
		if name := o.members[i].name; !plain(name) {
			o.members[i].name = []byte(unquote(name))
		}
	}
	if len(o.members) <= manyMembers {
		return
	}
	o.byName = make(map[string]int, len(o.members))
	for i := range o.members {
		o.byName[string(o.members[i].name)] = i
	}
}

// member finds a member; of several with one name the last.
func (o *object) member(name string) (ref.Val, bool) {
	if o.members == nil && len(o.text) <= smallObject {
		return o.scan(name)
	}
	if i := o.position(name); i >= 0 {
		return o.get(i), true
	}
	return nil, false
}

// position is which member has a name; of several the last, -1 for none.
func (o *object) position(name string) int {
	o.index()
	if o.byName != nil {
		if i, found := o.byName[name]; found {
			return i
		}
		return -1
	}
	for i := len(o.members) - 1; i >= 0; i-- {
		if string(o.members[i].name) == name {
			return i
		}
	}
	return -1
}

func (o *object) get(i int) ref.Val {
	m := &o.members[i]
	if m.value == nil {
		m.value = valueOf(o.text[m.at:m.end])
	}
	return m.value
}

// expected guesses how many members an object has.
func expected(text []byte) int { return 1 + min(len(text)/24, 24+len(text)/64, 2*manyMembers) }

// all is the map with every member converted.
func (o *object) all() traits.Mapper {
	if o.whole == nil {
		o.index()
		values := make(map[string]ref.Val, len(o.members))
		for i := range o.members {
			values[string(o.members[i].name)] = o.get(i)
		}
		o.whole = types.NewMap(types.DefaultTypeAdapter, values)
	}
	return o.whole
}

func (o *object) Find(key ref.Val) (ref.Val, bool) {
	name, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	return o.member(string(name))
}

func (o *object) Get(key ref.Val) ref.Val {
	if value, found := o.Find(key); found {
		return value
	}
	return types.ValOrErr(key, "no such key: %v", key)
}

func (o *object) Contains(key ref.Val) ref.Val {
	_, found := o.Find(key)
	return types.Bool(found)
}

func (o *object) Equal(other ref.Val) ref.Val {
	if same, ok := other.(*object); ok && bytes.Equal(o.text, same.text) {
		return types.True
	}
	return o.all().Equal(other)
}

func (o *object) Size() ref.Val {
	if o.byName != nil {
		return types.Int(len(o.byName))
	}
	return o.all().Size()
}

func (o *object) Iterator() traits.Iterator                   { return o.all().Iterator() }
func (o *object) Fold(f traits.Folder)                        { types.ToFoldableMap(o.all()).Fold(f) }
func (o *object) ConvertToNative(t reflect.Type) (any, error) { return o.all().ConvertToNative(t) }
func (o *object) ConvertToType(t ref.Type) ref.Val            { return o.all().ConvertToType(t) }
func (o *object) Type() ref.Type                              { return types.MapType }
func (o *object) Value() any                                  { return o.all().Value() }
func (o *object) AggregateSize(_ types.AggregateSizer) uint32 { return weight(o.text) }
func weight(text []byte) uint32                               { return uint32(1 + len(text)/bytesPerValue) }

// list is a JSON array as a CEL list, its elements converted when it is first asked.
type list struct {
	text  []byte
	whole traits.Lister
}

func (l *list) all() traits.Lister {
	if l.whole == nil {
		var elements []ref.Val
		for at := gap(l.text, 1); at < len(l.text) && l.text[at] != ']'; at = gap(l.text, at) {
			end := skip(l.text, at)
			elements = append(elements, valueOf(l.text[at:end]))
			at = end
		}
		l.whole = types.NewRefValList(types.DefaultTypeAdapter, elements)
	}
	return l.whole
}

func (l *list) Equal(other ref.Val) ref.Val {
	if same, ok := other.(*list); ok && bytes.Equal(l.text, same.text) {
		return types.True
	}
	return l.all().Equal(other)
}

func (l *list) Add(other ref.Val) ref.Val                   { return l.all().Add(other) }
func (l *list) Contains(value ref.Val) ref.Val              { return l.all().Contains(value) }
func (l *list) Get(index ref.Val) ref.Val                   { return l.all().Get(index) }
func (l *list) Size() ref.Val                               { return l.all().Size() }
func (l *list) Iterator() traits.Iterator                   { return l.all().Iterator() }
func (l *list) Fold(f traits.Folder)                        { types.ToFoldableList(l.all()).Fold(f) }
func (l *list) ConvertToNative(t reflect.Type) (any, error) { return l.all().ConvertToNative(t) }
func (l *list) ConvertToType(t ref.Type) ref.Val            { return l.all().ConvertToType(t) }
func (l *list) Type() ref.Type                              { return types.ListType }
func (l *list) Value() any                                  { return l.all().Value() }
func (l *list) AggregateSize(_ types.AggregateSizer) uint32 { return weight(l.text) }

// valueOf converts a JSON value.
func valueOf(text []byte) ref.Val {
	switch text[0] {
	case '{':
		return &object{text: text}
	case '[':
		return &list{text: text}
	case '"':
		return types.String(unquote(text[1 : len(text)-1]))
	case 't':
		return types.True
	case 'f':
		return types.False
	case 'n':
		return types.NullValue
	}
	return number(string(text))
}

// number is an int where the text says a whole number that fits, else a double. A number
// that not even a double can hold becomes an infinity, so that it still compares.
func number(text string) ref.Val {
	if isWhole(text) {
		if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
			return types.Int(whole)
		}
	}
	decimal, _ := strconv.ParseFloat(text, 64)
	return types.Double(decimal)
}

func isWhole(number string) bool {
	for i := range len(number) {
		switch number[i] {
		case '.', 'e', 'E':
			return false
		}
	}
	return true
}

// plain reports whether a quoted text stands for itself.
func plain(text []byte) bool {
	for _, c := range text {
		if c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// unquote is the text between two quotes, as encoding/json reads it.
func unquote(text []byte) string {
	if plain(text) || bytes.IndexByte(text, '\\') < 0 && utf8.Valid(text) {
		return string(text)
	}
	quoted := make([]byte, 0, len(text)+2)
	quoted = append(append(append(quoted, '"'), text...), '"')
	var s string
	_ = json.Unmarshal(quoted, &s) // the text is known to be JSON
	return s
}

// skip is where the value ends that begins at this byte of a text known to be JSON.
func skip(text []byte, at int) int {
	switch text[at] {
	case '"':
		return skipText(text, at)
	case '{', '[':
		return skipNested(text, at)
	}
	for ; at < len(text); at++ {
		switch text[at] {
		case ',', ']', '}', ':', ' ', '\t', '\n', '\r':
			return at
		}
	}
	return at
}

func skipText(text []byte, at int) int {
	for at++; at < len(text); at++ {
		switch text[at] {
		case '"':
			return at + 1
		case '\\':
			at++
		}
	}
	return len(text)
}

func skipNested(text []byte, at int) int {
	for depth := 0; at < len(text); at++ {
		switch text[at] {
		case '"':
			at = skipText(text, at) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1
			}
		}
	}
	return len(text)
}

// gap passes over what stands between two values.
func gap(text []byte, at int) int {
	for ; at < len(text); at++ {
		switch text[at] {
		case ',', ':', ' ', '\t', '\n', '\r':
		default:
			return at
		}
	}
	return at
}
