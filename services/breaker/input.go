package breaker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// document reads a --data or --metadata value: JSON, @FILE, or - for standard input. An
// empty value is no document.
func (a *App) document(flag, value string) (json.RawMessage, error) {
	var raw []byte
	var err error
	switch {
	case value == "":
		return nil, nil
	case value == "-":
		raw, err = io.ReadAll(a.Console.In)
	case strings.HasPrefix(value, "@"):
		raw, err = os.ReadFile(value[1:])
	default:
		raw = []byte(value)
	}
	if err != nil {
		return nil, usagef("--%s: %w", flag, err)
	}
	if !json.Valid(raw) {
		var sink any
		return nil, usagef("--%s is not JSON: %w", flag, json.Unmarshal(raw, &sink))
	}
	return raw, nil
}

// payload are the flags for a token's documents.
type payload struct{ data, metadata string }

func (p *payload) flags(cmd *cobra.Command, meaning string) {
	cmd.Flags().StringVarP(&p.data, "data", "d", "", meaning+": JSON, @FILE, or - for standard input")
	cmd.Flags().StringVar(&p.metadata, "metadata", "", "the same for metadata")
}

func (p *payload) read(a *App) (data, metadata json.RawMessage, err error) {
	if p.data == "-" && p.metadata == "-" {
		return nil, nil, usagef("only one of --data and --metadata can be standard input")
	}
	if data, err = a.document("data", p.data); err != nil {
		return nil, nil, err
	}
	metadata, err = a.document("metadata", p.metadata)
	return data, metadata, err
}

// originFlags are the flags of every command that changes something.
func originFlags(cmd *cobra.Command, origin *wire.Origin) {
	cmd.Flags().StringVar(&origin.TriggeredBy, "by", "", "who asks for the change")
	cmd.Flags().StringVar(&origin.RequestID, "request-id", "", "makes a repeat of the command return its first outcome")
}

// fenceFlags are the flags of changes that can depend on what was read before.
func fenceFlags(cmd *cobra.Command, expected, arrival *uint64) {
	cmd.Flags().Uint64Var(expected, "expected-sequence", 0, "refuse unless this is the instance's revision")
	cmd.Flags().Uint64Var(arrival, "arrival-sequence", 0, "refuse unless the token entered its place at this revision")
}

// listFlags are the flags of lists.
type listFlags struct {
	limit  int
	cursor string
	all    bool
}

func (l *listFlags) flags(cmd *cobra.Command) {
	cmd.Flags().IntVar(&l.limit, "limit", wire.DefaultPage, "how many to list at most")
	cmd.Flags().StringVar(&l.cursor, "cursor", "", "go on where an earlier list ended")
	cmd.Flags().BoolVar(&l.all, "all", false, "list everything, however much it is")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if l.limit < 1 {
			return usagef("--limit must be at least 1, not %d", l.limit)
		}
		return nil
	}
}

// collect fetches pages until it has as many items as the flags ask for, or all of them.
// It returns the cursor at which a further list would go on; empty at the end.
func collect[T any](ctx context.Context, a *App, l listFlags, fetch func(context.Context, wire.Page) ([]T, string, error)) ([]T, string, error) {
	items := []T{}
	page := wire.Page{Cursor: l.cursor}
	for {
		page.Limit = wire.MaxPage
		if !l.all {
			page.Limit = min(wire.MaxPage, l.limit-len(items))
		}
		bounded, cancel := a.request(ctx)
		more, next, err := fetch(bounded, page)
		cancel()
		if err != nil {
			return nil, "", err
		}
		items = append(items, more...)
		page.Cursor = next
		if next == "" || !l.all && len(items) >= l.limit {
			return items, next, nil
		}
	}
}

// more tells a person that a list was not the end.
func (a *App) more(next string) {
	if next != "" && !a.Console.JSON {
		a.Console.Notef("there is more: --all, or --cursor %s\n", next)
	}
}

// asOfFlag reads a point in the past.
func asOfFlag(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVar(value, "as-of", "", "read the past: a stream sequence, or a time such as 2026-01-31T12:00:00Z")
}

func asOf(value string) (wire.AsOf, error) {
	if value == "" {
		return wire.AsOf{}, nil
	}
	if sequence, err := strconv.ParseUint(value, 10, 64); err == nil && sequence > 0 {
		return wire.AsOf{Sequence: sequence}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, value)
	if err != nil {
		return wire.AsOf{}, usagef("--as-of takes a stream sequence or a time such as 2026-01-31T12:00:00Z, not %q", value)
	}
	return wire.AsOf{Time: at}, nil
}

// pairs reads old=new arguments.
func pairs(flag string, values []string) (map[string]string, error) {
	if len(values) == 0 {
		return nil, nil
	}
	all := make(map[string]string, len(values))
	for _, value := range values {
		from, to, ok := strings.Cut(value, "=")
		if !ok || from == "" || to == "" {
			return nil, usagef("--%s takes OLD=NEW, not %q", flag, value)
		}
		all[from] = to
	}
	return all, nil
}

// oneOfFlag checks the value of a flag that has a few possible ones, or none.
func oneOfFlag[S ~string](flag, value string, allowed ...S) (S, error) {
	if value == "" {
		return "", nil
	}
	names := make([]string, len(allowed))
	for i, s := range allowed {
		if string(s) == value {
			return s, nil
		}
		names[i] = string(s)
	}
	return "", usagef("--%s is one of %s, not %q", flag, strings.Join(names, ", "), value)
}

// offer has the shell complete a flag with its possible values.
func offer(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// moment reads a time, or how long ago it was.
func moment(flag, value string, now time.Time) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(value); err == nil && ago >= 0 {
		return now.Add(-ago).UTC(), nil
	}
	at, err := time.Parse(time.RFC3339Nano, value)
	if err != nil {
		return time.Time{}, usagef("--%s takes how long ago, such as 90m, or a time such as 2026-01-31T12:00:00Z, not %q", flag, value)
	}
	return at.UTC(), nil
}

// plural counts things for people.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func versionArg(value string) (int, error) {
	n, err := strconv.Atoi(strings.TrimPrefix(value, "v"))
	if err != nil || n < 1 {
		return 0, usagef("a version is a number from 1, not %q", value)
	}
	return n, nil
}
