package demo

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/deploy/examples"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// programGroup is the queue group in which the demo answers for functions of kind nats.
const programGroup = "demo"

// createFunctions creates the functions that the examples name, says which, and answers for
// those of kind nats.
func (d *demo) createFunctions(ctx context.Context, all []examples.Example) ([]string, error) {
	var ids []string
	for _, e := range all {
		for _, fn := range e.Functions {
			if slices.Contains(ids, fn.ID) {
				continue
			}
			ids = append(ids, fn.ID)
			fn.Origin = wire.Origin{TriggeredBy: "demo"}
			if _, err := bounded(d.client.FunctionCreate)(ctx, fn); err != nil {
				return nil, fmt.Errorf("creating the function %s: %w", fn.ID, err)
			}
			if err := d.answer(fn); err != nil {
				return nil, fmt.Errorf("answering for the function %s: %w", fn.ID, err)
			}
		}
	}
	return ids, d.bus.NC.FlushWithContext(ctx)
}

// answer runs the program of a function of kind nats, until the connection is closed.
func (d *demo) answer(fn wire.FunctionCreateRequest) error {
	if fn.Kind != wire.FunctionNATS {
		return nil
	}
	program := examples.Programs()[fn.ID]
	if program == nil {
		return fmt.Errorf("there is no program")
	}
	_, err := d.bus.NC.QueueSubscribe(wire.FunctionSubject(fn.ID), programGroup, func(request *nats.Msg) {
		// Who gets no answer asks again: that is what attempts are for.
		_ = request.RespondMsg(reply(program, request))
	})
	return err
}

// reply is what a program says to a request.
func reply(program examples.Program, request *nats.Msg) *nats.Msg {
	attempt, err := strconv.Atoi(request.Header.Get(wire.HeaderAttempt))
	if err != nil {
		attempt = 1
	}
	output, refusal := program(request.Data, attempt)
	if refusal == nil {
		return &nats.Msg{Data: output}
	}
	return &nats.Msg{Header: nats.Header{
		fault.HeaderCode: {strconv.Itoa(refusal.Code)}, fault.HeaderMessage: {refusal.Message},
	}}
}
