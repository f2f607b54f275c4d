package bus

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config says how a service connects and what it creates on demand.
type Config struct {
	// URLs of the NATS servers.
	URLs []string
	// Name shows in the server's list of connections.
	Name string
	// Creds is a credentials file; User, Password, Token and NKeySeedFile are alternatives.
	Creds, User, Password, Token, NKeySeedFile string
	// CA, Cert and Key are PEM files for TLS.
	CA, Cert, Key string
	// InProcess connects to a server in the same process instead of to URLs.
	InProcess nats.InProcessConnProvider
	// Options are further options of the connection, for what has no field here.
	Options []nats.Option
	// ConnectTimeout bounds one attempt to connect.
	ConnectTimeout time.Duration
	// AckTimeout is how long one publish waits for its acknowledgement before the outcome
	// is looked up.
	AckTimeout time.Duration
	// Replicas of every stream that the service creates, 1 to 5.
	Replicas int
	// Memory puts the workflows' streams into memory, for throw-away fleets.
	Memory bool
	// MaxMessages and MaxBytes limit each workflow's stream; 0 is unlimited.
	MaxMessages, MaxBytes int64
	// CacheBytes bounds the cache of instance states.
	CacheBytes int64
}

// DefaultConfig is a single loopback server, unlimited streams.
func DefaultConfig() Config {
	return Config{
		URLs:           []string{nats.DefaultURL},
		ConnectTimeout: 10 * time.Second,
		AckTimeout:     2 * time.Second,
		Replicas:       1,
		CacheBytes:     32 << 20,
	}
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var faults []error
	if len(c.URLs) == 0 && c.InProcess == nil {
		faults = append(faults, errors.New("no NATS server is named"))
	}
	if c.Replicas < 1 || c.Replicas > 5 {
		faults = append(faults, fmt.Errorf("replicas must be 1 to 5, not %d", c.Replicas))
	}
	if c.MaxMessages < 0 || c.MaxBytes < 0 {
		faults = append(faults, errors.New("limits of streams cannot be negative; 0 is unlimited"))
	}
	if c.ConnectTimeout <= 0 || c.AckTimeout <= 0 {
		faults = append(faults, errors.New("time-outs must be positive"))
	}
	return errors.Join(faults...)
}

func (c Config) storage() jetstream.StorageType {
	if c.Memory {
		return jetstream.MemoryStorage
	}
	return jetstream.FileStorage
}
