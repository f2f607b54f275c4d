package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// The pipeline: a token goes from place to place, and in each a function that does nothing
// sends it on.
const (
	pipelineSteps = 5
	lastStep      = "to_done"
)

func stepFunction(step int) string { return "step" + strconv.Itoa(step) }

func pipelineDefinition(name string) *wire.Definition {
	def := &wire.Definition{Name: name, InitialPlace: "s1"}
	for step := 1; step <= pipelineSteps; step++ {
		place, to := "s"+strconv.Itoa(step), "s"+strconv.Itoa(step+1)
		if step == pipelineSteps {
			to = "done"
		}
		on := wire.Transition{ID: "to_" + to, From: wire.StringList{place}, To: to}
		def.Places = append(def.Places, wire.Place{
			ID: place, Functions: []wire.FunctionBinding{{Function: stepFunction(step), OnSuccess: on.ID}},
		})
		def.Transitions = append(def.Transitions, on)
	}
	def.Places = append(def.Places, wire.Place{ID: "done"})
	return def
}

// answer runs the programs that answer for the functions, until the connection is closed. It
// is a connection of their own, as that of any program would be.
func answer(url string) (*nats.Conn, error) {
	nc, err := nats.Connect(url, nats.Name("breaker bench functions"))
	if err != nil {
		return nil, err
	}
	for step := 1; step <= pipelineSteps; step++ {
		_, err := nc.QueueSubscribe(wire.FunctionSubject(stepFunction(step)), "bench", func(m *nats.Msg) {
			_ = m.Respond([]byte("true")) // Whoever misses it says so.
		})
		if err != nil {
			nc.Close()
			return nil, err
		}
	}
	if err := nc.FlushTimeout(replyWait); err != nil {
		nc.Close()
		return nil, err
	}
	return nc, nil
}

// pipeline is a deployed pipeline whose ends are being watched.
type pipeline struct {
	workflow wire.Workflow
	data     json.RawMessage
	create   []byte
	ends     ends
	watch    jetstream.ConsumeContext
}

// newPipeline makes the functions, deploys the pipeline, and watches for its last event: that
// which is in the stream, not that which someone has tried to publish.
func newPipeline(ctx context.Context, nc *nats.Conn, data json.RawMessage) (*pipeline, error) {
	ctx, cancel := context.WithTimeout(ctx, replyWait)
	defer cancel()
	c := client.New(nc)
	for step := 1; step <= pipelineSteps; step++ {
		req := wire.FunctionCreateRequest{ID: stepFunction(step), FunctionSpec: wire.FunctionSpec{Kind: wire.FunctionNATS}}
		if _, err := c.FunctionCreate(ctx, req); err != nil {
			return nil, fmt.Errorf("making the function %s: %w", req.ID, err)
		}
	}
	p := &pipeline{data: data}
	var err error
	if p.workflow, err = store(ctx, nc, pipelineDefinition("bench_pipeline")); err != nil {
		return nil, err
	}
	if p.create, err = json.Marshal(wire.TokenCreateRequest{WorkflowID: p.workflow.ID, Data: data}); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	consumer, err := js.CreatePushConsumer(ctx, p.workflow.Stream, jetstream.ConsumerConfig{
		DeliverSubject: nc.NewInbox(), DeliverPolicy: jetstream.DeliverNewPolicy, AckPolicy: jetstream.AckNonePolicy,
		FilterSubject: wire.TransitionSubject(p.workflow.ID, "*", lastStep), MemoryStorage: true,
	})
	if err != nil {
		return nil, fmt.Errorf("watching the pipeline: %w", err)
	}
	p.watch, err = consumer.Consume(func(m jetstream.Msg) {
		if event, ok := wire.ParseEventSubject(m.Subject()); ok {
			p.ends.seen(event.InstanceID)
		}
	})
	return p, err
}

func (p *pipeline) stop() {
	p.watch.Stop()
	<-p.watch.Closed()
}

