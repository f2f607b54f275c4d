package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

// Bus is one service's connection to NATS. It is safe for concurrent use.
type Bus struct {
	NC *nats.Conn
	JS jetstream.JetStream
	// Copy identifies this copy of the service, for as long as it runs.
	Copy string

	cfg    Config
	tel    *telemetry.Telemetry
	closed chan struct{}
}

// Pauses between attempts to reach a server.
const (
	reconnectWait   = 250 * time.Millisecond
	reconnectJitter = 250 * time.Millisecond
	pingInterval    = 10 * time.Second
)

// Connect opens the connection, trying until the context ends, and says so while it
// cannot. The connection never buffers publishes while it is down: a publish that was given
// up on during an outage must not come back after it.
func Connect(ctx context.Context, cfg Config, tel *telemetry.Telemetry) (*Bus, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	b := &Bus{Copy: uuid.NewString(), cfg: cfg, tel: tel.For("bus"), closed: make(chan struct{})}
	options, err := b.options()
	if err != nil {
		return nil, err
	}
	for {
		b.NC, err = nats.Connect(strings.Join(cfg.URLs, ","), options...)
		if err == nil {
			break
		}
		if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) {
			return nil, fmt.Errorf("connecting to NATS: %w", err)
		}
		b.tel.Log.Warn().Err(err).Strs("urls", cfg.URLs).Msg("nats was out of reach, trying again")
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connecting to NATS: %w", errors.Join(err, ctx.Err()))
		case <-time.After(reconnectWait + reconnectJitter):
		}
	}
	b.JS, err = jetstream.New(b.NC, jetstream.WithDefaultTimeout(cfg.ConnectTimeout))
	if err != nil {
		b.NC.Close()
		return nil, fmt.Errorf("opening JetStream: %w", err)
	}
	return b, nil
}

func (b *Bus) options() ([]nats.Option, error) {
	log := b.tel.Log
	options := []nats.Option{
		nats.Name(b.cfg.Name),
		nats.Timeout(b.cfg.ConnectTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		nats.ReconnectBufSize(-1),
		nats.PingInterval(pingInterval),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn().Err(err).Msg("nats connection was lost")
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			log.Info().Str("url", nc.ConnectedUrlRedacted()).Msg("nats connection was restored")
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.Warn().Err(err).Str("subject", subject).Msg("nats reported an error")
		}),
		nats.ClosedHandler(func(*nats.Conn) { close(b.closed) }),
	}
	if b.cfg.InProcess != nil {
		options = append(options, nats.InProcessServer(b.cfg.InProcess))
	}
	if b.cfg.Creds != "" {
		options = append(options, nats.UserCredentials(b.cfg.Creds))
	}
	if b.cfg.User != "" {
		options = append(options, nats.UserInfo(b.cfg.User, b.cfg.Password))
	}
	if b.cfg.Token != "" {
		options = append(options, nats.Token(b.cfg.Token))
	}
	if b.cfg.NKeySeedFile != "" {
		option, err := nats.NkeyOptionFromSeed(b.cfg.NKeySeedFile)
		if err != nil {
			return nil, fmt.Errorf("reading the nkey seed: %w", err)
		}
		options = append(options, option)
	}
	if b.cfg.CA != "" {
		options = append(options, nats.RootCAs(b.cfg.CA))
	}
	if b.cfg.Cert != "" {
		options = append(options, nats.ClientCert(b.cfg.Cert, b.cfg.Key))
	}
	return append(options, b.cfg.Options...), nil
}

// Config is what the connection was made with.
func (b *Bus) Config() Config { return b.cfg }

// Connected reports whether the connection stands at this moment.
func (b *Bus) Connected() bool { return b.NC.IsConnected() }

// Closed is closed when the connection has ended for good: by Close, or because the server
// refuses it.
func (b *Bus) Closed() <-chan struct{} { return b.closed }

// Close ends the connection and waits until it has. It repeats safely.
func (b *Bus) Close() {
	b.NC.Close()
	<-b.closed
}
