package breaker

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/definition"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/graph"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

func newWorkflow(a *App) *cobra.Command {
	cmd := &cobra.Command{Use: "workflow", Aliases: []string{"workflows", "wf"}, Short: "Workflows: list, show, draw, check, archive, delete"}
	cmd.AddCommand(
		newWorkflowList(a), newWorkflowShow(a), newWorkflowGraph(a), newWorkflowValidate(a), newWorkflowArchive(a), newWorkflowDelete(a),
	)
	group(cmd)
	return cmd
}

func newWorkflowList(a *App) *cobra.Command {
	var list listFlags
	var name, wanted string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List workflows", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			only, err := oneOfFlag("status", wanted, wire.WorkflowActive, wire.WorkflowArchived)
			if err != nil {
				return err
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			workflows, next, err := collect(cmd.Context(), a, list, func(ctx context.Context, page wire.Page) ([]wire.WorkflowRecord, string, error) {
				reply, err := c.WorkflowList(ctx, wire.WorkflowListRequest{NameContains: name, Status: only, Page: page})
				return reply.Workflows, reply.NextCursor, err
			})
			if err != nil {
				return err
			}
			defer a.more(next)
			return a.show(wire.WorkflowListReply{Workflows: workflows, NextCursor: next}, func() {
				t := ui.NewTable("WORKFLOW", "VERSION", "STATUS", "PLACES", "DEPLOYED (UTC)", "ID")
				for _, w := range workflows {
					t.Row(ui.Cell{Text: w.Name, Style: ui.Bold}, number(w.Version), workflowStatus(w.Status), number(len(w.Places)), clock(w.UpdatedAt), w.ID)
				}
				a.Console.Table(t, "no workflows; deploy one with breaker deploy FILE")
			})
		},
	}
	list.flags(cmd)
	cmd.Flags().StringVar(&name, "name", "", "only names that contain this")
	cmd.Flags().StringVar(&wanted, "status", "", "only active or archived ones")
	return cmd
}

// workflow reads one version of a workflow; version 0 is the newest.
func (a *App) workflow(ctx context.Context, idOrName string, version int) (wire.Workflow, error) {
	c, err := a.Client(ctx)
	if err != nil {
		return wire.Workflow{}, err
	}
	ctx, cancel := a.request(ctx)
	defer cancel()
	return c.WorkflowGet(ctx, wire.WorkflowGetRequest{WorkflowID: idOrName, Version: version})
}

func newWorkflowShow(a *App) *cobra.Command {
	var wanted int
	cmd := &cobra.Command{
		Use: "show WORKFLOW", Aliases: []string{"get"}, Short: "Show a workflow's definition and what it keeps",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeWorkflow,
		RunE: func(cmd *cobra.Command, args []string) error {
			w, err := a.workflow(cmd.Context(), args[0], wanted)
			if err != nil {
				return err
			}
			return a.show(w, func() { a.showWorkflow(&w) })
		},
	}
	cmd.Flags().IntVar(&wanted, "version", 0, "an earlier version (default the newest)")
	return cmd
}

func (a *App) showWorkflow(w *wire.Workflow) {
	a.fields(
		"workflow", ui.Cell{Text: w.Name, Style: ui.Accent},
		"id", w.ID,
		"version", number(w.Version),
		"status", workflowStatus(w.Status),
		"description", w.Description,
		"stream", w.Stream,
		"created", clock(w.CreatedAt),
		"deployed", clock(w.DeployedAt),
		"deployed by", w.DeployedBy,
		"retention", retention(w.Retention),
	)
	a.Console.Printf("\n")
	places := ui.NewTable("PLACE", "", "TIME-OUT", "WORK", "DESCRIPTION")
	for _, p := range w.Places {
		places.Row(ui.Cell{Text: p.ID, Style: ui.Bold}, placeKind(&w.Definition, p.ID), placeTimeout(p), placeWork(p), p.Description)
	}
	a.Console.Table(places, "no places")
	a.Console.Printf("\n")
	transitions := ui.NewTable("TRANSITION", "FROM", "TO", "GUARD", "DESCRIPTION")
	for i := range w.Transitions {
		t := &w.Transitions[i]
		transitions.Row(ui.Cell{Text: t.ID, Style: ui.Bold}, transitionFrom(t), transitionTo(t), guard(t), t.Description)
	}
	a.Console.Table(transitions, "no transitions")
}

