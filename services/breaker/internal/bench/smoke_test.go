package bench

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/fleet"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// newTestLauncher starts fleets in this process.
func newTestLauncher(t *testing.T) Launcher {
	t.Helper()
	return func(ctx context.Context, o FleetOptions) (*Fleet, error) {
		cfg := fleet.DefaultConfig(t.TempDir())
		cfg.SyncAlways = o.Sync == SyncAlways
		cfg.Settings.Token.ProjectorPaused = o.ProjectorPaused
		f, err := fleet.Start(ctx, cfg, telemetry.Discard())
		if err != nil {
			return nil, err
		}
		stop := func() error {
			ctx, cancel := context.WithTimeout(context.Background(), stopWait)
			defer cancel()
			return f.Stop(ctx)
		}
		return &Fleet{NATSURL: f.NATSURL(), PID: os.Getpid(), Stop: stop}, nil
	}
}

func newTestOptions() Options {
	return Options{
		Syncs: []string{SyncInterval, SyncAlways}, InFlight: []int{1, 4}, Duration: 80 * time.Millisecond,
		EventBytes: 2048, Instances: 10, Guards: true, Pipeline: true, Sizes: []int{10, 100}, Rounds: 1, WarmUp: time.Millisecond, MemoryAt: 100, Settle: time.Millisecond,
	}
}

// A short run of everything: it shows that the bench works, and nothing about speed.
func TestBenchMeasuresEverything(t *testing.T) {
	t.Parallel()
	var out, progress bytes.Buffer
	console := &ui.Console{Out: &out, Err: &progress}
	report, err := Run(t.Context(), newTestLauncher(t), newTestOptions(), console)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Throughput) != 8 || len(report.Sizes) != 2 {
		t.Fatalf("measured %d settings and %d sizes, want 8 and 2", len(report.Throughput), len(report.Sizes))
	}
	for _, row := range report.Throughput {
		if row.Raw.Operations == 0 || row.Firing.Operations == 0 || row.RateRatio <= 0 || row.P50Ratio <= 0 {
			t.Errorf("a figure is missing: %+v", row)
		}
		if live := row.View == ViewLive; live != (row.Lag != nil) {
			t.Errorf("view %s with lag %v", row.View, row.Lag)
		}
	}
	if len(report.Guards) != 2 || report.TenRules <= 0 {
		t.Errorf("guards are %+v, ten rules take %f", report.Guards, report.TenRules)
	}
	for _, g := range report.Guards {
		if g.Guarded.Operations == 0 || g.Unguarded.Operations == 0 || g.RateRatio <= 0 || g.P50Ratio <= 0 {
			t.Errorf("a figure is missing: %+v", g)
		}
	}
	if len(report.Pipelines) != 2 || report.Pipelines[0].InFlight != 4 || report.Pipelines[1].InFlight != 1 {
		t.Errorf("the pipeline was measured as %+v", report.Pipelines)
	}
	for _, p := range report.Pipelines {
		if p.Request.Operations == 0 || p.Firing.Operations == 0 || p.Instance.Operations == 0 {
			t.Errorf("a figure is missing: %+v", p)
		}
		if p.RequestRateRatio <= 0 || p.FiringRateRatio <= 0 || p.RequestP50Ratio <= 0 || p.FiringP50Ratio <= 0 || p.Steps != 5*p.Instance.Rate {
			t.Errorf("figures that cannot be: %+v", p)
		}
	}
	for _, size := range report.Sizes {
		if size.Rate <= 0 || size.Relative <= 0 || size.SingleP50 <= 0 {
			t.Errorf("a figure is missing: %+v", size)
		}
	}
	if off := report.EventBytes - 2048; off < -256 || off > 256 {
		t.Errorf("events have %d bytes, not about 2048", report.EventBytes)
	}
	report.Show(console)
	for _, want := range []string{"rate ratio", "interval", "paused", "relative", "steps/s"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, out.String())
		}
	}
	if !strings.Contains(progress.String(), "ratio") {
		t.Errorf("no progress was shown: %q", progress.String())
	}
}

func TestBenchFailsWhereNoFleetStarts(t *testing.T) {
	t.Parallel()
	broken := errors.New("no room left")
	launch := func(context.Context, FleetOptions) (*Fleet, error) { return nil, broken }
	if _, err := Run(t.Context(), launch, newTestOptions(), &ui.Console{Err: &bytes.Buffer{}}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
