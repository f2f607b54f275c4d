package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// DefaultTimeout bounds a call, its repetitions included, whose context has no deadline.
const DefaultTimeout = 10 * time.Second

// Pauses before a repetition: they double from the first to the longest, and a random half
// is taken off, so that callers who failed together do not come back together.
const (
	firstPause   = 20 * time.Millisecond
	longestPause = time.Second
)

// Client calls the services. It is safe for concurrent use and owns nothing: the connection
// stays the caller's.
type Client struct {
	nc      *nats.Conn
	tracer  trace.Tracer
	timeout time.Duration
	attempt time.Duration
	retry   bool
}

// Option changes how a client calls.
type Option func(*Client)

// WithTimeout sets what bounds a call whose context has no deadline.
func WithTimeout(d time.Duration) Option { return func(c *Client) { c.timeout = d } }

// WithAttemptTimeout sets how long one attempt waits for its answer before the request is
// sent again. The default is half of the time that the call has; it should be longer than
// an honest answer takes.
func WithAttemptTimeout(d time.Duration) Option { return func(c *Client) { c.attempt = d } }

// WithoutRetry sends every request once.
func WithoutRetry() Option { return func(c *Client) { c.retry = false } }

// WithTelemetry traces the calls. Without it, a trace in the context is still passed on.
func WithTelemetry(tel *telemetry.Telemetry) Option {
	return func(c *Client) { c.tracer = tel.For("client").Tracer }
}

// New makes a client on a connection.
func New(nc *nats.Conn, options ...Option) *Client {
	c := &Client{nc: nc, tracer: noop.NewTracerProvider().Tracer(""), timeout: DefaultTimeout, retry: true}
	for _, option := range options {
		option(c)
	}
	return c
}

// Call sends a request to a subject and decodes the reply; the typed methods are calls of
// it. Call repeats a request only if it is given repeatable: reading requests are, and
// mutating ones with a request_id.
func Call[Req, Rep any](ctx context.Context, c *Client, subject string, request Req, repeatable bool) (reply Rep, err error) {
	body, err := encode(request)
	if err != nil {
		return reply, fault.New(fault.BadRequest, "the request cannot be encoded: %s", err).Because(err)
	}
	answer, err := c.exchange(ctx, subject, body, repeatable && c.retry)
	if err != nil {
		return reply, err
	}
	if err := json.Unmarshal(answer, &reply); err != nil {
		return reply, fault.New(fault.Internal, "the reply on %s cannot be read", subject).Because(err)
	}
	return reply, nil
}

// encode writes JSON without escaping what HTML does not like: a document must not grow by it.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// read calls an endpoint that changes nothing.
func read[Req, Rep any](ctx context.Context, c *Client, subject string, request Req) (Rep, error) {
	return Call[Req, Rep](ctx, c, subject, request, true)
}

// change calls an endpoint that changes something. origin points into request.
func change[Req, Rep any](ctx context.Context, c *Client, subject string, request *Req, origin *wire.Origin) (Rep, error) {
	if origin.RequestID == "" {
		origin.RequestID = uuid.NewString()
	}
	return Call[*Req, Rep](ctx, c, subject, request, true)
}

// exchange sends the body until there is an answer that repeating would not change.
func (c *Client) exchange(ctx context.Context, subject string, body []byte, repeat bool) ([]byte, error) {
	ctx, span := c.tracer.Start(ctx, subject, trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	header := nats.Header{}
	telemetry.Inject(ctx, header)

	patience := c.patience(ctx, repeat)
	pause := firstPause
	for {
		answer, err := c.send(ctx, &nats.Msg{Subject: subject, Header: header, Data: body}, patience)
		if err == nil || !repeat || !passing(err) {
			return answer, err
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < pause {
			return nil, err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				err = fmt.Errorf("calling %s: %w", subject, ctx.Err())
			}
			return nil, err
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, longestPause)
	}
}

// patience is how long one attempt waits.
func (c *Client) patience(ctx context.Context, repeat bool) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return c.timeout
	}
	whole := time.Until(deadline)
	switch {
	case !repeat:
		return whole
	case c.attempt > 0:
		return min(c.attempt, whole)
	}
	return whole / 2
}

// passing reports whether the same request may do better in a while.
func passing(err error) bool {
	if errors.Is(err, nats.ErrConnectionClosed) {
		return false
	}
	return errors.Is(err, fault.Unavailable) || errors.Is(err, fault.RulesMissing) || errors.Is(err, fault.Overloaded) || errors.Is(err, fault.Timeout)
}

// send makes one attempt and gives whatever fails a code.
func (c *Client) send(ctx context.Context, msg *nats.Msg, patience time.Duration) ([]byte, error) {
	attempt, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := c.nc.RequestMsgWithContext(attempt, msg)
	if err == nil {
		return answer.Data, fault.Decode(answer.Header.Get(fault.HeaderCode), answer.Header.Get(fault.HeaderMessage), answer.Data)
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return nil, fmt.Errorf("calling %s: %w", msg.Subject, ctx.Err())
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return nil, fault.New(fault.Timeout, "no answer on %s in time; repeat with the same request_id to learn the outcome", msg.Subject).Because(err)
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fault.New(fault.Unavailable, "no %s service is answering; is the fleet running?", serviceOf(msg.Subject)).Because(err)
	case errors.Is(err, nats.ErrMaxPayload):
		return nil, fault.New(fault.LimitExceeded, "the request has %d bytes, and the server takes %d", len(msg.Data), c.nc.MaxPayload()).
			With("limit", "max_payload").With("max", c.nc.MaxPayload()).With("actual", len(msg.Data)).Because(err)
	case errors.Is(err, nats.ErrConnectionClosed):
		return nil, fault.New(fault.Unavailable, "the connection to NATS was closed").Because(err)
	}
	// The connection is down or has just come back: nats.go reports it in several ways.
	return nil, fault.New(fault.Unavailable, "the NATS server is out of reach").Because(err)
}

// serviceOf is the word for those who answer on a subject: token for breaker.token.create.
func serviceOf(subject string) string {
	parts := strings.Split(subject, ".")
	if len(parts) < 3 {
		return subject
	}
	switch parts[1] {
	case "instance", "analytics":
		return "token"
	case "workflow":
		return "transition"
	case "rule":
		return "rules"
	case "function", "execution":
		return "function-runner"
	case "agent":
		return "agent-runner"
	}
	return parts[1]
}
