package demo

import (
	"context"
	"fmt"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/deploy/examples"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// Summary is what happened.
type Summary struct {
	Seconds   float64           `json:"seconds"`
	Workflows []WorkflowSummary `json:"workflows"`
	Requests  []Latency         `json:"requests"`
	// Rejection is the first firing that a rule rejected, as the sample wanted it.
	Rejection *Rejection              `json:"rejection,omitempty"`
	Story     []wire.TransitionRecord `json:"story"`
	// Functions are in alphabetical order.
	Functions []FunctionSummary `json:"functions"`
	// Refusal is the first run that failed and after which another function ran.
	Refusal  *FunctionRefusal `json:"function_refusal,omitempty"`
	Verified []Verified       `json:"verified"`
}

// WorkflowSummary counts by workflow.
type WorkflowSummary struct {
	Name      string         `json:"name"`
	Instances int            `json:"instances"`
	Completed int            `json:"completed"`
	Firings   int            `json:"firings"`
	Timeouts  int            `json:"timeouts"`
	Automatic int            `json:"automatic"`
	Functions int            `json:"by_function"`
	Rejected  int            `json:"rejected"`
	Ends      map[string]int `json:"ends"`
}

// Rejection is a firing that a rule rejected.
type Rejection struct {
	Workflow string `json:"workflow"`
	Sample   string `json:"sample"`
	examples.Refusal
}

func (d *demo) summarise(r *run) *Summary {
	s := &Summary{Seconds: r.took.Seconds(), Requests: d.latencies.summary()}
	for _, w := range d.workflows {
		one := WorkflowSummary{Name: w.Definition.Name, Ends: map[string]int{}}
		for _, doc := range r.documents {
			if doc.of != w {
				continue
			}
			one.Instances++
			for _, n := range doc.outcome.Firings {
				one.Firings += n
			}
			one.Timeouts += doc.outcome.Timeouts
			one.Automatic += doc.outcome.Automatic
			one.Functions += doc.outcome.Functions
			for _, refusal := range doc.outcome.Refusals {
				one.Rejected++
				if s.Rejection == nil {
					s.Rejection = &Rejection{Workflow: w.Definition.Name, Sample: doc.sample.Description, Refusal: refusal}
				}
			}
			if doc.outcome.Instance.Status == wire.StatusCompleted {
				one.Completed++
			}
			for _, token := range doc.outcome.Instance.Tokens {
				one.Ends[token.Place]++
			}
		}
		s.Workflows = append(s.Workflows, one)
	}
	return s
}

func (d *demo) showSummary(s *Summary) {
	d.heading("What happened")
	table := ui.NewTable("  workflow", "instances", "completed", "firings", "automatic", "by function", "by time-out", "rejected", "ended in")
	var all WorkflowSummary
	for i, w := range s.Workflows {
		var ends []string
		for _, place := range d.workflows[i].Definition.Places {
			if n := w.Ends[place.ID]; n > 0 {
				ends = append(ends, fmt.Sprintf("%s %d", place.ID, n))
			}
		}
		table.Row("  "+w.Name, number(w.Instances), number(w.Completed), number(w.Firings), number(w.Automatic),
			number(w.Functions), number(w.Timeouts), number(w.Rejected), strings.Join(ends, "  "))
		all.Instances, all.Completed, all.Firings = all.Instances+w.Instances, all.Completed+w.Completed, all.Firings+w.Firings
		all.Automatic, all.Functions = all.Automatic+w.Automatic, all.Functions+w.Functions
		all.Timeouts, all.Rejected = all.Timeouts+w.Timeouts, all.Rejected+w.Rejected
	}
	table.Row("  all", number(all.Instances), number(all.Completed), number(all.Firings), number(all.Automatic), number(all.Functions),
		number(all.Timeouts), number(all.Rejected), fmt.Sprintf("in %.1f s", s.Seconds))
	d.table(table)

	d.heading("How long requests took, in ms, each change on disk before its reply")
	table = ui.NewTable("  request", "count", "p50", "p99", "slowest")
	for _, l := range s.Requests {
		table.Row("  "+l.Request, number(l.Count), decimal(l.P50), decimal(l.P99), decimal(l.Max))
	}
	d.table(table)
}

func decimal(f float64) ui.Cell { return ui.Cell{Text: fmt.Sprintf("%.2f", f), Right: true} }

// showRejection shows what whoever fired was told.
func (d *demo) showRejection(s *Summary) {
	if s.Rejection == nil {
		return
	}
	r := s.Rejection
	d.heading("A firing that a rule rejects")
	d.printf("  %s: %s\n", r.Workflow, ui.Clean(r.Sample))
	d.printf("  %s was answered with %s:\n", r.Transition, d.console.Paint(ui.Bad, string(r.Code)))
	for _, result := range r.Results {
		said := d.console.Paint(ui.Good, "passed")
		if !result.Passed {
			said = d.console.Paint(ui.Bad, "did not pass")
		}
		d.printf("    rule %s, version %d, %s: %s\n", result.RuleID, result.Version, said, ui.Clean(result.Explanation))
	}
}

// tellStory shows the history of one token: of one that lived through the most time-outs,
// since those are the steps that nobody asked for.
func (d *demo) tellStory(ctx context.Context, r *run, s *Summary) error {
	hero := r.documents[0]
	for _, doc := range r.documents {
		if doc.outcome.Timeouts > hero.outcome.Timeouts {
			hero = doc
		}
	}
	// The token at the end: where the net has splits, the one that came out of them.
	tokens := hero.outcome.Instance.Tokens
	id := tokens[len(tokens)-1].ID
	reply, err := bounded(d.client.TokenHistory)(ctx, wire.TokenHistoryRequest{TokenID: id})
	if err != nil {
		return fmt.Errorf("reading the history of token %s: %w", id, err)
	}
	s.Story = reply.Records
	if len(reply.Records) == 0 {
		return fmt.Errorf("token %s has no history", id)
	}
	d.heading("The history of one token")
	d.printf("  %s %s: %s\n", hero.of.Definition.Name, id, hero.sample.Description)
	table := ui.NewTable("  revision", "after", "step", "from", "to", "by")
	first := reply.Records[0].Timestamp
	for _, step := range reply.Records {
		after := fmt.Sprintf("%.3f s", step.Timestamp.Sub(first).Seconds())
		table.Row(ui.Cell{Text: fmt.Sprint(step.NatsSequence), Right: true}, ui.Cell{Text: after, Right: true},
			ui.Cell{Text: step.TransitionID, Style: ui.Accent}, step.FromPlace, step.ToPlace, step.TriggeredBy)
	}
	d.table(table)
	return nil
}
