package breaker

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

func newRules(a *App) *cobra.Command {
	cmd := &cobra.Command{Use: "rules", Aliases: []string{"rule"}, Short: "Rules: put, list, show, history, test, explain, delete"}
	cmd.AddCommand(
		newRulesPut(a), newRulesList(a), newRulesShow(a), newRulesHistory(a), newRulesTest(a), newRulesExplain(a), newRulesDelete(a),
	)
	group(cmd)
	return cmd
}

func newRulesList(a *App) *cobra.Command {
	var list listFlags
	var req wire.RuleListRequest
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List rules", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			rules, next, err := collect(cmd.Context(), a, list, func(ctx context.Context, page wire.Page) ([]wire.Rule, string, error) {
				req.Page = page
				reply, err := c.RuleList(ctx, req)
				return reply.Rules, reply.NextCursor, err
			})
			if err != nil {
				return err
			}
			defer a.more(next)
			return a.show(wire.RuleListReply{Rules: rules, NextCursor: next}, func() {
				t := ui.NewTable("RULE", "VERSION", "TAGS", "WORKFLOW", "CHANGED (UTC)", "DESCRIPTION")
				for i := range rules {
					r := &rules[i]
					t.Row(
						ui.Cell{Text: r.ID, Style: ui.Bold}, number(r.Version), strings.Join(r.Tags, ", "), r.WorkflowID,
						clock(r.UpdatedAt), ui.Shorten(ui.Clean(r.Description), cellWidth),
					)
				}
				a.Console.Table(t, "no rules; make one with breaker rules put FILE")
			})
		},
	}
	list.flags(cmd)
	cmd.Flags().StringVar(&req.NameContains, "name", "", "only ids that contain this")
	cmd.Flags().StringVar(&req.Tag, "tag", "", "only rules with this tag")
	cmd.Flags().StringVar(&req.WorkflowID, "workflow", "", "only rules that belong to this workflow alone")
	_ = cmd.RegisterFlagCompletionFunc("workflow", func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		return a.completeWorkflow(cmd, nil, typed)
	})
	return cmd
}

func newRulesShow(a *App) *cobra.Command {
	var wanted int
	cmd := &cobra.Command{
		Use: "show RULE", Aliases: []string{"get"}, Short: "Show a rule with its condition",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRule,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			r, err := c.RuleGet(ctx, wire.RuleGetRequest{ID: args[0], Version: wanted})
			if err != nil {
				return err
			}
			return a.show(r, func() { a.showRule(&r) })
		},
	}
	cmd.Flags().IntVar(&wanted, "version", 0, "an earlier version (default the newest)")
	return cmd
}

func (a *App) showRule(r *wire.Rule) {
	a.fields(
		"rule", ui.Cell{Text: r.ID, Style: ui.Accent},
		"version", number(r.Version),
		"description", r.Description,
		"tags", strings.Join(r.Tags, ", "),
		"workflow", r.WorkflowID,
		"created", clock(r.CreatedAt),
		"changed", clock(r.UpdatedAt),
		"changed by", r.Author,
	)
	a.yaml("condition", r.Condition)
}

func newRulesHistory(a *App) *cobra.Command {
	var list listFlags
	cmd := &cobra.Command{
		Use: "history RULE", Short: "Show every version of a rule, also of one that was deleted",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRule,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			versions, next, err := collect(cmd.Context(), a, list, func(ctx context.Context, page wire.Page) ([]wire.Rule, string, error) {
				reply, err := c.RuleHistory(ctx, wire.RuleHistoryRequest{ID: args[0], Page: page})
				return reply.Versions, reply.NextCursor, err
			})
			if err != nil {
				return err
			}
			defer a.more(next)
			return a.show(wire.RuleHistoryReply{Versions: versions, NextCursor: next}, func() {
				t := ui.NewTable("VERSION", "TIME (UTC)", "BY", "CONDITION", "DESCRIPTION")
				for i := range versions {
					v := &versions[i]
					t.Row(
						number(v.Version), clock(v.UpdatedAt), v.Author, ui.Shorten(ui.Clean(oneLine(v.Condition)), cellWidth),
						ui.Shorten(ui.Clean(v.Description), cellWidth),
					)
				}
				a.Console.Table(t, "no versions")
			})
		},
	}
	list.flags(cmd)
	return cmd
}

// oneLine is a condition for a table: an expression as it is, a tree as JSON.
func oneLine(condition json.RawMessage) string {
	var only struct {
		Expression string `json:"expression"`
	}
	if json.Unmarshal(condition, &only) == nil && only.Expression != "" {
		return only.Expression
	}
	return string(condition)
}

func newRulesDelete(a *App) *cobra.Command {
	var req wire.RuleDeleteRequest
	cmd := &cobra.Command{
		Use: "delete RULE", Short: "Remove a rule that no workflow uses; its versions stay readable",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeRule,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			req.ID = args[0]
			r, err := c.RuleDelete(ctx, req)
			if err != nil {
				return err
			}
			return a.show(r, func() {
				a.Console.Printf("%s was deleted\n", ui.Clean(fmt.Sprintf("%s, version %d,", r.ID, r.Version)))
			})
		},
	}
	cmd.Flags().IntVar(&req.ExpectedVersion, "expected-version", 0, "refuse unless this is the rule's version")
	originFlags(cmd, &req.Origin)
	return cmd
}

// completeRule offers the ids of the fleet's rules to the shell.
func (a *App) completeRule(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return a.complete(cmd, args, func(ctx context.Context, c *client.Client) (ids []string, _ error) {
		reply, err := c.RuleList(ctx, wire.RuleListRequest{NameContains: typed, Page: wire.Page{Limit: wire.DefaultPage}})
		for _, r := range reply.Rules {
			ids = append(ids, r.ID)
		}
		return ids, err
	})
}
