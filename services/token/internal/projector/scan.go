package projector

import (
	"bytes"
	"errors"
	"strconv"
)

// scanner walks over a JSON text once, strictly, and hands out the parts that are asked
// for without decoding the rest: an event is mostly data that the view passes on as it is.
type scanner struct {
	text  []byte
	at    int
	depth int
	// deepest is the greatest depth so far.
	deepest int
}

var errSyntax = errors.New("the event is no JSON text")

// maxDepth is more than any of our documents needs, and no danger to the stack.
const maxDepth = 200

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// next is the first character of what follows, 0 at the end.
func (s *scanner) next() byte {
	s.space()
	if s.at == len(s.text) {
		return 0
	}
	return s.text[s.at]
}

func (s *scanner) take(c byte) bool {
	if s.next() != c || c == 0 {
		return false
	}
	s.at++
	return true
}

// object calls member for each member of an object; member must consume the value. null is
// an object without members.
func (s *scanner) object(member func(key []byte) error) error {
	if s.next() == 'n' {
		return s.literal("null")
	}
	return s.sequence('{', '}', func() error {
		key, err := s.quoted()
		if err != nil {
			return err
		}
		if !s.take(':') {
			return errSyntax
		}
		return member(key)
	})
}

// array calls element for each element of an array; element must consume it. null is an
// empty array.
func (s *scanner) array(element func() error) error {
	if s.next() == 'n' {
		return s.literal("null")
	}
	return s.sequence('[', ']', element)
}

func (s *scanner) sequence(begin, end byte, part func() error) error {
	if !s.take(begin) {
		return errSyntax
	}
	s.depth++
	if s.deepest = max(s.deepest, s.depth); s.depth > maxDepth {
		return errSyntax
	}
	defer func() { s.depth-- }()
	if s.take(end) {
		return nil
	}
	for {
		if err := part(); err != nil {
			return err
		}
		if s.take(end) {
			return nil
		}
		if !s.take(',') {
			return errSyntax
		}
	}
}

// quoted is a string between its quotes, escapes and all.
func (s *scanner) quoted() ([]byte, error) {
	if !s.take('"') {
		return nil, errSyntax
	}
	begin := s.at
	for s.at < len(s.text) {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return s.text[begin : s.at-1], nil
		case c == '\\':
			if err := s.escape(); err != nil {
				return nil, err
			}
		case c < ' ':
			return nil, errSyntax
		default:
			s.at++
		}
	}
	return nil, errSyntax
}

func (s *scanner) escape() error {
	rest := s.text[s.at:]
	if len(rest) < 2 {
		return errSyntax
	}
	switch rest[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.at += 2
		return nil
	case 'u':
		if len(rest) < 6 {
			return errSyntax
		}
		for _, c := range rest[2:6] {
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return errSyntax
			}
		}
		s.at += 6
		return nil
	}
	return errSyntax
}

// value passes over any value and returns its text.
func (s *scanner) value() ([]byte, error) {
	c := s.next()
	begin := s.at
	var err error
	switch c {
	case '{':
		err = s.object(func([]byte) error {
			_, err := s.value()
			return err
		})
	case '[':
		err = s.array(func() error {
			_, err := s.value()
			return err
		})
	case '"':
		_, err = s.quoted()
	case 't':
		err = s.literal("true")
	case 'f':
		err = s.literal("false")
	case 'n':
		err = s.literal("null")
	default:
		err = s.number()
	}
	return s.text[begin:s.at], err
}

func (s *scanner) literal(word string) error {
	if !bytes.HasPrefix(s.text[s.at:], []byte(word)) {
		return errSyntax
	}
	s.at += len(word)
	return nil
}

func (s *scanner) number() error {
	if s.at < len(s.text) && s.text[s.at] == '-' {
		s.at++
	}
	switch {
	case s.at < len(s.text) && s.text[s.at] == '0':
		s.at++
	case !s.digits():
		return errSyntax
	}
	if s.at < len(s.text) && s.text[s.at] == '.' {
		s.at++
		if !s.digits() {
			return errSyntax
		}
	}
	if s.at < len(s.text) && (s.text[s.at] == 'e' || s.text[s.at] == 'E') {
		s.at++
		if s.at < len(s.text) && (s.text[s.at] == '+' || s.text[s.at] == '-') {
			s.at++
		}
		if !s.digits() {
			return errSyntax
		}
	}
	return nil
}

func (s *scanner) digits() bool {
	begin := s.at
	for s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > begin
}

// string reads a string value into *to. Escapes are left as they are: nothing that we read
// this way may contain any. null leaves *to as it is.
func (s *scanner) string(to *string) error {
	if s.next() == 'n' {
		return s.literal("null")
	}
	text, err := s.quoted()
	*to = string(text)
	return err
}

// natural reads a whole number from 0.
func (s *scanner) natural(to *uint64) error {
	text, err := s.value()
	if err != nil {
		return err
	}
	*to, err = strconv.ParseUint(string(text), 10, 64)
	return err
}

// end fails when anything follows.
func (s *scanner) end() error {
	if s.next() != 0 || s.at != len(s.text) {
		return errSyntax
	}
	return nil
}
