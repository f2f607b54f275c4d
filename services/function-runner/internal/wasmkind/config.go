package wasmkind

import (
	"encoding/json"
	"time"
)

// Config is what an operator can set. What is absent has its default.
type Config struct {
	// MaxOutput bounds standard output, in bytes; absent is 1 MiB.
	MaxOutput int64
	// MaxModule bounds a module, in bytes; absent is 64 MiB.
	MaxModule int64
	// CacheDir keeps compiled modules over a restart; absent keeps them in memory alone. Who can
	// write there runs code in this process.
	CacheDir string
	// Pool is how many instances are kept ready per module; absent is 4, and -1 none.
	Pool int
	// Idle is how long a module that nobody runs stays in the cache; absent is 10m.
	Idle time.Duration
}

// Secrets resolves the secrets of an environment, and hides them in what comes out.
type Secrets interface {
	// Value is the secret that secret:NAME names, or the text itself.
	Value(text string) (string, error)
	Redact(text string) string
	RedactJSON(raw json.RawMessage) json.RawMessage
}

const (
	defaultMaxOutput = 1 << 20
	defaultMaxModule = 64 << 20
	defaultPool      = 4
	defaultIdle      = 10 * time.Minute
	defaultMemoryMB  = 64
	maxMemoryMB      = 1024
	pagesPerMB       = 16

	// maxModules is how many modules are compiled at once, but for those that are run.
	maxModules = 64
	// maxReading is how many modules are read, or wait to be compiled, at the same time.
	maxReading = 4
	// maxReady bounds the memory of all ready instances, in bytes.
	maxReady = 256 << 20
	// checkAgain is how long the store is believed about a module.
	checkAgain = time.Second
	// maxSighted is how many names of modules are remembered before old ones are forgotten.
	maxSighted = 1000
	// storeTimeout bounds one question to the store, loadTimeout the reading of a module.
	storeTimeout = 5 * time.Second
	// compileTimeout is how long a compilation is waited for.
	compileTimeout = 2 * time.Minute
	loadTimeout    = 30 * time.Second
)

func (c Config) withDefaults() Config {
	if c.MaxOutput == 0 {
		c.MaxOutput = defaultMaxOutput
	}
	if c.MaxModule == 0 {
		c.MaxModule = defaultMaxModule
	}
	if c.Pool == 0 {
		c.Pool = defaultPool
	}
	if c.Idle == 0 {
		c.Idle = defaultIdle
	}
	return c
}
