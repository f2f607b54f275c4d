package service

import "encoding/json"

// These walk JSON text without checking it: whoever uses a value checks it, and where the
// text is no JSON at all they only agree on some place to stop, never beyond the end.

func skipSpace(b []byte, at int) int {
	for at < len(b) && (b[at] == ' ' || b[at] == '\t' || b[at] == '\n' || b[at] == '\r') {
		at++
	}
	return at
}

// skipValue is the end of the value that starts at this byte. It keeps no stack, so nesting
// costs nothing.
func skipValue(b []byte, at int) int {
	depth := 0
	for at < len(b) {
		switch b[at] {
		case '"':
			at = skipString(b, at)
			if depth == 0 {
				return at
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return at
			}
			if depth--; depth == 0 {
				return at + 1
			}
		case ',', ' ', '\t', '\n', '\r', ':':
			if depth == 0 {
				return at
			}
		}
		at++
	}
	return len(b)
}

func skipString(b []byte, at int) int {
	for at++; at < len(b); at++ {
		switch b[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return len(b)
}

// readString decodes a JSON string.
func readString(b []byte) (string, bool) {
	if s, ok := plainString(b); ok {
		return s, true
	}
	var s string
	err := json.Unmarshal(b, &s)
	return s, err == nil
}

// plainString decodes a JSON string that stands for itself: most do.
func plainString(b []byte) (string, bool) {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return "", false
	}
	for _, c := range b[1 : len(b)-1] {
		if c < ' ' || c > '~' || c == '\\' || c == '"' {
			return "", false
		}
	}
	return string(b[1 : len(b)-1]), true
}
