package breaker

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

func newAnalytics(a *App) *cobra.Command {
	cmd := &cobra.Command{Use: "analytics", Short: "Figures of a workflow: places, transitions"}
	cmd.AddCommand(newAnalyticsPlaces(a), newAnalyticsTransitions(a))
	group(cmd)
	return cmd
}

// window are the flags for a span of time.
type window struct {
	last     time.Duration
	from, to string
}

func (w *window) flags(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&w.last, "last", 24*time.Hour, "how far back to look")
	cmd.Flags().StringVar(&w.from, "from", "", "begin of the window, instead of --last")
	cmd.Flags().StringVar(&w.to, "to", "", "end of the window (default now)")
}

func (w *window) request(workflow string, now time.Time) (wire.AnalyticsRequest, error) {
	req := wire.AnalyticsRequest{WorkflowID: workflow, To: now.UTC()}
	var err error
	if w.to != "" {
		if req.To, err = time.Parse(time.RFC3339Nano, w.to); err != nil {
			return req, usagef("--to takes a time such as 2026-01-31T12:00:00Z, not %q", w.to)
		}
	}
	req.From = req.To.Add(-w.last)
	if w.from != "" {
		if req.From, err = time.Parse(time.RFC3339Nano, w.from); err != nil {
			return req, usagef("--from takes a time such as 2026-01-31T12:00:00Z, not %q", w.from)
		}
	}
	if !req.From.Before(req.To) {
		return req, usagef("the window is empty: it begins at %s and ends at %s", clock(req.From), clock(req.To))
	}
	return req, nil
}

func newAnalyticsPlaces(a *App) *cobra.Command {
	var span window
	cmd := &cobra.Command{
		Use: "places WORKFLOW", Short: "How many tokens stand in each place, and how long tokens stay there",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeWorkflow,
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := span.request(args[0], time.Now())
			if err != nil {
				return err
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			reply, err := c.AnalyticsPlaces(ctx, req)
			if err != nil {
				return err
			}
			return a.show(reply, func() {
				t := ui.NewTable("PLACE", "TOKENS", "ARRIVALS", "DEPARTURES", "STAY P50", "P90", "P99", "MAX")
				for _, p := range reply.Places {
					t.Row(append([]any{ui.Cell{Text: p.Place, Style: ui.Bold}, number(p.Tokens), number(p.Arrivals), number(p.Departures)}, quantiles(p.TimeInPlace)...)...)
				}
				a.Console.Table(t, "no places")
				a.window(reply.Window)
			})
		},
	}
	span.flags(cmd)
	return cmd
}

func newAnalyticsTransitions(a *App) *cobra.Command {
	var span window
	cmd := &cobra.Command{
		Use: "transitions WORKFLOW", Short: "How often each transition fired, and how long its tokens had waited",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeWorkflow,
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := span.request(args[0], time.Now())
			if err != nil {
				return err
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			reply, err := c.AnalyticsTransitions(ctx, req)
			if err != nil {
				return err
			}
			return a.show(reply, func() {
				t := ui.NewTable("TRANSITION", "FIRINGS", "WAITED P50", "P90", "P99", "MAX")
				for _, f := range reply.Transitions {
					t.Row(append([]any{ui.Cell{Text: f.TransitionID, Style: ui.Bold}, number(f.Firings)}, quantiles(f.Waited)...)...)
				}
				a.Console.Table(t, "no transitions")
				a.Console.Printf("\ninstances: %d created, %d completed, %d cancelled\n", reply.Created, reply.Completed, reply.Cancelled)
				a.window(reply.Window)
			})
		},
	}
	span.flags(cmd)
	return cmd
}

func quantiles(q wire.Quantiles) []any {
	if q.Count == 0 {
		return []any{ui.Cell{Text: "-", Right: true}, ui.Cell{Text: "-", Right: true}, ui.Cell{Text: "-", Right: true}, ui.Cell{Text: "-", Right: true}}
	}
	cells := make([]any, 0, 4)
	for _, ms := range []float64{q.P50, q.P90, q.P99, q.Max} {
		cells = append(cells, ui.Cell{Text: milliseconds(ms), Right: true})
	}
	return cells
}

// milliseconds writes a duration with three significant digits or so.
func milliseconds(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	switch {
	case d < time.Second:
		return fmt.Sprintf("%.3gms", ms)
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func (a *App) window(w wire.Window) {
	a.Console.Printf("%s\n", a.Console.Paint(ui.Dim, fmt.Sprintf("%s to %s UTC, %s", clock(w.From), clock(w.To), plural(w.Events, "event", "events"))))
	if w.Truncated {
		a.Console.Notef("%s\n", a.Console.PaintErr(ui.Warning, "the log was longer than the bound: the figures cover a part of the window"))
	}
}
