package breaker

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// shelf is where the fleet keeps definitions of one kind, of which a file holds one or
// several: D as a file has them, S as they are stored.
type shelf[D, S any] struct {
	one, many       string
	exists, missing fault.Code
	read            func(path string) (held[D], error)
	id              func(*D) string
	version         func(*S) int
	get             func(ctx context.Context, c *client.Client, id string) (S, error)
	// same says whether a stored definition says what the file says.
	same   func(*D, *S) bool
	create func(context.Context, *client.Client, *D, wire.Origin) (S, error)
	update func(context.Context, *client.Client, *D, *S, wire.Origin) (S, error)
}

// held is what a file holds of a kind; usable only where there are no problems.
type held[D any] struct {
	path        string
	definitions []D
	problems    []wire.Problem
}

// putOutcome is what putting one definition came to.
type putOutcome struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome"`
	Version int    `json:"version"`
	File    string `json:"file"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

func newPut[D, S any](a *App, s *shelf[D, S], long string) *cobra.Command {
	var origin wire.Origin
	var dryRun bool
	cmd := &cobra.Command{
		Use: "put FILE…", Short: "Create " + s.many + " from files, or their next versions", Long: long,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := s.readAll(a, args)
			if err != nil {
				return err
			}
			n := 0
			for _, file := range files {
				n += len(file.definitions)
			}
			if origin.RequestID != "" && n > 1 {
				return usagef("--request-id identifies one change: put one %s at a time with it", s.one)
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			done := []putOutcome{}
			for _, file := range files {
				for i := range file.definitions {
					put, err := s.put(cmd.Context(), a, c, &file.definitions[i], origin, dryRun)
					if err != nil {
						a.Console.Notef("%s\n", a.Console.PaintErr(ui.Bad, s.one+" "+ui.Clean(put.ID)+" of "+ui.Clean(file.path)+" was not put"))
						return errors.Join(err, s.show(a, done))
					}
					put.File = file.path
					done = append(done, put)
				}
			}
			return s.show(a, done)
		},
	}
	originFlags(cmd, &origin)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	return cmd
}

// readAll reads all files and reports the problems of all of them before it fails.
func (s *shelf[D, S]) readAll(a *App, paths []string) ([]held[D], error) {
	files := make([]held[D], len(paths))
	results := make([]checked, len(paths))
	ids := map[string]string{}
	sound := true
	for i, path := range paths {
		file, err := s.read(path)
		if err != nil {
			return nil, usageError{err}
		}
		files[i], results[i] = file, newChecked(path, file.problems)
		sound = sound && results[i].Valid
		for k := range file.definitions {
			id := s.id(&file.definitions[k])
			if other, ok := ids[id]; ok && other != path && id != "" {
				return nil, usagef("%s and %s both define the %s %s", other, path, s.one, id)
			}
			ids[id] = path
		}
	}
	if !sound {
		return nil, a.problems(results)
	}
	return files, nil
}

func (s *shelf[D, S]) show(a *App, done []putOutcome) error {
	return a.show(map[string]any{s.many: done}, func() {
		if len(done) == 0 {
			return
		}
		t := ui.NewTable(strings.ToUpper(s.one), "VERSION", "OUTCOME", "FILE")
		for _, p := range done {
			t.Row(ui.Cell{Text: p.ID, Style: ui.Bold}, number(p.Version), outcome(p.Outcome, p.DryRun), p.File)
		}
		a.Console.Table(t, "")
	})
}

// put brings the fleet to what a file says. Whoever loses a race for it looks again, once.
func (s *shelf[D, S]) put(ctx context.Context, a *App, c *client.Client, d *D, origin wire.Origin, dryRun bool) (putOutcome, error) {
	done := putOutcome{ID: s.id(d), DryRun: dryRun}
	for attempt := 0; ; attempt++ {
		err := s.putOnce(ctx, a, c, d, origin, &done)
		if attempt == 0 && (errors.Is(err, s.exists) || errors.Is(err, s.missing) || errors.Is(err, fault.VersionMismatch)) {
			continue
		}
		return done, err
	}
}

func (s *shelf[D, S]) putOnce(ctx context.Context, a *App, c *client.Client, d *D, origin wire.Origin, done *putOutcome) error {
	ctx, cancel := a.request(ctx)
	defer cancel()
	now, err := s.get(ctx, c, done.ID)
	switch {
	case errors.Is(err, s.missing):
		done.Outcome, done.Version = deployCreated, 1
		if done.DryRun {
			return nil
		}
		now, err = s.create(ctx, c, d, origin)
	case err != nil:
		return err
	case s.same(d, &now):
		done.Outcome = deployUnchanged
	default:
		done.Outcome, done.Version = deployUpdated, s.version(&now)+1
		if done.DryRun {
			return nil
		}
		now, err = s.update(ctx, c, d, &now, origin)
	}
	if err == nil {
		done.Version = s.version(&now)
	}
	return err
}
