// Package natskind runs functions of kind nats: it asks functions.{id} by request-reply. Any
// program that answers there is one of the function's copies, and those in a queue group share
// the work.
//
// The request's body is the input, its headers say what the work is about. The reply's body is
// the output, or its headers Nats-Service-Error-Code and Nats-Service-Error say what went wrong,
// as those of ADR-32 do. A message to the reply subject with the header Breaker-Progress is not
// the reply: it says that the program is at work, and begins the time-out anew.
package natskind

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// Kind calls functions on NATS. It is safe for concurrent use.
type Kind struct {
	bus   *bus.Bus
	most  int
	inbox string

	mu     sync.Mutex
	sub    *nats.Subscription
	next   uint64
	calls  map[string]chan *nats.Msg
	closed bool
}

// New makes a Kind; outputs have at most so many bytes.
func New(b *bus.Bus, most int) *Kind {
	return &Kind{bus: b, most: most, inbox: b.NC.NewInbox() + ".", calls: map[string]chan *nats.Msg{}}
}

// Check finds nothing wrong: there is nothing to say about such a function.
func (k *Kind) Check(*wire.FunctionSpec) error { return nil }

// pendingReplies is how many progress messages of a call may wait; more are as good as one.
const pendingReplies = 8

// open remembers a call, and says where its replies go.
func (k *Kind) open() (reply string, replies chan *nats.Msg, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return "", nil, nats.ErrConnectionClosed
	}
	if k.sub == nil {
		if k.sub, err = k.bus.NC.Subscribe(k.inbox+"*", k.receive); err != nil {
			return "", nil, err
		}
	}
	k.next++
	reply = k.inbox + strconv.FormatUint(k.next, 36)
	replies = make(chan *nats.Msg, pendingReplies)
	k.calls[reply] = replies
	return reply, replies, nil
}

func (k *Kind) forget(reply string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.calls, reply)
}

func (k *Kind) receive(msg *nats.Msg) {
	k.mu.Lock()
	replies := k.calls[msg.Subject]
	k.mu.Unlock()
	if replies == nil {
		return
	}
	select {
	case replies <- msg:
		return
	default:
	}
	if progress(msg) {
		return
	}
	// The reply itself goes in the place of the oldest message, which is progress. Nothing here
	// may wait: this is the one goroutine that takes the replies to all calls.
	select {
	case <-replies:
	default:
	}
	select {
	case replies <- msg:
	default:
	}
}

func progress(msg *nats.Msg) bool { return len(msg.Header[wire.HeaderProgress]) > 0 }

// Close ends what Run has opened.
func (k *Kind) Close() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	if k.sub != nil {
		_ = k.sub.Unsubscribe() // The connection ends anyway.
	}
}

// Run asks once, and waits for the reply as long as the function's time-out says, and anew after
// each message of progress.
func (k *Kind) Run(ctx context.Context, fn *wire.Function, a *work.Attempt) (work.Result, *work.Failure) {
	silence := work.Policy{Timeout: time.Duration(fn.Timeout)}.Complete().Timeout
	reply, replies, err := k.open()
	if err != nil {
		return work.Result{}, work.Failed(wire.FailureUnreachable, "the connection to NATS was closed")
	}
	defer k.forget(reply)
	msg := &nats.Msg{Subject: wire.FunctionSubject(fn.ID), Reply: reply, Data: a.Input, Header: headers(a.Job)}
	msg.Header[wire.HeaderDeadline] = []string{time.Now().Add(silence).UTC().Format(time.RFC3339Nano)}
	telemetry.Inject(ctx, msg.Header)
	if err := k.bus.NC.PublishMsg(msg); err != nil {
		if errors.Is(err, nats.ErrMaxPayload) {
			return work.Result{}, work.Failed(wire.FailureInvalidInput, "the input has %d bytes, more than a message can hold", len(a.Input))
		}
		failure := work.Failed(wire.FailureUnreachable, "the request could not be sent: %v", err)
		failure.Ill = false // It is our own connection.
		return work.Result{}, failure
	}
	timer := time.NewTimer(silence)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return work.Result{}, work.Failed(wire.FailureTimeout, "the function was at work for longer than %s", work.MaxTimeout)
		case <-timer.C:
			return work.Result{}, work.Failed(wire.FailureTimeout, "no reply, and no sign of progress, within %s", silence)
		case msg := <-replies:
			if progress(msg) {
				timer.Reset(silence)
				continue
			}
			return k.result(fn, msg)
		}
	}
}

func headers(job *wire.Job) nats.Header {
	h := nats.Header{
		wire.HeaderIdempotencyKey: {job.ID}, wire.HeaderExecution: {job.ID}, wire.HeaderAttempt: {strconv.Itoa(job.Attempt)},
	}
	for name, value := range map[string]string{
		wire.HeaderWorkflow: job.WorkflowID, wire.HeaderInstance: job.InstanceID, wire.HeaderToken: job.TokenID,
	} {
		if value != "" {
			h[name] = []string{value}
		}
	}
	return h
}

// noResponders is the status with which the server says that nobody listens.
const noResponders = "503"

func (k *Kind) result(fn *wire.Function, msg *nats.Msg) (work.Result, *work.Failure) {
	if len(msg.Data) == 0 && msg.Header.Get("Status") == noResponders {
		return work.Result{}, work.Failed(wire.FailureUnreachable, "nobody answers on %s", wire.FunctionSubject(fn.ID))
	}
	if code := msg.Header.Get(fault.HeaderCode); code != "" {
		return work.Result{}, refusal(code, msg.Header.Get(fault.HeaderMessage), msg.Data)
	}
	output := bytes.TrimSpace(msg.Data)
	switch {
	case len(output) > k.most:
		return work.Result{}, work.Failed(wire.FailureLimit, "the reply has %d bytes; at most %d are possible", len(output), k.most)
	case len(output) == 0:
		return work.Result{}, nil
	case !json.Valid(output):
		return work.Result{}, work.Failed(wire.FailureInvalidOutput, "the reply is no JSON: %s", quote(output))
	}
	return work.Result{Output: output}, nil
}

// refusal is the failure that an error reply stands for.
func refusal(code, message string, body []byte) *work.Failure {
	if message == "" {
		var said struct {
			Message string `json:"message"`
		}
		if json.Unmarshal(body, &said) == nil {
			message = said.Message
		}
	}
	text := clip("the function answered "+code+": "+message, mostQuoted)
	status, err := strconv.Atoi(code)
	switch {
	case status == 429:
		return work.Failed(wire.FailureThrottled, "%s", text)
	case status == 408 || status == 425:
		return work.Failed(wire.FailureTimeout, "%s", text)
	case err == nil && status >= 400 && status < 500:
		return work.Failed(wire.FailureRejected, "%s", text)
	}
	return work.Failed(wire.FailureFailed, "%s", text)
}

const mostQuoted = 1024

func quote(b []byte) string { return fmt.Sprintf("%q", clip(string(b), 256)) }

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
