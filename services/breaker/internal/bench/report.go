package bench

import (
	"fmt"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// Report is everything that one run measured.
type Report struct {
	Machine    Machine      `json:"machine"`
	TakenAt    time.Time    `json:"taken_at"`
	EventBytes int          `json:"event_bytes"`
	Throughput []Throughput `json:"throughput"`
	Guards     []Guarding   `json:"guards"`
	// TenRules is how long it takes to judge ten rules on a token of 4 KB, in microseconds.
	TenRules  float64    `json:"ten_rules_us,omitempty"`
	Pipelines []Pipeline `json:"pipelines"`
	Sizes     []Size     `json:"sizes"`
	Memory    *Memory    `json:"memory,omitempty"`
	Bars      []Bar      `json:"bars"`
}

// View says what the projector did during a measurement.
type View string

// The states of the projector.
const (
	ViewLive   View = "live"
	ViewPaused View = "paused"
)

// Throughput compares firings with raw publishes at one setting.
type Throughput struct {
	Sync     string `json:"sync"`
	View     View   `json:"view"`
	InFlight int    `json:"in_flight"`
	Raw      Figure `json:"raw"`
	Firing   Figure `json:"firing"`
	// RateRatio is firings per raw publish, P50Ratio how many times longer a firing takes.
	RateRatio float64 `json:"rate_ratio"`
	P50Ratio  float64 `json:"p50_ratio"`
	// Lag is how long the view took to contain the last firing, from its reply; absent
	// while the projector is paused.
	Lag *float64 `json:"lag_ms,omitempty"`
}

// Guarding compares firings that two rules and a condition guard with those that nothing
// guards, the medians of the rounds.
type Guarding struct {
	InFlight  int    `json:"in_flight"`
	Unguarded Figure `json:"unguarded"`
	Guarded   Figure `json:"guarded"`
	// RateRatio is guarded firings per unguarded one, P50Ratio how many times longer one takes.
	RateRatio float64 `json:"rate_ratio"`
	P50Ratio  float64 `json:"p50_ratio"`
}

// Pipeline is instances that five functions bring to their end, one after the other, beside
// what a step is made of: the medians of the rounds.
type Pipeline struct {
	InFlight int `json:"in_flight"`
	// Request is asking a function's program directly, Firing a bare firing. Instance is from
	// the request that creates an instance until the event that completes it was seen.
	Request  Figure `json:"request"`
	Firing   Figure `json:"firing"`
	Instance Figure `json:"instance"`
	// Steps is steps per second, five for each instance that was completed.
	Steps float64 `json:"steps_per_second"`
	// The rate ratios are steps per request and per firing, the P50 ratios how many times
	// longer an instance takes, with all its steps.
	RequestRateRatio float64 `json:"request_rate_ratio"`
	FiringRateRatio  float64 `json:"firing_rate_ratio"`
	RequestP50Ratio  float64 `json:"request_p50_ratio"`
	FiringP50Ratio   float64 `json:"firing_p50_ratio"`
}

// Size is the cost of a firing among this many instances, the median of the rounds.
type Size struct {
	Instances int     `json:"instances"`
	InFlight  int     `json:"in_flight"`
	Rate      float64 `json:"per_second"`
	// Cost is the time that the fleet spends on one firing, in microseconds: the inverse of
	// the rate. Relative compares it with the smallest size.
	Cost     float64 `json:"cost_us"`
	Relative float64 `json:"relative_cost"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	// SingleP50 is the time of one firing when it is the only one.
	SingleP50 float64 `json:"single_p50_ms"`
	// SeedSeconds is how long it took to store the instances, and ViewSeconds how long the
	// view then took to contain them.
	SeedSeconds float64 `json:"seed_s"`
	ViewSeconds float64 `json:"view_s"`
}

// Memory is what the fleet's process held with this many live instances: settled, after it
// was left alone; loaded, right after firings of random instances; and at its peak.
type Memory struct {
	Instances int `json:"instances"`
	Settled   int `json:"settled_mb"`
	Loaded    int `json:"loaded_mb"`
	Peak      int `json:"peak_mb"`
}

// String says it in one line.
func (m Memory) String() string {
	return fmt.Sprintf("%d MB with %d live instances, %d MB under load, %d MB at the peak", m.Settled, m.Instances, m.Loaded, m.Peak)
}

// Bar is a figure that the engine promises.
type Bar struct {
	Name string `json:"name"`
	// Want reads "≥ 0.18"; Got is the figure.
	Want string  `json:"want"`
	Got  float64 `json:"got"`
	Met  bool    `json:"met"`
}

func atLeast(name string, got, want float64) Bar {
	return Bar{Name: name, Want: fmt.Sprintf("≥ %g", want), Got: got, Met: got >= want}
}

func atMost(name string, got, want float64) Bar {
	return Bar{Name: name, Want: fmt.Sprintf("≤ %g", want), Got: got, Met: got <= want}
}

// judge compares the figures with what is promised; a figure that was not taken has no bar.
func (r *Report) judge() {
	r.Bars = nil
	for _, t := range r.Throughput {
		switch {
		case t.Sync == SyncInterval && t.View == ViewLive && t.InFlight == 64:
			r.Bars = append(r.Bars, atLeast("firings per raw publish, 64 in flight, view live", t.RateRatio, 0.18))
			r.Bars = append(r.Bars, atMost("seconds that the view is behind", *t.Lag/1000, 1))
		case t.Sync == SyncInterval && t.View == ViewPaused && t.InFlight == 64:
			r.Bars = append(r.Bars, atLeast("firings per raw publish, 64 in flight, projector paused", t.RateRatio, 0.32))
		case t.Sync == SyncInterval && t.View == ViewLive && t.InFlight == 1:
			r.Bars = append(r.Bars, atMost("p50 of a firing in raw publishes, 1 in flight", t.P50Ratio, 6))
		}
	}
	for _, g := range r.Guards {
		if g.InFlight == 64 {
			r.Bars = append(r.Bars, atLeast("guarded firings per unguarded one, 64 in flight", g.RateRatio, 0.55))
		}
	}
	if r.TenRules > 0 {
		r.Bars = append(r.Bars, atMost("µs to judge ten rules on a token of 4 KB", r.TenRules, 50))
	}
	for _, p := range r.Pipelines {
		switch p.InFlight {
		case 64:
			r.Bars = append(r.Bars, atLeast("pipeline steps per second, 64 instances in flight", p.Steps, 1500))
		case 1:
			r.Bars = append(r.Bars, atMost("ms p50 of a five-step pipeline, one instance alone", p.Instance.P50, 15))
		}
	}
	if n := len(r.Sizes); n > 1 {
		name := fmt.Sprintf("cost of a firing, %d to %d instances", r.Sizes[0].Instances, r.Sizes[n-1].Instances)
		r.Bars = append(r.Bars, atMost(name, r.Sizes[n-1].Relative, 1.25))
	}
	if r.Memory != nil {
		r.Bars = append(r.Bars, atMost(fmt.Sprintf("MB resident with %d live instances", r.Memory.Instances), float64(r.Memory.Settled), 400))
	}
}

// Missed counts the bars that were not met.
func (r *Report) Missed() int {
	n := 0
	for _, b := range r.Bars {
		if !b.Met {
			n++
		}
	}
	return n
}

// Show writes the report for a person.
func (r *Report) Show(c *ui.Console) {
	m := r.Machine
	c.Printf("%s, %d cores, %d MB, %s, %s; events of %d bytes\n", ui.Clean(m.CPU), m.Cores, m.MemoryMB, m.OS, m.Go, r.EventBytes)
	if len(r.Throughput) > 0 {
		c.Printf("\n%s\n", c.Paint(ui.Bold, "Firings through request-reply, beside the raw optimistic publish"))
		c.Table(throughputTable(r.Throughput), "")
	}
	if len(r.Guards) > 0 {
		c.Printf("\n%s\n", c.Paint(ui.Bold, "Firings guarded by two rules and a condition, beside unguarded ones"))
		c.Table(guardsTable(r.Guards), "")
		c.Printf("  ten rules on a token of 4 KB: %.1f µs\n", r.TenRules)
	}
	if len(r.Pipelines) > 0 {
		c.Printf("\n%s\n", c.Paint(ui.Bold, "Instances that five functions bring to their end, beside direct requests and bare firings"))
		c.Table(pipelineTable(r.Pipelines), "")
	}
	if len(r.Sizes) > 0 {
		c.Printf("\n%s\n", c.Paint(ui.Bold, "Firings of random instances of one workflow, by their number"))
		c.Table(sizesTable(r.Sizes), "")
	}
	if r.Memory != nil {
		c.Printf("\n%s\n  %s\n", c.Paint(ui.Bold, "Resident memory of the whole fleet in one process"), r.Memory)
	}
	if len(r.Bars) > 0 {
		c.Printf("\n%s\n", c.Paint(ui.Bold, "Bars"))
		table := ui.NewTable()
		for _, b := range r.Bars {
			verdict := ui.Cell{Text: "met", Style: ui.Good}
			if !b.Met {
				verdict = ui.Cell{Text: "missed", Style: ui.Bad}
			}
			table.Row("  "+b.Name, number("%.3g", b.Got), b.Want, verdict)
		}
		c.Table(table, "")
	}
}

func throughputTable(rows []Throughput) *ui.Table {
	table := ui.NewTable("sync", "view", "in flight", "raw/s", "p50 ms", "p99 ms", "firings/s", "p50 ms", "p99 ms", "rate ratio", "p50 ratio", "lag ms")
	for _, t := range rows {
		lag := ui.Cell{Text: "–", Right: true}
		if t.Lag != nil {
			lag = number("%.0f", *t.Lag)
		}
		table.Row(t.Sync, string(t.View), number("%d", t.InFlight),
			number("%.0f", t.Raw.Rate), number("%.2f", t.Raw.P50), number("%.2f", t.Raw.P99),
			number("%.0f", t.Firing.Rate), number("%.2f", t.Firing.P50), number("%.2f", t.Firing.P99),
			number("%.3f", t.RateRatio), number("%.1f", t.P50Ratio), lag)
	}
	return table
}

func guardsTable(rows []Guarding) *ui.Table {
	table := ui.NewTable("in flight", "unguarded/s", "p50 ms", "p99 ms", "guarded/s", "p50 ms", "p99 ms", "rate ratio", "p50 ratio")
	for _, g := range rows {
		table.Row(number("%d", g.InFlight),
			number("%.0f", g.Unguarded.Rate), number("%.2f", g.Unguarded.P50), number("%.2f", g.Unguarded.P99),
			number("%.0f", g.Guarded.Rate), number("%.2f", g.Guarded.P50), number("%.2f", g.Guarded.P99),
			number("%.3f", g.RateRatio), number("%.1f", g.P50Ratio))
	}
	return table
}

func pipelineTable(rows []Pipeline) *ui.Table {
	table := ui.NewTable("in flight", "requests/s", "p50 ms", "firings/s", "p50 ms", "steps/s", "instance p50 ms", "p99 ms",
		"steps per request", "per firing", "p50 in requests", "in firings")
	for _, p := range rows {
		table.Row(number("%d", p.InFlight),
			number("%.0f", p.Request.Rate), number("%.2f", p.Request.P50), number("%.0f", p.Firing.Rate), number("%.2f", p.Firing.P50),
			number("%.0f", p.Steps), number("%.1f", p.Instance.P50), number("%.1f", p.Instance.P99),
			number("%.3f", p.RequestRateRatio), number("%.3f", p.FiringRateRatio), number("%.1f", p.RequestP50Ratio), number("%.1f", p.FiringP50Ratio))
	}
	return table
}

func sizesTable(rows []Size) *ui.Table {
	table := ui.NewTable("instances", "in flight", "firings/s", "µs each", "relative", "p50 ms", "p99 ms", "p50 ms alone", "stored in s", "in view after s")
	for _, s := range rows {
		table.Row(number("%d", s.Instances), number("%d", s.InFlight), number("%.0f", s.Rate), number("%.1f", s.Cost), number("%.2f", s.Relative),
			number("%.2f", s.P50), number("%.2f", s.P99), number("%.2f", s.SingleP50), number("%.1f", s.SeedSeconds), number("%.1f", s.ViewSeconds))
	}
	return table
}

func number(format string, value any) ui.Cell {
	return ui.Cell{Text: fmt.Sprintf(format, value), Right: true}
}
