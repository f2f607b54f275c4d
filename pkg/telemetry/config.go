package telemetry

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
)

// Formats of log lines.
const (
	FormatJSON    = "json"
	FormatConsole = "console"
)

// Config is what New needs. The zero value logs JSON lines from level info to stderr and
// exports nothing.
type Config struct {
	// Service, Version and Copy say who speaks: the program, its build, and which of its copies.
	Service string
	Version string
	Copy    string
	// LogLevel is trace, debug, info, warn, error or off; empty means info.
	LogLevel string
	// LogFormat is FormatJSON or FormatConsole; empty means FormatJSON.
	LogFormat string
	// LogColour colours the console format.
	LogColour bool
	// LogWriter takes the lines, one Write each; nil means stderr.
	LogWriter io.Writer
	// Environ holds OTEL_* variables as KEY=value: whether, where and by which protocol to
	// export. The exporters take finer settings (headers, certificates, time-outs) from the
	// process environment, as OpenTelemetry specifies.
	Environ []string
}

func (c Config) logger() (zerolog.Logger, error) {
	level, err := ParseLevel(c.LogLevel)
	if err != nil {
		return zerolog.Nop(), err
	}
	out := c.LogWriter
	if out == nil {
		out = os.Stderr
	}
	switch c.LogFormat {
	case FormatJSON, "":
	case FormatConsole:
		out = zerolog.ConsoleWriter{Out: out, NoColor: !c.LogColour, TimeFormat: "15:04:05.000"}
	default:
		return zerolog.Nop(), fmt.Errorf("log format %q is unknown; use %s or %s", c.LogFormat, FormatJSON, FormatConsole)
	}
	with := zerolog.New(zerolog.SyncWriter(out)).Level(level).Hook(timestamp{}).With()
	if c.Service != "" {
		with = with.Str("service", c.Service)
	}
	if c.Copy != "" {
		with = with.Str("copy", c.Copy)
	}
	return with.Logger(), nil
}

// ParseLevel reads a log level as Config.LogLevel spells it.
func ParseLevel(level string) (zerolog.Level, error) {
	switch strings.ToLower(level) {
	case "":
		return zerolog.InfoLevel, nil
	case "off":
		return zerolog.Disabled, nil
	case "trace", "debug", "info", "warn", "error":
		return zerolog.ParseLevel(strings.ToLower(level))
	}
	return zerolog.InfoLevel, fmt.Errorf("log level %q is unknown; use trace, debug, info, warn, error or off", level)
}

// timestamp puts the time on every line, in UTC and to the millisecond. zerolog's own has
// its format in a global.
type timestamp struct{}

func (timestamp) Run(e *zerolog.Event, _ zerolog.Level, _ string) {
	e.Str("time", time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
}

func (c Config) resource(ctx context.Context) (*resource.Resource, error) {
	attributes := []attribute.KeyValue{attribute.String("service.namespace", "circuit-breaker")}
	for key, value := range map[string]string{
		"service.name": c.Service, "service.version": c.Version, "service.instance.id": c.Copy,
	} {
		if value != "" {
			attributes = append(attributes, attribute.String(key, value))
		}
	}
	return resource.New(ctx, resource.WithTelemetrySDK(), resource.WithFromEnv(), resource.WithAttributes(attributes...))
}
