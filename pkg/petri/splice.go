package petri

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// mergeStored applies a merge patch to a document that is kept in normal form. Members
// that the patch does not name are copied as they are spelled, without being decoded:
// most patches touch little of a large document.
func mergeStored(base, patch json.RawMessage) (json.RawMessage, error) {
	p, err := decode(patch)
	if err != nil {
		return nil, err
	}
	if o, ok := p.(object); ok {
		if merged, ok := splice(make([]byte, 0, len(base)+len(patch)), base, o); ok {
			return merged, nil
		}
	}
	b, err := decode(base)
	if err != nil {
		return nil, err
	}
	return encode(merge(prune(b), p))
}

// splice appends base, changed by a patch, to out. It gives up on a base that is no object
// in normal form.
func splice(out, base []byte, patch object) ([]byte, bool) {
	s := scanner{rest: base}
	if !s.skip('{') {
		return nil, false
	}
	names := slices.Sorted(maps.Keys(patch))
	out = append(out, '{')
	empty, last := true, ""
	separate := func() {
		if !empty {
			out = append(out, ',')
		}
		empty = false
	}
	add := func(name string, value any) bool {
		key, err := json.Marshal(name)
		if err != nil {
			return false
		}
		text, err := json.Marshal(merge(nil, value))
		if err != nil {
			return false
		}
		separate()
		out = append(append(append(out, key...), ':'), text...)
		return true
	}
	for first := true; !s.skip('}'); first = false {
		if !first && !s.skip(',') {
			return nil, false
		}
		spelled, name, value, ok := s.member()
		if !ok || !first && name <= last {
			return nil, false
		}
		last = name
		for len(names) > 0 && names[0] < name {
			if patch[names[0]] != nil && !add(names[0], patch[names[0]]) {
				return nil, false
			}
			names = names[1:]
		}
		if len(names) == 0 || names[0] != name {
			separate()
			out = append(append(append(out, spelled...), ':'), value...)
			continue
		}
		change := patch[name]
		names = names[1:]
		inner, isObject := change.(object)
		switch {
		case change == nil:
		case isObject && value[0] == '{':
			separate()
			out = append(append(out, spelled...), ':')
			if out, ok = splice(out, value, inner); !ok {
				return nil, false
			}
		default:
			if !add(name, change) {
				return nil, false
			}
		}
	}
	for _, name := range names {
		if patch[name] != nil && !add(name, patch[name]) {
			return nil, false
		}
	}
	if len(s.rest) > 0 {
		return nil, false
	}
	return append(out, '}'), true
}

// scanner walks over the members of an object that has no spaces.
type scanner struct{ rest []byte }

func (s *scanner) skip(c byte) bool {
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// member takes a key, as spelled and as meant, and its value.
func (s *scanner) member() (spelled []byte, name string, value []byte, ok bool) {
	if spelled, ok = s.text(); !ok || !s.skip(':') {
		return nil, "", nil, false
	}
	if bytes.IndexByte(spelled, '\\') < 0 {
		name = string(spelled[1 : len(spelled)-1])
	} else if json.Unmarshal(spelled, &name) != nil {
		return nil, "", nil, false
	}
	value, ok = s.value()
	return spelled, name, value, ok
}

// text takes a string with its quotes.
func (s *scanner) text() ([]byte, bool) {
	if len(s.rest) == 0 || s.rest[0] != '"' {
		return nil, false
	}
	for i := 1; i < len(s.rest); i++ {
		switch s.rest[i] {
		case '\\':
			i++
		case '"':
			taken := s.rest[:i+1]
			s.rest = s.rest[i+1:]
			return taken, true
		}
	}
	return nil, false
}

// value takes one value up to the comma or bracket after it.
func (s *scanner) value() ([]byte, bool) {
	nesting, quoted := 0, false
	for i := 0; i < len(s.rest); i++ {
		c := s.rest[i]
		if quoted {
			if c == '\\' {
				i++
			}
			quoted = c != '"'
			continue
		}
		switch c {
		case '"':
			quoted = true
		case '{', '[':
			nesting++
		case '}', ']', ',':
			if nesting == 0 {
				taken := s.rest[:i]
				s.rest = s.rest[i:]
				return taken, i > 0
			}
			if c != ',' {
				nesting--
			}
		case ' ', '\t', '\r', '\n':
			return nil, false
		}
	}
	return nil, false
}
