package fleet

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

// Config says where a fleet runs.
type Config struct {
	// Dir is the data folder; it is made if needed.
	Dir string
	// NATSListen and HTTPListen are host:port; port 0 takes a free one. An empty HTTPListen
	// serves no HTTP.
	NATSListen, HTTPListen string
	// SyncAlways has every acknowledged message on disk. Without it the server syncs every
	// two minutes, and what it acknowledged since the last time is lost with the machine.
	SyncAlways bool
	// Settings are those of the services, as they read them from the environment when they
	// run alone. Where to connect and how to log is not read from here.
	Settings Settings
	// Environ is where functions find their secrets, as BREAKER_SECRET_{NAME}.
	Environ []string
}

// DefaultConfig listens on free loopback ports and syncs always.
func DefaultConfig(dir string) Config {
	return Config{
		Dir: dir, NATSListen: "127.0.0.1:0", HTTPListen: "127.0.0.1:0", SyncAlways: true,
		Settings: DefaultSettings(),
	}
}

// Fleet is a running fleet.
type Fleet struct {
	cfg    Config
	tel    *telemetry.Telemetry
	lock   *folderLock
	nats   *natsServer
	health *service.Health
	parts  []*service.Running
}

// Start runs a fleet and returns when all of it answers. It fails with ErrInUse when another
// process runs on the data folder. After an error nothing runs.
func Start(ctx context.Context, cfg Config, tel *telemetry.Telemetry) (*Fleet, error) {
	f := &Fleet{cfg: cfg, tel: tel.For("fleet"), health: service.NewHealth(tel)}
	err := f.start(ctx, tel)
	if err != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.cfg.Settings.Base().DrainTimeout)
		defer cancel()
		return nil, errors.Join(err, f.Stop(last))
	}
	return f, nil
}

func (f *Fleet) start(ctx context.Context, tel *telemetry.Telemetry) error {
	var err error
	if f.lock, err = lockFolder(f.cfg.Dir); err != nil {
		return err
	}
	if f.nats, err = startNATS(ctx, f.cfg.Dir, f.cfg.NATSListen, f.cfg.SyncAlways, tel.For("nats-server").Log); err != nil {
		return err
	}
	if !f.nats.loopback() {
		f.tel.Log.Warn().Str("listen", f.cfg.NATSListen).Msg("nats-server takes connections from other machines, without asking who they are")
	}
	if f.cfg.HTTPListen != "" {
		if err = f.health.Start(ctx, f.cfg.HTTPListen); err != nil {
			return err
		}
	}
	for _, part := range f.cfg.Settings.parts(f.cfg.Environ) {
		running, err := service.Open(ctx, part.name, f.connection(part.name), tel, part.build)
		if err != nil {
			return err
		}
		f.parts = append(f.parts, running)
		f.health.Watch(part.name, running.Check)
	}
	return nil
}

// connection leads into the embedded server, without a socket.
func (f *Fleet) connection(name string) bus.Config {
	cfg := service.BusConfig(f.cfg.Settings.Base(), name)
	cfg.URLs = []string{f.nats.url()}
	cfg.InProcess = f.nats.srv
	cfg.Creds, cfg.User, cfg.Password, cfg.Token, cfg.NKeySeedFile = "", "", "", "", ""
	cfg.CA, cfg.Cert, cfg.Key = "", "", ""
	cfg.Replicas = 1
	return cfg
}

// NATSURL is where clients connect.
func (f *Fleet) NATSURL() string { return f.nats.url() }

// HTTPURL is where health and metrics are served; empty when they are not.
func (f *Fleet) HTTPURL() string {
	if f.health.Addr() == "" {
		return ""
	}
	return "http://" + f.health.Addr()
}

// Closed is closed when a service has lost its connection for good, which within one
// process means that the embedded server has gone.
func (f *Fleet) Closed() <-chan struct{} { return f.parts[0].Closed() }

// Stop drains the services, ends the server and gives the folder back. When ctx ends first,
// what is still in flight is given up. It repeats safely.
func (f *Fleet) Stop(ctx context.Context) error {
	f.health.Drain()
	var faults []error
	for i := len(f.parts) - 1; i >= 0; i-- {
		faults = append(faults, f.parts[i].Stop(ctx))
	}
	f.parts = nil
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), httpGrace)
	defer cancel()
	faults = append(faults, f.health.Stop(last))
	if f.nats != nil {
		f.nats.stop()
		f.nats = nil
	}
	if f.lock != nil {
		if err := f.lock.release(); err != nil {
			faults = append(faults, fmt.Errorf("give the data folder back: %w", err))
		}
		f.lock = nil
	}
	return errors.Join(faults...)
}

// httpGrace is how long scrapes in flight may take when the fleet stops.
const httpGrace = 2 * time.Second
