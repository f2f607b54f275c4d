package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/env"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

// Configured is a configuration that embeds env.Base.
type Configured interface{ Common() env.Base }

// Run is a service's program: it reads the configuration, connects, starts the part, serves
// health, and, once ctx ends, drains. It returns nil after an orderly stop. So a main is
//
//	func main() {
//		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//		defer stop()
//		if err := service.Run(ctx, token.Name, os.Args[1:], os.Environ(), os.Stdout, build); err != nil {
//			fmt.Fprintln(os.Stderr, err)
//			os.Exit(1)
//		}
//	}
func Run[C Configured](ctx context.Context, name string, args, environ []string, stdout io.Writer, build func(Deps, C) (Part, error)) error {
	if slices.Contains(args, "--version") {
		_, err := fmt.Fprintln(stdout, name, Version)
		return err
	}
	if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		return help[C](stdout, name)
	}
	asks := probePath(args)
	if len(args) > 0 && asks == "" {
		return fmt.Errorf("%s takes its configuration from the environment, not from arguments; try --help", name)
	}
	var cfg C
	if err := env.Load(environ, &cfg); err != nil {
		return fmt.Errorf("the configuration is faulty:\n%w", err)
	}
	base := cfg.Common()
	if asks != "" {
		return probe(ctx, base.HTTPListen, asks)
	}
	tel, err := telemetry.New(ctx, telemetry.Config{
		Service: name, Version: Version, LogLevel: base.LogLevel, LogFormat: base.LogFormat, LogWriter: stdout, Environ: environ,
	})
	if err != nil {
		return fmt.Errorf("the configuration is faulty: %w", err)
	}
	err = run(ctx, name, base, tel, func(deps Deps) (Part, error) { return build(deps, cfg) })

	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if flushErr := tel.Shutdown(last); flushErr != nil {
		tel.Log.Warn().Err(flushErr).Msg("telemetry was not flushed")
	}
	return err
}

const shutdownTimeout = 5 * time.Second

func run(ctx context.Context, name string, base env.Base, tel *telemetry.Telemetry, build func(Deps) (Part, error)) (err error) {
	health := NewHealth(tel)
	if base.ServesHTTP() {
		if err := health.Start(ctx, base.HTTPListen); err != nil {
			return err
		}
	}
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		err = errors.Join(err, health.Stop(last))
	}()

	running, err := Open(ctx, name, BusConfig(base, name), tel, build)
	if err != nil {
		if ctx.Err() != nil {
			return nil // told to stop before it had started
		}
		return err
	}
	health.Watch("nats", running.Check)
	tel.Log.Info().Str("copy", running.Bus().Copy).Str("http", health.Addr()).Msg("service started")

	select {
	case <-ctx.Done():
	case <-running.Closed():
		err = errors.New("the connection to NATS was closed for good")
	}
	health.Drain()
	tel.Log.Info().Msg("service was told to stop")
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), base.DrainTimeout)
	defer cancel()
	err = errors.Join(err, running.Stop(drain))
	tel.Log.Info().Msg("service stopped")
	return err
}

// Running is a part with the connection that it stands on.
type Running struct {
	bus  *bus.Bus
	part Part
}

// Open connects, builds a part on the connection and starts it. A program that runs several
// services opens each of them, so that all run exactly as they do alone.
func Open(ctx context.Context, name string, cfg bus.Config, tel *telemetry.Telemetry, build func(Deps) (Part, error)) (*Running, error) {
	tel = tel.For(name)
	b, err := bus.Connect(ctx, cfg, tel)
	if err != nil {
		return nil, err
	}
	tel.Log = tel.Log.With().Str("copy", b.Copy).Logger()
	r := &Running{bus: b}
	if r.part, err = build(Deps{Bus: b, Tel: tel}); err == nil {
		err = r.part.Start(ctx)
	}
	if err != nil {
		b.Close()
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return r, nil
}

// Bus is the part's connection.
func (r *Running) Bus() *bus.Bus { return r.bus }

// Closed is closed when the connection has ended for good.
func (r *Running) Closed() <-chan struct{} { return r.bus.Closed() }

// Check is nil while the part's connection stands.
func (r *Running) Check() error {
	if !r.bus.Connected() {
		return errors.New("not connected to NATS")
	}
	return nil
}

// Stop drains the part and closes its connection.
func (r *Running) Stop(ctx context.Context) error {
	err := r.part.Stop(ctx)
	r.bus.Close()
	return err
}

// help lists what a program reads from its environment.
func help[C any](stdout io.Writer, name string) error {
	if _, err := fmt.Fprintf(stdout, "%s %s takes its configuration from the environment:\n\n", name, Version); err != nil {
		return err
	}
	for _, v := range env.Describe[C]() {
		if _, err := fmt.Fprintf(stdout, "  %-34s %s\n", v.Name, v.Default); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(stdout, "\nNATS_URL, NATS_CREDS and the like are read too, and so are OpenTelemetry's OTEL_ variables."+
		"\n--healthcheck and --readycheck ask the copy that runs here for /healthz and /readyz, and fail where it fails.")
	return err
}
