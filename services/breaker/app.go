package breaker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/natscontext"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// connectWait bounds how long a command tries to reach a server.
const connectWait = 3 * time.Second

// App is one run of the program: its console, its environment, the flags that all commands
// share, and the connection, made when a command first needs it.
type App struct {
	Console *ui.Console
	// Environ is the environment as KEY=value.
	Environ []string

	where    natscontext.Choice
	timeout  time.Duration
	bus      *bus.Bus
	language *condition.Language
}

// Getenv reads the environment that the program was given.
func (a *App) Getenv(name string) string {
	for i := len(a.Environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(a.Environ[i], name+"="); ok {
			return value
		}
	}
	return ""
}

// globalFlags are the flags of every command that speaks to a fleet, named as the nats
// command line names them.
func (a *App) globalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.BoolVar(&a.Console.JSON, "json", false, "write JSON instead of tables")
	flags.StringVar(&a.where.Context, "context", "", "NATS context to use (NATS_CONTEXT)")
	flags.StringVarP(&a.where.Server, "server", "s", "", "NATS server URLs (NATS_URL)")
	flags.StringVar(&a.where.Creds, "creds", "", "credentials file (NATS_CREDS)")
	flags.StringVar(&a.where.User, "user", "", "user, or a token when there is no password (NATS_USER)")
	flags.StringVar(&a.where.Password, "password", "", "password (NATS_PASSWORD)")
	flags.StringVar(&a.where.NKey, "nkey", "", "file with an nkey seed (NATS_NKEY)")
	flags.StringVar(&a.where.CA, "tlsca", "", "file with the certificate authority (NATS_CA)")
	flags.StringVar(&a.where.Cert, "tlscert", "", "file with the client's certificate (NATS_CERT)")
	flags.StringVar(&a.where.Key, "tlskey", "", "file with the client's private key (NATS_KEY)")
	flags.DurationVar(&a.timeout, "timeout", 10*time.Second, "how long to wait for a reply")
	_ = root.RegisterFlagCompletionFunc("context", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return natscontext.Names(a.Getenv), cobra.ShellCompDirectiveNoFileComp
	})
}

// Bus is the connection to the fleet's NATS server, made at the first call.
func (a *App) Bus(ctx context.Context) (*bus.Bus, error) {
	if a.bus != nil {
		return a.bus, nil
	}
	settings, err := natscontext.Resolve(a.where, a.Getenv)
	if err != nil {
		return nil, usageError{err}
	}
	cfg := bus.DefaultConfig()
	cfg.URLs = strings.Split(settings.URL, ",")
	cfg.Name = "breaker command line"
	cfg.Creds, cfg.NKeySeedFile = settings.Creds, settings.NKey
	cfg.User, cfg.Password, cfg.Token = settings.User, settings.Password, settings.Token
	cfg.CA, cfg.Cert, cfg.Key = settings.CA, settings.Cert, settings.Key
	cfg.Options = connectOptions(settings)
	cfg.ConnectTimeout = connectWait

	wait, cancel := context.WithTimeout(ctx, connectWait)
	defer cancel()
	a.bus, err = bus.Connect(wait, cfg, telemetry.Discard())
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) {
			return nil, fmt.Errorf("the NATS server at %s refused the credentials: %w", redacted(settings.URL), err)
		}
		return nil, fault.New(fault.Unavailable, "no NATS server answers at %s; start one with breaker up, or name it with --server or --context", redacted(settings.URL)).Because(err)
	}
	return a.bus, nil
}

// connectOptions are those settings of a context that have no field in bus.Config.
func connectOptions(s natscontext.Settings) []nats.Option {
	var options []nats.Option
	if s.TLSFirst {
		options = append(options, nats.TLSHandshakeFirst())
	}
	if s.InboxPrefix != "" {
		options = append(options, nats.CustomInboxPrefix(s.InboxPrefix))
	}
	if s.UserJWT != "" {
		options = append(options, nats.UserJWTAndSeed(s.UserJWT, s.UserSeed))
	}
	return options
}

// redacted keeps passwords in URLs out of messages.
func redacted(urls string) string {
	parts := strings.Split(urls, ",")
	for i, part := range parts {
		if at := strings.LastIndex(part, "@"); at >= 0 {
			scheme, _, _ := strings.Cut(part, "//")
			parts[i] = scheme + "//…@" + part[at+1:]
		}
	}
	return strings.Join(parts, ",")
}

// Client is a typed caller of the services.
func (a *App) Client(ctx context.Context) (*client.Client, error) {
	b, err := a.Bus(ctx)
	if err != nil {
		return nil, err
	}
	return client.New(b.NC), nil
}

// conditions is the language of conditions, made when a command first needs it.
func (a *App) conditions() (language *condition.Language, err error) {
	if a.language == nil {
		a.language, err = condition.New()
	}
	return a.language, err
}

// request bounds one request.
func (a *App) request(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.timeout)
}

func (a *App) close() {
	if a.bus != nil {
		a.bus.Close()
		a.bus = nil
	}
}

// report shows an error on stderr, in the form that was asked for.
func (a *App) report(err error) {
	e := fault.From(err)
	if a.Console.JSON {
		if e.Code == fault.Internal {
			e = &fault.Error{Code: e.Code, Message: err.Error()}
		}
		_, _, body := fault.Encode(e)
		a.Console.Notef("%s\n", body)
		return
	}
	if errors.Is(err, context.Canceled) {
		a.Console.Notef("interrupted\n")
		return
	}
	message := err.Error()
	if e.Code != fault.Internal {
		message = e.Message
	}
	lines := details(e)
	if id, ok := e.Details["transition_id"].(string); ok && e.Code == fault.RuleRejected {
		// The message says what the lines of the rules say.
		message = id + " was not let through:"
	}
	a.Console.Notef("%s %s\n", a.Console.PaintErr(ui.Bad, "error:"), ui.Clean(message))
	for _, detail := range lines {
		a.Console.Notef("  %s\n", ui.Clean(detail))
	}
}

// details are those of a fault, one line each.
func details(e *fault.Error) []string {
	var lines []string
	for _, key := range sortedKeys(e.Details) {
		switch key {
		case "transition_id":
			if e.Code == fault.RuleRejected {
				continue
			}
		case "problems":
			if readable := detailLines(e, key, problemLine); readable != nil {
				lines = append(lines, readable...)
				continue
			}
		case "rule_results":
			if readable := detailLines(e, key, ruleLine); readable != nil {
				lines = append(lines, readable...)
				continue
			}
		}
		lines = append(lines, fmt.Sprintf("%s: %s", key, compact(e.Details[key])))
	}
	return lines
}
