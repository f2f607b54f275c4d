package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// Run measures everything that the options ask for, on fleets from the launcher. It says
// on the console how far it is.
func Run(ctx context.Context, launch Launcher, o Options, console *ui.Console) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	r := &runner{launch: launch, Options: o, console: console}
	r.report = Report{Machine: thisMachine(), TakenAt: time.Now().UTC().Truncate(time.Second)}
	for _, sync := range o.Syncs {
		for _, view := range []View{ViewLive, ViewPaused} {
			fleet := FleetOptions{Sync: sync, ProjectorPaused: view == ViewPaused}
			if err := r.with(ctx, fleet, func(ctx context.Context, f *Fleet, nc *nats.Conn) error {
				return r.throughput(ctx, nc, sync, view)
			}); err != nil {
				return nil, fmt.Errorf("measuring throughput, sync %s, view %s: %w", sync, view, err)
			}
		}
	}
	if o.Guards {
		if err := r.with(ctx, FleetOptions{Sync: SyncInterval}, r.guards); err != nil {
			return nil, fmt.Errorf("measuring guards: %w", err)
		}
	}
	if o.Pipeline {
		if err := r.with(ctx, FleetOptions{Sync: SyncInterval}, r.pipelines); err != nil {
			return nil, fmt.Errorf("measuring the pipeline: %w", err)
		}
	}
	if len(o.Sizes) > 0 {
		if err := r.with(ctx, FleetOptions{Sync: SyncInterval}, r.sizes); err != nil {
			return nil, fmt.Errorf("measuring sizes: %w", err)
		}
	}
	r.report.judge()
	return &r.report, nil
}

type runner struct {
	Options
	launch  Launcher
	console *ui.Console
	report  Report
}

// with runs a phase on a fleet of its own.
func (r *runner) with(ctx context.Context, o FleetOptions, phase func(context.Context, *Fleet, *nats.Conn) error) (err error) {
	fleet, err := r.launch(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fleet.Stop()) }()
	nc, err := nats.Connect(fleet.NATSURL, nats.Name("breaker bench"))
	if err != nil {
		return err
	}
	defer nc.Close()
	return phase(ctx, fleet, nc)
}

func (r *runner) note(format string, args ...any) {
	if !r.console.JSON {
		r.console.Notef(format+"\n", args...)
	}
}

// throughput measures firings and raw publishes, one right after the other at each number
// in flight, so that both meet the machine in the same mood.
func (r *runner) throughput(ctx context.Context, nc *nats.Conn, sync string, view View) error {
	l, err := deploy(ctx, nc, loopDefinition("bench_loop"), r.EventBytes)
	if err != nil {
		return err
	}
	if err := l.seed(ctx, nc, r.Instances, func(int) {}); err != nil {
		return err
	}
	if err := r.caughtUp(ctx, nc, l, view); err != nil {
		return err
	}
	if err := r.weigh(ctx, nc, l); err != nil {
		return err
	}
	yardstick, err := newRaw(ctx, nc, l, r.report.EventBytes)
	if err != nil {
		return err
	}
	for _, inFlight := range r.InFlight {
		t := Throughput{Sync: sync, View: view, InFlight: inFlight}
		if t.Raw, err = measure(ctx, inFlight, r.Duration, yardstick.publish(inFlight)); err != nil {
			return err
		}
		if t.Firing, err = measure(ctx, inFlight, r.Duration, l.fire(nc, inFlight)); err != nil {
			return err
		}
		if view == ViewLive {
			behind, err := l.lag(ctx, nc, func(uint64) {})
			if err != nil {
				return err
			}
			lag := milliseconds(behind)
			t.Lag = &lag
		}
		t.RateRatio, t.P50Ratio = ratio(t.Firing.Rate, t.Raw.Rate), ratio(t.Firing.P50, t.Raw.P50)
		r.report.Throughput = append(r.report.Throughput, t)
		r.note("sync %-8s  view %-6s  %2d in flight: %6.0f firings/s, %6.0f raw publishes/s, ratio %.3f",
			sync, view, inFlight, t.Firing.Rate, t.Raw.Rate, t.RateRatio)
	}
	return nil
}

// weigh fires once and takes down how large an event really is; the yardstick gets that size.
func (r *runner) weigh(ctx context.Context, nc *nats.Conn, l *loop) (err error) {
	if err := l.fire(nc, 1)(0, newRandom()); err != nil {
		return err
	}
	r.report.EventBytes, err = l.eventBytes(ctx, nc)
	return err
}

