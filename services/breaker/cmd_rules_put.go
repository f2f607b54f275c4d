package breaker

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ruleset"
)

const rulesPutHelp = `put reads rules in YAML or JSON ("-" is standard input), reports everything that is wrong with
them at once, and stores them only if all of them are right. A file holds one rule, or a list of
them under rules:

  id: has_reviewer
  description: Somebody is to review the document.
  condition: { field_exists: data.reviewer }     # or an expression: token.data.pages < 100
  workflow_id: document_review                   # only this workflow may use it; default all
  tags: [review]

A file is the whole rule: what it leaves out, a stored description or tags, is gone in the next
version.

A rule whose id is new is created; one that says something else gets a next version; the others
stay unchanged. Guards use the newest version, in running instances too.`

func newRulesPut(a *App) *cobra.Command { return newPut(a, ruleShelf(a), rulesPutHelp) }

func ruleShelf(a *App) *shelf[ruleset.Rule, wire.Rule] {
	return &shelf[ruleset.Rule, wire.Rule]{
		one: "rule", many: "rules", exists: fault.RuleExists, missing: fault.RuleNotFound,
		read: func(path string) (held[ruleset.Rule], error) {
			language, err := a.conditions()
			if err != nil {
				return held[ruleset.Rule]{}, err
			}
			file, err := ruleset.Read(language, path, a.Console.In)
			if err != nil {
				return held[ruleset.Rule]{}, err
			}
			return held[ruleset.Rule]{path, file.Rules, file.Problems}, nil
		},
		id:      func(r *ruleset.Rule) string { return r.ID },
		version: func(r *wire.Rule) int { return r.Version },
		get: func(ctx context.Context, c *client.Client, id string) (wire.Rule, error) {
			return c.RuleGet(ctx, wire.RuleGetRequest{ID: id})
		},
		same: func(r *ruleset.Rule, have *wire.Rule) bool {
			language, err := a.conditions()
			return err == nil && r.Same(language, have)
		},
		create: func(ctx context.Context, c *client.Client, r *ruleset.Rule, origin wire.Origin) (wire.Rule, error) {
			create := r.RuleCreateRequest
			create.Origin = origin
			return c.RuleCreate(ctx, create)
		},
		update: func(ctx context.Context, c *client.Client, r *ruleset.Rule, have *wire.Rule, origin wire.Origin) (wire.Rule, error) {
			tags := append([]string{}, r.Tags...)
			return c.RuleUpdate(ctx, wire.RuleUpdateRequest{
				ID: r.ID, Description: &r.Description, WorkflowID: &r.WorkflowID, Condition: r.Condition, Tags: &tags,
				ExpectedVersion: have.Version, Origin: origin,
			})
		},
	}
}
