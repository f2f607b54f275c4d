package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// replyWait is far beyond any reply: one that comes later is a failure, not a figure.
const replyWait = 20 * time.Second

var success = []byte(`"success":true`)

// ask is a request whose reply is not an error.
func ask(nc *nats.Conn, subject string, body []byte) (*nats.Msg, error) {
	reply, err := nc.Request(subject, body, replyWait)
	if err != nil {
		return nil, err
	}
	if code := reply.Header.Get(fault.HeaderCode); code != "" {
		return nil, fault.Decode(code, reply.Header.Get(fault.HeaderMessage), reply.Data)
	}
	return reply, nil
}

// fire is the operation of firing an instance of the loop, one of the worker's own at
// random, back or forth.
func (l *loop) fire(nc *nats.Conn, inFlight int) operation {
	return func(worker int, random *rand.Rand) error {
		i := own(worker, inFlight, len(l.ids), random)
		transition := pingTransition
		if l.inPong[i] {
			transition = pongTransition
		}
		request := `{"instance_id":"` + l.ids[i] + `","transition_id":"` + transition + `"}`
		reply, err := ask(nc, wire.SubjectTransitionFire, []byte(request))
		if err != nil {
			return fmt.Errorf("firing %s of %s: %w", transition, l.ids[i], err)
		}
		if !bytes.Contains(reply.Data, success) {
			return fmt.Errorf("firing %s of %s: an unknown reply: %.100s", transition, l.ids[i], reply.Data)
		}
		l.inPong[i] = !l.inPong[i]
		return nil
	}
}
