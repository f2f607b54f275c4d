package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/audit"
	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/rebuild"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// verified is what verify found about one workflow.
type verified struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	audit.Report
}

func newVerify(a *App) *cobra.Command {
	var anew bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "verify [WORKFLOW…]", Short: "Prove that events, states and view agree",
		Long: `verify reads the whole event log of the workflows (of all of them by default) and checks that
folding the events gives every state that was recorded, that no command took effect twice, that tokens
were conserved, and that the view holds exactly what the states say. It ends with 6 if anything differs.

--rebuild drops the view first and waits until the fleet has built it again; the events stay untouched.`,
		ValidArgsFunction: a.completeWorkflow,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.verify(cmd.Context(), args, anew, wait)
		},
	}
	cmd.Flags().BoolVar(&anew, "rebuild", false, "drop the view first, and have it built again")
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long the view may take to catch up with the events")
	return cmd
}

func (a *App) verify(ctx context.Context, args []string, anew bool, wait time.Duration) error {
	b, err := a.Bus(ctx)
	if err != nil {
		return err
	}
	records, err := workflows(ctx, b, args)
	if err != nil {
		return err
	}
	results := make([]verified, len(records))
	sound := true
	for i, record := range records {
		if anew {
			progress := a.Console.Progress(record.Name+": rebuild", 0)
			err := rebuild.View(ctx, b, record, wait, func(done, total uint64) {
				progress.Total(int64(total))
				progress.Set(int64(done))
			})
			progress.Finish()
			if err != nil {
				return err
			}
		}
		progress := a.Console.Progress(record.Name, 0)
		report, err := audit.Verify(ctx, b, record, audit.Options{Wait: wait, Progress: func(stage audit.Stage, done, total uint64) {
			progress.Stage(record.Name + ": " + string(stage))
			progress.Total(int64(total))
			progress.Set(int64(done))
		}})
		progress.Finish()
		if err != nil {
			return fmt.Errorf("verifying %s: %w", record.Name, err)
		}
		results[i] = verified{Name: record.Name, OK: report.OK(), Report: report}
		sound = sound && report.OK()
	}
	if err := a.show(map[string]any{"ok": sound, "workflows": results}, func() { a.verified(results) }); err != nil {
		return err
	}
	if !sound {
		return errDifferences
	}
	return nil
}

// workflows finds those that are named, or all of them.
func workflows(ctx context.Context, b *bus.Bus, names []string) ([]wire.WorkflowRecord, error) {
	registry := bus.NewRegistry(b)
	err := registry.Start(ctx)
	defer registry.Stop()
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, fault.New(fault.Unavailable, "no fleet has run on this NATS server yet").Because(err)
	}
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return registry.All(), nil
	}
	records := make([]wire.WorkflowRecord, len(names))
	for i, name := range names {
		record, err := registry.Resolve(ctx, name)
		if err != nil {
			return nil, err
		}
		records[i] = *record
	}
	return records, nil
}

func (a *App) verified(results []verified) {
	t := ui.NewTable("WORKFLOW", "EVENTS", "INSTANCES", "FINISHED", "FIRINGS", "TOKENS", "IN VIEW", "MOVING", "RESULT")
	for _, r := range results {
		result := ui.Cell{Text: "ok", Style: ui.Good}
		if !r.OK {
			result = ui.Cell{Text: plural(r.Found, "difference", "differences"), Style: ui.Bad}
		}
		t.Row(ui.Cell{Text: r.Name, Style: ui.Bold}, number(r.Events), number(r.Instances), number(r.Finished), number(r.Firings),
			number(r.Tokens), number(r.ViewTokens), number(r.Moving), result)
	}
	a.Console.Table(t, "no workflows")
	for _, r := range results {
		for _, d := range r.Differences {
			a.Console.Printf("%s: %s %s\n", ui.Clean(r.Name), a.Console.Paint(ui.Bad, string(d.Kind)), ui.Clean(where(d)+d.Message))
		}
		if hidden := r.Found - len(r.Differences); hidden > 0 {
			a.Console.Printf("%s: and %d more\n", ui.Clean(r.Name), hidden)
		}
	}
}

// where says where a difference was found.
func where(d audit.Difference) string {
	text := ""
	// The first token of an instance has the instance's own id.
	if d.InstanceID != "" && d.TokenID != d.InstanceID {
		text += "instance " + d.InstanceID + ": "
	}
	if d.TokenID != "" {
		text += "token " + d.TokenID + ": "
	}
	if d.Sequence != 0 {
		text += fmt.Sprintf("at %d: ", d.Sequence)
	}
	return text
}
