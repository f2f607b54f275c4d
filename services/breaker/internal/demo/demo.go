package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/deploy/examples"
	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/fleet"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// Options say how much is shown.
type Options struct {
	// Documents is how many go through the examples, besides Waiting of each sample that
	// waits for time-outs.
	Documents int
	Waiting   int
	// Concurrency is how many documents are on their way at once.
	Concurrency int
	// Pace is the mean pause between two steps of a document, so that the eye can follow;
	// 0 is as fast as it goes.
	Pace time.Duration
	// TimeoutAfter is how long the time-outs of the hurried copies are.
	TimeoutAfter time.Duration
	// Patience bounds the whole.
	Patience time.Duration
	// Keep leaves the folder behind.
	Keep bool
}

// DefaultOptions end in well under 20 seconds.
func DefaultOptions() Options {
	return Options{
		Documents: 400, Waiting: 4, Concurrency: 128, Pace: 150 * time.Millisecond,
		TimeoutAfter: 1500 * time.Millisecond, Patience: 2 * time.Minute,
	}
}

// Validate reports every fault at once.
func (o Options) Validate() error {
	var faults []error
	if o.Documents < 0 || o.Waiting < 0 || o.Documents+o.Waiting == 0 {
		faults = append(faults, errors.New("there must be documents"))
	}
	if o.Concurrency < 1 {
		faults = append(faults, fmt.Errorf("concurrency must be at least 1, not %d", o.Concurrency))
	}
	if o.Pace < 0 || o.TimeoutAfter <= 0 || o.Patience <= 0 {
		faults = append(faults, errors.New("times must be positive"))
	}
	return errors.Join(faults...)
}

// Run is the demo. It fails if anything went otherwise than the samples promise, or if the
// event log tells another story than the replies did.
func Run(ctx context.Context, o Options, console *ui.Console) (summary *Summary, err error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "breaker-demo-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if !o.Keep {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	d := &demo{Options: o, console: console, latencies: newLatencies()}
	started := time.Now()
	f, err := fleet.Start(ctx, fleet.DefaultConfig(dir), telemetry.Discard())
	if err != nil {
		return nil, fmt.Errorf("starting a fleet: %w", err)
	}
	defer func() { err = errors.Join(err, d.end(ctx, f)) }()
	d.heading("A fleet in one process")
	d.printf("  started in %s at %s, data in %s\n", since(started), f.NATSURL(), dir)
	return d.show(ctx, f.NATSURL())
}

// stopWait bounds the draining at the end.
const stopWait = 15 * time.Second

func (d *demo) end(ctx context.Context, f *fleet.Fleet) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWait)
	defer cancel()
	return f.Stop(ctx)
}

type demo struct {
	Options
	console   *ui.Console
	latencies *latencies
	bus       *bus.Bus
	client    *client.Client
	workflows []*deployed
}

// deployed is an example on the fleet.
type deployed struct {
	examples.Example
	workflow wire.Workflow
	terminal map[string]bool
	// runs are those of its functions, at the end.
	runs runs
}

// show is everything that happens while the fleet is up.
func (d *demo) show(ctx context.Context, url string) (*Summary, error) {
	cfg := bus.DefaultConfig()
	cfg.URLs, cfg.Name = []string{url}, "breaker demo"
	var err error
	if d.bus, err = bus.Connect(ctx, cfg, telemetry.Discard()); err != nil {
		return nil, err
	}
	defer d.bus.Close()
	d.client = client.New(d.bus.NC)
	if err := d.deploy(ctx); err != nil {
		return nil, err
	}
	run, err := d.drive(ctx)
	if err != nil {
		return nil, err
	}
	summary := d.summarise(run)
	d.showSummary(summary)
	d.showRejection(summary)
	if err := d.tellStory(ctx, run, summary); err != nil {
		return summary, err
	}
	if err := d.tellRuns(ctx, run, summary); err != nil {
		return summary, err
	}
	if err := d.verify(ctx, run, summary); err != nil {
		return summary, err
	}
	if d.console.JSON {
		return summary, d.console.Document(summary)
	}
	return summary, nil
}

// deploy creates the rules and functions and deploys the examples, and of those with time-outs
// a copy in a hurry.
func (d *demo) deploy(ctx context.Context) error {
	all, err := examples.All()
	if err != nil {
		return err
	}
	rules, err := d.createRules(ctx, all)
	if err != nil {
		return err
	}
	functions, err := d.createFunctions(ctx, all)
	if err != nil {
		return err
	}
	for _, e := range all {
		if err := d.deployOne(ctx, e); err != nil {
			return err
		}
		hurried := e.Hurried(e.Definition.Name+"_hurried", d.TimeoutAfter)
		if d.Waiting == 0 || len(hurried.Samples) == 0 {
			continue
		}
		if err := d.deployOne(ctx, hurried); err != nil {
			return err
		}
	}
	d.heading("Rules, functions and workflows")
	d.printf("  rules: %s\n", strings.Join(rules, ", "))
	d.printf("  functions: %s\n\n", strings.Join(functions, ", "))
	table := ui.NewTable("  name", "places", "transitions", "stream")
	for _, w := range d.workflows {
		table.Row("  "+w.Definition.Name, number(len(w.Definition.Places)), number(len(w.Definition.Transitions)), w.workflow.Stream)
	}
	d.table(table)
	return nil
}

// createRules creates the rules that the examples name, and says which.
func (d *demo) createRules(ctx context.Context, all []examples.Example) ([]string, error) {
	var ids []string
	for _, e := range all {
		for _, rule := range e.Rules {
			if slices.Contains(ids, rule.ID) {
				continue
			}
			ids = append(ids, rule.ID)
			rule.Origin = wire.Origin{TriggeredBy: "demo"}
			if _, err := bounded(d.client.RuleCreate)(ctx, rule); err != nil {
				return nil, fmt.Errorf("creating the rule %s: %w", rule.ID, err)
			}
		}
	}
	return ids, nil
}

func (d *demo) deployOne(ctx context.Context, e examples.Example) error {
	raw, err := e.JSON()
	if err != nil {
		return err
	}
	w, err := bounded(d.client.WorkflowCreate)(ctx, wire.WorkflowCreateRequest{Definition: raw, Origin: wire.Origin{TriggeredBy: "demo"}})
	if err != nil {
		return fmt.Errorf("deploying %s: %w", e.Definition.Name, err)
	}
	one := &deployed{Example: e, workflow: w, terminal: map[string]bool{}}
	leaves := map[string]bool{}
	for _, t := range e.Definition.Transitions {
		for _, from := range t.From {
			leaves[from] = true
		}
		for _, arc := range t.Inputs {
			leaves[arc.Place] = true
		}
	}
	for _, place := range e.Definition.Places {
		one.terminal[place.ID] = !leaves[place.ID]
	}
	d.workflows = append(d.workflows, one)
	return nil
}

// hurried reports whether the workflow is a copy with short time-outs.
func (w *deployed) hurried() bool { return strings.HasSuffix(w.Definition.Name, "_hurried") }

func (d *demo) heading(text string) { d.printf("\n%s\n", d.console.Paint(ui.Bold, text)) }

func (d *demo) printf(format string, args ...any) {
	if !d.console.JSON {
		d.console.Printf(format, args...)
	}
}

func (d *demo) table(t *ui.Table) {
	if !d.console.JSON {
		d.console.Table(t, "  nothing")
	}
}

func number(n int) ui.Cell { return ui.Cell{Text: fmt.Sprint(n), Right: true} }

func since(t time.Time) string { return fmt.Sprintf("%.1f s", time.Since(t).Seconds()) }
