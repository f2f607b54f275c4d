package breaker

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// Run is the program: it runs the command that args name (without the program's own name)
// and returns the exit code. It ends early when ctx does.
func Run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	app := &App{Environ: environ}
	app.Console = ui.New(stdin, stdout, stderr, app.Getenv)
	defer app.close()

	root := newRoot(app)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	started := markStart(root)
	err := root.ExecuteContext(ctx)
	if err != nil && !*started {
		// Cobra refused before the command ran: the call was wrong.
		err = usageError{err}
	}
	if err != nil && !reported(err) {
		app.report(err)
	}
	return exitCode(err)
}

func newRoot(app *App) *cobra.Command {
	root := &cobra.Command{
		Use:           "breaker",
		Short:         "Durable workflows on NATS",
		Long:          "breaker runs a fleet of Circuit Breaker (up) and speaks to any fleet over NATS.",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	app.globalFlags(root)
	root.AddCommand(app.commands()...)
	root.AddCommand(&cobra.Command{Use: "exit-codes", Short: "What the exit codes mean", Long: exitHelp})
	group(root)
	return root
}

// commands lists the constructors of the tree's branches.
func (a *App) commands() []*cobra.Command {
	constructors := []func(*App) *cobra.Command{
		newUp,
		newDeploy,
		newWorkflow,
		newRules,
		newFunctions,
		newExecutions,
		newDeadLetters,
		newToken,
		newInstance,
		newFire,
		newAvailable,
		newWatch,
		newStatus,
		newVerify,
		newAnalytics,
		newDemo,
		newBench,
		newVersion,
	}
	commands := make([]*cobra.Command, len(constructors))
	for i, construct := range constructors {
		commands[i] = construct(a)
	}
	return commands
}

// group makes a command that only holds others refuse words that it does not know, which
// cobra would answer with the help text and success.
func group(parent *cobra.Command) {
	parent.Args = cobra.ArbitraryArgs
	parent.SuggestionsMinimumDistance = 2
	parent.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		message := "there is no command " + cmd.CommandPath() + " " + args[0]
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			message += "; did you mean " + near[0] + "?"
		}
		return usagef("%s", message)
	}
}

// markStart reports whether a command's own code was reached.
func markStart(cmd *cobra.Command) *bool {
	started := new(bool)
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if run := c.RunE; run != nil {
			c.RunE = func(cmd *cobra.Command, args []string) error {
				*started = true
				return run(cmd, args)
			}
		}
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(cmd)
	return started
}
