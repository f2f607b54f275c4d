package service_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry/telemetrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	subject  = "breaker.echo.say"
	patience = 10 * time.Second
)

type echoRequest struct {
	Text string `json:"text"`
}

type echoReply struct {
	Text string `json:"text"`
}

func echo(_ context.Context, req echoRequest) (echoReply, error) { return echoReply(req), nil }

// fixture is one running server and a caller.
type fixture struct {
	t      *testing.T
	nats   *natstest.Server
	bus    *bus.Bus
	tel    *telemetrytest.Recorder
	server *service.Server
	caller *nats.Conn
}

func newTestServer(t *testing.T, cfg service.ServerConfig, handler func(context.Context, echoRequest) (echoReply, error), options ...natstest.Option) *fixture {
	t.Helper()
	f := &fixture{t: t, nats: natstest.Start(t, options...), tel: telemetrytest.New(t)}
	f.bus = f.connect()
	f.caller = f.nats.Connect()
	cfg.Name = "echo"
	f.server = service.NewServer(service.Deps{Bus: f.bus, Tel: f.tel.Telemetry}, cfg, service.Handle(subject, handler))
	if err := f.server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.stop(patience) })
	return f
}

func (f *fixture) connect() *bus.Bus {
	f.t.Helper()
	cfg := bus.DefaultConfig()
	cfg.URLs = []string{f.nats.URL()}
	b, err := bus.Connect(f.t.Context(), cfg, telemetry.Discard())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(b.Close)
	return b
}

func (f *fixture) stop(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	return f.server.Stop(ctx)
}

func (f *fixture) ask(payload string) (*nats.Msg, error) {
	f.t.Helper()
	msg, err := f.caller.Request(subject, []byte(payload), patience)
	if err != nil {
		f.t.Fatalf("asking: %v", err)
	}
	return msg, fault.Decode(msg.Header.Get(fault.HeaderCode), msg.Header.Get(fault.HeaderMessage), msg.Data)
}

