package breaker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

func newExecutions(a *App) *cobra.Command {
	cmd := &cobra.Command{Use: "executions", Aliases: []string{"execution"}, Short: "Runs of functions and agents: list, show"}
	cmd.AddCommand(newExecutionsList(a), newExecutionsShow(a))
	group(cmd)
	return cmd
}

// filterFlags choose runs.
type filterFlags struct {
	wire.ExecutionFilter
	function, since, until string
}

func (f *filterFlags) flags(a *App, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.Target, "target", "", "only of the function or agent with this id")
	flags.StringVar(&f.Kind, "kind", "", "only of this kind of target: function or agent")
	flags.StringVar(&f.function, "function", "", "only of this function: --kind function --target ID")
	flags.StringVar(&f.WorkflowID, "workflow", "", "only for this workflow; - for none")
	flags.StringVar(&f.InstanceID, "instance", "", "only for this instance; - for none")
	flags.StringVar(&f.since, "since", "", "only what was written since: how long ago, such as 90m, or a time such as 2026-01-31T12:00:00Z")
	flags.StringVar(&f.until, "until", "", "only what was written until, likewise")
	offer(cmd, "kind", wire.KindFunction, wire.KindAgent)
	for flag, complete := range map[string]cobra.CompletionFunc{
		"target": a.completeFunction, "function": a.completeFunction, "workflow": a.completeWorkflow,
	} {
		_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
			return complete(cmd, nil, typed)
		})
	}
}

// filter checks the flags.
func (f *filterFlags) filter() (wire.ExecutionFilter, error) {
	only := f.ExecutionFilter
	var err error
	if only.Kind, err = oneOfFlag("kind", only.Kind, wire.KindFunction, wire.KindAgent); err != nil {
		return only, err
	}
	if f.function != "" {
		if only.Target != "" || only.Kind == wire.KindAgent {
			return only, usagef("--function names the target and its kind: leave --target and --kind out")
		}
		only.Kind, only.Target = wire.KindFunction, f.function
	}
	now := time.Now()
	if only.From, err = moment("since", f.since, now); err != nil {
		return only, err
	}
	if only.To, err = moment("until", f.until, now); err != nil {
		return only, err
	}
	if !only.From.IsZero() && !only.To.IsZero() && only.To.Before(only.From) {
		return only, usagef("the window is empty: --until is before --since")
	}
	return only, nil
}

// set reports whether anything is chosen.
func (f *filterFlags) set() bool { return *f != filterFlags{} }

func newExecutionsList(a *App) *cobra.Command {
	var req wire.ExecutionListRequest
	var wanted string
	cmd := newRunList(a, &req, "List runs, those that changed longest ago first", "no executions", func() (err error) {
		req.Status, err = oneOfFlag("status", wanted, wire.ExecutionStatuses()...)
		return err
	})
	var statuses []string
	for _, s := range wire.ExecutionStatuses() {
		statuses = append(statuses, string(s))
	}
	cmd.Flags().StringVar(&wanted, "status", "", "only runs that are "+strings.Join(statuses, ", "))
	offer(cmd, "status", statuses...)
	return cmd
}

// newRunList makes a list of runs or of dead letters; check looks at flags of its own.
func newRunList(a *App, req *wire.ExecutionListRequest, short, none string, check func() error) *cobra.Command {
	var list listFlags
	var only filterFlags
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := check()
			if err != nil {
				return err
			}
			if req.ExecutionFilter, err = only.filter(); err != nil {
				return err
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			runs, next, err := collect(cmd.Context(), a, list, func(ctx context.Context, page wire.Page) ([]wire.Execution, string, error) {
				req.Page = page
				reply, err := c.ExecutionList(ctx, *req)
				return reply.Executions, reply.NextCursor, err
			})
			if err != nil {
				return err
			}
			defer a.more(next)
			return a.show(wire.ExecutionListReply{Executions: runs, NextCursor: next}, func() {
				t := ui.NewTable("EXECUTION", "TARGET", "STATUS", "CAUSE", "ATTEMPT", "QUEUED (UTC)", "TOOK", "WHY")
				for i := range runs {
					e := &runs[i]
					t.Row(
						e.ID, ui.Cell{Text: target(e), Style: ui.Bold}, runStatus(e.Status), e.Cause, number(e.Attempt), clock(e.QueuedAt),
						ui.Cell{Text: took(e), Right: true}, ui.Shorten(ui.Clean(why(e)), cellWidth),
					)
				}
				a.Console.Table(t, none)
			})
		},
	}
	list.flags(cmd)
	only.flags(a, cmd)
	return cmd
}

