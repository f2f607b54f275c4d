package telemetry

import (
	"context"
	"errors"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"
	promexport "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"
)

// scope prefixes the instrumentation scope of every component.
const scope = "github.com/seed-42b4788c/circuit-breaker/"

// Telemetry is what one component observes itself with. Copies are cheap; For makes one for
// a part of the program.
type Telemetry struct {
	// Log is the component's logger. Logger adds the trace of a context to it.
	Log zerolog.Logger
	// Tracer starts the component's spans.
	Tracer trace.Tracer
	// Meter makes the component's instruments.
	Meter metric.Meter
	// Metrics serves everything measured in the process in the Prometheus text format.
	Metrics http.Handler

	root *root
}

// root is shared by a value and all the values that For made from it.
type root struct {
	tracers trace.TracerProvider
	meters  metric.MeterProvider

	stopOnce sync.Once
	stop     func(context.Context) error
	stopErr  error
}

// Providers is what Assemble makes a Telemetry of. Tracers, Meters and Metrics may be nil:
// then nothing is traced, measured or served.
type Providers struct {
	Log     zerolog.Logger
	Tracers trace.TracerProvider
	Meters  metric.MeterProvider
	Metrics http.Handler
	// Stop flushes and ends the providers.
	Stop func(context.Context) error
}

// Assemble makes a Telemetry of given providers, for tests and for programs that bring
// their own; New is the usual way.
func Assemble(p Providers) *Telemetry {
	if p.Tracers == nil {
		p.Tracers = nooptrace.NewTracerProvider()
	}
	if p.Meters == nil {
		p.Meters = noopmetric.NewMeterProvider()
	}
	if p.Metrics == nil {
		p.Metrics = http.NotFoundHandler()
	}
	if p.Stop == nil {
		p.Stop = func(context.Context) error { return nil }
	}
	return &Telemetry{
		Log:     p.Log,
		Tracer:  p.Tracers.Tracer(scope + "main"),
		Meter:   p.Meters.Meter(scope + "main"),
		Metrics: p.Metrics,
		root:    &root{tracers: p.Tracers, meters: p.Meters, stop: p.Stop},
	}
}

// Discard is a Telemetry that observes nothing. A trace in a context still passes through it.
func Discard() *Telemetry { return Assemble(Providers{Log: zerolog.Nop()}) }

// New makes the telemetry of a program. It fails on a setting that makes no sense; an
// unreachable collector is no failure. Shutdown ends what New started.
func New(ctx context.Context, cfg Config) (*Telemetry, error) {
	log, err := cfg.logger()
	if err != nil {
		return nil, err
	}
	res, err := cfg.resource(ctx)
	if err != nil {
		return nil, err
	}

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	prom, err := promexport.New(promexport.WithRegisterer(registry))
	if err != nil {
		return nil, err
	}
	meterOptions := []sdkmetric.Option{sdkmetric.WithResource(res), sdkmetric.WithReader(prom)}
	reader, err := cfg.otlpReader(ctx, log)
	if err != nil {
		return nil, err
	}
	if reader != nil {
		meterOptions = append(meterOptions, sdkmetric.WithReader(reader))
	}
	meters := sdkmetric.NewMeterProvider(meterOptions...)
	stops := []func(context.Context) error{meters.Shutdown}

	tracers, err := cfg.otlpTracers(ctx, res, log)
	if err != nil {
		return nil, errors.Join(err, meters.Shutdown(ctx))
	}
	providers := Providers{
		Log:     log,
		Meters:  meters,
		Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4}),
	}
	if tracers != nil {
		providers.Tracers = tracers
		stops = append(stops, tracers.Shutdown)
	}
	providers.Stop = func(ctx context.Context) error {
		var all []error
		for _, stop := range stops {
			all = append(all, stop(ctx))
		}
		return errors.Join(all...)
	}
	return Assemble(providers), nil
}

// For is the telemetry of a component: its log lines, spans and metrics carry the name.
func (t *Telemetry) For(component string) *Telemetry {
	return &Telemetry{
		Log:     t.Log.With().Str("component", component).Logger(),
		Tracer:  t.root.tracers.Tracer(scope + component),
		Meter:   t.root.meters.Meter(scope + component),
		Metrics: t.Metrics,
		root:    t.root,
	}
}

// Logger is the logger for work done under this context: lines carry trace_id and span_id
// where the context has a trace.
func (t *Telemetry) Logger(ctx context.Context) *zerolog.Logger {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return &t.Log
	}
	log := t.Log.With().Str("trace_id", span.TraceID().String()).Str("span_id", span.SpanID().String()).Logger()
	return &log
}

// Shutdown sends what is still held and ends the exporters. It may be called on any value
// that For made, and repeatedly: the first call does the work.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	t.root.stopOnce.Do(func() { t.root.stopErr = t.root.stop(ctx) })
	return t.root.stopErr
}
