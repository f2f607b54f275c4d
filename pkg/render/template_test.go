package render_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/render"
)

const testInput = `{
	"input": {
		"id": "A-1", "amount": 12.50, "big": 12345678901234567890, "zero": 0.0, "ok": true, "no": null, "empty": "", "none": [],
		"customer": {"first-name": "Ann", "tags": ["x", "y<z"]},
		"items": [{"sku": "a&b", "count": 2}, {"sku": "ü/é", "count": 10}]
	},
	"token": null
}`

var errVault = errors.New("the vault is shut")

// secrets is a function as callers add it.
var secrets = render.Function{
	Name: "secret",
	Call: func(name string) (string, error) {
		if name == "SHUT" {
			return "", errVault
		}
		return "<" + name + ">", nil
	},
	Check: func(name string) error {
		if name != strings.ToUpper(name) {
			return errors.New("a secret has capital letters")
		}
		return nil
	},
}

func newTestData(t testing.TB) any {
	t.Helper()
	data, err := render.Decode(json.RawMessage(testInput))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func mustCompile(t testing.TB, text string) *render.Template {
	t.Helper()
	template, err := render.Compile("body", text, secrets)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return template
}

func TestTemplatesAreFilledIn(t *testing.T) {
	t.Parallel()
	data := newTestData(t)
	for text, want := range map[string]string{
		"as it is":              "as it is",
		"{{ .input.id }}":       "A-1",
		"{{ $.input.id }}":      "A-1",
		"{{ .input.amount }}":   "12.50",
		"{{ .input.big }}":      "12345678901234567890",
		"{{ .input.ok }}":       "true",
		"{{ .input.no }}":       "null",
		"{{ .token }}":          "null",
		"{{ .input.customer }}": `{"first-name":"Ann","tags":["x","y<z"]}`,
		`{"id": {{ json .input.id }}, "list": {{ json .input.customer.tags }}}`:                                `{"id": "A-1", "list": ["x","y<z"]}`,
		`{{ index .input.customer "first-name" | upper }}`:                                                     "ANN",
		`{{ (index .input.items 1).count }}`:                                                                   "10",
		`{{ get .input "items" 0 "sku" }}`:                                                                     "a&b",
		`{{ get .input "items" 7 "sku" | default "none" }}`:                                                    "none",
		`{{ default "none" .input.empty }}{{ default 1 .input.none }}`:                                         "none1",
		`{{ default "none" .input.zero }}`:                                                                     "0.0",
		`{{ join ", " .input.customer.tags }}`:                                                                 "x, y<z",
		`{{ "  A b " | trim | lower }}`:                                                                        "a b",
		`{{ urlquery "a b/ü" }} {{ urlpath "a b/ü" }}`:                                                         "a+b%2F%C3%BC a%20b%2F%C3%BC",
		`{{ range .input.items }}{{ .sku }}={{ .count }};{{ end }}`:                                            "a&b=2;ü/é=10;",
		`{{ range $i, $x := .input.items }}{{ $i }}{{ $x.sku }}{{ end }}`:                                      "0a&b1ü/é",
		`{{ range $k, $v := .input.customer }}{{ $k }} {{ end }}`:                                              "first-name tags ",
		`{{ range .input.none }}x{{ else }}nothing{{ end }}`:                                                   "nothing",
		`{{ range 3 }}{{ . }}{{ end }}`:                                                                        "012",
		`{{ range .input.items }}{{ if eq .count 10 }}{{ break }}{{ end }}{{ .sku }}{{ end }}`:                 "a&b",
		`{{ with .input.customer }}{{ len .tags }}{{ end }}`:                                                   "2",
		`{{ with .input.zero }}x{{ else }}zero{{ end }}`:                                                       "zero",
		`{{ if .input.zero }}x{{ else if .input.ok }}y{{ end }}`:                                               "y",
		`{{ if and .input.ok .input.zero }}x{{ else }}y{{ end }}`:                                              "y",
		`{{ or .input.zero .input.id }}`:                                                                       "A-1",
		`{{ if not .input.zero }}x{{ end }}{{ if not .input.id }}y{{ end }}`:                                   "x",
		`{{ if and (gt .input.amount 12) (le .input.amount 12.5) (ne .input.id "B") }}x{{ end }}`:              "x",
		`{{ eq .input.amount 12.5 }} {{ eq .input.id "x" "A-1" }} {{ eq .input.no nil }} {{ eq .input.id 1 }}`: "true true true false",
		`{{ lt "a" "b" }}`: "true",
		`{{ len "üä" }}`:   "2",
		`{{ $x := .input.id }}{{ $x = lower $x }}{{ $x }}`:       "a-1",
		`Bearer {{ secret "KEY" }}`:                              "Bearer <KEY>",
		`{{ secret "KEY" | urlquery }}`:                          "%3CKEY%3E",
		"{{ range .input.items -}}\n  {{ .sku }}\n{{- end }}":    "a&bü/é",
		`{{/* says nothing */}}{{ "{{" }}`:                       "{{",
		`{{ and .input.zero .input.ok }} {{ .input.ok | or 0 }}`: "0 true",
	} {
		got, err := mustCompile(t, text).Execute(data)
		if err != nil || got != want {
			t.Errorf("%s\nwant %q\nhave %q, %v", text, want, got, err)
		}
	}
}

func TestWhatGoesWrongIsNamed(t *testing.T) {
	t.Parallel()
	data := newTestData(t)
	for text, want := range map[string]string{
		"{{ .input.customer.name }}":                      "body: line 1: .input.customer.name is missing",
		"\n\n{{ .inputs.x }}":                             "body: line 3: .inputs is missing",
		"{{ .token.data.x }}":                             "body: line 1: .token is null, and has no member data",
		"{{ .input.id.x }}":                               "body: line 1: .input.id is a text, and has no member x",
		"{{ .input.amount.Int64 }}":                       "body: line 1: .input.amount is a number, and has no member Int64",
		"{{ $x := .input }}{{ $x.y }}":                    "body: line 1: $x.y is missing",
		"{{ range .input.items }}\n{{ .name }}{{end}}":    "body: line 2: .name is missing",
		"{{ range .input.customer.tags }}{{ .a }}{{end}}": "body: line 1: what stands here is a text, and has no member a",
		`{{ (get .input "customer").name }}`:              "body: line 1: (…).name is missing",
		`{{ index .input "a b" }}`:                        "body: line 1: index finds nothing at a b",
		`{{ index .input.items 2 }}`:                      "body: line 1: index finds nothing at 2",
		`{{ index .input.items "a" }}`:                    "body: line 1: index needs a position, from 0, in a list",
		`{{ lower .input.customer }}`:                     "body: line 1: lower needs a text, and has an object",
		`{{ lower }}`:                                     "body: line 1: lower has 0 arguments, and needs 1",
		`{{ len .input.amount }}`:                         "body: line 1: len needs a text, a list or an object, and has a number",
		`{{ gt .input.id 1 }}`:                            "body: line 1: gt compares two numbers or two texts, and has a text and a number",
		`{{ eq .input.items 1 }}`:                         "body: line 1: eq compares texts, numbers, truths and null, and has a list",
		`{{ range .input.id }}{{end}}`:                    "body: line 1: range goes over a list or an object, and this is a text",
		`{{ join .input.items "," }}`:                     `body: line 1: join needs a text and a list`,
		`{{ secret "SHUT" }}`:                             "body: line 1: the vault is shut",
	} {
		got, err := mustCompile(t, text).Execute(data)
		var e *render.Error
		if !errors.As(err, &e) || got != "" || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s\nwant %s\nhave %q, %v", text, want, got, err)
		}
		if strings.Contains(text, "SHUT") != errors.Is(err, errVault) {
			t.Errorf("%s: the error of the function was lost: %v", text, err)
		}
	}
}

