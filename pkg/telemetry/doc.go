// Package telemetry gives a program its logger, tracer and meter as one value that is handed
// down, never reached for: there are no globals here, and nothing registers itself with
// OpenTelemetry's.
//
//	tel, err := telemetry.New(ctx, telemetry.Config{Service: "token", Environ: os.Environ()})
//	defer tel.Shutdown(ctx)
//	projector := New(tel.For("projector"))
//
// Logs go to a writer as JSON lines, or for people as coloured text. Metrics are always there
// for Prometheus under Telemetry.Metrics. Traces and metrics are exported by OTLP only where
// an endpoint is set; without one, spans cost nothing, and a trace that somebody else
// started still passes through: from an incoming message into the logs and on to every
// message that is sent.
//
// Inject and Extract carry the trace in NATS headers, in W3C form and with lower-case keys,
// because NATS compares header keys byte by byte.
//
// Not guaranteed: spans and metrics that the collector does not take in time are dropped
// and counted in a log line, so that telemetry never slows the work.
package telemetry
