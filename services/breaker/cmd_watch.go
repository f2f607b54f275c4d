package breaker

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/watch"
)

func newWatch(a *App) *cobra.Command {
	var instance, place string
	var from uint64
	var all, full bool
	var count int
	cmd := &cobra.Command{
		Use: "watch [WORKFLOW]", Short: "Follow the events of a workflow, an instance or a place",
		Long: `watch shows events as they are stored, in their order, until it is interrupted; without a workflow
those of all workflows. Every line begins with the event's sequence in the workflow's stream, so that
--from resumes exactly where an earlier watch ended. With --json an event is one line.`,
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: a.completeWorkflow,
		RunE: func(cmd *cobra.Command, args []string) error {
			options := watch.Options{Instance: instance, Place: place, From: from, All: all}
			if len(args) > 0 {
				options.Workflow = args[0]
			}
			if from != 0 && all {
				return usagef("--from and --all contradict one another")
			}
			if from != 0 && options.Workflow == "" && instance == "" {
				return usagef("--from is a sequence in one workflow's stream: name the workflow, or an instance")
			}
			if count < 0 {
				return usagef("--count cannot be negative")
			}
			return a.watch(cmd.Context(), options, count, full)
		},
	}
	cmd.Flags().StringVar(&instance, "instance", "", "only this instance")
	cmd.Flags().StringVar(&place, "place", "", "only what enters, leaves or changes in this place")
	cmd.Flags().Uint64Var(&from, "from", 0, "begin at this sequence")
	cmd.Flags().BoolVar(&all, "all", false, "begin with the oldest event")
	cmd.Flags().IntVar(&count, "count", 0, "end after this many events (default: when interrupted)")
	cmd.Flags().BoolVar(&full, "full", false, "with --json: the instance's state as well")
	return cmd
}

// line is an event as --json writes it.
type line struct {
	Sequence uint64      `json:"nats_sequence"`
	Subject  string      `json:"nats_subject"`
	Time     string      `json:"nats_timestamp"`
	Workflow string      `json:"workflow"`
	Event    *wire.Event `json:"event"`
}

func (a *App) watch(ctx context.Context, options watch.Options, count int, full bool) error {
	b, err := a.Bus(ctx)
	if err != nil {
		return err
	}
	last := map[string]uint64{}
	shown := 0
	err = watch.Follow(ctx, b, options, func(e watch.Event) (bool, error) {
		if !full {
			e.Event.Instance = nil
		}
		if a.Console.JSON {
			if err := a.Console.Line(line{e.Sequence, e.Subject, e.Time.UTC().Format("2006-01-02T15:04:05.000000000Z"), e.Workflow, e.Event}); err != nil {
				return false, err
			}
		} else {
			a.Console.Printf("%s\n", a.eventLine(e, options.Workflow == "" && options.Instance == ""))
		}
		last[e.Workflow] = e.Sequence
		shown++
		return count == 0 || shown < count, nil
	})
	if ctx.Err() == nil {
		return err
	}
	// Being interrupted is how a watch ends.
	for _, workflow := range sortedKeys(last) {
		if len(last) == 1 {
			a.Console.Notef("resume with --from %d\n", last[workflow]+1)
		} else {
			a.Console.Notef("resume %s with --from %d\n", ui.Clean(workflow), last[workflow]+1)
		}
	}
	return nil
}

// eventLine is an event for people.
func (a *App) eventLine(e watch.Event, named bool) string {
	c := a.Console
	number := strings.Repeat(" ", max(0, 8-len(compact(e.Sequence)))) + compact(e.Sequence)
	parts := []string{c.Paint(ui.Dim, number), e.Time.UTC().Format("15:04:05.000")}
	if named {
		parts = append(parts, c.Paint(ui.Bold, ui.Clean(e.Workflow)))
	}
	if e.Event.InstanceID != "" {
		parts = append(parts, e.Event.InstanceID)
	}
	what := e.Event.TransitionID
	if what == "" {
		what = e.Event.EventType
	}
	parts = append(parts, c.Paint(ui.Accent, ui.Clean(what)))
	if route := route(e.Event); route != "" {
		parts = append(parts, ui.Clean(route))
	}
	if e.Event.Work != nil {
		parts = append(parts, ui.Clean(e.Event.Work.Kind+" "+e.Event.Work.Binding+" "+e.Event.Work.Outcome))
	}
	if e.Event.Reason != "" {
		parts = append(parts, "("+ui.Clean(e.Event.Reason)+")")
	}
	if e.Event.TriggeredBy != "" {
		parts = append(parts, c.Paint(ui.Dim, "by "+ui.Clean(e.Event.TriggeredBy)))
	}
	if e.Event.Completes {
		parts = append(parts, c.Paint(ui.Good, "completed"))
	}
	return strings.Join(parts, "  ")
}

// route says from where to where an event took tokens.
func route(e *wire.Event) string {
	from := make([]string, len(e.Consumed))
	for i, c := range e.Consumed {
		from[i] = c.Place
	}
	to := make([]string, len(e.Produced))
	for i, p := range e.Produced {
		to[i] = p.Place
	}
	switch {
	case len(from) == 0 && len(to) == 0:
		return e.FromPlace
	case len(from) == 0:
		return "→ " + tally(to)
	case len(to) == 0:
		return tally(from) + " →"
	}
	return tally(from) + " → " + tally(to)
}

// tally writes places, each once with how often it occurs.
func tally(places []string) string {
	counts := map[string]int{}
	var order []string
	for _, p := range places {
		if counts[p] == 0 {
			order = append(order, p)
		}
		counts[p]++
	}
	for i, p := range order {
		if counts[p] > 1 {
			order[i] = compact(counts[p]) + " " + p
		}
	}
	return strings.Join(order, " + ")
}
