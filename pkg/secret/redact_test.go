package secret_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/seed-42b4788c/circuit-breaker/pkg/secret"
)

// newTestStore has given out the secrets, which are pairs of a name and a value.
func newTestStore(t *testing.T, pairs ...string) *secret.Store {
	t.Helper()
	var environ []string
	for i := 0; i < len(pairs); i += 2 {
		environ = append(environ, "BREAKER_SECRET_"+pairs[i]+"="+pairs[i+1])
	}
	s := secret.New(environ, "")
	for i := 0; i < len(pairs); i += 2 {
		mustResolve(t, s, "secret:"+pairs[i], pairs[i+1])
	}
	return s
}

func TestNothingIsRedactedBeforeItIsGivenOut(t *testing.T) {
	t.Parallel()
	s := secret.New([]string{"BREAKER_SECRET_KEY=hunter2"}, "")
	if got := s.Redact("hunter2"); got != "hunter2" {
		t.Errorf("have %q", got)
	}
	if got := s.RedactJSON(json.RawMessage(`["hunter2"]`)); string(got) != `["hunter2"]` {
		t.Errorf("have %s", got)
	}
}

var smallDigits = regexp.MustCompile(`%..`)

func TestEveryFormIsRedacted(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"hunter2", "sk-live_0123456789abcdef", `a"b\c<d>&e/f`, "zwei Wörter & mehr: 100%", "line one\nline two\ttab", "ключ🔑ключ", "+/+/+/=?",
	} {
		s := newTestStore(t, "KEY", value)
		asJSON, _ := json.Marshal(value)
		hexed := hex.EncodeToString([]byte(value))
		for form, text := range map[string]string{
			"plain":            value,
			"twice":            value + value,
			"JSON":             string(asJSON),
			"query":            url.Values{"q": {value}}.Encode(),
			"small query":      smallDigits.ReplaceAllStringFunc(url.QueryEscape(value), strings.ToLower),
			"path":             url.PathEscape(value),
			"HTML":             html.EscapeString(value),
			"hex":              hexed,
			"base64":           base64.StdEncoding.EncodeToString([]byte(value)),
			"raw base64":       base64.RawStdEncoding.EncodeToString([]byte(value)),
			"URL base64":       base64.URLEncoding.EncodeToString([]byte(value)),
			"basic":            base64.StdEncoding.EncodeToString([]byte("u:" + value)),
			"basic of another": base64.StdEncoding.EncodeToString([]byte("me:" + value + ":more")),
			"basic of a third": base64.StdEncoding.EncodeToString([]byte("you:" + value + "x")),
		} {
			got := s.Redact("before " + text + " after")
			if !strings.Contains(got, "[secret:KEY]") || !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") {
				t.Errorf("%q as %s: have %q", value, form, got)
			}
			// What base64 leaves over of the value's first and last character is not even one.
			if left := strings.ReplaceAll(got, "[secret:KEY]", ""); len(left) > len("before  after")+len("eW91Og==")+6 {
				t.Errorf("%q as %s: too much is left: %q", value, form, got)
			}
			if again := s.Redact(got); again != got {
				t.Errorf("%q as %s: redacted twice it is %q", value, form, again)
			}
		}
	}
}

func TestTheLongestSecretGoesFirst(t *testing.T) {
	t.Parallel()
	s := newTestStore(t, "SHORT", "hunter2", "LONG", "hunter2-and-more", "TINY", "12345", "WORD", "secret")
	const text, want = "hunter2-and-more hunter2 12345 secret", "[secret:LONG] [secret:SHORT] 12345 [secret:WORD]"
	if got := s.Redact(text); got != want {
		t.Errorf("want %q, have %q", want, got)
	}
	if got := s.Redact(want); got != want {
		t.Errorf("redacted twice it is %q", got)
	}
}

