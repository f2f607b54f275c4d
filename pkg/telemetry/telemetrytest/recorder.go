// Package telemetrytest records what a component logs, traces and measures, so that a test
// can assert on it.
package telemetrytest

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"testing"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

// Recorder is a Telemetry that keeps everything in memory. Hand Telemetry to the code under
// test and ask the recorder afterwards.
type Recorder struct {
	*telemetry.Telemetry
	t      testing.TB
	spans  *tracetest.SpanRecorder
	reader *sdkmetric.ManualReader
	logs   *lockedBuffer
}

// New starts a recorder that ends with the test.
func New(t testing.TB) *Recorder {
	t.Helper()
	r := &Recorder{t: t, spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader(), logs: &lockedBuffer{}}
	r.Telemetry = telemetry.Assemble(telemetry.Providers{
		Log:     zerolog.New(r.logs),
		Tracers: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.spans)),
		Meters:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.reader)),
	})
	return r
}

// Spans are the spans that have ended, in the order of their end.
func (r *Recorder) Spans() []sdktrace.ReadOnlySpan { return r.spans.Ended() }

// Logs are the lines so far, each decoded into its fields.
func (r *Recorder) Logs() []map[string]any {
	r.t.Helper()
	var lines []map[string]any
	decoder := json.NewDecoder(bytes.NewReader(r.logs.bytes()))
	for decoder.More() {
		var line map[string]any
		if err := decoder.Decode(&line); err != nil {
			r.t.Fatalf("a log line is not JSON: %v", err)
		}
		lines = append(lines, line)
	}
	return lines
}

// Logged returns the first line with this message, or nil.
func (r *Recorder) Logged(message string) map[string]any {
	r.t.Helper()
	for _, line := range r.Logs() {
		if line[zerolog.MessageFieldName] == message {
			return line
		}
	}
	return nil
}

// Count sums the data points of a metric that have all these attributes: the values of a
// counter or gauge, the number of observations of a histogram.
func (r *Recorder) Count(name string, with ...attribute.KeyValue) float64 {
	r.t.Helper()
	var all metricdata.ResourceMetrics
	if err := r.reader.Collect(context.Background(), &all); err != nil {
		r.t.Fatalf("collecting metrics: %v", err)
	}
	var sum float64
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				sum += total(data.DataPoints, with)
			case metricdata.Sum[float64]:
				sum += total(data.DataPoints, with)
			case metricdata.Gauge[int64]:
				sum += total(data.DataPoints, with)
			case metricdata.Gauge[float64]:
				sum += total(data.DataPoints, with)
			case metricdata.Histogram[float64]:
				sum += observations(data.DataPoints, with)
			case metricdata.Histogram[int64]:
				sum += observations(data.DataPoints, with)
			default:
				r.t.Fatalf("metric %s is a %T, which the recorder cannot count", name, data)
			}
		}
	}
	return sum
}

func total[N int64 | float64](points []metricdata.DataPoint[N], with []attribute.KeyValue) (sum float64) {
	for _, p := range points {
		if has(p.Attributes, with) {
			sum += float64(p.Value)
		}
	}
	return sum
}

func observations[N int64 | float64](points []metricdata.HistogramDataPoint[N], with []attribute.KeyValue) (sum float64) {
	for _, p := range points {
		if has(p.Attributes, with) {
			sum += float64(p.Count)
		}
	}
	return sum
}

func has(set attribute.Set, with []attribute.KeyValue) bool {
	for _, want := range with {
		if got, ok := set.Value(want.Key); !ok || got != want.Value {
			return false
		}
	}
	return true
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.buf.Bytes())
}