func target(e *wire.Execution) string { return e.Kind + " " + e.Target }

func runStatus(s wire.ExecutionStatus) ui.Cell {
	styles := map[wire.ExecutionStatus]ui.Style{
		wire.ExecutionSucceeded: ui.Good, wire.ExecutionFailed: ui.Bad, wire.ExecutionWaiting: ui.Warning,
		wire.ExecutionSuspended: ui.Warning, wire.ExecutionRunning: ui.Accent,
	}
	return ui.Cell{Text: string(s), Style: styles[s]}
}

func took(e *wire.Execution) string {
	if e.DurationMS == 0 {
		return ""
	}
	return (time.Duration(e.DurationMS) * time.Millisecond).String()
}

// why is what went wrong, or why nothing was done.
func why(e *wire.Execution) string {
	switch {
	case e.Error != nil && e.Reason != "":
		return failureLine(*e.Error) + "; " + e.Reason
	case e.Error != nil:
		return failureLine(*e.Error)
	}
	return e.Reason
}

func failureLine(f wire.Failure) string { return f.Code + ": " + f.Message }

func newExecutionsShow(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "show EXECUTION", Aliases: []string{"get"}, Short: "Show all that is known of a run", Args: cobra.ExactArgs(1),
		ValidArgsFunction: a.completeRun(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			e, err := c.ExecutionGet(ctx, wire.ExecutionGetRequest{ID: args[0]})
			if err != nil {
				return err
			}
			return a.show(e, func() { a.execution(&e) })
		},
	}
}

// execution writes all of a run.
func (a *App) execution(e *wire.Execution) {
	version := ""
	if e.Version > 0 {
		version = fmt.Sprintf(" version %d", e.Version)
	}
	failure := ""
	if e.Error != nil {
		failure = failureLine(*e.Error)
	}
	a.fields(
		"execution", ui.Cell{Text: e.ID, Style: ui.Accent},
		"target", target(e)+version,
		"status", runStatus(e.Status),
		"error", ui.Cell{Text: failure, Style: ui.Bad},
		"reason", e.Reason,
		"cause", e.Cause,
		"triggered by", e.TriggeredBy,
		"workflow", e.WorkflowID,
		"instance", e.InstanceID,
		"token", e.TokenID,
		"place", e.Place,
		"arrival sequence", positive(e.ArrivalSequence),
		"parent", e.Parent,
		"position", positive(e.Position),
		"attempt", positive(e.Attempt),
		"redrives", positive(e.Redrives),
		"request", e.RequestID,
		"copy", e.Copy,
		"queued", clock(e.QueuedAt),
		"started", clock(e.StartedAt),
		"finished", clock(e.FinishedAt),
		"next attempt", clock(e.NextAttemptAt),
		"took", took(e),
		"input size", size(e.InputBytes),
		"output size", size(e.OutputBytes),
		"transition", e.TransitionID,
		"revision", positive(e.NatsSequence),
	)
	a.lines("input", pretty(e.Input))
	a.lines("output", pretty(e.Output))
	a.lines("stderr", e.Stderr)
	if len(e.Failures) == 0 {
		return
	}
	a.Console.Printf("\n")
	t := ui.NewTable("ATTEMPT", "TIME (UTC)", "FAILURE")
	for _, f := range e.Failures {
		t.Row(number(f.Attempt), clock(f.At), failureLine(f.Failure))
	}
	a.Console.Table(t, "")
}

// positive is a number for fields, which leave out what is empty.
func positive[N ~int | ~uint64](n N) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func size(n int) string {
	if n == 0 {
		return ""
	}
	return bytesText(uint64(n))
}

// pretty is a document with its members on lines of their own.
func pretty(document json.RawMessage) string {
	var text bytes.Buffer
	if json.Indent(&text, document, "", "  ") != nil {
		return string(document)
	}
	return text.String()
}

// completeRun offers the ids of runs, or of dead letters, to the shell.
func (a *App) completeRun(deadLetters bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		return a.complete(cmd, args, func(ctx context.Context, c *client.Client) (ids []string, _ error) {
			reply, err := c.ExecutionList(ctx, wire.ExecutionListRequest{DeadLetters: deadLetters, Page: wire.Page{Limit: wire.MaxPage}})
			for i := range reply.Executions {
				e := &reply.Executions[i]
				if strings.HasPrefix(e.ID, typed) {
					ids = append(ids, cobra.CompletionWithDesc(e.ID, ui.Clean(target(e)+" "+string(e.Status))))
				}
			}
			return ids, err
		})
	}
}
