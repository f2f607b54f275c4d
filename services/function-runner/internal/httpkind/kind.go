package httpkind

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/secret"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// Config is what the operator says.
type Config struct {
	// Allow are networks that may be reached although they are not public.
	Allow []netip.Prefix
	// MaxResponse is how many bytes an answer may have, after decompression; absent is 1 MiB.
	MaxResponse int64
}

const (
	defaultMaxResponse = 1 << 20
	maxResponseHeaders = 64 << 10
	dialTimeout        = 10 * time.Second
	idleTimeout        = 60 * time.Second
)

// Kind runs functions of kind http. It is safe for concurrent use.
type Kind struct {
	maxResponse int64
	secrets     *secret.Store
	transport   *http.Transport
}

// New makes the kind; it does no I/O. Secrets may be nil: then there are none.
func New(cfg Config, secrets *secret.Store) *Kind {
	if cfg.MaxResponse <= 0 {
		cfg.MaxResponse = defaultMaxResponse
	}
	if secrets == nil {
		secrets = secret.New(nil, "")
	}
	dialer := &net.Dialer{Timeout: dialTimeout, Control: newGuard(cfg.Allow).control}
	return &Kind{
		maxResponse: cfg.MaxResponse,
		secrets:     secrets,
		transport: &http.Transport{
			Proxy:                  nil, // One of the environment's would hide where a request goes.
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout:    dialTimeout,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           256,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxResponseHeaders,
		},
	}
}

// Close drops the connections that are idle. Call it after the last Run has ended.
func (k *Kind) Close() { k.transport.CloseIdleConnections() }

// Check is fault.InvalidField, with the details field, such as http.headers.X-A, for what can
// never work.
func (k *Kind) Check(fn *wire.FunctionSpec) error {
	_, err := newPlan(fn, k.secrets)
	return err
}

// Run makes one request, within the deadline of the context. Codes of failures are those in
// the drawing of the package, limit_exceeded where a template or the server makes too much, and
// invalid_output where the server announces JSON and sends something else.
func (k *Kind) Run(ctx context.Context, fn *wire.Function, a *work.Attempt) (work.Result, *work.Failure) {
	p, err := newPlan(&fn.FunctionSpec, k.secrets)
	if err != nil {
		return work.Result{}, k.unfilled(err)
	}
	request, err := k.request(ctx, p, a)
	if err != nil {
		return work.Result{}, k.unfilled(err)
	}
	// The transport itself, and not a client, which follows redirects and puts URLs into errors.
	response, err := k.transport.RoundTrip(request)
	if err != nil {
		return work.Result{}, k.unanswered(ctx, request, err)
	}
	defer response.Body.Close()
	return k.answer(ctx, p, response)
}
