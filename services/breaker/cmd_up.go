package breaker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/env"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/fleet"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// Values of --sync.
const (
	syncAlways   = "always"
	syncInterval = "interval"
)

// upFlags are what up can be told.
type upFlags struct {
	dir, natsListen, httpListen, sync, logLevel, logFormat string
}

func newUp(a *App) *cobra.Command {
	var flags upFlags
	cmd := &cobra.Command{
		Use: "up", Short: "Run the whole fleet and its NATS server in this process",
		Long: `up runs nats-server and every service in this process, with the data in one folder, until it is
interrupted. The first interrupt drains what is in flight, a second one ends the process at once.

Settings of the services come from the environment, as when they run alone (BREAKER_DEFAULT_MAX_AGE
and so on); flags win.

--sync always has every acknowledged command on disk. --sync interval is several times faster and
lets the server sync every two minutes: a crash of the process loses nothing, a crash of the machine
can lose what was acknowledged since.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.fleetConfig(cmd, flags)
			if err != nil {
				return err
			}
			return a.up(cmd.Context(), cfg, a.logging(flags, cfg.Settings.Base()))
		},
	}
	cmd.Flags().StringVar(&flags.dir, "dir", "breaker-data", "data folder")
	cmd.Flags().StringVar(&flags.natsListen, "nats-listen", "127.0.0.1:4222", "where NATS clients connect; port 0 takes a free one")
	cmd.Flags().StringVar(&flags.httpListen, "http-listen", "127.0.0.1:8080", "where /healthz, /readyz and /metrics are served; off for nowhere")
	cmd.Flags().StringVar(&flags.sync, "sync", syncAlways, "when messages are on disk: always or interval")
	cmd.Flags().StringVar(&flags.logLevel, "log-level", "", "trace, debug, info, warn, error or off")
	cmd.Flags().StringVar(&flags.logFormat, "log-format", "", "json or console (default: console on a terminal)")
	return cmd
}

// fleetConfig joins the environment and the flags.
func (a *App) fleetConfig(cmd *cobra.Command, flags upFlags) (fleet.Config, error) {
	if flags.sync != syncAlways && flags.sync != syncInterval {
		return fleet.Config{}, usagef("--sync is %s or %s, not %q", syncAlways, syncInterval, flags.sync)
	}
	dir, err := filepath.Abs(flags.dir)
	if err != nil {
		return fleet.Config{}, usageError{err}
	}
	cfg := fleet.DefaultConfig(dir)
	cfg.Environ = a.Environ
	if err := env.Load(a.Environ, &cfg.Settings); err != nil {
		return cfg, usagef("the environment is faulty:\n%w", err)
	}
	cfg.NATSListen, cfg.HTTPListen, cfg.SyncAlways = flags.natsListen, flags.httpListen, flags.sync == syncAlways
	if !cmd.Flags().Changed("http-listen") && a.Getenv("BREAKER_HTTP_LISTEN") != "" {
		cfg.HTTPListen = cfg.Settings.Base().HTTPListen
	}
	if cfg.HTTPListen == "off" {
		cfg.HTTPListen = ""
	}
	return cfg, nil
}

// logging is how up logs: as the flags say, else as the environment says, else for the
// reader of stderr.
func (a *App) logging(flags upFlags, base env.Base) telemetry.Config {
	cfg := telemetry.Config{
		Service: "breaker", Version: service.Version, LogLevel: base.LogLevel, LogFormat: base.LogFormat,
		LogColour: a.Console.ErrColour, LogWriter: a.Console.Err, Environ: a.Environ,
	}
	if flags.logLevel != "" {
		cfg.LogLevel = flags.logLevel
	}
	switch {
	case flags.logFormat != "":
		cfg.LogFormat = flags.logFormat
	case a.Getenv("BREAKER_LOG_FORMAT") == "" && a.Console.ErrTerminal:
		cfg.LogFormat = telemetry.FormatConsole
	}
	return cfg
}

func (a *App) up(ctx context.Context, cfg fleet.Config, logging telemetry.Config) (err error) {
	tel, err := telemetry.New(ctx, logging)
	if err != nil {
		return usageError{err}
	}
	running, err := fleet.Start(ctx, cfg, tel)
	if err != nil {
		return err
	}
	var memory sync.WaitGroup
	watched, stop := context.WithCancel(ctx)
	memory.Go(func() { fleet.LimitMemory(watched) })
	defer memory.Wait()
	defer stop()
	if err = a.announce(running, cfg); err == nil {
		select {
		case <-ctx.Done():
			a.Console.Notef("stopping; interrupt again to stop at once\n")
		case <-running.Closed():
			err = errors.New("the embedded NATS server ended unexpectedly")
		}
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.Settings.Base().DrainTimeout)
	defer cancel()
	return errors.Join(err, running.Stop(drain), tel.Shutdown(drain))
}

// whereabouts is what up says once everything answers.
type whereabouts struct {
	NATS string `json:"nats_url"`
	HTTP string `json:"http_url"`
	Dir  string `json:"dir"`
	PID  int    `json:"pid"`
	Sync string `json:"sync"`
}

func (a *App) announce(running *fleet.Fleet, cfg fleet.Config) error {
	at := whereabouts{NATS: running.NATSURL(), HTTP: running.HTTPURL(), Dir: cfg.Dir, PID: os.Getpid(), Sync: syncInterval}
	if cfg.SyncAlways {
		at.Sync = syncAlways
	}
	if a.Console.JSON {
		return a.Console.Line(at)
	}
	c := a.Console
	c.Printf("%s, process %d\n", c.Paint(ui.Good, "breaker is up"), at.PID)
	web := at.HTTP + "  (/healthz, /readyz, /metrics)"
	if at.HTTP == "" {
		web = "off"
	}
	a.fields("  nats", ui.Cell{Text: at.NATS, Style: ui.Accent}, "  http", web, "  data", at.Dir+"  (sync "+at.Sync+")", "  next", "breaker --server "+at.NATS+" status")
	return nil
}
