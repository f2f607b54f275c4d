package httpkind

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestAnswersBecomeJSON(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ kind, body, want string }{
		"JSON":              {"application/json", ` {"b": 1.50, "a": "<é>"}` + "\n", `{"b": 1.50, "a": "<é>"}`},
		"problem":           {"application/problem+json; charset=utf-8", `[1]`, `[1]`},
		"JSON in disguise":  {"text/plain", `{"a": 1}`, `{"a": 1}`},
		"JSON with a mark":  {"application/json", "\xef\xbb\xbf[]", `[]`},
		"text":              {"text/plain; charset=utf-8", "  hello <b>\"you\"\n", `"hello <b>\"you\""`},
		"HTML":              {"text/html", "<p>", `"<p>"`},
		"a number":          {"text/plain", "12", `12`},
		"nothing":           {"application/json", "", "null"},
		"spaces":            {"text/plain", " \n", "null"},
		"what is no UTF-8":  {"text/plain", "caf\xe9", `"caf�"`},
		"JSON not in UTF-8": {"application/json", "[\"caf\xe9\"]", `["caf�"]`},
	} {
		f := newTestFixture(t, answers(http.StatusOK, test.kind, test.body))
		t.Log(name)
		f.mustGive(test.want)
	}
}

func TestAnswersThatAreNoJSONAlthoughTheySaySo(t *testing.T) {
	t.Parallel()
	for kind, body := range map[string]string{"application/json": `{"a": `, "application/vnd.x+json": `hello`, "application/json; x": "{}{}"} {
		newTestFixture(t, answers(http.StatusOK, kind, body)).mustFail(t.Context(), wire.FailureInvalidOutput, "announced JSON, and this is none: "+body[:2])
	}
	deep := strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)
	newTestFixture(t, answers(http.StatusOK, "application/json", deep)).mustFail(t.Context(), wire.FailureInvalidOutput, "nests deeper than 100")
	newTestFixture(t, answers(http.StatusOK, "text/plain", deep[1:len(deep)-1])).mustGive(deep[1 : len(deep)-1])
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	own := &wire.HTTPFunction{Success: []string{"200", "404"}, RetryOn: []string{"409", "5xx"}}
	for _, test := range []struct {
		status int
		fn     *wire.HTTPFunction
		want   string
		ill    bool
	}{
		{200, nil, "", false},
		{201, nil, "", false},
		{204, nil, "", false},
		{299, nil, "", false},
		{304, nil, wire.FailureRejected, false},
		{400, nil, wire.FailureRejected, false},
		{401, nil, wire.FailureRejected, false},
		{404, nil, wire.FailureRejected, false},
		{408, nil, wire.FailureFailed, true},
		{409, nil, wire.FailureRejected, false},
		{425, nil, wire.FailureFailed, true},
		{429, nil, wire.FailureThrottled, true},
		{500, nil, wire.FailureFailed, true},
		{503, nil, wire.FailureFailed, true},
		{599, nil, wire.FailureFailed, true},
		{200, own, "", false},
		{404, own, "", false},
		{201, own, wire.FailureRejected, false},
		{409, own, wire.FailureFailed, true},
		{429, own, wire.FailureRejected, false},
		{502, own, wire.FailureFailed, true},
	} {
		f := newTestFixture(t, answers(test.status, "text/plain", ""))
		if test.fn != nil {
			f.fn.HTTP.Success, f.fn.HTTP.RetryOn = test.fn.Success, test.fn.RetryOn
		}
		if test.want == "" {
			f.mustGive("null")
			continue
		}
		failure := f.mustFail(t.Context(), test.want, fmt.Sprintf("127.0.0.1 answered %d", test.status))
		if failure.Ill != test.ill || failure.After != 0 {
			t.Errorf("%d: have %+v", test.status, failure)
		}
	}
}

func TestServersSayWhenToComeBack(t *testing.T) {
	t.Parallel()
	far := time.Now().Add(48 * time.Hour).UTC().Format(http.TimeFormat)
	for value, want := range map[string]time.Duration{"7": 7 * time.Second, "99999": time.Hour, "99999999999999999999": time.Hour, far: time.Hour} {
		for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
			f := newTestFixture(t, answers(status, "text/plain", "slow down", "Retry-After", value))
			if failure := f.mustFail(t.Context(), wire.FailureThrottled, "slow down"); failure.After != want {
				t.Errorf("%d with %s: want %s, have %s", status, value, want, failure.After)
			}
		}
	}
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, " 5 ": 5 * time.Second, "-5": 0, "soon": 0, "Sun, 01 Mar 2026 00:00:30 GMT": 30 * time.Second, "Sat, 28 Feb 2026 00:00:00 GMT": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: want %s, have %s", value, want, got)
		}
	}
}

func TestErrorsShowTheBeginningOfTheBody(t *testing.T) {
	t.Parallel()
	f := newTestFixture(t, answers(http.StatusBadRequest, "text/plain", "no\r\n\x1b[31m luck "+strings.Repeat("ü", 400)))
	failure := f.mustFail(t.Context(), wire.FailureRejected, "127.0.0.1 answered 400: no [31m luck üüü")
	if excerpt := strings.TrimPrefix(failure.Message, "127.0.0.1 answered 400: "); len(excerpt) > maxExcerpt || !strings.HasSuffix(excerpt, "ü…") {
		t.Errorf("have %d bytes: %q", len(excerpt), excerpt)
	}
}

