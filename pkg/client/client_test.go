package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry/telemetrytest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// fleet stands in for the services: it answers breaker.> as the test says, and keeps what
// was asked.
type fleet struct {
	t    *testing.T
	nats *natstest.Server
	nc   *nats.Conn

	mu    sync.Mutex
	asked []*nats.Msg
}

// newTestFleet answers the nth request (from 0) with what answer returns; nil stays silent.
func newTestFleet(t *testing.T, answer func(n int, msg *nats.Msg) *nats.Msg) *fleet {
	t.Helper()
	f := &fleet{t: t, nats: natstest.Start(t)}
	f.nc = f.nats.Connect()
	if answer == nil {
		return f
	}
	service := f.nats.Connect()
	_, err := service.Subscribe("breaker.>", func(msg *nats.Msg) {
		f.mu.Lock()
		n := len(f.asked)
		f.asked = append(f.asked, msg)
		f.mu.Unlock()
		if reply := answer(n, msg); reply != nil {
			_ = msg.RespondMsg(reply)
		}
	})
	if err == nil {
		err = service.Flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// requests are the payloads so far.
func (f *fleet) requests() []map[string]any {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []map[string]any
	for _, msg := range f.asked {
		var payload map[string]any
		if err := json.Unmarshal(msg.Data, &payload); err != nil {
			f.t.Fatal(err)
		}
		all = append(all, payload)
	}
	return all
}

func says(v any) *nats.Msg {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return &nats.Msg{Data: body}
}

func refuses(err error) *nats.Msg {
	code, message, body := fault.Encode(err)
	return &nats.Msg{Data: body, Header: nats.Header{fault.HeaderCode: {code}, fault.HeaderMessage: {message}}}
}

func TestEveryEndpointHasAMethod(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, func(int, *nats.Msg) *nats.Msg { return says(map[string]any{}) })
	c := reflect.ValueOf(client.New(f.nc))
	subjects := []string{
		wire.SubjectWorkflowCreate, wire.SubjectWorkflowUpdate, wire.SubjectWorkflowGet, wire.SubjectWorkflowList,
		wire.SubjectWorkflowArchive, wire.SubjectWorkflowDelete, wire.SubjectWorkflowValidate, wire.SubjectWorkflowStreams,
		wire.SubjectTransitionFire, wire.SubjectTransitionComplete, wire.SubjectTransitionAvailable,
		wire.SubjectTokenCreate, wire.SubjectTokenInject, wire.SubjectTokenGet, wire.SubjectTokenList, wire.SubjectTokenFind,
		wire.SubjectTokenHistory, wire.SubjectTokenUpdate, wire.SubjectTokenCancel,
		wire.SubjectInstanceGet, wire.SubjectInstanceList, wire.SubjectInstanceSuspend, wire.SubjectInstanceResume, wire.SubjectInstanceMigrate,
		wire.SubjectAnalyticsPlaces, wire.SubjectAnalyticsTransitions,
	}
	for n, subject := range subjects {
		// The method is called as the subject is: TokenCreate for breaker.token.create.
		var name string
		for _, word := range strings.Split(subject, ".")[1:] {
			name += strings.ToUpper(word[:1]) + word[1:]
		}
		method := c.MethodByName(name)
		if !method.IsValid() {
			t.Errorf("%s has no method %s", subject, name)
			return
		}
		request := reflect.New(method.Type().In(1)).Elem()
		for _, field := range []string{"Definition"} {
			if raw := request.FieldByName(field); raw.IsValid() {
				raw.SetBytes([]byte("{}"))
			}
		}
		out := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), request})
		if err, _ := out[1].Interface().(error); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		f.mu.Lock()
		asked := f.asked[n].Subject
		f.mu.Unlock()
		if asked != subject {
			t.Errorf("%s asked on %s, want %s", name, asked, subject)
		}
		_, mutates := request.Type().FieldByName("Origin")
		if id, _ := f.requests()[n]["request_id"].(string); (id != "") != mutates {
			t.Errorf("%s: mutating is %v, and the request_id is %q", name, mutates, id)
		}
	}
}

