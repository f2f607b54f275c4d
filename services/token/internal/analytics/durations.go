package analytics

import (
	"time"

	"github.com/DataDog/sketches-go/ddsketch"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const (
	relativeError = 0.01
	// sketchBins reach from a nanosecond to centuries at that error, in at most 16 KB.
	sketchBins = 2048
)

// durations is a set of durations of which only the quantiles are kept. The zero value is
// empty.
type durations struct {
	// sketch holds milliseconds.
	sketch  *ddsketch.DDSketch
	count   int
	longest time.Duration
}

func (d *durations) add(one time.Duration) error {
	if d.sketch == nil {
		sketch, err := ddsketch.LogCollapsingLowestDenseDDSketch(relativeError, sketchBins)
		if err != nil {
			return err
		}
		d.sketch = sketch
	}
	d.count++
	d.longest = max(d.longest, one)
	return d.sketch.Add(milliseconds(one))
}

func (d *durations) quantiles() wire.Quantiles {
	q := wire.Quantiles{Count: d.count, Max: milliseconds(d.longest)}
	if d.sketch == nil {
		return q
	}
	at, err := d.sketch.GetValuesAtQuantiles([]float64{0.5, 0.9, 0.99})
	if err != nil {
		return q
	}
	// The sketch's error must not lift a quantile above the longest.
	q.P50, q.P90, q.P99 = min(at[0], q.Max), min(at[1], q.Max), min(at[2], q.Max)
	return q
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
