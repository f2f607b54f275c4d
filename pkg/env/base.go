package env

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Kinds of storage.
const (
	StorageFile   = "file"
	StorageMemory = "memory"
)

// Base is what every service reads. Only the fields with a default differ from zero when
// nothing is set.
type Base struct {
	// NATSURLs are the servers, tried in any order; NATS_URL is read where it is empty, and
	// so are the other usual NATS_ names.
	NATSURLs []string `env:"BREAKER_NATS_URLS" envDefault:"nats://127.0.0.1:4222"`
	// NATSCreds is a credentials file. User and password, a token, or a file with an nkey
	// seed are other ways in.
	NATSCreds    string `env:"BREAKER_NATS_CREDS"`
	NATSUser     string `env:"BREAKER_NATS_USER"`
	NATSPassword Secret `env:"BREAKER_NATS_PASSWORD"`
	NATSToken    Secret `env:"BREAKER_NATS_TOKEN"`
	NATSNKey     string `env:"BREAKER_NATS_NKEY"`
	// NATSCA, NATSCert and NATSKey are PEM files for TLS.
	NATSCA   string `env:"BREAKER_NATS_CA"`
	NATSCert string `env:"BREAKER_NATS_CERT"`
	NATSKey  string `env:"BREAKER_NATS_KEY"`

	// HTTPListen is where health and metrics are served; set to nothing, or off, nowhere.
	HTTPListen string `env:"BREAKER_HTTP_LISTEN" envDefault:"127.0.0.1:8081" envEmpty:"off"`
	LogLevel   string `env:"BREAKER_LOG_LEVEL" envDefault:"info"`
	LogFormat  string `env:"BREAKER_LOG_FORMAT" envDefault:"json"`

	// DefaultMaxMessages and DefaultMaxBytes limit each workflow's stream; 0 is unlimited.
	DefaultMaxMessages int64 `env:"BREAKER_DEFAULT_MAX_MESSAGES" envDefault:"0"`
	DefaultMaxBytes    Bytes `env:"BREAKER_DEFAULT_MAX_BYTES" envDefault:"0"`
	// DefaultMaxAge is how long a finished instance is kept where its workflow says nothing;
	// 0 keeps it for good. Live tokens have no age.
	DefaultMaxAge time.Duration `env:"BREAKER_DEFAULT_MAX_AGE" envDefault:"168h"`
	// ConsumerTimeout is how long a consumer's message may stay unacknowledged.
	ConsumerTimeout time.Duration `env:"BREAKER_CONSUMER_TIMEOUT" envDefault:"30s"`
	// MaxDeliver is how often a message is delivered at most.
	MaxDeliver int `env:"BREAKER_MAX_DELIVER" envDefault:"5"`
	// ConnectionTimeout bounds one attempt to connect.
	ConnectionTimeout time.Duration `env:"BREAKER_CONNECTION_TIMEOUT" envDefault:"10s"`
	// ReconnectBufferSize is how much a connection that commits nothing may hold back during
	// an outage. Connections that commit hold back nothing, whatever it says.
	ReconnectBufferSize Bytes `env:"BREAKER_RECONNECT_BUFFER_SIZE" envDefault:"8MiB"`
	// Replicas and Storage are those of the streams that the service creates.
	Replicas int    `env:"BREAKER_REPLICAS" envDefault:"1"`
	Storage  string `env:"BREAKER_STORAGE" envDefault:"file"`

	// Concurrency is how many requests are served at once; one more is answered 429.
	Concurrency int `env:"BREAKER_CONCURRENCY" envDefault:"256"`
	// RequestTimeout bounds the work on one request.
	RequestTimeout time.Duration `env:"BREAKER_REQUEST_TIMEOUT" envDefault:"10s"`
	// DrainTimeout bounds how long a stopping service waits for requests in flight.
	DrainTimeout time.Duration `env:"BREAKER_DRAIN_TIMEOUT" envDefault:"30s"`
}

const off = "off"

// ServesHTTP reports whether health and metrics are served.
func (b Base) ServesHTTP() bool { return b.HTTPListen != "" && b.HTTPListen != off }

// DefaultBase is what Load gives in an empty environment.
func DefaultBase() Base {
	var b Base
	if err := Load(nil, &b); err != nil {
		panic("the defaults of Base are faulty: " + err.Error())
	}
	return b
}

// Common is the shared part of a configuration that embeds Base.
func (b Base) Common() Base { return b }

// Validate reports every fault at once; it prints no value that may hold a password.
func (b Base) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }

	for _, raw := range b.NATSURLs {
		// url.Parse quotes its input in errors, and the input may hold a password.
		if u, err := url.Parse(strings.TrimSpace(raw)); err != nil || (strings.Contains(raw, "://") && u.Host == "") {
			fault("BREAKER_NATS_URLS holds what is no URL; write nats://host:4222, several with commas between")
		}
	}
	ways := 0
	for _, set := range []bool{b.NATSCreds != "", b.NATSUser != "", b.NATSToken != "", b.NATSNKey != ""} {
		if set {
			ways++
		}
	}
	if ways > 1 {
		fault("set one of BREAKER_NATS_CREDS, BREAKER_NATS_USER, BREAKER_NATS_TOKEN and BREAKER_NATS_NKEY, not several")
	}
	if b.NATSPassword != "" && b.NATSUser == "" {
		fault("BREAKER_NATS_PASSWORD needs BREAKER_NATS_USER")
	}
	if (b.NATSCert == "") != (b.NATSKey == "") {
		fault("BREAKER_NATS_CERT and BREAKER_NATS_KEY go together")
	}
	if b.ServesHTTP() {
		if _, _, err := net.SplitHostPort(b.HTTPListen); err != nil {
			fault("BREAKER_HTTP_LISTEN must be host:port such as 127.0.0.1:8081, or off")
		}
	}
	oneOf := func(name, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			fault("%s must be one of %s", name, strings.Join(allowed, ", "))
		}
	}
	oneOf("BREAKER_LOG_LEVEL", b.LogLevel, "trace", "debug", "info", "warn", "error", "off")
	oneOf("BREAKER_LOG_FORMAT", b.LogFormat, "json", "console")
	oneOf("BREAKER_STORAGE", b.Storage, StorageFile, StorageMemory)

	if b.Replicas < 1 || b.Replicas > 5 {
		fault("BREAKER_REPLICAS must be 1 to 5")
	}
	if b.Concurrency < 1 || b.Concurrency > 1<<16 {
		fault("BREAKER_CONCURRENCY must be 1 to %d", 1<<16)
	}
	if b.MaxDeliver < 1 {
		fault("BREAKER_MAX_DELIVER must be at least 1")
	}
	if b.DefaultMaxMessages < 0 {
		fault("BREAKER_DEFAULT_MAX_MESSAGES cannot be negative; 0 is unlimited")
	}
	if b.DefaultMaxAge < 0 {
		fault("BREAKER_DEFAULT_MAX_AGE cannot be negative; 0 keeps finished instances for good")
	}
	for name, d := range map[string]time.Duration{
		"BREAKER_CONSUMER_TIMEOUT":   b.ConsumerTimeout,
		"BREAKER_CONNECTION_TIMEOUT": b.ConnectionTimeout,
		"BREAKER_REQUEST_TIMEOUT":    b.RequestTimeout,
		"BREAKER_DRAIN_TIMEOUT":      b.DrainTimeout,
	} {
		if d <= 0 {
			fault("%s must be longer than 0", name)
		}
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(faults...)
}
