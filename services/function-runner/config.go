package functionrunner

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/env"
	"github.com/seed-42b4788c/circuit-breaker/services/function-runner/internal/execkind"
)

// Config of the function-runner.
type Config struct {
	// Concurrency is how many requests one copy serves at once; one more is answered 429.
	Concurrency int
	// RequestTimeout bounds the work on one request.
	RequestTimeout time.Duration
	// EventConcurrency is how many events one copy works on at once.
	EventConcurrency int
	// JobConcurrency is how many functions one copy runs at once.
	JobConcurrency int
	// AckWait is how long an event or a job of a copy that has died stays there, before another
	// copy gets it.
	AckWait time.Duration
	// ExecutionAge is how long records of executions are kept; 0 is for good.
	ExecutionAge time.Duration
	// MaxOutput is how many bytes of JSON a function may give.
	MaxOutput int64
	// HTTPAllow are the private networks that functions may call.
	HTTPAllow []netip.Prefix
	// ExecAllow are the programs that functions may run, by name.
	ExecAllow map[string]string
	// WASMCache is a folder for compiled modules; empty keeps them in memory.
	WASMCache string
	// SecretsDir is a folder with a file for each secret; empty is none.
	SecretsDir string
	// Environ is where secrets are found besides, as BREAKER_SECRET_{NAME}.
	Environ []string
}

// DefaultConfig suits a small machine.
func DefaultConfig() Config {
	var e Environment
	if err := env.Load(nil, &e); err != nil {
		panic("the defaults of the function-runner are faulty: " + err.Error())
	}
	cfg, err := e.Config(nil)
	if err != nil {
		panic("the defaults of the function-runner are faulty: " + err.Error())
	}
	return cfg
}

// Validate reports every fault at once.
func (c Config) Validate() error {
	var faults []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(c.EventConcurrency < 1, "event concurrency must be at least 1, not %d", c.EventConcurrency)
	fault(c.JobConcurrency < 1, "job concurrency must be at least 1, not %d", c.JobConcurrency)
	fault(c.AckWait < time.Second, "the consumer's time-out must be at least 1s, not %s", c.AckWait)
	fault(c.ExecutionAge < 0, "the age of executions cannot be negative; 0 keeps them for good")
	fault(c.MaxOutput < 1, "the largest output must be at least 1 byte, not %d", c.MaxOutput)
	return errors.Join(faults...)
}

// Environment is the configuration as the program reads it.
type Environment struct {
	env.Base
	EventConcurrency int           `env:"BREAKER_EVENT_CONCURRENCY" envDefault:"64"`
	JobConcurrency   int           `env:"BREAKER_JOB_CONCURRENCY" envDefault:"64"`
	ExecutionAge     time.Duration `env:"BREAKER_EXECUTION_MAX_AGE" envDefault:"168h"`
	MaxOutput        env.Bytes     `env:"BREAKER_FUNCTION_MAX_OUTPUT" envDefault:"1MiB"`
	// HTTPAllow lists networks such as 10.0.0.0/8.
	HTTPAllow []string `env:"BREAKER_HTTP_ALLOW"`
	// ExecAllow lists programs as name=/path, or as /path/name.
	ExecAllow  string `env:"BREAKER_EXEC_ALLOW"`
	WASMCache  string `env:"BREAKER_WASM_CACHE"`
	SecretsDir string `env:"BREAKER_SECRETS_DIR"`
}

// Validate reports every fault at once.
func (e Environment) Validate() error {
	_, err := e.Config(nil)
	return errors.Join(e.Base.Validate(), err)
}

// Config is what the service needs of it; secrets are looked for in environ.
func (e Environment) Config(environ []string) (Config, error) {
	cfg := Config{
		Concurrency: e.Concurrency, RequestTimeout: e.RequestTimeout, EventConcurrency: e.EventConcurrency, JobConcurrency: e.JobConcurrency,
		AckWait: e.ConsumerTimeout, ExecutionAge: e.ExecutionAge, MaxOutput: int64(e.MaxOutput), WASMCache: e.WASMCache,
		SecretsDir: e.SecretsDir, Environ: environ,
	}
	var faults []error
	for _, text := range e.HTTPAllow {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			faults = append(faults, fmt.Errorf("BREAKER_HTTP_ALLOW holds %q, which is no network such as 10.0.0.0/8", text))
			continue
		}
		cfg.HTTPAllow = append(cfg.HTTPAllow, prefix)
	}
	var err error
	if cfg.ExecAllow, err = execkind.ParseAllow(e.ExecAllow); err != nil {
		faults = append(faults, fmt.Errorf("BREAKER_EXEC_ALLOW: %w", err))
	}
	return cfg, errors.Join(faults...)
}
