package secret

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// shortest is how many characters a value has at least to be looked for.
	shortest = 6
	// remembered is how many values of one name are looked for: rotation leaves old ones.
	remembered = 4
)

// hidden takes the place of a document in whose structure a secret was found.
const hidden = "[a secret was part of this document]"

// remember has a value redacted from now on.
func (s *Store) remember(name, value string) {
	if utf8.RuneCountInString(value) < shortest {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	values := s.given[name]
	at := slices.Index(values, value)
	if at >= 0 && at == len(values)-1 {
		return
	}
	if at >= 0 {
		values = slices.Delete(values, at, at+1)
	}
	values = append(values, value)
	s.given[name] = values[max(0, len(values)-remembered):]
	s.redactor.Store(replacer(s.given))
}

// replacer looks for all forms of all values, for the longest first where several begin.
func replacer(given map[string][]string) *strings.Replacer {
	marks := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		mark := "[" + Prefix + name + "]"
		marks[mark] = mark // So that what is redacted already stays as it is.
		for _, value := range given[name] {
			for _, form := range forms(value) {
				if _, taken := marks[form]; !taken {
					marks[form] = mark
				}
			}
		}
	}
	found := slices.SortedFunc(maps.Keys(marks), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b))
	})
	pairs := make([]string, 0, 2*len(found))
	for _, form := range found {
		pairs = append(pairs, form, marks[form])
	}
	return strings.NewReplacer(pairs...)
}

// Redact is the text with [secret:NAME] where a value stood that this store has given out.
func (s *Store) Redact(text string) string {
	known := s.redactor.Load()
	if known == nil {
		return text
	}
	return known.Replace(text)
}

// RedactJSON is the same for JSON, and gives JSON, with the rest as it was: members keep their
// order and numbers their text. A number in which a secret is found becomes a text, and so
// does the whole where it is no JSON, or where a secret reaches over more than one value.
func (s *Store) RedactJSON(raw json.RawMessage) json.RawMessage {
	known := s.redactor.Load()
	if known == nil || len(raw) == 0 {
		return raw
	}
	if !json.Valid(raw) {
		return quote(known.Replace(string(raw)))
	}
	if bytes.IndexByte(raw, '\\') < 0 && known.Replace(string(raw)) == string(raw) {
		return raw
	}
	redacted := redactValues(known, raw)
	if text := string(redacted); known.Replace(text) != text {
		return quote(hidden)
	}
	return redacted
}

// redactValues redacts each text and each number of valid JSON by itself.
func redactValues(known *strings.Replacer, raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for at := 0; at < len(raw); {
		end := at + 1
		switch c := raw[at]; {
		case c == '"':
			for raw[end] != '"' {
				if raw[end] == '\\' {
					end++
				}
				end++
			}
			end++
			out = append(out, redactText(known, raw[at:end])...)
		case c == '-' || c >= '0' && c <= '9':
			for end < len(raw) && strings.IndexByte("+-.eE0123456789", raw[end]) >= 0 {
				end++
			}
			number := string(raw[at:end])
			if text := known.Replace(number); text != number {
				out = append(out, quote(text)...)
			} else {
				out = append(out, number...)
			}
		default:
			out = append(out, c)
		}
		at = end
	}
	return out
}

// redactText looks at what a text means, and at how it is written.
func redactText(known *strings.Replacer, written []byte) []byte {
	var meant string
	if err := json.Unmarshal(written, &meant); err != nil {
		return quote(hidden)
	}
	if text := known.Replace(meant); text != meant {
		return quote(text)
	}
	inner := string(written[1 : len(written)-1])
	if text := known.Replace(inner); text != inner {
		return quote(text)
	}
	return written
}

// quote leaves <, > and & as they are, as the documents of our own do.
func quote(text string) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(text); err != nil {
		return []byte(`""`) // A text always encodes.
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
