package demo

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// marking follows the view: how many tokens stand in each place of each workflow. It reads
// the headers of PLACES alone, as any program could.
type marking struct {
	mu sync.Mutex
	// standing is where each token is, and counts sums it up.
	standing map[string]location
	counts   map[location]int
	consumer jetstream.ConsumeContext
}

type location struct{ workflow, place string }

func followMarking(ctx context.Context, nc *nats.Conn) (*marking, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	consumer, err := js.OrderedConsumer(ctx, wire.StreamPlaces, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{wire.PlaceSubject("*", "*", "*")}, HeadersOnly: true,
	})
	if err != nil {
		return nil, fmt.Errorf("following the marking: %w", err)
	}
	m := &marking{standing: map[string]location{}, counts: map[location]int{}}
	m.consumer, err = consumer.Consume(func(msg jetstream.Msg) {
		size, _ := strconv.Atoi(msg.Headers().Get(nats.MsgSize))
		m.see(msg.Subject(), size)
	})
	return m, err
}

// see takes in one message of the view: empty means that the token has left the place.
func (m *marking) see(subject string, size int) {
	workflow, place, token, ok := wire.ParsePlaceSubject(subject)
	if !ok {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := location{workflow, place}
	before, stood := m.standing[token]
	if stood && (size > 0 || before == now) {
		m.counts[before]--
		delete(m.standing, token)
	}
	if size > 0 {
		m.standing[token] = now
		m.counts[now]++
	}
}

// of is the marking of one workflow: tokens by place.
func (m *marking) of(workflowID string) map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	tokens := map[string]int{}
	for at, n := range m.counts {
		if at.workflow == workflowID && n > 0 {
			tokens[at.place] = n
		}
	}
	return tokens
}

// stop ends the reading and waits for it.
func (m *marking) stop() {
	m.consumer.Stop()
	<-m.consumer.Closed()
}
