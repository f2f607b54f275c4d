package demo

import (
	"context"
	"fmt"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// Summary is what happened.
type Summary struct {
	Seconds   float64                 `json:"seconds"`
	Workflows []WorkflowSummary       `json:"workflows"`
	Requests  []Latency               `json:"requests"`
	Story     []wire.TransitionRecord `json:"story"`
	Verified  []Verified              `json:"verified"`
}

// WorkflowSummary counts by workflow.
type WorkflowSummary struct {
	Name      string         `json:"name"`
	Instances int            `json:"instances"`
	Completed int            `json:"completed"`
	Firings   int            `json:"firings"`
	Timeouts  int            `json:"timeouts"`
	Ends      map[string]int `json:"ends"`
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
			one.Firings += doc.outcome.Firings
			one.Timeouts += doc.outcome.Timeouts
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
	table := ui.NewTable("  workflow", "instances", "completed", "firings", "by time-out", "ended in")
	var instances, completed, firings, timeouts int
	for i, w := range s.Workflows {
		var ends []string
		for _, place := range d.workflows[i].Definition.Places {
			if n := w.Ends[place.ID]; n > 0 {
				ends = append(ends, fmt.Sprintf("%s %d", place.ID, n))
			}
		}
		table.Row("  "+w.Name, number(w.Instances), number(w.Completed), number(w.Firings), number(w.Timeouts), strings.Join(ends, "  "))
		instances, completed = instances+w.Instances, completed+w.Completed
		firings, timeouts = firings+w.Firings, timeouts+w.Timeouts
	}
	table.Row("  all", number(instances), number(completed), number(firings), number(timeouts), fmt.Sprintf("in %.1f s", s.Seconds))
	d.table(table)

	d.heading("How long requests took, in ms, each change on disk before its reply")
	table = ui.NewTable("  request", "count", "p50", "p99", "slowest")
	for _, l := range s.Requests {
		table.Row("  "+l.Request, number(l.Count), decimal(l.P50), decimal(l.P99), decimal(l.Max))
	}
	d.table(table)
}

func decimal(f float64) ui.Cell { return ui.Cell{Text: fmt.Sprintf("%.2f", f), Right: true} }

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
