package breaker

import (
	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// subject says whether an id names one token or a whole instance. The first token of an
// instance has the instance's own id, which is taken for the instance unless the caller
// insists: it chooses the same token wherever there is only one.
func subject(id string, insist bool) (token, instance string) {
	if insist || wire.BirthOf(id) != 0 {
		return id, ""
	}
	return "", id
}

const subjectHelp = `The id of an instance is also the id of its first token. It is taken for the instance, whose
longest-waiting token is chosen; with --token it is taken for that one token.`

func subjectFlag(cmd *cobra.Command, insist *bool) {
	cmd.Flags().BoolVar(insist, "token", false, "the id names the token, not the instance")
}

func newFire(a *App) *cobra.Command {
	var req wire.FireRequest
	var documents payload
	var insist bool
	cmd := &cobra.Command{
		Use: "fire TOKEN|INSTANCE TRANSITION", Short: "Fire a transition", Long: "fire fires a transition.\n\n" + subjectHelp,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			req.TokenID, req.InstanceID = subject(args[0], insist)
			req.TransitionID = args[1]
			if req.Data, req.Metadata, err = documents.read(a); err != nil {
				return err
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			reply, err := c.TransitionFire(ctx, req)
			if err != nil {
				return err
			}
			return a.show(reply, func() {
				a.Console.Printf("%s %s\n", a.Console.Paint(ui.Good, "fired:"), ui.Clean(reply.Message))
				tokens := reply.Tokens
				if len(tokens) == 0 {
					tokens = []wire.Token{reply.Token}
				}
				a.tokens(tokens)
				if reply.Instance.Status.Finished() {
					a.Console.Printf("the instance is %s\n", a.Console.Paint(ui.Accent, string(reply.Instance.Status)))
				}
			})
		},
	}
	subjectFlag(cmd, &insist)
	cmd.Flags().StringVar(&req.FromPlace, "from", "", "the input to take from, where there are several")
	cmd.Flags().StringVar(&req.ToPlace, "to", "", "refuse unless this is one of the outputs")
	documents.flags(cmd, "a merge patch (RFC 7396) for what is produced")
	fenceFlags(cmd, &req.ExpectedSequence, &req.ArrivalSequence)
	originFlags(cmd, &req.Origin)
	return cmd
}

func newAvailable(a *App) *cobra.Command {
	var insist bool
	cmd := &cobra.Command{
		Use: "available TOKEN|INSTANCE", Short: "Say which transitions could fire, and why the others could not",
		Long: "available lists the transitions that lead on, each with what its rules say.\n\n" + subjectHelp, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var req wire.AvailableRequest
			req.TokenID, req.InstanceID = subject(args[0], insist)
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			ctx, cancel := a.request(cmd.Context())
			defer cancel()
			reply, err := c.TransitionAvailable(ctx, req)
			if err != nil {
				return err
			}
			return a.show(reply, func() {
				t := ui.NewTable("TRANSITION", "ENABLED", "EXPLANATION")
				for _, transition := range reply.Transitions {
					enabled := ui.Cell{Text: "no", Style: ui.Dim}
					if transition.Enabled {
						enabled = ui.Cell{Text: "yes", Style: ui.Good}
					}
					explanation := transition.Explanation
					if !transition.Enabled && len(transition.RuleResults) > 0 {
						explanation = "its rules do not let it pass"
					}
					t.Row(ui.Cell{Text: transition.TransitionID, Style: ui.Bold}, enabled, explanation)
					for _, rule := range transition.RuleResults {
						t.Row("  "+ruleName(rule.RuleID, rule.Version), passed(rule.Passed), rule.Explanation)
					}
				}
				a.Console.Table(t, "nothing leads on from here")
			})
		},
	}
	subjectFlag(cmd, &insist)
	return cmd
}

// passed is what came out of a rule.
func passed(yes bool) ui.Cell {
	if yes {
		return ui.Cell{Text: "passed", Style: ui.Good}
	}
	return ui.Cell{Text: "not passed", Style: ui.Bad}
}
