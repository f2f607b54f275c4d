package breaker

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ruleset"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// putRule is what putting one rule came to.
type putRule struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome"`
	Version int    `json:"version"`
	File    string `json:"file"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

func newRulesPut(a *App) *cobra.Command {
	var origin wire.Origin
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "put FILE…",
		Short: "Create rules from files, or their next versions",
		Long: `put reads rules in YAML or JSON ("-" is standard input), reports everything that is wrong with
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
stay unchanged. Guards use the newest version, in running instances too.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := a.readRules(args)
			if err != nil {
				return err
			}
			rules := 0
			for _, file := range files {
				rules += len(file.Rules)
			}
			if origin.RequestID != "" && rules > 1 {
				return usagef("--request-id identifies one change: put one rule at a time with it")
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			done := []putRule{}
			for _, file := range files {
				for i := range file.Rules {
					put, err := a.put(cmd.Context(), c, &file.Rules[i], origin, dryRun)
					if err != nil {
						a.Console.Notef("%s\n", a.Console.PaintErr(ui.Bad, "rule "+ui.Clean(put.ID)+" of "+ui.Clean(file.Path)+" was not put"))
						return errors.Join(err, a.rulesPut(done))
					}
					put.File = file.Path
					done = append(done, put)
				}
			}
			return a.rulesPut(done)
		},
	}
	originFlags(cmd, &origin)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	return cmd
}

// readRules reads all files and reports the problems of all of them before it fails.
func (a *App) readRules(paths []string) ([]*ruleset.File, error) {
	language, err := a.conditions()
	if err != nil {
		return nil, err
	}
	files := make([]*ruleset.File, len(paths))
	results := make([]checked, len(paths))
	ids := map[string]string{}
	sound := true
	for i, path := range paths {
		file, err := ruleset.Read(language, path, a.Console.In)
		if err != nil {
			return nil, usageError{err}
		}
		files[i], results[i] = file, newChecked(path, file.Problems)
		sound = sound && results[i].Valid
		for _, r := range file.Rules {
			if other, ok := ids[r.ID]; ok && other != path && r.ID != "" {
				return nil, usagef("%s and %s both define the rule %s", other, path, r.ID)
			}
			ids[r.ID] = path
		}
	}
	if !sound {
		return nil, a.problems(results)
	}
	return files, nil
}

func (a *App) rulesPut(done []putRule) error {
	return a.show(map[string]any{"rules": done}, func() {
		if len(done) == 0 {
			return
		}
		t := ui.NewTable("RULE", "VERSION", "OUTCOME", "FILE")
		for _, p := range done {
			t.Row(ui.Cell{Text: p.ID, Style: ui.Bold}, number(p.Version), outcome(p.Outcome, p.DryRun), p.File)
		}
		a.Console.Table(t, "")
	})
}

// put brings the fleet to what the file says of a rule. Whoever loses a race for it looks
// again, once.
func (a *App) put(ctx context.Context, c *client.Client, rule *ruleset.Rule, origin wire.Origin, dryRun bool) (putRule, error) {
	done := putRule{ID: rule.ID, DryRun: dryRun}
	language, err := a.conditions()
	if err != nil {
		return done, err
	}
	for attempt := 0; ; attempt++ {
		now, err := a.putOnce(ctx, c, language, rule, origin, &done)
		if attempt == 0 && (errors.Is(err, fault.RuleExists) || errors.Is(err, fault.VersionMismatch) || errors.Is(err, fault.RuleNotFound)) {
			continue
		}
		if err == nil && now.Version > 0 {
			done.Version = now.Version
		}
		return done, err
	}
}

func (a *App) putOnce(ctx context.Context, c *client.Client, language *condition.Language, rule *ruleset.Rule, origin wire.Origin, done *putRule) (wire.Rule, error) {
	ctx, cancel := a.request(ctx)
	defer cancel()
	have, err := c.RuleGet(ctx, wire.RuleGetRequest{ID: rule.ID})
	switch {
	case errors.Is(err, fault.RuleNotFound):
		done.Outcome, done.Version = deployCreated, 1
		if done.DryRun {
			return wire.Rule{}, nil
		}
		create := rule.RuleCreateRequest
		create.Origin = origin
		return c.RuleCreate(ctx, create)
	case err != nil:
		return have, err
	case rule.Same(language, &have):
		done.Outcome = deployUnchanged
		return have, nil
	}
	done.Outcome, done.Version = deployUpdated, have.Version+1
	if done.DryRun {
		return wire.Rule{}, nil
	}
	tags := append([]string{}, rule.Tags...)
	return c.RuleUpdate(ctx, wire.RuleUpdateRequest{
		ID: rule.ID, Description: &rule.Description, WorkflowID: &rule.WorkflowID, Condition: rule.Condition, Tags: &tags,
		ExpectedVersion: have.Version, Origin: origin,
	})
}