func TestErrorsKeepTheirCode(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, func(int, *nats.Msg) *nats.Msg {
		return refuses(fault.New(fault.TransitionNotEnabled, "no token stands in draft").With("place", "draft"))
	})
	_, err := client.New(f.nc).TransitionFire(t.Context(), wire.FireRequest{})
	if !errors.Is(err, fault.TransitionNotEnabled) || fault.From(err).Details["place"] != "draft" {
		t.Errorf("have %v", err)
	}
	if n := len(f.requests()); n != 1 {
		t.Errorf("a refusal is final, and it was asked %d times", n)
	}
}

func TestPassingErrorsAreRepeatedWithTheSameRequestID(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, func(n int, _ *nats.Msg) *nats.Msg {
		switch n {
		case 0:
			return refuses(fault.New(fault.Overloaded, "full"))
		case 1:
			return nil // received, and never answered
		case 2:
			return refuses(fault.New(fault.Unavailable, "stopping"))
		}
		return says(wire.Token{ID: "t"})
	})
	c := client.New(f.nc, client.WithAttemptTimeout(50*time.Millisecond))
	token, err := c.TokenCreate(t.Context(), wire.TokenCreateRequest{WorkflowID: "w"})
	if err != nil || token.ID != "t" {
		t.Fatalf("have %+v, %v", token, err)
	}
	requests := f.requests()
	if len(requests) != 4 {
		t.Fatalf("want 4 attempts, have %d", len(requests))
	}
	for _, r := range requests {
		if id, _ := r["request_id"].(string); id == "" || id != requests[0]["request_id"] {
			t.Errorf("want one request_id over all attempts, have %v", requests)
		}
	}
}

func TestCallersRequestIDIsKept(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, func(int, *nats.Msg) *nats.Msg { return says(wire.Token{}) })
	request := wire.TokenCreateRequest{Origin: wire.Origin{RequestID: "mine", TriggeredBy: "alice"}}
	if _, err := client.New(f.nc).TokenCreate(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if got := f.requests()[0]; got["request_id"] != "mine" || got["triggered_by"] != "alice" {
		t.Errorf("have %v", got)
	}
}

func TestWithoutRetryAsksOnce(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, func(int, *nats.Msg) *nats.Msg { return refuses(fault.New(fault.Overloaded, "full")) })
	_, err := client.New(f.nc, client.WithoutRetry()).TokenCreate(t.Context(), wire.TokenCreateRequest{})
	if !errors.Is(err, fault.Overloaded) || len(f.requests()) != 1 {
		t.Errorf("have %v after %d attempts", err, len(f.requests()))
	}
}

func TestNobodyAnswering(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, nil)
	c := client.New(f.nc, client.WithTimeout(100*time.Millisecond))
	_, err := c.InstanceGet(t.Context(), wire.InstanceGetRequest{})
	if !errors.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "no token service is answering") {
		t.Errorf("have %v", err)
	}
}

func TestServiceThatComesBackIsFound(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, nil)
	service := f.nats.Connect()
	outcome := make(chan error, 1)
	go func() {
		_, err := client.New(f.nc).WorkflowList(t.Context(), wire.WorkflowListRequest{})
		outcome <- err
	}()
	// It has asked in vain once before anybody listens.
	for f.nc.Stats().OutMsgs == 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := service.Subscribe(wire.SubjectWorkflowList, func(msg *nats.Msg) { _ = msg.RespondMsg(says(wire.WorkflowListReply{})) }); err != nil {
		t.Fatal(err)
	}
	if err := <-outcome; err != nil {
		t.Error(err)
	}
}

func TestDeadlineIsHonoured(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, func(int, *nats.Msg) *nats.Msg { return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := client.New(f.nc).TokenGet(ctx, wire.TokenGetRequest{})
	if !errors.Is(err, fault.Timeout) {
		t.Errorf("want timeout, have %v", err)
	}
	if took := time.Since(start); took > patience/2 {
		t.Errorf("took %s for a deadline of 100ms", took)
	}
}

func TestCancellingEndsACall(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	f := newTestFleet(t, func(int, *nats.Msg) *nats.Msg {
		cancel()
		return nil
	})
	if _, err := client.New(f.nc).TokenGet(ctx, wire.TokenGetRequest{}); !errors.Is(err, context.Canceled) {
		t.Errorf("want context.Canceled, have %v", err)
	}
}

func TestRestartedServerIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	quick := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(10 * time.Millisecond), nats.ReconnectBufSize(-1)}
	nc, service := s.Connect(quick...), s.Connect(quick...)
	if _, err := service.Subscribe(wire.SubjectTokenGet, func(msg *nats.Msg) { _ = msg.RespondMsg(says(wire.Token{ID: "t"})) }); err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	if _, err := client.New(nc, client.WithoutRetry(), client.WithTimeout(time.Second)).TokenGet(t.Context(), wire.TokenGetRequest{}); err == nil {
		t.Fatal("want an error while the server is down")
	}
	outcome := make(chan error, 1)
	go func() {
		_, err := client.New(nc).TokenGet(t.Context(), wire.TokenGetRequest{})
		outcome <- err
	}()
	s.Start()
	if err := <-outcome; err != nil {
		t.Error(err)
	}
}

