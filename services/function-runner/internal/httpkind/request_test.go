package httpkind

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"hash"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestTheInputIsSentByDefault(t *testing.T) {
	t.Parallel()
	f := newTestFixture(t, echo)
	traced := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled,
	}))
	deadline := time.Now().Add(time.Minute)
	ctx, cancel := context.WithDeadline(traced, deadline)
	defer cancel()
	result, failure := f.run(ctx)
	if failure != nil {
		t.Fatal(failure)
	}
	var e echoed
	if err := json.Unmarshal(result.Output, &e); err != nil {
		t.Fatal(err)
	}
	if e.Method != "POST" || e.URI != "/" || e.Body != string(f.at.Input) {
		t.Errorf("have %+v", e)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Idempotency-Key": "job-1", "Breaker-Execution": "job-1", "Breaker-Attempt": "2",
		"Breaker-Workflow": "w", "Breaker-Instance": "i", "Breaker-Token": "i-1",
		"Breaker-Deadline": deadline.UTC().Format(time.RFC3339Nano),
		"Traceparent":      "00-01000000000000000000000000000000-0200000000000000-01",
	} {
		if got := e.Headers[name]; got != want {
			t.Errorf("%s: want %q, have %q", name, want, got)
		}
	}
}

func TestMethodsWithoutABodySendNone(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodDelete, http.MethodOptions} {
		f := newTestFixture(t, echo)
		f.fn.HTTP.Method = method
		if e := f.mustEcho(); e.Method != method || e.Body != "" || e.Headers["Content-Type"] != "" {
			t.Errorf("%s: have %+v", method, e)
		}
	}
	f := newTestFixture(t, echo)
	f.fn.HTTP.Method = http.MethodHead
	f.mustGive("null")
}

func TestTemplatesAreFilledIn(t *testing.T) {
	t.Parallel()
	f := newTestFixture(t, echo)
	f.fn.HTTP.URL += `/orders/{{ urlpath .input.id }}?key={{ secret "KEY" }}&id={{ .input.id }}`
	f.fn.HTTP.Method = http.MethodPut
	f.fn.HTTP.Headers = map[string]string{"content-type": "text/plain", "X-Place": "{{ .token.place }} {{ .execution.attempt }}"}
	f.fn.HTTP.Body = `{{ .input.price }} {{ .token.data.amount }} {{ json .execution }}`
	e := f.mustEcho()
	if want := "/orders/A%201%2F2?key=[secret:KEY]&id=A%201/2"; e.URI != want || e.Method != "PUT" {
		t.Errorf("want PUT %s, have %+v", want, e)
	}
	if e.Headers["Content-Type"] != "text/plain" || e.Headers["X-Place"] != "review 2" {
		t.Errorf("have %+v", e.Headers)
	}
	want := `12.50 1.50 {"attempt":2,"id":"job-1","idempotency_key":"job-1","instance_id":"i","token_id":"i-1","workflow_id":"w"}`
	if e.Body != want {
		t.Errorf("want %s\nhave %s", want, e.Body)
	}
}

func TestTextsMayBeSecretsAndInputsNot(t *testing.T) {
	t.Parallel()
	var got http.Header
	f := newTestFixture(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		echo(w, r)
	})
	f.at.Input = json.RawMessage(`{"choose": "secret:KEY"}`)
	f.fn.HTTP.Headers = map[string]string{"X-Key": "secret:KEY", "X-Input": "{{ .input.choose }}", "Authorization": `Bearer {{ secret "KEY" }}`}
	f.fn.HTTP.Body = "secret:SIGNING"
	e := f.mustEcho()
	if got.Get("X-Key") != testKey || got.Get("Authorization") != "Bearer "+testKey || got.Get("X-Input") != "secret:KEY" {
		t.Errorf("the server has %v", got)
	}
	if e.Headers["X-Key"] != "[secret:KEY]" || e.Headers["Authorization"] != "Bearer [secret:KEY]" || e.Body != "[secret:SIGNING]" {
		t.Errorf("the output has %+v", e)
	}
}

func TestBodiesAreSigned(t *testing.T) {
	t.Parallel()
	for algorithm, h := range map[string]func() hash.Hash{"": sha256.New, "sha256": sha256.New, "sha512": sha512.New} {
		name := map[string]string{"": "X-Signature-256", "sha512": "X-Sum"}[algorithm]
		f := newTestFixture(t, func(w http.ResponseWriter, r *http.Request) {
			mac := hmac.New(h, []byte(testSigning))
			_, _ = io.Copy(mac, r.Body)
			kind, sum, _ := strings.Cut(r.Header.Get(cmp.Or(name, "X-Signature-256")), "=")
			got, err := hex.DecodeString(sum)
			if err != nil || !hmac.Equal(got, mac.Sum(nil)) || kind != cmp.Or(algorithm, "sha256") {
				w.WriteHeader(http.StatusForbidden)
			}
		})
		f.fn.HTTP.HMAC = &wire.HTTPHMAC{Secret: "secret:SIGNING", Algorithm: algorithm, Header: strings.ToLower(name)}
		f.mustGive("null")
		f.fn.HTTP.Body = "{{ json .input.id }} in a template"
		f.mustGive("null")
	}
}

