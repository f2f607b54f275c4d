package jsonscan_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/jsonscan"
)

var texts = []string{
	``, ` `, `null`, `true`, `tru`, `0`, `-0`, `01`, `-`, `1.`, `1.5e+3`, `1e`, `.5`, `"`, `"a"`, `"\u00e9"`, `"\u00g9"`, `"\x"`, "\"\n\"",
	`[]`, `[1,]`, `[1,2]`, `[1 2]`, `{}`, `{"a":1}`, `{"a":1,}`, `{"a"}`, `{a:1}`, `{"a":{"b":[null,false,{"c":"\\\""}]}}`, `{} {}`, `[`, `{`, `{"a":`,
	strings.Repeat("[", 5000), "{\"a\":\x00}",
}

// FuzzScanner holds the scanner to encoding/json: neither takes what the other refuses.
func FuzzScanner(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := jsonscan.New(text)
		_, err := s.Value()
		if err == nil {
			err = s.End()
		}
		if valid := json.Valid(text); valid != (err == nil) && s.Deepest() <= jsonscan.MaxDepth {
			t.Errorf("json.Valid says %t of %q, the scanner %v", valid, text, err)
		}
		var said, want string
		if jsonscan.New(text).Text(&said) == nil && json.Unmarshal(text, &want) == nil && said != want && strings.ToValidUTF8(want, "") == want && !strings.Contains(want, "\ufffd") {
			t.Errorf("%q reads as %q, want %q", text, said, want)
		}
	})
}
