package breaker

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/functionset"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

func newFunctions(a *App) *cobra.Command {
	cmd := &cobra.Command{
		Use: "functions", Aliases: []string{"function", "fn"},
		Short: "Functions: put, list, show, enable, disable, delete, invoke, trigger, upload, modules",
	}
	cmd.AddCommand(
		newFunctionsPut(a), newFunctionsList(a), newFunctionsShow(a),
		newFunctionsSwitch(a, true, "enable", "Let the jobs of a function be done"),
		newFunctionsSwitch(a, false, "disable", "Let the jobs of a function wait, and nothing trigger it"),
		newFunctionsDelete(a), newFunctionsInvoke(a), newFunctionsTrigger(a), newFunctionsUpload(a), newFunctionsModules(a),
	)
	group(cmd)
	return cmd
}

func newFunctionsList(a *App) *cobra.Command {
	var list listFlags
	var req wire.FunctionListRequest
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List functions", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if req.Kind, err = oneOfFlag("kind", req.Kind, wire.FunctionKinds()...); err != nil {
				return err
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			functions, next, err := collect(cmd.Context(), a, list, func(ctx context.Context, page wire.Page) ([]wire.Function, string, error) {
				req.Page = page
				reply, err := c.FunctionList(ctx, req)
				return reply.Functions, reply.NextCursor, err
			})
			if err != nil {
				return err
			}
			defer a.more(next)
			return a.show(wire.FunctionListReply{Functions: functions, NextCursor: next}, func() {
				t := ui.NewTable("FUNCTION", "VERSION", "KIND", "ENABLED", "TAGS", "CHANGED (UTC)", "DESCRIPTION")
				for i := range functions {
					f := &functions[i]
					t.Row(
						ui.Cell{Text: f.ID, Style: ui.Bold}, number(f.Version), f.Kind, enabled(f), strings.Join(f.Tags, ", "),
						clock(f.UpdatedAt), ui.Shorten(ui.Clean(f.Description), cellWidth),
					)
				}
				a.Console.Table(t, "no functions; make one with breaker functions put FILE")
			})
		},
	}
	list.flags(cmd)
	cmd.Flags().StringVar(&req.NameContains, "name", "", "only ids that contain this")
	cmd.Flags().StringVar(&req.Tag, "tag", "", "only functions with this tag")
	cmd.Flags().StringVar(&req.Kind, "kind", "", "only functions of this kind: "+strings.Join(wire.FunctionKinds(), ", "))
	offer(cmd, "kind", wire.FunctionKinds()...)
	return cmd
}

func enabled(f *wire.Function) ui.Cell {
	if f.IsEnabled() {
		return ui.Cell{Text: "yes", Style: ui.Good}
	}
	return ui.Cell{Text: "no", Style: ui.Warning}
}

func newFunctionsShow(a *App) *cobra.Command {
	var wanted int
	cmd := &cobra.Command{
		Use: "show FUNCTION", Aliases: []string{"get"}, Short: "Show a function with its definition and its open circuits",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeFunction,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			f, err := c.FunctionGet(ctx, wire.FunctionGetRequest{ID: args[0], Version: wanted})
			if err != nil {
				return err
			}
			return a.show(f, func() { a.showFunction(&f) })
		},
	}
	cmd.Flags().IntVar(&wanted, "version", 0, "an earlier version (default the newest)")
	return cmd
}

func (a *App) showFunction(f *wire.Function) {
	a.fields(
		"function", ui.Cell{Text: f.ID, Style: ui.Accent},
		"version", number(f.Version),
		"enabled", enabled(f),
		"created", clock(f.CreatedAt),
		"changed", clock(f.UpdatedAt),
		"changed by", f.Author,
	)
	// As a file has it: what is shown can be put.
	if definition, err := json.Marshal(functionset.Function{ID: f.ID, FunctionSpec: f.FunctionSpec}); err == nil {
		a.yaml("definition", definition)
	}
	if len(f.Circuits) == 0 {
		return
	}
	a.Console.Printf("\n")
	t := ui.NewTable("CIRCUIT OF", "STATE", "SINCE (UTC)", "NEXT ATTEMPT (UTC)", "REASON")
	for _, c := range f.Circuits {
		t.Row(c.Copy, ui.Cell{Text: c.State, Style: ui.Bad}, clock(c.Since), clock(c.Until), c.Reason)
	}
	a.Console.Table(t, "")
}

// newFunctionsSwitch makes enable or disable.
func newFunctionsSwitch(a *App, on bool, name, short string) *cobra.Command {
	var req wire.FunctionUpdateRequest
	cmd := &cobra.Command{
		Use: name + " FUNCTION", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeFunction,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			req.ID, req.Enabled = args[0], &on
			f, err := c.FunctionUpdate(ctx, req)
			if err != nil {
				return err
			}
			return a.show(f, func() {
				a.Console.Printf("%s is %sd\n", ui.Clean(fmt.Sprintf("%s, version %d,", f.ID, f.Version)), name)
			})
		},
	}
	cmd.Flags().IntVar(&req.ExpectedVersion, "expected-version", 0, "refuse unless this is the function's version")
	originFlags(cmd, &req.Origin)
	return cmd
}

func newFunctionsDelete(a *App) *cobra.Command {
	var req wire.FunctionDeleteRequest
	cmd := &cobra.Command{
		Use: "delete FUNCTION", Short: "Remove a function that nothing uses, with the jobs that wait for it",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeFunction,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			req.ID = args[0]
			f, err := c.FunctionDelete(ctx, req)
			if err != nil {
				return err
			}
			return a.show(f, func() {
				a.Console.Printf("%s was deleted\n", ui.Clean(fmt.Sprintf("%s, version %d,", f.ID, f.Version)))
			})
		},
	}
	cmd.Flags().IntVar(&req.ExpectedVersion, "expected-version", 0, "refuse unless this is the function's version")
	originFlags(cmd, &req.Origin)
	return cmd
}

// completeFunction offers the ids of the fleet's functions to the shell.
func (a *App) completeFunction(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.complete(cmd, args, func(ctx context.Context, c *client.Client) (ids []string, _ error) {
		reply, err := c.FunctionList(ctx, wire.FunctionListRequest{NameContains: typed, Page: wire.Page{Limit: wire.DefaultPage}})
		for i := range reply.Functions {
			ids = append(ids, reply.Functions[i].ID)
		}
		return ids, err
	})
}
