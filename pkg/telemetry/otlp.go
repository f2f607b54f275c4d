package telemetry

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Protocols of OTLP, as OTEL_EXPORTER_OTLP_PROTOCOL names them.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
)

// target is where one signal goes.
type target struct {
	endpoint string
	protocol string
}

// target reads where a signal ("TRACES" or "METRICS") is exported to; ok is false when
// nothing was asked for.
func (c Config) target(signal string) (to target, ok bool, err error) {
	if strings.EqualFold(c.variable("OTEL_SDK_DISABLED"), "true") ||
		strings.EqualFold(c.variable("OTEL_"+signal+"_EXPORTER"), "none") {
		return target{}, false, nil
	}
	name, general := "OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT", false
	endpoint := c.variable(name)
	if endpoint == "" {
		name, general = "OTEL_EXPORTER_OTLP_ENDPOINT", true
		endpoint = c.variable(name)
	}
	if endpoint == "" {
		return target{}, false, nil
	}
	protocol := c.variable("OTEL_EXPORTER_OTLP_" + signal + "_PROTOCOL")
	if protocol == "" {
		protocol = c.variable("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	if protocol == "" {
		protocol = protocolHTTP // what the OpenTelemetry specification recommends
	}
	if protocol != protocolGRPC && protocol != protocolHTTP {
		return target{}, false, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL %q is unknown; use %s or %s", protocol, protocolGRPC, protocolHTTP)
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return target{}, false, fmt.Errorf("%s must be a URL such as http://127.0.0.1:4318", name)
	}
	if general && protocol == protocolHTTP {
		u = u.JoinPath("v1", strings.ToLower(signal))
	}
	return target{endpoint: u.String(), protocol: protocol}, true, nil
}

func (c Config) variable(name string) string {
	for _, pair := range c.Environ {
		if key, value, _ := strings.Cut(pair, "="); key == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// otlpTracers is nil where traces are not exported.
func (c Config) otlpTracers(ctx context.Context, res *resource.Resource, log zerolog.Logger) (*sdktrace.TracerProvider, error) {
	to, ok, err := c.target("TRACES")
	if err != nil || !ok {
		return nil, err
	}
	var client otlptrace.Client
	if to.protocol == protocolGRPC {
		client = otlptracegrpc.NewClient(otlptracegrpc.WithEndpointURL(to.endpoint))
	} else {
		client = otlptracehttp.NewClient(otlptracehttp.WithEndpointURL(to.endpoint))
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("starting the export of traces: %w", err)
	}
	return sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithBatcher(spanExporter{exporter, log})), nil
}

// otlpReader is nil where metrics are not exported.
func (c Config) otlpReader(ctx context.Context, log zerolog.Logger) (sdkmetric.Reader, error) {
	to, ok, err := c.target("METRICS")
	if err != nil || !ok {
		return nil, err
	}
	var exporter sdkmetric.Exporter
	if to.protocol == protocolGRPC {
		exporter, err = otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpointURL(to.endpoint))
	} else {
		exporter, err = otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(to.endpoint))
	}
	if err != nil {
		return nil, fmt.Errorf("starting the export of metrics: %w", err)
	}
	return sdkmetric.NewPeriodicReader(metricExporter{exporter, log}), nil
}

// spanExporter logs a failed export here; the SDK would hand it to a global handler.
type spanExporter struct {
	sdktrace.SpanExporter
	log zerolog.Logger
}

func (e spanExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.log.Warn().Err(err).Int("spans", len(spans)).Msg("spans were dropped")
	}
	return nil
}

// metricExporter does the same for metrics.
type metricExporter struct {
	sdkmetric.Exporter
	log zerolog.Logger
}

func (e metricExporter) Export(ctx context.Context, metrics *metricdata.ResourceMetrics) error {
	if err := e.Exporter.Export(ctx, metrics); err != nil {
		e.log.Warn().Err(err).Msg("metrics were not exported")
	}
	return nil
}
