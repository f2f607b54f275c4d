package breaker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

func newDeadLetters(a *App) *cobra.Command {
	cmd := &cobra.Command{
		Use: "dead-letters", Aliases: []string{"dead-letter", "dlq"}, Short: "Runs that have failed for good: list, show, redrive, discard",
	}
	cmd.AddCommand(
		newRunList(a, &wire.ExecutionListRequest{DeadLetters: true}, "List what has failed for good, longest ago first", "no dead letters", func() error { return nil }),
		newDeadLettersShow(a), newDeadLettersRedrive(a), newDeadLettersDiscard(a),
	)
	group(cmd)
	return cmd
}

func newDeadLettersShow(a *App) *cobra.Command {
	return &cobra.Command{
		Use: "show EXECUTION", Aliases: []string{"get"}, Short: "Show a dead letter: what the run was given, and how its attempts ended",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRun(true),
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
			if len(e.Failures) == 0 { // Only a dead letter has them; not a run that was invoked.
				return fault.New(fault.ExecutionNotFound, "execution %s is %s, and not among the dead letters", e.ID, e.Status).
					With("execution_id", e.ID).With("status", e.Status)
			}
			return a.show(e, func() { a.execution(&e) })
		},
	}
}

const changeHelp = `Name executions, or choose all that match with --target or --function, and other flags beside.
What cannot be changed is said, and does not hinder the others; the exit code then is 4.`

func newDeadLettersRedrive(a *App) *cobra.Command {
	var origin wire.Origin
	cmd := newChange(a, &origin, "redriven", func(ctx context.Context, c *client.Client, id string, only wire.ExecutionFilter, cursor string) (wire.ExecutionChangeReply, error) {
		return c.ExecutionRedrive(ctx, wire.ExecutionRedriveRequest{ID: id, ExecutionFilter: only, Page: wire.Page{Cursor: cursor}, Origin: origin})
	})
	cmd.Use, cmd.Short = "redrive [EXECUTION…]", "Run dead letters again"
	cmd.Long = "redrive runs dead letters again: with all attempts, by the newest version of their target, and with\nthe Idempotency-Key that they had.\n\n" + changeHelp
	return cmd
}

func newDeadLettersDiscard(a *App) *cobra.Command {
	var origin wire.Origin
	var reason string
	cmd := newChange(a, &origin, "discarded", func(ctx context.Context, c *client.Client, id string, only wire.ExecutionFilter, cursor string) (wire.ExecutionChangeReply, error) {
		return c.ExecutionDiscard(ctx, wire.ExecutionDiscardRequest{ID: id, ExecutionFilter: only, Page: wire.Page{Cursor: cursor}, Reason: reason, Origin: origin})
	})
	cmd.Use, cmd.Short = "discard [EXECUTION…]", "Drop dead letters: nothing more is to come of them"
	cmd.Long = "discard drops dead letters; their executions are kept, with the reason.\n\n" + changeHelp
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}

// changing asks for the change of one dead letter, or of a page of those that a filter chooses.
type changing func(ctx context.Context, c *client.Client, id string, only wire.ExecutionFilter, cursor string) (wire.ExecutionChangeReply, error)

// newChange makes redrive or discard.
func newChange(a *App, origin *wire.Origin, outcome string, change changing) *cobra.Command {
	var only filterFlags
	cmd := &cobra.Command{
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			ids, directive := a.completeRun(true)(cmd, nil, typed)
			return slices.DeleteFunc(ids, func(offered string) bool {
				id, _, _ := strings.Cut(offered, "\t")
				return slices.Contains(args, id)
			}), directive
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := only.filter()
			switch {
			case err != nil:
				return err
			case len(args) > 0 && only.set():
				return usagef("name executions, or choose them with flags, not both")
			case len(args) == 0 && filter.Target == "":
				return usagef("name executions, or give a --target for all that match")
			case len(args) > 1 && origin.RequestID != "":
				return usagef("--request-id identifies one change: name one execution at a time with it")
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			done := changed{Executions: []string{}}
			if len(args) > 0 {
				err = done.each(cmd.Context(), a, c, args, change)
			} else {
				err = done.all(cmd.Context(), a, c, filter, change)
			}
			return errors.Join(err, a.changed(&done, outcome))
		},
	}
	only.flags(a, cmd)
	originFlags(cmd, origin)
	return cmd
}

// changed is what became of dead letters.
type changed wire.ExecutionChangeReply

// each changes these, one after the other.
func (d *changed) each(ctx context.Context, a *App, c *client.Client, ids []string, change changing) error {
	for _, id := range ids {
		bounded, cancel := a.request(ctx)
		reply, err := change(bounded, c, id, wire.ExecutionFilter{}, "")
		cancel()
		switch exitCode(err) {
		case exitOK:
			d.Executions = append(d.Executions, reply.Executions...)
		case exitNotFound, exitRejected:
			refused := fault.From(err)
			d.Refused = append(d.Refused, wire.RefusedExecution{ID: id, Code: string(refused.Code), Message: refused.Message})
		default:
			return err
		}
	}
	return nil
}

// all changes all that a filter chooses, a page at a time. It ends where it meets what was changed
// before: a run that was redriven may have failed again.
func (d *changed) all(ctx context.Context, a *App, c *client.Client, only wire.ExecutionFilter, change changing) error {
	seen := map[string]bool{}
	for cursor := ""; ; {
		bounded, cancel := a.request(ctx)
		reply, err := change(bounded, c, "", only, cursor)
		cancel()
		if err != nil {
			return err
		}
		d.Refused = append(d.Refused, reply.Refused...)
		for _, id := range reply.Executions {
			if seen[id] {
				return nil
			}
			seen[id] = true
			d.Executions = append(d.Executions, id)
		}
		if cursor = reply.NextCursor; cursor == "" {
			return nil
		}
	}
}

// changed shows what was done and what was refused, and fails if not everything was done.
func (a *App) changed(d *changed, outcome string) error {
	err := a.show(d, func() {
		t := ui.NewTable("EXECUTION", "OUTCOME", "WHY")
		for _, id := range d.Executions {
			t.Row(id, ui.Cell{Text: outcome, Style: ui.Good}, "")
		}
		for _, r := range d.Refused {
			t.Row(r.ID, ui.Cell{Text: "refused", Style: ui.Bad}, fmt.Sprintf("%s: %s", r.Code, r.Message))
		}
		a.Console.Table(t, "no dead letters")
	})
	if err == nil && len(d.Refused) > 0 {
		return errRefused
	}
	return err
}
