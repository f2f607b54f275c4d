package httpkind

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/secret"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

const (
	testKey     = "hunter2-hunter2"
	testSigning = "sign\"with<this>"
	testPEM     = "line one\nline two"
)

// fixture is a server, a kind that may reach it, and a function that calls it.
type fixture struct {
	t      *testing.T
	server *httptest.Server
	kind   *Kind
	fn     *wire.Function
	at     *work.Attempt
}

func newTestKind(t *testing.T, cfg Config) *Kind {
	t.Helper()
	secrets := secret.New([]string{
		"BREAKER_SECRET_KEY=" + testKey, "BREAKER_SECRET_SIGNING=" + testSigning, "BREAKER_SECRET_PEM=" + testPEM,
	}, "")
	kind := New(cfg, secrets)
	t.Cleanup(kind.Close)
	return kind
}

func newTestFixture(t *testing.T, handler http.HandlerFunc) *fixture {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	f := &fixture{
		t: t, server: server,
		kind: newTestKind(t, Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}}),
		fn:   &wire.Function{ID: "call", Version: 1, FunctionSpec: wire.FunctionSpec{HTTP: &wire.HTTPFunction{URL: server.URL}}},
		at: &work.Attempt{
			Job: &wire.Job{ID: "job-1", Attempt: 2, WorkflowID: "w", InstanceID: "i", TokenID: "i-1"},
			Token: &wire.Token{
				ID: "i-1", Place: "review", Data: json.RawMessage(`{"amount": 1.50}`), CreatedAt: time.Unix(0, 0).UTC(),
			},
			Input: json.RawMessage(`{"id": "A 1/2", "price": 12.50}`),
		},
	}
	return f
}

func (f *fixture) run(ctx context.Context) (work.Result, *work.Failure) {
	f.t.Helper()
	if err := f.kind.Check(&f.fn.FunctionSpec); err != nil {
		f.t.Fatalf("the function is refused: %v", err)
	}
	return f.kind.Run(ctx, f.fn, f.at)
}

func (f *fixture) mustGive(want string) {
	f.t.Helper()
	result, failure := f.run(f.t.Context())
	if failure != nil || string(result.Output) != want {
		f.t.Errorf("want %s, have %s, %v", want, result.Output, failure)
	}
}

func (f *fixture) mustFail(ctx context.Context, code, message string) *work.Failure {
	f.t.Helper()
	result, failure := f.run(ctx)
	if failure == nil {
		f.t.Fatalf("want %s, have the output %s", code, result.Output)
	}
	if failure.Code != code || !strings.Contains(failure.Message, message) || result.Output != nil {
		f.t.Errorf("want %s: %s\nhave %v", code, message, failure)
	}
	if strings.Contains(failure.Message, testKey) || strings.Contains(failure.Message, "?") {
		f.t.Errorf("the message tells too much: %v", failure)
	}
	return failure
}

// answers makes a handler.
func answers(status int, contentType, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// echo answers with the request: its headers, and its body.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	headers := map[string]string{}
	for name := range r.Header {
		headers[name] = r.Header.Get(name)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"method": r.Method, "uri": r.RequestURI, "headers": headers, "body": string(body),
	})
}

// echoed is what echo answered.
type echoed struct {
	Method, URI, Body string
	Headers           map[string]string
}

func (f *fixture) mustEcho() echoed {
	f.t.Helper()
	result, failure := f.run(f.t.Context())
	if failure != nil {
		f.t.Fatal(failure)
	}
	var e echoed
	if err := json.Unmarshal(result.Output, &e); err != nil {
		f.t.Fatalf("%v in %s", err, result.Output)
	}
	return e
}
