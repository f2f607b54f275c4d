package service

import (
	"context"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/env"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

// Version of the fleet, as discovery and telemetry show it.
const Version = "0.1.0"

// Deps is what a service is given: its own connection and its own telemetry.
type Deps struct {
	Bus *bus.Bus
	Tel *telemetry.Telemetry
}

// Part is a service as the program around it sees it.
type Part interface {
	// Start returns when the service answers requests. After an error nothing runs.
	Start(ctx context.Context) error
	// Stop returns when nothing of the service runs any more: at the latest soon after ctx
	// has ended, with an error if work was given up. It repeats safely and works without Start.
	Stop(ctx context.Context) error
}

// BusConfig is the connection that a service's environment asks for.
func BusConfig(base env.Base, name string) bus.Config {
	cfg := bus.DefaultConfig()
	cfg.URLs = base.NATSURLs
	cfg.Name = name
	cfg.Creds = base.NATSCreds
	cfg.User = base.NATSUser
	cfg.Password = base.NATSPassword.Reveal()
	cfg.Token = base.NATSToken.Reveal()
	cfg.NKeySeedFile = base.NATSNKey
	cfg.CA, cfg.Cert, cfg.Key = base.NATSCA, base.NATSCert, base.NATSKey
	cfg.ConnectTimeout = base.ConnectionTimeout
	cfg.Replicas = base.Replicas
	cfg.Memory = base.Storage == env.StorageMemory
	cfg.MaxMessages = base.DefaultMaxMessages
	cfg.MaxBytes = int64(base.DefaultMaxBytes)
	return cfg
}
