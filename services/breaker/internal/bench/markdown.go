package bench

import (
	"fmt"
	"io"
	"strings"
)

const preface = `# Benchmarks

Written by ` + "`breaker bench --markdown`" + ` on %s.

%s, %d cores, %d MB, %s, %s. Server and fleet in one process, the callers in another, on the same machine.

Each figure of a firing stands beside the raw optimistic publish: one message of the same size (%d bytes) on a stream with the
same settings, fenced by its chain's last sequence, from as many callers, measured right before on the same server. The ratios say what the engine costs; the
absolute figures hold for this machine only. A firing is one ` + "`breaker.transition.fire`" + ` request and its reply, of a random one of 1,000 instances.
`

const pipelinePreface = `
## Functions

A pipeline is an instance that goes through five places, each bound to a function of kind ` + "`nats`" + ` that does nothing and is answered by the
bench's own process. A step is one of the five: the event of the token's arrival, the job that it is queued as, the function's reply, and one
event that holds the result and fires the transition, which is the next step's arrival. The job is there until that event is stored, so a
step survives the end of any process.

An instance takes from the request that creates it until the event that completes it was read from the stream. Beside it: the same program asked
directly, with the same input, and bare firings of events as large as an instance's first; all in one fleet, interval sync, the view live,
measured in turn, the medians of the rounds.

| in flight | requests/s | p50 ms | firings/s | p50 ms | steps/s | instance p50 ms | p99 ms | steps per request | steps per firing | p50 in requests | p50 in firings |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
`

// Markdown writes the report as a page.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, preface, r.TakenAt.Format("2 January 2006"), m.CPU, m.Cores, m.MemoryMB, m.OS, m.Go, r.EventBytes)
	if len(r.Bars) > 0 {
		b.WriteString("\n## What is promised\n\n| | promised | measured | |\n|---|---:|---:|---|\n")
		for _, bar := range r.Bars {
			verdict := "met"
			if !bar.Met {
				verdict = "**missed**"
			}
			fmt.Fprintf(&b, "| %s | %s | %.3g | %s |\n", bar.Name, bar.Want, bar.Got, verdict)
		}
	}
	if len(r.Throughput) > 0 {
		b.WriteString(`
## Throughput and latency

"Lag" is how long the view took to contain the last firing after the last reply; "–" where the projector was paused.

| sync | view | in flight | raw/s | p50 ms | p99 ms | firings/s | p50 ms | p99 ms | rate ratio | p50 ratio | lag ms |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
`)
		for _, t := range r.Throughput {
			lag := "–"
			if t.Lag != nil {
				lag = fmt.Sprintf("%.0f", *t.Lag)
			}
			fmt.Fprintf(&b, "| %s | %s | %d | %.0f | %.2f | %.2f | %.0f | %.2f | %.2f | %.3f | %.1f | %s |\n",
				t.Sync, t.View, t.InFlight, t.Raw.Rate, t.Raw.P50, t.Raw.P99, t.Firing.Rate, t.Firing.P50, t.Firing.P99, t.RateRatio, t.P50Ratio, lag)
		}
	}
	if len(r.Guards) > 0 {
		b.WriteString(`
## Guards

A guarded firing asks the rules service for two rules and an inline condition before it is committed; both kinds in one fleet, interval
sync, the view live, measured in turn, the medians of the rounds.

| in flight | unguarded/s | p50 ms | p99 ms | guarded/s | p50 ms | p99 ms | rate ratio | p50 ratio |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|
`)
		for _, g := range r.Guards {
			fmt.Fprintf(&b, "| %d | %.0f | %.2f | %.2f | %.0f | %.2f | %.2f | %.3f | %.1f |\n", g.InFlight,
				g.Unguarded.Rate, g.Unguarded.P50, g.Unguarded.P99, g.Guarded.Rate, g.Guarded.P50, g.Guarded.P99, g.RateRatio, g.P50Ratio)
		}
		fmt.Fprintf(&b, "\nJudging ten rules on a token of 4 KB, from its bytes to ten outcomes, takes %.1f µs of one core.\n", r.TenRules)
	}
	if len(r.Pipelines) > 0 {
		b.WriteString(pipelinePreface)
		for _, p := range r.Pipelines {
			fmt.Fprintf(&b, "| %d | %.0f | %.2f | %.0f | %.2f | %.0f | %.1f | %.1f | %.3f | %.3f | %.1f | %.1f |\n", p.InFlight,
				p.Request.Rate, p.Request.P50, p.Firing.Rate, p.Firing.P50, p.Steps, p.Instance.P50, p.Instance.P99,
				p.RequestRateRatio, p.FiringRateRatio, p.RequestP50Ratio, p.FiringP50Ratio)
		}
	}
	if len(r.Sizes) > 0 {
		b.WriteString(`
## Many instances in one workflow

Uniformly random instances, interval sync, the view live; all sizes in one fleet, measured in turn, the median of the rounds.

| instances | in flight | firings/s | µs each | relative | p50 ms | p99 ms | p50 ms alone | stored in s | in view after s |
|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
`)
		for _, s := range r.Sizes {
			fmt.Fprintf(&b, "| %d | %d | %.0f | %.1f | %.2f | %.2f | %.2f | %.2f | %.1f | %.1f |\n",
				s.Instances, s.InFlight, s.Rate, s.Cost, s.Relative, s.P50, s.P99, s.SingleP50, s.SeedSeconds, s.ViewSeconds)
		}
	}
	if r.Memory != nil {
		fmt.Fprintf(&b, "\n## Memory\n\nResident in the fleet's process: %s.\n", r.Memory)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