func TestWhatIsNoTemplateIsRefused(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{{ .a":                                     "line 1: ",
		"a\n{{ if .a }}":                            "line 2: unexpected EOF",
		"\n{{ .a }":                                 "line 2: ",
		"{{ foo }}":                                 `line 1: function "foo" not defined`,
		`{{ call .a }}`:                             `line 1: function "call" not defined`,
		`{{ printf "%999999d" 1 }}`:                 `function "printf" not defined`,
		`{{ print 1 }}{{ html 1 }}`:                 `function "print" not defined`,
		`{{ _field "" . "a" }}`:                     `function "_field" not defined`,
		`{{ .a | _text }}`:                          `function "_text" not defined`,
		`{{ define "x" }}{{ end }}`:                 "define, template and block are not possible",
		`{{ define "t" }}x{{ end }}`:                "define, template and block are not possible",
		`a{{ template "x" }}`:                       "line 1: define, template and block are not possible",
		"\n{{ block \"x\" . }}{{ end }}":            "define, template and block are not possible",
		`{{ range .a }}{{ template "t" }}{{ end }}`: "define, template and block are not possible",
		"{{ range .a }}{{ range .b }}\n{{ range .c }}{{ end }}{{ end }}{{ end }}":                                                                          "line 2: range nests more than twice",
		"{{ range .a }}{{ if .b }}{{ with .c }}{{ range .d }}{{ else }}{{ range .e }}{{ range .f }}{{ end }}{{ end }}{{ end }}{{ end }}{{ end }}{{ end }}": "line 1: range nests more than twice",
		`{{ .a 1 }}`:             "line 1: only a function has arguments",
		`{{ 1 | .a }}`:           "line 1: only a function has arguments",
		`{{ secret .input.id }}`: `line 1: secret has one text that is written out, such as {{ secret "NAME" }}`,
		`{{ "KEY" | secret }}`:   "secret has one text",
		`{{ secret "A" "B" }}`:   "secret has one text",
		`{{ secret }}`:           "secret has one text",
		`{{ lower secret }}`:     "secret has one text",
		`{{ if eq (secret (lower "A")) "" }}{{ end }}`: "secret has one text",
		"\n{{ secret \"key\" }}":                       "line 2: a secret has capital letters",
		`{{ $x }}`:                                     `undefined variable "$x"`,
		`{{ nil }}`:                                    "line 1: nil is only an argument",
		strings.Repeat("x", render.MaxText+1):          "has 65537 bytes; at most 65536 are possible",
	} {
		_, err := render.Compile("http.body", text, secrets)
		var e *fault.Error
		if !errors.As(err, &e) || e.Code != fault.InvalidField || e.Details["field"] != "http.body" || !strings.Contains(e.Message, want) {
			t.Errorf("%.80s\nwant %s\nhave %v", text, want, err)
		}
	}
	if _, err := render.Compile("body", `{{ secret "KEY" }}`); err == nil {
		t.Error("want secret to be unknown where the caller does not add it")
	}
}

func TestWorkIsBounded(t *testing.T) {
	t.Parallel()
	long := make([]any, 20000)
	for i := range long {
		long[i] = strings.Repeat("x", 40)
	}
	data := map[string]any{"long": long, "text": strings.Repeat("y", render.MaxOutput/2+1), "slash": `\`}
	for name, text := range map[string]string{
		"output":           `{{ .text }}{{ .text }}`,
		"output of a loop": `{{ range .long }}{{ json $.long }}{{ end }}`,
		"empty loops":      `{{ range .long }}{{ range $.long }}{{ end }}{{ end }}`,
		"a big number":     `{{ range 1000000000000 }}{{ end }}`,
		"loops that set":   `{{ $x := 1 }}{{ range .long }}{{ range $.long }}{{ $x = $.text }}{{ end }}{{ end }}`,
		"comparing":        `{{ range .long }}{{ if eq $.text $.text }}{{ end }}{{ end }}`,
		"encoding":         `{{ range .long }}{{ $x := json $.long }}{{ end }}`,
		"joining":          `{{ join .text .long }}`,
		"doubling":         `{{ $x := json .slash }}` + strings.Repeat(`{{ $x = json $x }}`, 100),
		"sorting":          `{{ range .long }}{{ range $k, $v := $ }}{{ break }}{{ end }}{{ lower $.text | urlquery }}{{ end }}`,
	} {
		got, err := mustCompile(t, text).Execute(data)
		if !errors.Is(err, render.ErrLimit) || got != "" {
			t.Errorf("%s: want a limit, have %d bytes, %v", name, len(got), err)
		}
	}
	if got, err := mustCompile(t, `{{ range .long }}{{ . }}{{ end }}`).Execute(data); err != nil || len(got) != 800000 {
		t.Errorf("want a long text to be possible, have %d bytes, %v", len(got), err)
	}
}

func TestATemplateIsShared(t *testing.T) {
	t.Parallel()
	template, data := mustCompile(t, `{{ range .input.items }}{{ .sku | upper }}{{ secret "KEY" }}{{ end }}`), newTestData(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if got, err := template.Execute(data); err != nil || got != "A&B<KEY>Ü/É<KEY>" {
					t.Errorf("have %q, %v", got, err)
				}
			}
		})
	}
	all.Wait()
}

func TestStaticTemplatesAreKnown(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"": true, "a {b} ": true, "{{ 1 }}": false, `{{ "x" }}`: false, "{{/* no */}}a": true} {
		if got := mustCompile(t, text).Static(); got != want {
			t.Errorf("%q: want %v", text, want)
		}
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	if data, err := render.Decode(nil); data != nil || err != nil {
		t.Errorf("nothing: have %v, %v", data, err)
	}
	for _, raw := range []string{"{", "1 2", "{} x"} {
		if _, err := render.Decode(json.RawMessage(raw)); err == nil {
			t.Errorf("%s: want an error", raw)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{
		`{{ range $i, $x := .input.items }}{{ $x.sku | urlquery }}{{ end }}`, `{{ (index .input.items 1).count }}`, `{{ secret "KEY" }}`,
		`{{ with $y := or .input.zero 1 }}{{ $y }}{{ else with 2 }}{{ end }}`, `{{ break }}`, `{{ (.input).id }}{{ (1).x }}{{ (nil) }}`,
	} {
		f.Add(seed)
	}
	data := newTestData(f)
	f.Fuzz(func(t *testing.T, text string) {
		template, err := render.Compile("body", text, secrets)
		if err != nil {
			if !errors.Is(err, fault.InvalidField) {
				t.Fatal(err)
			}
			return
		}
		got, err := template.Execute(data)
		var e *render.Error
		if err != nil && !errors.As(err, &e) {
			t.Error(err)
		}
		if len(got) > render.MaxOutput || strings.Contains(got, "<no value>") && !strings.Contains(text, "<no value>") {
			t.Errorf("%q gave %d bytes: %.100q", text, len(got), got)
		}
	})
}