func (r *runner) caughtUp(ctx context.Context, nc *nats.Conn, l *loop, view View) error {
	if view == ViewPaused {
		return nil
	}
	_, err := l.lag(ctx, nc, func(uint64) {})
	return err
}

// sizes measures workflows of every size in one fleet, in turn, once the view has them all.
func (r *runner) sizes(ctx context.Context, fleet *Fleet, nc *nats.Conn) error {
	inFlight := slices.Max(r.InFlight)
	// Up to the size at which memory is taken, then the rest: so the figure is of a fleet
	// that has never held more.
	sizes := slices.Sorted(slices.Values(r.Sizes))
	var loops []*loop
	for i, n := range sizes {
		l, size, err := r.fill(ctx, nc, n)
		if err != nil {
			return err
		}
		loops = append(loops, l)
		r.report.Sizes = append(r.report.Sizes, size)
		if n == r.MemoryAt || i == len(sizes)-1 && r.report.Memory == nil {
			if err := r.memory(ctx, fleet, nc, loops, inFlight); err != nil {
				return err
			}
		}
	}
	if err := r.weigh(ctx, nc, loops[0]); err != nil {
		return err
	}
	taken := make([][]Figure, len(loops))
	single := make([][]Figure, len(loops))
	for range r.Rounds {
		for i, l := range loops {
			if _, err := measure(ctx, inFlight, r.WarmUp, l.fire(nc, inFlight)); err != nil {
				return err
			}
			f, err := measure(ctx, inFlight, r.Duration, l.fire(nc, inFlight))
			if err != nil {
				return err
			}
			taken[i] = append(taken[i], f)
			if _, err := l.lag(ctx, nc, func(uint64) {}); err != nil {
				return err
			}
			if f, err = measure(ctx, 1, r.Duration/2, l.fire(nc, 1)); err != nil {
				return err
			}
			single[i] = append(single[i], f)
		}
	}
	for i := range loops {
		s := &r.report.Sizes[i]
		f := median(taken[i])
		s.InFlight, s.Rate, s.P50, s.P99, s.SingleP50 = inFlight, f.Rate, f.P50, f.P99, median(single[i]).P50
		s.Cost = ratio(1e6, f.Rate)
		s.Relative = ratio(s.Cost, r.report.Sizes[0].Cost)
		r.note("%d instances: %.0f firings/s, %.1f µs each, %.2f times the smallest", s.Instances, s.Rate, s.Cost, s.Relative)
	}
	return nil
}

// fill deploys a workflow with n instances and waits for the view to have them.
func (r *runner) fill(ctx context.Context, nc *nats.Conn, n int) (*loop, Size, error) {
	size := Size{Instances: n}
	l, err := deploy(ctx, nc, loopDefinition(fmt.Sprintf("bench_%d", n)), r.EventBytes)
	if err != nil {
		return nil, size, err
	}
	started := time.Now()
	bar := r.console.Progress(fmt.Sprintf("storing %d instances", n), int64(n))
	err = l.seed(ctx, nc, n, func(more int) { bar.Add(int64(more)) })
	bar.Finish()
	if err != nil {
		return nil, size, err
	}
	size.SeedSeconds = time.Since(started).Seconds()
	bar = r.console.Progress("waiting for the view", int64(n))
	behind, err := l.lag(ctx, nc, func(reached uint64) { bar.Set(min(int64(reached), int64(n))) })
	bar.Finish()
	size.ViewSeconds = behind.Seconds()
	return l, size, err
}

// memory fires for a while, so that caches are as full as they get, and reads what the fleet
// holds then, and again when it has been left alone.
func (r *runner) memory(ctx context.Context, fleet *Fleet, nc *nats.Conn, loops []*loop, inFlight int) error {
	live := 0
	for _, l := range loops {
		live += len(l.ids)
	}
	last := loops[len(loops)-1]
	if _, err := measure(ctx, inFlight, r.Duration, last.fire(nc, inFlight)); err != nil {
		return err
	}
	loaded, _ := resident(fleet.PID)
	if _, err := last.lag(ctx, nc, func(uint64) {}); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(r.Settle):
	}
	if settled, ok := resident(fleet.PID); ok {
		r.report.Memory = &Memory{Instances: live, Settled: settled.Now, Loaded: loaded.Now, Peak: settled.Peak}
		r.note("%s", r.report.Memory)
	}
	return nil
}

// median is the figure with the median rate.
func median(figures []Figure) Figure {
	sorted := slices.Clone(figures)
	slices.SortFunc(sorted, func(a, b Figure) int {
		switch {
		case a.Rate < b.Rate:
			return -1
		case a.Rate > b.Rate:
			return 1
		}
		return 0
	})
	return sorted[len(sorted)/2]
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
