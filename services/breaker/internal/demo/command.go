package demo

import (
	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// Command is `breaker demo`.
func Command(console *ui.Console) *cobra.Command {
	o := DefaultOptions()
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a fleet at work, and prove that it loses nothing",
		Long: `Starts a fleet in a temporary folder on free ports, creates the rules and functions and deploys
the examples, takes some hundred sample documents through them at once, shows the marking as it
changes, a firing that a rule rejects and a document that a function refuses, and then checks the
event log: that folding it gives every state, that the view equals it, and that it holds exactly
what was acknowledged and what was to fire by itself, with one result of each function for each
arrival. It ends with 0 only if all of this is so.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := Run(cmd.Context(), o, console)
			return err
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&o.Documents, "documents", o.Documents, "how many documents")
	flags.IntVar(&o.Concurrency, "concurrency", o.Concurrency, "how many of them at once")
	flags.DurationVar(&o.Pace, "pace", o.Pace, "mean pause between two steps of a document; 0 is as fast as it goes")
	flags.BoolVar(&o.Keep, "keep", false, "leave the folder with the data behind")
	return cmd
}
