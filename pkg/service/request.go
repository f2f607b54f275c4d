package service

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

// receive runs in the subscription's goroutine, of which there is one: it must not block.
func (s *Server) receive(e *endpoint, req micro.Request) {
	arrived := time.Now()
	switch s.gate.enter() {
	case admitted:
		go func() {
			defer s.gate.leave()
			s.serve(e, req, arrived)
		}()
	case full:
		err := fault.New(fault.Overloaded, "%s serves %d requests at once and has no room; wait a little and ask again", s.cfg.Name, s.cfg.Concurrency)
		s.respond(s.base, req, nil, err)
		s.finished(s.base, e, arrived, err)
	case closed:
		err := fault.New(fault.Unavailable, "this copy of %s has just stopped; ask again", s.cfg.Name)
		s.respond(s.base, req, nil, err)
		s.finished(s.base, e, arrived, err)
	}
}

func (s *Server) serve(e *endpoint, req micro.Request, arrived time.Time) {
	ctx := telemetry.Extract(s.base, nats.Header(req.Headers()))
	ctx, span := s.deps.Tel.Tracer.Start(ctx, e.Subject, e.span...)
	defer span.End()
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()

	e.figures.inFlight.Add(1)
	s.metrics.inFlight.Add(ctx, 1)
	body, err := s.call(ctx, e, req.Data())
	err = s.respond(ctx, req, body, err)
	s.metrics.inFlight.Add(ctx, -1)
	e.figures.inFlight.Add(-1)

	if err != nil {
		code := fault.From(err).Code
		span.SetAttributes(attribute.String("breaker.code", string(code)))
		if code.Status() >= 500 {
			span.SetStatus(codes.Error, string(code))
		}
	}
	s.finished(ctx, e, arrived, err)
}

// call runs the handler and turns a panic into an error: one bad request must not take the
// others with it.
func (s *Server) call(ctx context.Context, e *endpoint, data []byte) (body []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler panicked: %v", p)
			s.deps.Tel.Logger(ctx).Error().Str("endpoint", e.Subject).Str("panic", fmt.Sprint(p)).
				Bytes("stack", debug.Stack()).Msg("handler panicked")
		}
	}()
	body, err = e.serve(ctx, data)
	if err != nil && s.base.Err() != nil && errors.Is(err, context.Canceled) {
		err = fault.New(fault.Unavailable, "%s stopped before the request was finished; ask again with the same request_id", s.cfg.Name).Because(err)
	}
	return body, err
}

// respond sends the reply, and returns the error that it carried in the end: a reply that
// does not fit becomes one.
//
// It publishes by itself: micro's Respond and Error note a failure in the request, which
// micro reads without a lock once the callback has returned, and here it has.
func (s *Server) respond(ctx context.Context, req micro.Request, body []byte, err error) error {
	if req.Reply() == "" {
		return err
	}
	sent := s.send(req.Reply(), body, err)
	if errors.Is(sent, nats.ErrMaxPayload) {
		if err == nil {
			most := s.deps.Bus.NC.MaxPayload()
			err = fault.New(fault.LimitExceeded, "the reply has %d bytes, and the server takes %d; ask for less", len(body), most).
				With("limit", "max_payload").With("max", most).With("actual", len(body))
		} else {
			e := fault.From(err)
			err = fault.New(e.Code, "%s", clip(e.Message)).Because(err)
		}
		sent = s.send(req.Reply(), nil, err)
	}
	if sent != nil {
		s.deps.Tel.Logger(ctx).Warn().Err(sent).Str("subject", req.Subject()).Msg("reply was not sent")
	}
	return err
}

func (s *Server) send(to string, body []byte, err error) error {
	msg := &nats.Msg{Subject: to, Data: body}
	if err != nil {
		code, message, encoded := fault.Encode(err)
		msg.Header = nats.Header{fault.HeaderCode: {code}, fault.HeaderMessage: {clip(message)}}
		msg.Data = encoded
	}
	return s.deps.Bus.NC.PublishMsg(msg)
}

// clip bounds a message that repeats what the caller sent.
func clip(message string) string {
	const most = 1024
	if len(message) > most {
		return strings.ToValidUTF8(message[:most], "") + "…"
	}
	return message
}

func (s *Server) finished(ctx context.Context, e *endpoint, arrived time.Time, err error) {
	took := time.Since(arrived)
	code := codeOK
	if err != nil {
		f := fault.From(err)
		code = string(f.Code)
		log := s.deps.Tel.Logger(ctx)
		event := log.Debug()
		if f.Code.Status() >= 500 {
			event = log.Error()
		}
		event.Err(err).Str("endpoint", e.Subject).Str("code", code).Dur("took", took).Msg("request failed")
	}
	e.figures.add(took, err != nil)
	s.metrics.request(ctx, e.Subject, code, took)
}
