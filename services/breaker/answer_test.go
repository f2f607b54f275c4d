package breaker_test

import (
	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

// answer refuses every request with an error, as a service does.
func answer(refusal error) nats.MsgHandler {
	return func(m *nats.Msg) {
		code, message, body := fault.Encode(refusal)
		reply := nats.NewMsg(m.Reply)
		reply.Header.Set(fault.HeaderCode, code)
		reply.Header.Set(fault.HeaderMessage, message)
		reply.Data = body
		_ = m.RespondMsg(reply)
	}
}
