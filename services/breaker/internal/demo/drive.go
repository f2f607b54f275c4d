package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/deploy/examples"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// document is one sample on its way.
type document struct {
	of      *deployed
	sample  examples.Sample
	outcome examples.Outcome
	err     error
}

// run is what happened.
type run struct {
	documents []*document
	took      time.Duration
}

// tally counts while documents are on their way.
type tally struct {
	mu            sync.Mutex
	done, firings int
}

func (t *tally) add(done, firings int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done += done
	t.firings += firings
}

func (t *tally) read() (done, firings int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done, t.firings
}

// pollEvery is how often a document is looked at that waits for what comes by itself.
const pollEvery = 50 * time.Millisecond

// drive takes all documents to their ends while the screen shows the marking.
func (d *demo) drive(ctx context.Context) (*run, error) {
	r := &run{documents: d.documents()}
	follow, err := followMarking(ctx, d.bus.NC)
	if err != nil {
		return nil, err
	}
	defer follow.stop()
	d.heading(fmt.Sprintf("%d documents on their way, %d at once", len(r.documents), d.Concurrency))

	count := &tally{}
	started := time.Now()
	look := func() state {
		done, firings := count.read()
		return d.state(follow, state{done: done, firings: firings, total: len(r.documents), elapsed: time.Since(started)})
	}
	shown := make(chan struct{})
	showing, stopShowing := context.WithCancel(ctx)
	go func() {
		defer close(shown)
		(&screen{console: d.console}).run(showing, look)
	}()
	d.driveAll(ctx, r.documents, count)
	r.took = time.Since(started)
	stopShowing()
	<-shown

	return r, r.failures()
}

// failures is an error if a document did not end as it should; it shows the first few.
func (r *run) failures() error {
	var failures []error
	for _, doc := range r.documents {
		if doc.err != nil {
			failures = append(failures, doc.err)
		}
	}
	if len(failures) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d documents did not end as they should: %w",
		len(failures), len(r.documents), errors.Join(failures[:min(len(failures), 5)]...))
}

// documents lists what is to be driven: first those that wait, then the rest, the samples
// of all workflows in turn.
func (d *demo) documents() []*document {
	var waiting, samples []*document
	for _, w := range d.workflows {
		for _, s := range w.Samples {
			switch {
			case w.hurried():
				for range d.Waiting {
					waiting = append(waiting, &document{of: w, sample: s})
				}
			case !s.Waits():
				samples = append(samples, &document{of: w, sample: s})
			}
		}
	}
	all := waiting
	for i := range d.Documents {
		one := *samples[i%len(samples)]
		all = append(all, &one)
	}
	return all
}

// driveAll returns when every document has ended. Those that wait for time-outs do not
// take a turn from the others.
func (d *demo) driveAll(ctx context.Context, documents []*document, count *tally) {
	turns := make(chan struct{}, d.Concurrency)
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, doc := range documents {
		waits := doc.sample.Waits()
		if !waits {
			turns <- struct{}{}
		}
		wg.Go(func() {
			driver := d.driver(count)
			doc.outcome, doc.err = driver.Run(ctx, doc.of.workflow.ID, doc.sample)
			if doc.err == nil {
				count.add(1, doc.outcome.Timeouts+doc.outcome.Automatic+doc.outcome.Functions)
			}
			if !waits {
				<-turns
			}
		})
	}
}

// driver asks the fleet, measures each request, and leaves a pause before each firing.
func (d *demo) driver(count *tally) examples.Driver {
	return examples.Driver{
		Create:  timed(d.latencies, "create", d.client.TokenCreate),
		Get:     timed(d.latencies, "get", d.client.InstanceGet),
		History: bounded(d.client.TokenHistory),
		Await:   examples.Poll(bounded(d.client.InstanceGet), pollEvery),
		Fire: func(ctx context.Context, req wire.FireRequest) (wire.FireReply, error) {
			if err := d.pause(ctx); err != nil {
				return wire.FireReply{}, err
			}
			reply, err := timed(d.latencies, "fire", d.client.TransitionFire)(ctx, req)
			if err == nil {
				count.add(0, 1)
			}
			return reply, err
		},
	}
}

// pause is as long as somebody at work might take, in a hurry: up to twice the pace.
func (d *demo) pause(ctx context.Context) error {
	if d.Pace == 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(rand.N(2 * d.Pace)):
		return nil
	}
}

// requestWait bounds one request, with the client's repetitions of it.
const requestWait = 10 * time.Second

func bounded[Req, Rep any](call func(context.Context, Req) (Rep, error)) func(context.Context, Req) (Rep, error) {
	return func(ctx context.Context, req Req) (Rep, error) {
		ctx, cancel := context.WithTimeout(ctx, requestWait)
		defer cancel()
		return call(ctx, req)
	}
}

func timed[Req, Rep any](l *latencies, name string, call func(context.Context, Req) (Rep, error)) func(context.Context, Req) (Rep, error) {
	return func(ctx context.Context, req Req) (Rep, error) {
		started := time.Now()
		reply, err := bounded(call)(ctx, req)
		if err == nil {
			l.add(name, time.Since(started))
		}
		return reply, err
	}
}

// state adds the marking of every workflow, its places in the order of the definition.
func (d *demo) state(follow *marking, st state) state {
	for _, w := range d.workflows {
		tokens := follow.of(w.workflow.ID)
		m := workflowMarking{name: w.Definition.Name}
		for _, place := range w.Definition.Places {
			if n := tokens[place.ID]; n > 0 {
				m.places = append(m.places, placeCount{place: place.ID, tokens: n, terminal: w.terminal[place.ID]})
			}
		}
		st.markings = append(st.markings, m)
	}
	return st
}
