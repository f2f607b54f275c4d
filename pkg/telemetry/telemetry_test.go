package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry/telemetrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	traceparent = "00-" + traceID + "-00f067aa0ba902b7-01"
)

func newTestTelemetry(t *testing.T, cfg telemetry.Config) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tel.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("shutting down: %v", err)
		}
	})
	return tel
}

func TestTraceHeaderHasLowerCaseKeys(t *testing.T) {
	t.Parallel()
	rec := telemetrytest.New(t)
	ctx, span := rec.Tracer.Start(t.Context(), "work")
	defer span.End()
	header := nats.Header{}
	telemetry.Inject(ctx, header)
	if len(header["traceparent"]) != 1 || len(header) != 1 {
		t.Fatalf("want the one key traceparent, have %v", header)
	}
}

func TestForeignTracePassesThroughWithoutATracer(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"traceparent", "Traceparent"} {
		ctx := telemetry.Extract(t.Context(), nats.Header{key: {traceparent}})
		ctx, span := telemetry.Discard().For("x").Tracer.Start(ctx, "work")
		span.End()
		out := nats.Header{}
		telemetry.Inject(ctx, out)
		if got := out["traceparent"]; len(got) != 1 || got[0] != traceparent {
			t.Errorf("from %s: want %s passed on, have %v", key, traceparent, out)
		}
	}
}

func TestMalformedTraceIsIgnored(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"", "zz", strings.Repeat("0", 5000), "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01"} {
		ctx := telemetry.Extract(t.Context(), nats.Header{"traceparent": {value}})
		if trace.SpanContextFromContext(ctx).IsValid() {
			t.Errorf("took %q for a trace", value)
		}
	}
}

func TestLogLinesCarryTheTrace(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	tel := newTestTelemetry(t, telemetry.Config{Service: "token", Copy: "c1", LogWriter: &out}).For("projector")
	ctx := telemetry.Extract(t.Context(), nats.Header{"traceparent": {traceparent}})
	tel.Logger(ctx).Info().Int("events", 3).Msg("view was written")

	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"trace_id": traceID, "service": "token", "copy": "c1", "component": "projector",
		"level": "info", "events": 3.0, "message": "view was written",
	} {
		if line[key] != want {
			t.Errorf("%s: want %v, have %v", key, want, line[key])
		}
	}
	if at, _ := line["time"].(string); !strings.HasSuffix(at, "Z") {
		t.Errorf("want a time in UTC, have %q", at)
	}
}

func TestSettingsThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]telemetry.Config{
		"level":    {LogLevel: "loud"},
		"format":   {LogFormat: "xml"},
		"endpoint": {Environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4317"}},
		"protocol": {Environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL=carrier-pigeon"}},
	} {
		if _, err := telemetry.New(t.Context(), cfg); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
}

func TestMetricsAreServedForPrometheus(t *testing.T) {
	t.Parallel()
	tel := newTestTelemetry(t, telemetry.Config{Service: "token", LogWriter: io.Discard})
	counter, err := tel.For("projector").Meter.Int64Counter("breaker.events")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), 7)
	answer := httptest.NewRecorder()
	tel.Metrics.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{"breaker_events_total{", "} 7\n", "go_goroutines", `service_name="token"`} {
		if !strings.Contains(answer.Body.String(), want) {
			t.Errorf("want %q among the metrics", want)
		}
	}
}

func TestExportGoesWhereTheEnvironmentSays(t *testing.T) {
	t.Parallel()
	var spans, metrics atomic.Int32
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/traces":
			spans.Add(1)
		case "/v1/metrics":
			metrics.Add(1)
		}
	}))
	defer collector.Close()
	tel := newTestTelemetry(t, telemetry.Config{
		Service: "token", LogWriter: io.Discard,
		Environ: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL},
	})
	_, span := tel.Tracer.Start(t.Context(), "work")
	span.End()
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if spans.Load() != 1 || metrics.Load() != 1 {
		t.Errorf("want one export each, have %d of spans and %d of metrics", spans.Load(), metrics.Load())
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestRecorderKeepsWhatHappened(t *testing.T) {
	t.Parallel()
	rec := telemetrytest.New(t)
	part := rec.For("part")
	_, span := part.Tracer.Start(t.Context(), "work")
	span.End()
	part.Log.Warn().Str("why", "test").Msg("it happened")
	counter, err := part.Meter.Int64Counter("things")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), 2)
	if got := rec.Spans(); len(got) != 1 || got[0].Name() != "work" {
		t.Errorf("want the span work, have %v", got)
	}
	if line := rec.Logged("it happened"); line == nil || line["why"] != "test" || line["component"] != "part" {
		t.Errorf("want the line with its fields, have %v", line)
	}
	if got := rec.Count("things"); got != 2 {
		t.Errorf("want 2 things, have %v", got)
	}
}
