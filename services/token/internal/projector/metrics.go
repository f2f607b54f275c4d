package projector

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// metrics are what the projector counts. The lag is summed, or taken at its worst, over
// the workflows of this copy: one series each, however many workflows there are.
type metrics struct {
	events, conflicts, takeovers, skipped metric.Int64Counter
	registration                          metric.Registration
}

func newMetrics(p *Projector) (*metrics, error) {
	m := &metrics{}
	var err error
	counter := func(name, description string) metric.Int64Counter {
		if err != nil {
			return nil
		}
		var c metric.Int64Counter
		c, err = p.tel.Meter.Int64Counter("breaker.projector."+name, metric.WithDescription(description))
		return c
	}
	m.events = counter("events", "Events taken into the view")
	m.conflicts = counter("conflicts", "Writes that lost against another writer of the view")
	m.takeovers = counter("takeovers", "Projections taken over from another copy")
	m.skipped = counter("skipped", "Events that were not understood and left out")
	if err != nil {
		return nil, err
	}
	workflows, err := p.tel.Meter.Int64ObservableGauge("breaker.projector.workflows", metric.WithDescription("Workflows whose view this copy keeps"))
	if err != nil {
		return nil, err
	}
	events, err := p.tel.Meter.Int64ObservableGauge("breaker.projector.lag.events", metric.WithDescription("Events that the view does not contain yet"))
	if err != nil {
		return nil, err
	}
	seconds, err := p.tel.Meter.Float64ObservableGauge("breaker.projector.lag", metric.WithUnit("s"), metric.WithDescription("Age of the oldest event that is being taken into the view"))
	if err != nil {
		return nil, err
	}
	m.registration, err = p.tel.Meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		lag := p.Lag()
		o.ObserveInt64(workflows, int64(lag.Workflows))
		o.ObserveInt64(events, int64(lag.Events))
		o.ObserveFloat64(seconds, lag.Age.Seconds())
		return nil
	}, workflows, events, seconds)
	return m, err
}

func (m *metrics) stop() { _ = m.registration.Unregister() }

// Lag is how far the views of this copy are behind.
type Lag struct {
	Workflows int
	// Events are not in the view yet; Age is the age of the oldest one being taken in.
	Events uint64
	Age    time.Duration
}

// Lag sums up the projections of this copy.
func (p *Projector) Lag() Lag {
	p.mu.Lock()
	var now []*projection
	for _, r := range p.running {
		if r.now != nil {
			now = append(now, r.now)
		}
	}
	p.mu.Unlock()
	lag := Lag{Workflows: len(now)}
	for _, projection := range now {
		projection.mu.Lock()
		lag.Events += projection.pending + uint64(projection.window.len())
		if oldest := projection.window.oldest(); !oldest.IsZero() {
			lag.Age = max(lag.Age, time.Since(oldest))
		}
		projection.mu.Unlock()
	}
	return lag
}