// run is the operation of one instance: from the request that creates it until the event that
// completes it was seen.
func (p *pipeline) run(ctx context.Context, nc *nats.Conn) operation {
	return func(int, *rand.Rand) error {
		reply, err := ask(nc, wire.SubjectTokenCreate, p.create)
		if err != nil {
			return fmt.Errorf("creating an instance: %w", err)
		}
		var token struct {
			InstanceID string `json:"instance_id"`
		}
		if err := json.Unmarshal(reply.Data, &token); err != nil || token.InstanceID == "" {
			return fmt.Errorf("creating an instance: an unknown reply: %.100s", reply.Data)
		}
		return p.ends.wait(ctx, token.InstanceID, replyWait)
	}
}

// call is the operation of asking a function's program directly, with what it would be asked.
func (p *pipeline) call(nc *nats.Conn) operation {
	subject := wire.FunctionSubject(stepFunction(1))
	return func(int, *rand.Rand) error {
		if _, err := ask(nc, subject, p.data); err != nil {
			return fmt.Errorf("asking on %s: %w", subject, err)
		}
		return nil
	}
}

// ends are instances that are waited for, or were seen to end before someone waited.
type ends struct {
	mu   sync.Mutex
	each map[string]chan struct{}
}

func (e *ends) of(instanceID string) chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.each == nil {
		e.each = map[string]chan struct{}{}
	}
	ended := e.each[instanceID]
	if ended == nil {
		ended = make(chan struct{}, 1)
		e.each[instanceID] = ended
	}
	return ended
}

// seen says that an instance has ended. It must be said once.
func (e *ends) seen(instanceID string) { e.of(instanceID) <- struct{}{} }

// wait waits for an instance's end, but no longer than for so long.
func (e *ends) wait(ctx context.Context, instanceID string, most time.Duration) error {
	ended := e.of(instanceID)
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-ended:
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.each, instanceID)
		return nil
	case <-timer.C:
		return fmt.Errorf("the instance %s had not ended after %s", instanceID, most)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pipelines measures direct requests to a function's program, bare firings and whole
// pipelines in turn, in one fleet.
func (r *runner) pipelines(ctx context.Context, fleet *Fleet, nc *nats.Conn) error {
	programs, err := answer(fleet.NATSURL)
	if err != nil {
		return err
	}
	defer programs.Close()
	l, err := deploy(ctx, nc, loopDefinition("bench_bare"), r.EventBytes)
	if err != nil {
		return err
	}
	if err := l.seed(ctx, nc, r.Instances, func(int) {}); err != nil {
		return err
	}
	p, err := newPipeline(ctx, nc, l.data)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := r.weigh(ctx, nc, l); err != nil {
		return err
	}
	most := slices.Max(r.InFlight)
	if _, err := measure(ctx, most, r.WarmUp, p.run(ctx, nc)); err != nil {
		return err
	}
	for _, inFlight := range slices.Compact([]int{most, slices.Min(r.InFlight)}) {
		loads := [3]operation{p.call(nc), l.fire(nc, inFlight), p.run(ctx, nc)}
		var taken [3][]Figure
		for range r.Rounds {
			for i, load := range loads {
				// What was left to do from the load before would be paid for by this one.
				for _, w := range []*wire.Workflow{&l.workflow, &p.workflow} {
					if _, err := viewLag(ctx, nc, w, func(uint64) {}); err != nil {
						return err
					}
				}
				f, err := measure(ctx, inFlight, r.Duration, load)
				if err != nil {
					return err
				}
				taken[i] = append(taken[i], f)
			}
		}
		row := newPipelineRow(inFlight, median(taken[0]), median(taken[1]), median(taken[2]))
		r.report.Pipelines = append(r.report.Pipelines, row)
		r.note("%2d in flight: %6.0f steps/s, %.3f for each bare firing; %.1f ms for an instance of %d steps",
			inFlight, row.Steps, row.FiringRateRatio, row.Instance.P50, pipelineSteps)
	}
	return nil
}

func newPipelineRow(inFlight int, request, firing, instance Figure) Pipeline {
	p := Pipeline{InFlight: inFlight, Request: request, Firing: firing, Instance: instance, Steps: pipelineSteps * instance.Rate}
	p.RequestRateRatio, p.FiringRateRatio = ratio(p.Steps, request.Rate), ratio(p.Steps, firing.Rate)
	p.RequestP50Ratio, p.FiringP50Ratio = ratio(instance.P50, request.P50), ratio(instance.P50, firing.P50)
	return p
}
