package service

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/micro"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// codeOK is the code of a request that succeeded, in metrics.
const codeOK = "ok"

// metrics are the instruments of a server.
type metrics struct {
	requests metric.Int64Counter
	duration metric.Float64Histogram
	inFlight metric.Int64UpDownCounter
	// labels holds the attribute sets, which are costly to build: there are few.
	labels sync.Map
}

type label struct{ endpoint, code string }

func newMetrics(meter metric.Meter) *metrics {
	m := &metrics{}
	// The names and units are constants, so that these cannot fail but by a slip of ours;
	// the instruments then do nothing.
	m.requests, _ = meter.Int64Counter("breaker.requests",
		metric.WithDescription("Requests answered, by endpoint and code."))
	m.duration, _ = meter.Float64Histogram("breaker.request.duration", metric.WithUnit("s"),
		metric.WithDescription("Time from a request's arrival to its reply."),
		metric.WithExplicitBucketBoundaries(.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10))
	m.inFlight, _ = meter.Int64UpDownCounter("breaker.requests.in_flight",
		metric.WithDescription("Requests being served."))
	return m
}

func (m *metrics) request(ctx context.Context, endpoint, code string, took time.Duration) {
	key := label{endpoint, code}
	set, ok := m.labels.Load(key)
	if !ok {
		set, _ = m.labels.LoadOrStore(key, metric.WithAttributeSet(attribute.NewSet(
			attribute.String("endpoint", endpoint), attribute.String("code", code))))
	}
	with := set.(metric.MeasurementOption)
	m.requests.Add(ctx, 1, with)
	m.duration.Record(ctx, took.Seconds(), with)
}

// figures are what $SRV.STATS adds for an endpoint: micro itself counts only the time in
// the callback, which here just starts the work.
type figures struct {
	requests, errors, inFlight, processing atomic.Int64
}

// Stats is the data that discovery shows for an endpoint.
type Stats struct {
	Requests         int64 `json:"requests"`
	Errors           int64 `json:"errors"`
	InFlight         int64 `json:"in_flight"`
	ProcessingTimeNS int64 `json:"processing_time_ns"`
}

func (f *figures) add(took time.Duration, failed bool) {
	f.requests.Add(1)
	f.processing.Add(int64(took))
	if failed {
		f.errors.Add(1)
	}
}

// stats answers for $SRV.STATS.
func (s *Server) stats(of *micro.Endpoint) any {
	for _, e := range s.endpoints {
		if e.Subject == of.Subject {
			return Stats{
				Requests: e.figures.requests.Load(), Errors: e.figures.errors.Load(),
				InFlight: e.figures.inFlight.Load(), ProcessingTimeNS: e.figures.processing.Load(),
			}
		}
	}
	return nil
}