func retention(r *wire.Retention) string {
	if r == nil {
		return ""
	}
	var parts []string
	if r.Completed != nil {
		parts = append(parts, "completed "+graph.Duration(*r.Completed))
	}
	if r.Cancelled != nil {
		parts = append(parts, "cancelled "+graph.Duration(*r.Cancelled))
	}
	return strings.Join(parts, ", ")
}

func placeKind(def *wire.Definition, id string) ui.Cell {
	switch {
	case id == def.InitialPlace:
		return ui.Cell{Text: "initial", Style: ui.Good}
	case graph.Terminal(def, id):
		return ui.Cell{Text: "terminal", Style: ui.Accent}
	}
	return ui.Cell{}
}

func placeTimeout(p wire.Place) string {
	if p.Timeout == nil {
		return ""
	}
	return graph.Duration(p.Timeout.After) + " → " + p.Timeout.Transition
}

func placeWork(p wire.Place) string {
	var work []string
	for _, f := range p.Functions {
		work = append(work, "function "+f.Function)
	}
	for _, agent := range p.Agents {
		work = append(work, "agent "+agent.Agent)
	}
	return strings.Join(work, ", ")
}

func transitionFrom(t *wire.Transition) string {
	if len(t.From) > 0 {
		return strings.Join(t.From, " | ")
	}
	arcs := make([]string, len(t.Inputs))
	for i, in := range t.Inputs {
		arcs[i] = in.Place
		if in.Count == wire.CountAll {
			arcs[i] = "all " + in.Place
		} else if in.Count > 1 {
			arcs[i] = fmt.Sprintf("%d %s", in.Count, in.Place)
		}
	}
	return strings.Join(arcs, " + ")
}

func transitionTo(t *wire.Transition) string {
	if t.To != "" {
		return t.To
	}
	arcs := make([]string, len(t.Outputs))
	for i, out := range t.Outputs {
		arcs[i] = out.Place
		if out.Each != "" {
			arcs[i] += " for each of " + out.Each
		} else if out.Count > 1 {
			arcs[i] = fmt.Sprintf("%d %s", out.Count, out.Place)
		}
	}
	return strings.Join(arcs, " + ")
}

func guard(t *wire.Transition) string {
	var parts []string
	if t.Auto {
		parts = append(parts, "auto")
	}
	if t.Priority != 0 {
		parts = append(parts, fmt.Sprintf("priority %d", t.Priority))
	}
	parts = append(parts, t.Rules...)
	if t.When != "" {
		parts = append(parts, t.When)
	}
	return strings.Join(parts, ", ")
}

func newWorkflowGraph(a *App) *cobra.Command {
	var dot bool
	var wanted int
	cmd := &cobra.Command{
		Use: "graph WORKFLOW|FILE", Short: "Draw a workflow's net in Mermaid or DOT",
		Long: `graph draws a deployed workflow, or a definition in a file (a name that ends in .yaml, .yml or
.json, or "-"), as a Mermaid flowchart, or with --dot for Graphviz.`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeWorkflow,
		RunE: func(cmd *cobra.Command, args []string) error {
			def, err := a.drawn(cmd.Context(), args[0], wanted)
			if err != nil {
				return err
			}
			language, text := "mermaid", ""
			if dot {
				language, text = "dot", graph.DOT(def)
			} else {
				text = graph.Mermaid(def)
			}
			return a.show(map[string]string{"name": def.Name, "language": language, "graph": text}, func() { a.Console.Printf("%s", text) })
		},
	}
	cmd.Flags().BoolVar(&dot, "dot", false, "draw in DOT, for Graphviz")
	cmd.Flags().IntVar(&wanted, "version", 0, "an earlier version (default the newest)")
	return cmd
}