func TestClosedConnectionFailsAtOnce(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, nil)
	f.nc.Close()
	start := time.Now()
	if _, err := client.New(f.nc).TokenGet(t.Context(), wire.TokenGetRequest{}); !errors.Is(err, fault.Unavailable) || time.Since(start) > patience/2 {
		t.Errorf("have %v after %s", err, time.Since(start))
	}
}

func TestRequestThatDoesNotFitIsNotSent(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, nil)
	huge, err := json.Marshal(strings.Repeat("x", natstest.MaxPayload))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = client.New(f.nc).TokenCreate(t.Context(), wire.TokenCreateRequest{Data: huge}); !errors.Is(err, fault.LimitExceeded) {
		t.Errorf("want limit_exceeded, have %v", err)
	}
	if _, err = client.New(f.nc).TokenCreate(t.Context(), wire.TokenCreateRequest{Data: []byte("{")}); !errors.Is(err, fault.BadRequest) {
		t.Errorf("want bad_request for data that is no JSON, have %v", err)
	}
}

func TestTraceTravelsInLowerCase(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, func(int, *nats.Msg) *nats.Msg { return says(wire.Token{}) })
	rec := telemetrytest.New(t)
	if _, err := client.New(f.nc, client.WithTelemetry(rec.Telemetry)).TokenGet(t.Context(), wire.TokenGetRequest{}); err != nil {
		t.Fatal(err)
	}
	spans := rec.Spans()
	if len(spans) != 1 {
		t.Fatalf("want one span, have %d", len(spans))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := f.asked[0].Header["traceparent"]; len(got) != 1 || !strings.Contains(got[0], spans[0].SpanContext().TraceID().String()) {
		t.Errorf("want the span's trace under traceparent, have %v", f.asked[0].Header)
	}
}

func TestPagesAreReadAsTheyAreRangedOver(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, func(n int, _ *nats.Msg) *nats.Msg {
		switch n {
		case 0:
			return says(wire.TokenListReply{Tokens: []wire.Token{{ID: "a"}, {ID: "b"}}, NextCursor: "2"})
		case 1:
			return says(wire.TokenListReply{NextCursor: "3"})
		case 2:
			return says(wire.TokenListReply{Tokens: []wire.Token{{ID: "c"}}})
		}
		return refuses(fault.New(fault.InvalidField, "cursor"))
	})
	c := client.New(f.nc)
	var ids string
	for token, err := range c.AllTokens(t.Context(), wire.TokenListRequest{Place: "draft"}) {
		if err != nil {
			t.Fatal(err)
		}
		ids += token.ID
	}
	if ids != "abc" {
		t.Errorf("want a, b and c, have %s", ids)
	}
	for n, r := range f.requests() {
		if want := []any{nil, "2", "3"}[n]; r["cursor"] != want || r["place"] != "draft" {
			t.Errorf("page %d: have %v", n, r)
		}
	}
	errs := 0
	for _, err := range c.AllTokens(t.Context(), wire.TokenListRequest{}) {
		if !errors.Is(err, fault.InvalidField) {
			t.Errorf("want invalid_field, have %v", err)
		}
		errs++
	}
	if errs != 1 {
		t.Errorf("want the sequence to end after its error, have %d", errs)
	}
}

func ExampleClient_TransitionFire() {
	fire := func(nc *nats.Conn, token string) error {
		reply, err := client.New(nc).TransitionFire(context.Background(), wire.FireRequest{
			TokenID: token, TransitionID: "submit_for_review", Origin: wire.Origin{TriggeredBy: "alice@example.com"},
		})
		if errors.Is(err, fault.TransitionNotEnabled) {
			return fmt.Errorf("the document is not ready: %w", err)
		}
		if err != nil {
			return err
		}
		fmt.Println("now in", reply.Token.Place)
		return nil
	}
	_ = fire
}