// eventually waits for what another goroutine is about to do.
func (f *fixture) eventually(what string, holds func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestRequestIsAnswered(t *testing.T) {
	t.Parallel()
	f := newTestServer(t, service.ServerConfig{}, echo)
	msg, err := f.ask(`{"text":"hello"}`)
	if err != nil || string(msg.Data) != `{"text":"hello"}` || len(msg.Header) != 0 {
		t.Errorf("have %s, %v, %v", msg.Data, msg.Header, err)
	}
	if msg, err = f.ask(""); err != nil || string(msg.Data) != `{"text":""}` {
		t.Errorf("an empty payload is {}: have %s, %v", msg.Data, err)
	}
	f.eventually("both requests are counted", func() bool {
		return f.tel.Count("breaker.requests", attribute.String("endpoint", subject), attribute.String("code", "ok")) == 2
	})
}

func TestErrorsTravelWithCodeAndDetails(t *testing.T) {
	t.Parallel()
	f := newTestServer(t, service.ServerConfig{}, func(context.Context, echoRequest) (echoReply, error) {
		return echoReply{}, fault.New(fault.TokenMoved, "the token\nhas moved").With("place", "review")
	})
	msg, err := f.ask(`{}`)
	if !errors.Is(err, fault.TokenMoved) || fault.From(err).Details["place"] != "review" {
		t.Errorf("want token_moved with its place, have %v", err)
	}
	if code := msg.Header.Get("Nats-Service-Error-Code"); code != "409" {
		t.Errorf("want the numeric code 409 on the wire, have %q", code)
	}
	if text := msg.Header.Get("Nats-Service-Error"); text != "the token has moved" {
		t.Errorf("want the message on one line, have %q", text)
	}
}

func TestUnknownFieldIsNamed(t *testing.T) {
	t.Parallel()
	f := newTestServer(t, service.ServerConfig{}, echo)
	_, err := f.ask(`{"txet":"hello"}`)
	if !errors.Is(err, fault.UnknownField) || fault.From(err).Details["did_you_mean"] != "text" {
		t.Errorf("want unknown_field with a hint, have %v", err)
	}
}

func TestPanicIsAnsweredAndTheServerLives(t *testing.T) {
	t.Parallel()
	f := newTestServer(t, service.ServerConfig{}, func(_ context.Context, req echoRequest) (echoReply, error) {
		if req.Text == "boom" {
			panic("a slip of the handler")
		}
		return echoReply(req), nil
	})
	_, err := f.ask(`{"text":"boom"}`)
	if !errors.Is(err, fault.Internal) || strings.Contains(err.Error(), "slip") {
		t.Errorf("want 500 without detail, have %v", err)
	}
	if _, err = f.ask(`{"text":"fine"}`); err != nil {
		t.Errorf("want the next request served, have %v", err)
	}
	line := f.tel.Logged("handler panicked")
	if line == nil || !strings.Contains(fmt.Sprint(line["stack"]), "server_test.go") || line["trace_id"] == nil {
		t.Errorf("want the panic logged with its stack and trace, have %v", line)
	}
}

func TestUnknownErrorsKeepTheirTextInTheLog(t *testing.T) {
	t.Parallel()
	f := newTestServer(t, service.ServerConfig{}, func(context.Context, echoRequest) (echoReply, error) {
		return echoReply{}, errors.New("password is hunter2")
	})
	msg, err := f.ask(`{}`)
	if !errors.Is(err, fault.Internal) || strings.Contains(string(msg.Data)+fmt.Sprint(msg.Header), "hunter2") {
		t.Errorf("want 500 without detail, have %s %v", msg.Data, msg.Header)
	}
	f.eventually("the error is in the log", func() bool {
		line := f.tel.Logged("request failed")
		return line != nil && strings.Contains(fmt.Sprint(line["error"]), "hunter2")
	})
}

func TestDeadlineEndsTheHandlersContext(t *testing.T) {
	t.Parallel()
	f := newTestServer(t, service.ServerConfig{RequestTimeout: 20 * time.Millisecond}, func(ctx context.Context, _ echoRequest) (echoReply, error) {
		<-ctx.Done()
		return echoReply{}, fmt.Errorf("reading: %w", ctx.Err())
	})
	if _, err := f.ask(`{}`); !errors.Is(err, fault.Timeout) {
		t.Errorf("want timeout, have %v", err)
	}
}

func TestBeyondItsBoundTheServerSaysSo(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var inside atomic.Int32
	f := newTestServer(t, service.ServerConfig{Concurrency: 2}, func(_ context.Context, req echoRequest) (echoReply, error) {
		inside.Add(1)
		<-release
		return echoReply(req), nil
	})
	held := f.askMany(2)
	f.eventually("both slots are taken", func() bool { return inside.Load() == 2 })
	if _, err := f.ask(`{}`); !errors.Is(err, fault.Overloaded) {
		t.Errorf("want 429, have %v", err)
	}
	close(release)
	for range 2 {
		if err := <-held; err != nil {
			t.Errorf("want the held requests answered, have %v", err)
		}
	}
	if _, err := f.ask(`{}`); err != nil {
		t.Errorf("want room again, have %v", err)
	}
}

// askMany asks n times at once and gives each outcome.
func (f *fixture) askMany(n int) <-chan error {
	outcomes := make(chan error, n)
	for range n {
		go func() {
			msg, err := f.caller.Request(subject, []byte(`{"text":"x"}`), patience)
			if err == nil {
				err = fault.Decode(msg.Header.Get(fault.HeaderCode), "", msg.Data)
			}
			outcomes <- err
		}()
	}
	return outcomes
}

func TestReplyThatDoesNotFitIsAnError(t *testing.T) {
	t.Parallel()
	f := newTestServer(t, service.ServerConfig{}, func(_ context.Context, req echoRequest) (echoReply, error) {
		if req.Text == "error" {
			return echoReply{}, fault.New(fault.SchemaViolation, "no").With("problems", strings.Repeat("x", 4096))
		}
		return echoReply{Text: strings.Repeat("x", 4096)}, nil
	}, natstest.MaxPayloadBytes(2048))
	_, err := f.ask(`{}`)
	if !errors.Is(err, fault.LimitExceeded) || fault.From(err).Details["limit"] != "max_payload" {
		t.Errorf("want limit_exceeded, have %v", err)
	}
	if _, err = f.ask(`{"text":"error"}`); !errors.Is(err, fault.SchemaViolation) {
		t.Errorf("want the error without the details that do not fit, have %v", err)
	}
}

func TestRequestWithoutReplySubjectIsServed(t *testing.T) {
	t.Parallel()
	served := make(chan string, 1)
	f := newTestServer(t, service.ServerConfig{}, func(_ context.Context, req echoRequest) (echoReply, error) {
		served <- req.Text
		return echoReply(req), nil
	})
	if err := f.caller.Publish(subject, []byte(`{"text":"fire and forget"}`)); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-served:
		if got != "fire and forget" {
			t.Errorf("have %q", got)
		}
	case <-time.After(patience):
		t.Fatal("the request was not served")
	}
}