func TestJSONStaysJSON(t *testing.T) {
	t.Parallel()
	s := newTestStore(t, "KEY", `hun"ter\2`, "PIN", "123456", "PLAIN", "letmein", "DOCUMENT", `{"a": 1, "b": [2]}`)
	for raw, want := range map[string]string{
		`{"b": 1.50, "a": [true, null, "x\u00e4"]}`:         `{"b": 1.50, "a": [true, null, "x\u00e4"]}`,
		`{"a": "hun\"ter\\2"}`:                              `{"a": "[secret:KEY]"}`,
		`{"a": "h\u0075n\u0022ter\\2"}`:                     `{"a": "[secret:KEY]"}`,
		`{"l\u0065tmein": "let me in", "b<": "<letmein>"}`:  `{"[secret:PLAIN]": "let me in", "b<": "<[secret:PLAIN]>"}`,
		`{"pin": 123456, "other": [-12345, 7.1234567e+10]}`: `{"pin": "[secret:PIN]", "other": [-12345, "7.[secret:PIN]7e+10"]}`,
		`{"inner": "{\"k\": \"hun\\\"ter\\\\2\"}"}`:         `{"inner": "{\"k\": \"[secret:KEY]\"}"}`,
		`{"echo": {"a": 1, "b": [2]}}`:                      `"[a secret was part of this document]"`,
		`"letmein"`:                                         `"[secret:PLAIN]"`,
		` 123456 `:                                          ` "[secret:PIN]" `,
		`{"cut": "letmein`:                                  `"{\"cut\": \"[secret:PLAIN]"`,
		``:                                                  ``,
	} {
		got := s.RedactJSON(json.RawMessage(raw))
		if string(got) != want {
			t.Errorf("%s\nwant %s\nhave %s", raw, want, got)
		}
		if again := s.RedactJSON(got); string(again) != want {
			t.Errorf("%s: redacted twice it is %s", raw, again)
		}
	}
}

func TestOldValuesAreForgotten(t *testing.T) {
	t.Parallel()
	folder := newTestFolder(t, nil)
	s := secret.New(nil, folder)
	value := func(i int) string { return fmt.Sprintf("value-%02d", i) }
	for i := range 10 {
		write(t, filepath.Join(folder, "KEY"), value(i))
		mustResolve(t, s, "secret:KEY", value(i))
	}
	for i := range 10 {
		want := value(i)
		if i >= 6 {
			want = "[secret:KEY]"
		}
		if got := s.Redact(value(i)); got != want {
			t.Errorf("want %q, have %q", want, got)
		}
	}
}

func TestManyUseOneStore(t *testing.T) {
	t.Parallel()
	folder := newTestFolder(t, nil)
	s := secret.New(nil, folder)
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			name, value := fmt.Sprintf("KEY_%d", i), fmt.Sprintf("value of %d.", i)
			write(t, filepath.Join(folder, name), value)
			for range 20 {
				mustResolve(t, s, "secret:"+name, value)
				if got := s.Redact("<" + value + ">"); got != "<[secret:"+name+"]>" {
					t.Errorf("have %q", got)
				}
			}
		})
	}
	all.Wait()
}

func FuzzRedactJSON(f *testing.F) {
	f.Add(`hunter2`, `{"a": "hunter2"}`)
	f.Add(`123456`, `[1234567, "\u0031"]`)
	f.Add(`a\"b\\c`, `{"a\\\"b": "a\\\\\"b"}`)
	f.Fuzz(func(t *testing.T, value, raw string) {
		s := secret.New([]string{"BREAKER_SECRET_KEY=" + value}, "")
		if _, err := s.Resolve("secret:KEY"); err != nil {
			t.Skip()
		}
		got := s.RedactJSON(json.RawMessage(raw))
		if len(raw) == 0 || utf8.RuneCountInString(value) < 6 || strings.Contains("[a secret was part of this document]", value) {
			t.Skip()
		}
		var document any
		decoder := json.NewDecoder(bytes.NewReader(got))
		decoder.UseNumber()
		if err := decoder.Decode(&document); err != nil {
			t.Fatalf("%q in %q gave %q", value, raw, got)
		}
		for _, text := range texts(document) {
			if strings.Contains(strings.ReplaceAll(text, "[secret:KEY]", "\x01"), value) {
				t.Errorf("%q in %q is still in %q", value, raw, got)
			}
		}
	})
}

// texts are all texts and numbers in a document.
func texts(document any) []string {
	var all []string
	switch d := document.(type) {
	case string:
		return []string{d}
	case json.Number:
		return []string{d.String()}
	case []any:
		for _, element := range d {
			all = append(all, texts(element)...)
		}
	case map[string]any:
		for key, member := range d {
			all = append(append(all, key), texts(member)...)
		}
	}
	return all
}
