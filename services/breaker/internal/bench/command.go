package bench

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// The phases, as --only names them.
const (
	phaseThroughput = "throughput"
	phaseGuards     = "guards"
	phasePipeline   = "pipeline"
	phaseSizes      = "sizes"
)

// Command is `breaker bench`.
func Command(console *ui.Console) *cobra.Command {
	var full, check, markdown bool
	var dir, only string
	chosen := DefaultOptions(false)
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a fleet of its own: firings beside raw publishes, sizes, memory",
		Long: `Starts fleets in processes of their own with temporary data, and measures firings
through request-reply beside the raw optimistic publish on the same server: the rate and
the latency at several numbers in flight, with both sync settings, with the view live and
with the projector paused; guarded firings beside unguarded ones; instances that functions bring to their
end; the cost of a firing with many instances in one workflow; and the memory of the whole
fleet. It takes about four minutes; with --full many minutes and several GB of disk.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := DefaultOptions(full)
			override(cmd, "duration", &o.Duration, chosen.Duration)
			override(cmd, "warm-up", &o.WarmUp, chosen.WarmUp)
			override(cmd, "in-flight", &o.InFlight, chosen.InFlight)
			override(cmd, "sizes", &o.Sizes, chosen.Sizes)
			override(cmd, "sync", &o.Syncs, chosen.Syncs)
			if err := o.restrict(only); err != nil {
				return err
			}
			program, err := os.Executable()
			if err != nil {
				return err
			}
			report, err := Run(cmd.Context(), Child(program, dir), o, console)
			if err != nil {
				return err
			}
			switch {
			case console.JSON:
				err = console.Document(report)
			case markdown:
				err = report.Markdown(console.Out)
			default:
				report.Show(console)
			}
			if missed := report.Missed(); err == nil && check && missed > 0 {
				return fmt.Errorf("%d of %d bars were missed", missed, len(report.Bars))
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&full, "full", false, "measure longer, and with 1,000,000 instances")
	flags.BoolVar(&check, "check", false, "fail when a promised figure is missed")
	flags.BoolVar(&markdown, "markdown", false, "write the report as a page, as in deploy/benchmarks.md")
	flags.StringVar(&dir, "dir", "", "folder for the fleets' data (default: the system's for temporary files)")
	flags.StringVar(&only, "only", "", "measure one phase: throughput, guards, pipeline or sizes (with memory)")
	flags.DurationVar(&chosen.Duration, "duration", chosen.Duration, "how long each figure is measured")
	flags.DurationVar(&chosen.WarmUp, "warm-up", chosen.WarmUp, "how long a size, or the pipeline, runs before it is measured")
	flags.IntSliceVar(&chosen.InFlight, "in-flight", chosen.InFlight, "requests in flight")
	flags.IntSliceVar(&chosen.Sizes, "sizes", chosen.Sizes, "instances in one workflow")
	flags.StringSliceVar(&chosen.Syncs, "sync", chosen.Syncs, "sync settings")
	return cmd
}

// restrict leaves out every phase but this one; empty leaves out none.
func (o *Options) restrict(only string) error {
	phases := map[string]func(){
		phaseThroughput: func() { o.Syncs = nil },
		phaseGuards:     func() { o.Guards = false },
		phasePipeline:   func() { o.Pipeline = false },
		phaseSizes:      func() { o.Sizes = nil },
	}
	if only == "" {
		return nil
	}
	if phases[only] == nil {
		return fmt.Errorf("--only is %s, %s, %s or %s, not %q", phaseThroughput, phaseGuards, phasePipeline, phaseSizes, only)
	}
	for phase, leaveOut := range phases {
		if phase != only {
			leaveOut()
		}
	}
	return nil
}

// override takes a value that was given on the command line; the rest stays the default,
// which depends on --full.
func override[T any](cmd *cobra.Command, flag string, into *T, value T) {
	if cmd.Flags().Changed(flag) {
		*into = value
	}
}