func TestWhatCannotBeFilledIn(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change        func(*wire.HTTPFunction)
		code, message string
	}{
		"a missing member":      {func(h *wire.HTTPFunction) { h.Body = "{{ .input.nobody }}" }, wire.FailureInvalidInput, "http.body: line 1: .input.nobody is missing"},
		"a missing secret":      {func(h *wire.HTTPFunction) { h.Body = `{{ secret "NONE" }}` }, wire.FailureMisconfigured, "the secret NONE is missing"},
		"a missing reference":   {func(h *wire.HTTPFunction) { h.Headers = map[string]string{"X-A": "secret:NONE"} }, wire.FailureMisconfigured, "the secret NONE is missing"},
		"a missing signature":   {func(h *wire.HTTPFunction) { h.HMAC = &wire.HTTPHMAC{Secret: "secret:NONE"} }, wire.FailureMisconfigured, "the secret NONE is missing"},
		"a secret of lines":     {func(h *wire.HTTPFunction) { h.Headers = map[string]string{"X-A": "secret:PEM"} }, wire.FailureMisconfigured, "the secret PEM has a line break"},
		"a header of lines":     {func(h *wire.HTTPFunction) { h.Headers = map[string]string{"X-A": `{{ "a\r\nX-B: b" }}`} }, wire.FailureInvalidInput, "http.headers.X-A: filled in, it has a line break"},
		"too much work":         {func(h *wire.HTTPFunction) { h.Body = `{{ range 100000000 }}{{ end }}` }, wire.FailureLimit, "more than a template may do"},
		"a user in the URL":     {func(h *wire.HTTPFunction) { h.URL = `{{ "http" }}://u:{{ secret "KEY" }}@host/` }, wire.FailureInvalidInput, "http.url: filled in, it has a user"},
		"another scheme":        {func(h *wire.HTTPFunction) { h.URL = `{{ "file" }}:///etc/passwd` }, wire.FailureInvalidInput, "begins with neither http:// nor https://"},
		"no host":               {func(h *wire.HTTPFunction) { h.URL = `http://{{ "" }}/a` }, wire.FailureInvalidInput, "names no host"},
		"no URL":                {func(h *wire.HTTPFunction) { h.URL = `http://a/{{ "\n" }}{{ secret "KEY" }}` }, wire.FailureInvalidInput, "http.url: filled in, it is no URL"},
		"a secret as a URL":     {func(h *wire.HTTPFunction) { h.URL = `secret:KEY` }, wire.FailureInvalidInput, "begins with neither"},
		"a URL that is long":    {func(h *wire.HTTPFunction) { h.URL += `/{{ range 20000 }}x{{ end }}` }, wire.FailureInvalidInput, "more than 16384 bytes"},
		"a header that is long": {func(h *wire.HTTPFunction) { h.Headers = map[string]string{"X-A": `{{ range 20000 }}x{{ end }}`} }, wire.FailureInvalidInput, "more than 16384 bytes"},
	} {
		f := newTestFixture(t, func(http.ResponseWriter, *http.Request) { t.Errorf("%s: a request was made", name) })
		test.change(f.fn.HTTP)
		if failure := f.mustFail(t.Context(), test.code, test.message); failure.Ill {
			t.Errorf("%s: the target is not to blame", name)
		}
	}
}

func TestHeadersCannotBeInjected(t *testing.T) {
	t.Parallel()
	f := newTestFixture(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was made") })
	f.fn.HTTP.Headers = map[string]string{"X-A": "{{ .input.evil }}"}
	for _, evil := range []string{"a\r\nX-Evil: 1", "a\nb", "a\rb", "a\x00b", "a\x7f"} {
		f.at.Input, _ = json.Marshal(map[string]string{"evil": evil})
		f.mustFail(t.Context(), wire.FailureInvalidInput, "http.headers.X-A")
	}
}

func TestTheFirstLineCannotBeInjected(t *testing.T) {
	t.Parallel()
	f := newTestFixture(t, echo)
	f.fn.HTTP.URL += "/?q={{ .input.evil }}"
	f.at.Input = json.RawMessage(`{"evil": "a HTTP/1.1 <é>#x"}`)
	if e := f.mustEcho(); e.URI != "/?q=a%20HTTP/1.1%20%3C%C3%A9%3E" {
		t.Errorf("have %s", e.URI)
	}
}

func TestATokenThatHasEndedIsNull(t *testing.T) {
	t.Parallel()
	f := newTestFixture(t, echo)
	f.at.Token, f.at.Input = nil, nil
	f.fn.HTTP.Body = "{{ json .token }} {{ json .input }}"
	if e := f.mustEcho(); e.Body != "null null" {
		t.Errorf("have %q", e.Body)
	}
	f.fn.HTTP.Body = "{{ .token.id }}"
	f.mustFail(t.Context(), wire.FailureInvalidInput, ".token is null, and has no member id")
}
