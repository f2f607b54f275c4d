// Package jsonscan walks over a JSON text once, strictly, and hands out the parts that are
// asked for without decoding the rest. What is read most often, events, is mostly documents
// that are passed on as they are.
package jsonscan

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
)

// Scanner stands somewhere in a JSON text. Each method reads the value that comes next, or
// fails.
type Scanner struct {
	text      []byte
	at, depth int
	deepest   int
}

// New begins at the start of a text.
func New(text []byte) *Scanner { return &Scanner{text: text} }

// Deepest is the greatest depth so far.
func (s *Scanner) Deepest() int { return s.deepest }

// Mark is where the scanner stands, for Since.
func (s *Scanner) Mark() int { return s.at }

// Since is the text from a mark to where the scanner stands now.
func (s *Scanner) Since(mark int) []byte { return s.text[mark:s.at] }

var errSyntax = errors.New("not a JSON text")

// MaxDepth is more than any of our documents needs, and no danger to the stack.
const MaxDepth = 200

func (s *Scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// Next is the first character of what follows, 0 at the end.
func (s *Scanner) Next() byte {
	s.space()
	if s.at == len(s.text) {
		return 0
	}
	return s.text[s.at]
}

func (s *Scanner) take(c byte) bool {
	if s.Next() != c || c == 0 {
		return false
	}
	s.at++
	return true
}

// Object calls member for each member of an object; member must consume the value. null is
// an object without members.
func (s *Scanner) Object(member func(key []byte) error) error {
	if s.Next() == 'n' {
		return s.literal("null")
	}
	return s.sequence('{', '}', func() error {
		key, err := s.Quoted()
		if err != nil {
			return err
		}
		if !s.take(':') {
			return errSyntax
		}
		return member(key)
	})
}

// Array calls element for each element of an array; element must consume it. null is an
// empty array.
func (s *Scanner) Array(element func() error) error {
	if s.Next() == 'n' {
		return s.literal("null")
	}
	return s.sequence('[', ']', element)
}

func (s *Scanner) sequence(begin, end byte, part func() error) error {
	if !s.take(begin) {
		return errSyntax
	}
	s.depth++
	if s.deepest = max(s.deepest, s.depth); s.depth > MaxDepth {
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

// Quoted is a string between its quotes, escapes and all.
func (s *Scanner) Quoted() ([]byte, error) {
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

func (s *Scanner) escape() error {
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

// Value passes over any value and returns its text.
func (s *Scanner) Value() ([]byte, error) {
	c := s.Next()
	begin := s.at
	var err error
	switch c {
	case '{':
		err = s.Object(func([]byte) error {
			_, err := s.Value()
			return err
		})
	case '[':
		err = s.Array(func() error {
			_, err := s.Value()
			return err
		})
	case '"':
		_, err = s.Quoted()
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

func (s *Scanner) literal(word string) error {
	if !bytes.HasPrefix(s.text[s.at:], []byte(word)) {
		return errSyntax
	}
	s.at += len(word)
	return nil
}

func (s *Scanner) number() error {
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

func (s *Scanner) digits() bool {
	begin := s.at
	for s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > begin
}

// String reads a string value into *to. Escapes are left as they are: nothing that we read
// this way may contain any. null leaves *to as it is.
func (s *Scanner) String(to *string) error {
	if s.Next() == 'n' {
		return s.literal("null")
	}
	text, err := s.Quoted()
	*to = string(text)
	return err
}

// Natural reads a whole number from 0.
func (s *Scanner) Natural(to *uint64) error {
	text, err := s.Value()
	if err != nil {
		return err
	}
	*to, err = strconv.ParseUint(string(text), 10, 64)
	return err
}

// End fails when anything follows.
func (s *Scanner) End() error {
	if s.Next() != 0 || s.at != len(s.text) {
		return errSyntax
	}
	return nil
}

// Text reads a string value into *to, escapes resolved. null leaves *to as it is.
func (s *Scanner) Text(to *string) error {
	if s.Next() == 'n' {
		return s.literal("null")
	}
	text, err := s.Quoted()
	if err != nil {
		return err
	}
	*to, err = Unquote(text)
	return err
}

// Unquote resolves the escapes of a string that was read between its quotes, such as the
// key that Object hands out.
func Unquote(text []byte) (string, error) {
	if bytes.IndexByte(text, '\\') < 0 {
		return string(text), nil
	}
	var s string
	err := json.Unmarshal(slices.Concat([]byte{'"'}, text, []byte{'"'}), &s)
	return s, err
}