func TestTraceGoesThroughARequest(t *testing.T) {
	t.Parallel()
	inside := make(chan trace.SpanContext, 1)
	f := newTestServer(t, service.ServerConfig{}, func(ctx context.Context, req echoRequest) (echoReply, error) {
		inside <- trace.SpanContextFromContext(ctx)
		return echoReply{}, fault.New(fault.Unavailable, "no")
	})
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	msg := nats.NewMsg(subject)
	msg.Header["traceparent"] = []string{"00-" + id + "-00f067aa0ba902b7-01"}
	if _, err := f.caller.RequestMsg(msg, patience); err != nil {
		t.Fatal(err)
	}
	if inner := <-inside; inner.TraceID().String() != id {
		t.Errorf("want the caller's trace in the handler, have %s", inner.TraceID())
	}
	f.eventually("the span has ended", func() bool { return len(f.tel.Spans()) == 1 })
	span := f.tel.Spans()[0]
	if span.Name() != subject || span.SpanKind() != trace.SpanKindServer || span.Parent().TraceID().String() != id {
		t.Errorf("want a server span %s under the caller's, have %s of kind %s", subject, span.Name(), span.SpanKind())
	}
	if line := f.tel.Logged("request failed"); line == nil || line["trace_id"] != id {
		t.Errorf("want the trace in the log, have %v", line)
	}
}

func TestDiscoveryShowsTheEndpoint(t *testing.T) {
	t.Parallel()
	f := newTestServer(t, service.ServerConfig{Description: "Says it again."}, echo)
	if _, err := f.ask(`{"text":"x"}`); err != nil {
		t.Fatal(err)
	}
	var ping micro.Ping
	f.discover("$SRV.PING.echo", &ping)
	if ping.Name != "echo" || ping.Version != service.Version || ping.Metadata["copy"] != f.bus.Copy {
		t.Errorf("have %+v", ping)
	}
	var info micro.Info
	f.discover("$SRV.INFO.echo", &info)
	if len(info.Endpoints) != 1 || info.Endpoints[0].Subject != subject || info.Endpoints[0].QueueGroup != "q" ||
		info.Endpoints[0].Metadata["request_schema"] != "echo_request" || info.Description != "Says it again." {
		t.Errorf("have %+v", info)
	}
	f.eventually("the request is in the statistics", func() bool {
		var stats micro.Stats
		f.discover("$SRV.STATS.echo", &stats)
		var data service.Stats
		if err := json.Unmarshal(stats.Endpoints[0].Data, &data); err != nil {
			t.Fatal(err)
		}
		return data.Requests == 1 && data.ProcessingTimeNS > 0
	})
}

func (f *fixture) discover(subject string, into any) {
	f.t.Helper()
	msg, err := f.caller.Request(subject, nil, patience)
	if err != nil {
		f.t.Fatal(err)
	}
	if err := json.Unmarshal(msg.Data, into); err != nil {
		f.t.Fatal(err)
	}
}

func TestStopServesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	const n = 50
	release := make(chan struct{})
	var inside atomic.Int32
	f := newTestServer(t, service.ServerConfig{}, func(_ context.Context, req echoRequest) (echoReply, error) {
		inside.Add(1)
		<-release
		return echoReply(req), nil
	})
	held := f.askMany(n)
	f.eventually("all are in flight", func() bool { return inside.Load() == n })
	stopped := make(chan error, 1)
	go func() { stopped <- f.stop(patience) }()
	f.eventually("new requests find nobody", func() bool {
		_, err := f.caller.Request(subject, nil, time.Second)
		return errors.Is(err, nats.ErrNoResponders)
	})
	select {
	case err := <-stopped:
		t.Fatalf("stop returned with requests in flight: %v", err)
	default:
	}
	close(release)
	if err := <-stopped; err != nil {
		t.Errorf("stopping: %v", err)
	}
	// The bus may go as soon as Stop has returned: the replies must be on their way.
	f.bus.Close()
	for range n {
		if err := <-held; err != nil {
			t.Errorf("want every caller answered, have %v", err)
		}
	}
}

func TestNoRequestIsLostWhenACopyStopsUnderLoad(t *testing.T) {
	t.Parallel()
	f := newTestServer(t, service.ServerConfig{Concurrency: 1000}, echo)
	second := service.NewServer(service.Deps{Bus: f.connect(), Tel: telemetry.Discard()},
		service.ServerConfig{Name: "echo", Concurrency: 1000}, service.Handle(subject, echo))
	if err := second.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var answered atomic.Int64
	quit := make(chan struct{})
	var callers sync.WaitGroup
	for range 32 {
		callers.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				msg, err := f.caller.Request(subject, []byte(`{"text":"x"}`), patience)
				if err == nil {
					err = fault.Decode(msg.Header.Get(fault.HeaderCode), "", msg.Data)
				}
				if err != nil {
					t.Errorf("a request was lost: %v", err)
					return
				}
				answered.Add(1)
			}
		})
	}
	f.eventually("the load is on", func() bool { return answered.Load() > 500 })
	if err := f.stop(patience); err != nil {
		t.Errorf("stopping: %v", err)
	}
	f.bus.Close()
	before := answered.Load()
	f.eventually("the other copy goes on", func() bool { return answered.Load() > before+500 })
	close(quit)
	callers.Wait()
	if err := second.Stop(t.Context()); err != nil {
		t.Errorf("stopping the second: %v", err)
	}
}

func TestStopGivesUpHandlersThatOutliveIt(t *testing.T) {
	t.Parallel()
	var inside atomic.Bool
	f := newTestServer(t, service.ServerConfig{}, func(ctx context.Context, req echoRequest) (echoReply, error) {
		inside.Store(true)
		<-ctx.Done() // ends early only if Stop cancels it
		return echoReply{}, ctx.Err()
	})
	held := f.askMany(1)
	f.eventually("the request is in flight", inside.Load)
	if err := f.stop(20 * time.Millisecond); err != nil {
		t.Errorf("the handler obeyed its context, so nothing was given up: %v", err)
	}
	if err := <-held; !errors.Is(err, fault.Unavailable) {
		t.Errorf("want 503 for the request that was cut, have %v", err)
	}
}

func TestStopRepeatsAndWorksWithoutStart(t *testing.T) {
	t.Parallel()
	f := newTestServer(t, service.ServerConfig{}, echo)
	for range 3 {
		if err := f.stop(patience); err != nil {
			t.Errorf("stopping again: %v", err)
		}
	}
	if err := f.server.Start(t.Context()); err == nil {
		t.Error("want a stopped server to refuse a start")
	}
	idle := service.NewServer(service.Deps{Bus: f.bus, Tel: telemetry.Discard()}, service.ServerConfig{Name: "idle"})
	if err := idle.Stop(t.Context()); err != nil {
		t.Errorf("stopping what never started: %v", err)
	}
}

func TestStartThatFailsLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	f := newTestServer(t, service.ServerConfig{}, echo)
	faulty := service.NewServer(service.Deps{Bus: f.bus, Tel: telemetry.Discard()}, service.ServerConfig{Name: "faulty"},
		service.Handle("breaker.faulty.good", echo), service.Handle("breaker.faulty.b ad", echo))
	if err := faulty.Start(t.Context()); err == nil {
		t.Fatal("want a subject with a space refused")
	}
	if _, err := f.caller.Request("breaker.faulty.good", nil, time.Second); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("want nobody there, have %v", err)
	}
}
