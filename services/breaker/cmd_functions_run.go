package breaker

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// How long invoke waits before it looks again whether the run has ended.
const (
	firstLook   = 10 * time.Millisecond
	longestLook = time.Second
)

func newFunctionsInvoke(a *App) *cobra.Command {
	var req wire.FunctionInvokeRequest
	var input string
	var async bool
	cmd := &cobra.Command{
		Use: "invoke FUNCTION", Short: "Run a function once, and show what became of it",
		Long: `invoke runs a function once, and waits for its end as long as --timeout says. No token is touched,
and a run that fails is no dead letter; only the function's chains follow from it. Without --input,
the input is made as for the token.

It ends with 0 when the run has succeeded, with 8 when it has failed or was dropped, and with 5
when it has not ended in time: the run goes on, and executions show tells how far it is.`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeFunction,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if req.Input, err = a.document("input", input); err != nil {
				return err
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			// The service waits no longer than a request may take: who has time follows the run.
			req.ID, req.Async = args[0], true
			run, err := c.FunctionInvoke(ctx, req)
			if err != nil {
				return err
			}
			if !async {
				if run, err = follow(ctx, c, run); err != nil {
					return err
				}
			}
			if err := a.show(run, func() { a.execution(&run) }); err != nil || async {
				return err
			}
			return a.judgeRun(cmd.Context(), &run)
		},
	}
	cmd.Flags().StringVarP(&input, "input", "i", "", "the input: JSON, @FILE, or - for standard input")
	cmd.Flags().StringVar(&req.TokenID, "token", "", "the token that the run is about")
	cmd.Flags().BoolVar(&async, "async", false, "do not wait for the end")
	originFlags(cmd, &req.Origin)
	return cmd
}

// follow looks how far a run is until it has ended, or ctx has.
func follow(ctx context.Context, c *client.Client, run wire.Execution) (wire.Execution, error) {
	for pause := firstLook; ; pause = min(2*pause, longestLook) {
		now, err := c.ExecutionGet(ctx, wire.ExecutionGetRequest{ID: run.ID})
		switch {
		case err == nil:
			run = now
		case ctx.Err() != nil:
			return run, nil
		case !errors.Is(err, fault.ExecutionNotFound): // It was not begun yet.
			return run, err
		}
		if run.Status.Ended() {
			return run, nil
		}
		select {
		case <-ctx.Done():
			return run, nil
		case <-time.After(pause):
		}
	}
}

// judgeRun is the error that a run's end stands for.
func (a *App) judgeRun(ctx context.Context, run *wire.Execution) error {
	switch {
	case run.Status == wire.ExecutionSucceeded:
		return nil
	case run.Status.Ended():
		return errRunFailed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fault.New(fault.Timeout, "the run has not ended in %s; it goes on: breaker executions show %s", a.timeout, run.ID).With("execution_id", run.ID)
}

func newFunctionsTrigger(a *App) *cobra.Command {
	var req wire.FunctionTriggerRequest
	var data string
	cmd := &cobra.Command{
		Use: "trigger EVENT", Short: "Say that a custom event has happened, and show what it has begun", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if req.Data, err = a.document("data", data); err != nil {
				return err
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			req.Event = args[0]
			reply, err := c.FunctionTrigger(ctx, req)
			if err != nil {
				return err
			}
			return a.show(reply, func() {
				t := ui.NewTable("FUNCTION", "EXECUTION")
				for _, e := range reply.Executions {
					t.Row(ui.Cell{Text: e.Target, Style: ui.Bold}, e.ID)
				}
				a.Console.Table(t, "no function is triggered by "+ui.Clean(req.Event))
			})
		},
	}
	cmd.Flags().StringVarP(&data, "data", "d", "", "what the event brings: JSON, @FILE, or - for standard input")
	cmd.Flags().StringVar(&req.TokenID, "token", "", "the token that the event is about")
	originFlags(cmd, &req.Origin)
	return cmd
}
