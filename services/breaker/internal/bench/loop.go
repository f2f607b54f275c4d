package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// The loop net: a token goes back and forth, so that an instance never ends.
const (
	pingPlace      = "ping"
	pongPlace      = "pong"
	pingTransition = "to_pong"
	pongTransition = "to_ping"
)

func loopDefinition(name string) *wire.Definition {
	return &wire.Definition{
		Name: name, InitialPlace: pingPlace,
		Places: []wire.Place{{ID: pingPlace}, {ID: pongPlace}, {ID: "ended"}},
		Transitions: []wire.Transition{
			{ID: pingTransition, From: wire.StringList{pingPlace}, To: pongPlace},
			{ID: pongTransition, From: wire.StringList{pongPlace}, To: pingPlace},
			{ID: "end", From: wire.StringList{pingPlace}, To: "ended"},
		},
	}
}

// loop is a deployed loop net with its instances.
type loop struct {
	workflow wire.Workflow
	net      *petri.Net
	data     json.RawMessage
	ids      []string
	// inPong says of each instance where its token stands.
	inPong []bool
}

// deploy deploys a loop net whose firings are events of about eventBytes.
func deploy(ctx context.Context, nc *nats.Conn, def *wire.Definition, eventBytes int) (*loop, error) {
	net, problems := petri.Compile(def)
	if len(problems) > 0 {
		return nil, fmt.Errorf("the loop net is invalid: %v", problems)
	}
	l := &loop{net: net}
	var err error
	if l.workflow, err = store(ctx, nc, def); err != nil {
		return nil, err
	}
	l.data, err = l.sized(eventBytes)
	return l, err
}

// store deploys any net.
func store(ctx context.Context, nc *nats.Conn, def *wire.Definition) (wire.Workflow, error) {
	raw, err := json.Marshal(def)
	if err != nil {
		return wire.Workflow{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, replyWait)
	defer cancel()
	workflow, err := client.New(nc).WorkflowCreate(ctx, wire.WorkflowCreateRequest{Definition: raw})
	if err != nil {
		return wire.Workflow{}, fmt.Errorf("deploying %s: %w", def.Name, err)
	}
	return workflow, nil
}

// sized is data of such a length that a firing's event has about eventBytes.
func (l *loop) sized(eventBytes int) (json.RawMessage, error) {
	event, err := l.created(0, document(0), time.Now())
	if err != nil {
		return nil, err
	}
	event.Instance.Fill(1)
	fired, err := petri.Decide(l.net, event.Instance, petri.Fire{TransitionID: pingTransition},
		petri.Meta{Time: time.Now()}, petri.DefaultLimits(4<<20))
	if err != nil {
		return nil, err
	}
	bare, err := json.Marshal(fired)
	if err != nil {
		return nil, err
	}
	return document(max(eventBytes-len(bare), 0)), nil
}

func document(padding int) json.RawMessage {
	return json.RawMessage(`{"amount":250,"status":"open","text":"` + strings.Repeat("x", padding) + `"}`)
}

// created is the event that the token service would publish for a new instance.
func (l *loop) created(number uint32, data json.RawMessage, at time.Time) (*wire.Event, error) {
	id, err := wire.NewInstanceID(l.workflow.ID, at.UnixMilli(), number)
	if err != nil {
		return nil, err
	}
	return petri.Decide(l.net, nil,
		petri.Create{WorkflowID: l.workflow.ID, WorkflowVersion: l.workflow.Version, InstanceID: id, Data: data},
		petri.Meta{Time: at}, petri.DefaultLimits(4<<20))
}

// seedWindow is how many created events wait for their acknowledgement at once.
const seedWindow = 1024

// seed starts n instances by publishing their created events, which is many times faster
// than asking for each and leaves the same behind. progress is told how many are there.
func (l *loop) seed(ctx context.Context, nc *nats.Conn, n int, progress func(int)) error {
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(seedWindow))
	if err != nil {
		return err
	}
	at := time.Now().UTC()
	l.ids, l.inPong = make([]string, 0, n), make([]bool, n)
	acks := make([]jetstream.PubAckFuture, 0, n)
	for i := range n {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		event, err := l.created(uint32(i), l.data, at)
		if err != nil {
			return err
		}
		body, err := json.Marshal(event)
		if err != nil {
			return err
		}
		ack, err := js.PublishMsgAsync(&nats.Msg{Subject: petri.Subject(event), Data: body}, jetstream.WithStallWait(replyWait))
		if err != nil {
			return fmt.Errorf("publishing instance %d: %w", i, err)
		}
		acks = append(acks, ack)
		l.ids = append(l.ids, event.InstanceID)
		if i%1000 == 999 {
			progress(1000)
			// Memory stays bounded: what has been acknowledged is dropped.
			if acks, err = settle(ctx, acks, len(acks)-seedWindow); err != nil {
				return err
			}
		}
	}
	progress(n % 1000)
	_, err = settle(ctx, acks, len(acks))
	return err
}

// settle waits for the first count acknowledgements and returns the rest.
func settle(ctx context.Context, acks []jetstream.PubAckFuture, count int) ([]jetstream.PubAckFuture, error) {
	for i := range max(count, 0) {
		select {
		case <-acks[i].Ok():
		case err := <-acks[i].Err():
			return nil, fmt.Errorf("an instance was not stored: %w", err)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return append(acks[:0:0], acks[max(count, 0):]...), nil
}
