package httpkind

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/jsonscan"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// maxDepth is how deep an output may nest: what holds it nests too, and jsonscan ends at 200.
const maxDepth = 100

// answer makes a result, or a failure, of what the server sent.
func (k *Kind) answer(ctx context.Context, p *plan, response *http.Response) (work.Result, *work.Failure) {
	status := response.StatusCode
	host := response.Request.URL.Hostname()
	succeeded := p.success.match(status)
	if !succeeded && status >= 300 && status < 400 {
		return work.Result{}, k.failed(wire.FailureRejected, "%s answered %d and %s, which is not followed", host, status, leads(response))
	}
	if status < 200 { // It switches to what we have not asked for, and its body has no end.
		return work.Result{}, k.failed(wire.FailureRejected, "%s answered %d", host, status)
	}
	body, err := k.read(response)
	if succeeded {
		if err != nil {
			return work.Result{}, k.unread(ctx, response, err)
		}
		return k.output(response, body)
	}
	excerpt := ""
	if err == nil { // Only what came whole is shown: of half a secret nothing would be redacted.
		excerpt = k.excerpt(body)
	}
	code, after := wire.FailureRejected, time.Duration(0)
	if p.retry.match(status) {
		code = wire.FailureFailed
		after = retryAfter(response.Header, time.Now())
		unavailable := status == http.StatusServiceUnavailable && response.Header.Get("Retry-After") != ""
		if status == http.StatusTooManyRequests || unavailable {
			code = wire.FailureThrottled
		}
	}
	failure := k.failed(code, "%s answered %d%s", host, status, excerpt)
	failure.After = after
	return work.Result{}, failure
}

// leads says where a redirect leads: its host, since paths and queries may hold secrets.
func leads(response *http.Response) string {
	to, err := url.Parse(response.Header.Get("Location"))
	switch {
	case err != nil:
		return "does not say properly where it leads"
	case to.Hostname() == "" || to.Host == response.Request.URL.Host:
		return "leads elsewhere on the same host"
	}
	return "leads to " + to.Hostname()
}

var errTooLong = errors.New("too long")

// read is the whole body, decompressed, or errTooLong.
func (k *Kind) read(response *http.Response) ([]byte, error) {
	if response.ContentLength > k.maxResponse && response.Request.Method != http.MethodHead {
		return nil, errTooLong
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, k.maxResponse+1))
	if err == nil && int64(len(body)) > k.maxResponse {
		err = errTooLong
	}
	return body, err
}

// replacement takes the place of what is no UTF-8: the call has happened, so the rest counts.
var replacement = []byte("\uFFFD")

// output is JSON whatever the server has sent.
func (k *Kind) output(response *http.Response, body []byte) (work.Result, *work.Failure) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	if len(body) == 0 {
		return work.Result{Output: json.RawMessage("null")}, nil
	}
	if !json.Valid(body) {
		host := response.Request.URL.Hostname()
		if announcesJSON(response.Header.Get("Content-Type")) {
			return work.Result{}, k.failed(wire.FailureInvalidOutput, "%s answered %d and announced JSON, and this is none%s",
				host, response.StatusCode, k.excerpt(body))
		}
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(strings.ToValidUTF8(k.secrets.Redact(string(body)), string(replacement))); err != nil {
			return work.Result{}, k.failed(wire.FailureInvalidOutput, "%s answered %d with what is no text", host, response.StatusCode)
		}
		return work.Result{Output: bytes.TrimSpace(text.Bytes())}, nil
	}
	body = bytes.ToValidUTF8(body, replacement)
	scanner := jsonscan.New(body)
	if _, err := scanner.Value(); err != nil || scanner.Deepest() > maxDepth {
		return work.Result{}, k.failed(wire.FailureInvalidOutput, "%s answered %d with JSON that nests deeper than %d",
			response.Request.URL.Hostname(), response.StatusCode, maxDepth)
	}
	return work.Result{Output: k.secrets.RedactJSON(body)}, nil
}

func announcesJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind, _, _ = strings.Cut(strings.ToLower(contentType), ";")
	}
	kind = strings.TrimSpace(kind)
	return kind == "application/json" || kind == "text/json" || strings.HasSuffix(kind, "+json")
}