func (a *App) drawn(ctx context.Context, arg string, wanted int) (*wire.Definition, error) {
	if !isFile(arg) {
		w, err := a.workflow(ctx, arg, wanted)
		return &w.Definition, err
	}
	files, err := a.read([]string{arg})
	if err != nil {
		return nil, err
	}
	return files[0].Definition(), nil
}

// isFile tells a file from a workflow: no workflow's name has a dot.
func isFile(arg string) bool {
	switch filepath.Ext(arg) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return arg == "-"
}

func newWorkflowValidate(a *App) *cobra.Command {
	var remote bool
	cmd := &cobra.Command{
		Use: "validate FILE…", Short: "Check definitions and report every problem",
		Long: `validate checks definitions without a fleet, their inline conditions (when) included. With
--remote the fleet checks them too: the JSON Schema of the token data, and whether there are the
rules that they name.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			results := make([]checked, len(args))
			for i, path := range args {
				file, err := a.readDefinition(path)
				if err != nil {
					return err
				}
				if remote && len(file.Problems) == 0 {
					if file.Problems, err = a.validateRemotely(cmd.Context(), file); err != nil {
						return err
					}
				}
				results[i] = newChecked(path, file.Problems)
			}
			return a.problems(results)
		},
	}
	cmd.Flags().BoolVar(&remote, "remote", false, "let the fleet check them as well")
	return cmd
}

func (a *App) validateRemotely(ctx context.Context, file *definition.File) ([]wire.Problem, error) {
	c, err := a.Client(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := a.request(ctx)
	defer cancel()
	reply, err := c.WorkflowValidate(ctx, wire.WorkflowValidateRequest{Definition: file.JSON})
	return reply.Problems, err
}

func newWorkflowArchive(a *App) *cobra.Command {
	var origin wire.Origin
	cmd := &cobra.Command{
		Use: "archive WORKFLOW", Short: "End a workflow: no new instances, running ones go on",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeWorkflow,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			w, err := c.WorkflowArchive(ctx, wire.WorkflowArchiveRequest{WorkflowID: args[0], Origin: origin})
			if err != nil {
				return err
			}
			return a.show(w, func() { a.Console.Printf("%s was archived; its name is free again\n", ui.Clean(w.Name)) })
		},
	}
	originFlags(cmd, &origin)
	return cmd
}

func newWorkflowDelete(a *App) *cobra.Command {
	var origin wire.Origin
	var confirm string
	cmd := &cobra.Command{
		Use: "delete WORKFLOW --confirm NAME", Short: "Remove a workflow with all its instances and their history",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeWorkflow,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			w, err := c.WorkflowDelete(ctx, wire.WorkflowDeleteRequest{WorkflowID: args[0], Confirm: confirm, Origin: origin})
			if err != nil {
				return err
			}
			return a.show(w, func() { a.Console.Printf("%s was deleted\n", ui.Clean(w.Name)) })
		},
	}
	originFlags(cmd, &origin)
	cmd.Flags().StringVar(&confirm, "confirm", "", "the workflow's name, repeated, because nothing brings it back")
	_ = cmd.MarkFlagRequired("confirm")
	return cmd
}

// completeWorkflow offers the names of the fleet's workflows to the shell.
func (a *App) completeWorkflow(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.complete(cmd, args, func(ctx context.Context, c *client.Client) (names []string, _ error) {
		reply, err := c.WorkflowList(ctx, wire.WorkflowListRequest{NameContains: typed, Page: wire.Page{Limit: wire.DefaultPage}})
		for _, w := range reply.Workflows {
			names = append(names, w.Name)
		}
		return names, err
	})
}

// complete offers what the fleet has to the shell, for the first argument of a command.
func (a *App) complete(cmd *cobra.Command, args []string, list func(context.Context, *client.Client) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c, err := a.Client(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := a.request(cmd.Context())
	defer cancel()
	// The shell asks while somebody types: what fails offers nothing.
	offered, _ := list(ctx, c)
	return offered, cobra.ShellCompDirectiveNoFileComp
}
