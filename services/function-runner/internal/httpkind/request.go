package httpkind

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/seed-42b4788c/circuit-breaker/pkg/render"
	"github.com/seed-42b4788c/circuit-breaker/pkg/secret"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

const (
	maxURL         = 16 << 10
	maxHeaderValue = 16 << 10
)

// request fills the plan in.
func (k *Kind) request(ctx context.Context, p *plan, a *work.Attempt) (*http.Request, error) {
	data, err := newData(a)
	if err != nil {
		return nil, err
	}
	filled, err := p.fill(p.url, data)
	if err != nil {
		return nil, err
	}
	if len(filled) > maxURL {
		return nil, fmt.Errorf("http.url: filled in, it has more than %d bytes", maxURL)
	}
	to, err := parseURL(filled)
	if err != nil {
		return nil, fmt.Errorf("http.url: filled in, it %w", err)
	}
	to.RawQuery = escapeQuery(to.RawQuery)
	body, err := p.fillBody(data, a)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, p.method, "", bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("http: no request can be made of this")
	}
	request.URL, request.Host = to, to.Host
	if err := p.fillHeaders(ctx, request, data, a, body); err != nil {
		return nil, err
	}
	return request, nil
}

// escapeQuery keeps what is filled in within the first line of a request, as url.Parse does
// for paths.
func escapeQuery(query string) string {
	var b strings.Builder
	for _, c := range []byte(query) {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>' {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func (p *plan) fillBody(data any, a *work.Attempt) ([]byte, error) {
	switch {
	case p.body != nil:
		body, err := p.fill(*p.body, data)
		return []byte(body), err
	case !methods[p.method]:
		return nil, nil
	case len(a.Input) == 0:
		return []byte("null"), nil
	}
	return a.Input, nil
}

func (p *plan) fillHeaders(ctx context.Context, request *http.Request, data any, a *work.Attempt, body []byte) error {
	h := request.Header
	if len(body) > 0 {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Accept", "application/json, */*;q=0.5")
	h.Set("User-Agent", "circuit-breaker")
	for _, header := range p.headers {
		value, err := p.fill(header.value, data)
		if err != nil {
			return err
		}
		if value = strings.TrimSpace(value); len(value) > maxHeaderValue || !isHeaderValue(value) {
			reason := fmt.Sprintf("has a line break, another control character, or more than %d bytes", maxHeaderValue)
			if name, ok := strings.CutPrefix(header.value.reference, secret.Prefix); ok {
				return &secret.Error{Name: name, Reason: reason + ", and cannot be a header"}
			}
			return fmt.Errorf("http.headers.%s: filled in, it %s", header.name, reason)
		}
		h.Set(header.name, value)
	}
	for name, value := range map[string]string{
		wire.HeaderIdempotencyKey: a.Job.ID, wire.HeaderExecution: a.Job.ID, wire.HeaderAttempt: strconv.Itoa(a.Job.Attempt),
		wire.HeaderWorkflow: a.Job.WorkflowID, wire.HeaderInstance: a.Job.InstanceID, wire.HeaderToken: a.Job.TokenID,
	} {
		if value != "" {
			h.Set(name, value)
		}
	}
	if deadline, ok := ctx.Deadline(); ok {
		h.Set(wire.HeaderDeadline, deadline.UTC().Format(time.RFC3339Nano))
	}
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
	return p.sign(h, body)
}

func (p *plan) sign(h http.Header, body []byte) error {
	if p.hmac == nil {
		return nil
	}
	key, err := p.secrets.Resolve(p.hmac.Secret)
	if err != nil {
		return err
	}
	algorithm := map[string]func() hash.Hash{sha256Algorithm: sha256.New, sha512Algorithm: sha512.New}[p.hmac.Algorithm]
	mac := hmac.New(algorithm, []byte(key))
	mac.Write(body)
	h.Set(p.hmac.Header, p.hmac.Algorithm+"="+hex.EncodeToString(mac.Sum(nil)))
	return nil
}

// newData is what templates see.
func newData(a *work.Attempt) (map[string]any, error) {
	input, err := render.Decode(a.Input)
	if err != nil {
		return nil, errors.New("the input is no JSON")
	}
	var token any
	if a.Token != nil {
		raw, err := json.Marshal(a.Token)
		if err != nil {
			return nil, errors.New("the token is no JSON")
		}
		if token, err = render.Decode(raw); err != nil {
			return nil, errors.New("the token is no JSON")
		}
	}
	return map[string]any{"input": input, "token": token, "execution": map[string]any{
		"id": a.Job.ID, "attempt": a.Job.Attempt, "idempotency_key": a.Job.ID,
		"workflow_id": a.Job.WorkflowID, "instance_id": a.Job.InstanceID, "token_id": a.Job.TokenID,
	}}, nil
}
