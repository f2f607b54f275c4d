package condition

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

const (
	// maxPath is how long a path may be, in bytes; maxSegments how many steps it may have
	// below data or metadata.
	maxPath     = 256
	maxSegments = 32
)

// path leads from a token to a field.
type path struct {
	// document is data or metadata.
	document string
	segments []segment
}

// segment is one step. A bare 3 is an index where it meets a list, else a name.
type segment struct {
	name  string
	index int
	// named and indexed say what the step can be.
	named, indexed bool
}

// parsePath reads a path such as data.items[0].sku or metadata["odd name"].
func parsePath(text string) (*path, error) {
	if len(text) > maxPath {
		return nil, fmt.Errorf("a path may have at most %d bytes, not %d", maxPath, len(text))
	}
	p, rest := &path{document: dataField}, ""
	if after, ok := strings.CutPrefix(text, metadataField); ok {
		p.document, rest = metadataField, after
	} else if after, ok := strings.CutPrefix(text, dataField); ok {
		rest = after
	} else {
		return nil, fmt.Errorf("a path begins with data. or metadata., such as data.amount, not %q", text)
	}
	for rest != "" {
		s, after, err := parseSegment(rest)
		if err != nil {
			return nil, fmt.Errorf("%q is no path: %w", text, err)
		}
		if p.segments = append(p.segments, s); len(p.segments) > maxSegments {
			return nil, fmt.Errorf("a path may have at most %d steps", maxSegments)
		}
		rest = after
	}
	if len(p.segments) == 0 {
		return nil, fmt.Errorf("%q is all of the %s; name a field of it, such as %s.amount", text, text, text)
	}
	return p, nil
}

func parseSegment(text string) (s segment, rest string, err error) {
	switch {
	case strings.HasPrefix(text, `["`):
		return parseQuoted(text)
	case text[0] == '[':
		digits, rest, closed := strings.Cut(text[1:], "]")
		index, ok := parseIndex(digits)
		if !closed || !ok {
			return s, "", fmt.Errorf(`write an index as [0], from 0 and without leading zeros, and an odd name as ["odd name"]`)
		}
		return segment{index: index, indexed: true}, rest, nil
	case text[0] != '.':
		return s, "", fmt.Errorf("write a dot between names, such as data.customer.name")
	}
	name := text[1:]
	if end := strings.IndexAny(name, ".["); end >= 0 {
		name, rest = name[:end], name[end:]
	}
	if name == "" || strings.ContainsAny(name, `]"`) {
		return s, "", fmt.Errorf(`a name is missing, or is so odd that it must be written as ["odd name"]`)
	}
	s = segment{name: name, named: true}
	s.index, s.indexed = parseIndex(name)
	return s, rest, nil
}

func parseQuoted(text string) (s segment, rest string, err error) {
	end := skipText([]byte(text), 1)
	if json.Unmarshal([]byte(text[1:end]), &s.name) != nil || !strings.HasPrefix(text[end:], "]") {
		return s, "", fmt.Errorf(`write an odd name as a JSON string in brackets, such as ["odd name"]`)
	}
	s.named = true
	return s, text[end+1:], nil
}

// parseIndex reads a whole number from 0. What no list can hold is none, nor is 01.
func parseIndex(digits string) (int, bool) {
	if digits == "" || len(digits) > 9 || len(digits) > 1 && digits[0] == '0' {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	index, err := strconv.Atoi(digits)
	return index, err == nil
}

// find follows the path. nil: there is nothing; an error: the document is none.
func (p *path) find(t *tokenValue) ref.Val {
	value := t.document(p.document)
	for _, s := range p.segments {
		switch at := value.(type) {
		case *types.Err:
			return at
		case *object:
			found := false
			if s.named {
				value, found = at.member(s.name)
			}
			if !found {
				return nil
			}
		case *list:
			elements := at.all()
			if !s.indexed || types.Int(s.index) >= elements.Size().(types.Int) {
				return nil
			}
			value = elements.Get(types.Int(s.index))
		default:
			return nil
		}
	}
	return value
}