func TestSecretsDoNotComeBack(t *testing.T) {
	t.Parallel()
	basic := base64.StdEncoding.EncodeToString([]byte("me:" + testKey))
	bodies := map[string]string{
		"text/plain": "you sent " + testKey + " and " + basic, "text/html": "<i>" + testKey + "</i>", "": testKey,
		"application/json":         `{"a": ["` + testKey + `", {"` + testKey + `": "` + basic + `"}], "b": "\u0068unter2-hunter2"}`,
		"application/problem+json": `{"detail": "\"` + testKey + `\""}`,
		// The secret is where the message is cut.
		"text/css": strings.Repeat("x", maxExcerpt-8) + testKey,
	}
	for kind, body := range bodies {
		for _, status := range []int{200, 400, 500, 302} {
			f := newTestFixture(t, answers(status, kind, body, "Location", "http://"+testKey+".example/"))
			f.fn.HTTP.Headers = map[string]string{"X-Key": "secret:KEY"}
			result, failure := f.run(t.Context())
			told := string(result.Output)
			if failure != nil {
				told = failure.Message
			}
			for _, secret := range []string{testKey, "hunter2", basic[4:18], `\u0068unter`} {
				if strings.Contains(told, secret) {
					t.Errorf("%s %d: %s is in %s", kind, status, secret, told)
				}
			}
			if !strings.Contains(told, "[secret:KEY]") && kind != "text/css" {
				t.Errorf("%s %d: nothing was redacted in %s", kind, status, told)
			}
		}
	}
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	f := newTestFixture(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(ended)
		block := make([]byte, 64<<10)
		for {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	f.mustFail(t.Context(), wire.FailureLimit, "answered 200 with more than 1048576 bytes")
	<-ended // The connection was closed.

	announced := newTestFixture(t, answers(http.StatusOK, "text/plain", "123456"))
	announced.kind.maxResponse = 5
	announced.mustFail(t.Context(), wire.FailureLimit, "more than 5 bytes")
	announced.kind.maxResponse = 6
	announced.mustGive("123456")
}

func TestBombsAreBounded(t *testing.T) {
	t.Parallel()
	f := newTestFixture(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		block := make([]byte, 1<<20)
		for range 64 {
			if _, err := z.Write(block); err != nil {
				return
			}
		}
		_ = z.Close()
	})
	f.mustFail(t.Context(), wire.FailureLimit, "more than 1048576 bytes")
	liar := newTestFixture(t, answers(http.StatusOK, "text/plain", "this is no gzip", "Content-Encoding", "gzip"))
	liar.mustFail(t.Context(), wire.FailureInvalidOutput, "announced gzip, and this is none")
}

func TestHeadersOfAnswersAreBounded(t *testing.T) {
	t.Parallel()
	f := newTestFixture(t, answers(http.StatusOK, "text/plain", "x", "X-Long", strings.Repeat("x", 2*maxResponseHeaders)))
	f.mustFail(t.Context(), wire.FailureLimit, "headers of more than 65536 bytes")
}

func TestErrorsWithoutAnEndHaveTheirStatus(t *testing.T) {
	t.Parallel()
	f := newTestFixture(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
				return
			}
		}
	})
	if failure := f.mustFail(t.Context(), wire.FailureFailed, "answered 500"); failure.Message != "127.0.0.1 answered 500" {
		t.Errorf("have %v", failure)
	}
}

func TestSlowServersTimeOut(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"never": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // Only then the server sees that the caller has gone.
			<-r.Context().Done()
		},
		"drip": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for {
				_, _ = io.WriteString(w, "x")
				w.(http.Flusher).Flush()
				select {
				case <-tick.C:
				case <-r.Context().Done():
					return
				}
			}
		},
	} {
		f := newTestFixture(t, handler)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if failure := f.mustFail(ctx, wire.FailureTimeout, "127.0.0.1 did not answer in time"); !failure.Ill {
			t.Errorf("%s: want the target to blame", name)
		}
		cancel()
	}
}

func TestAStopIsNotTheTargetsFault(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	f := newTestFixture(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	})
	if failure := f.mustFail(ctx, wire.FailureTimeout, "the attempt was stopped"); failure.Ill {
		t.Error("want the target not to be blamed")
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	f := newTestFixture(t, nil)
	f.server.Close()
	if failure := f.mustFail(t.Context(), wire.FailureUnreachable, "127.0.0.1 cannot be reached: "); !failure.Ill {
		t.Error("want the target to blame")
	}
	f.fn.HTTP.URL = "http://nobody..invalid/"
	f.mustFail(t.Context(), wire.FailureUnreachable, "nobody..invalid cannot be reached: ")
}

func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	for raw, message := range map[string]string{
		"": "cannot be reached", "nonsense " + testKey + "\r\n\r\n": "cannot be reached",
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc": "answered 200 and broke off",
	} {
		f := newTestFixture(t, func(w http.ResponseWriter, _ *http.Request) {
			connection, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(connection, raw)
			_ = connection.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, connection)
			_ = connection.Close()
		})
		f.fn.HTTP.Headers = map[string]string{"X-Key": "secret:KEY"}
		f.mustFail(t.Context(), wire.FailureUnreachable, message)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	f := newTestFixture(t, nil)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%q", r.Proto) }))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	f.fn.HTTP.URL = server.URL
	f.mustFail(t.Context(), wire.FailureUnreachable, "certificate")
	f.kind.transport.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	f.mustGive(`"HTTP/2.0"`)
	f.fn.HTTP.URL = strings.Replace(f.server.URL, "http://", "https://", 1)
	f.mustFail(t.Context(), wire.FailureUnreachable, "127.0.0.1 cannot be reached: ")
}
