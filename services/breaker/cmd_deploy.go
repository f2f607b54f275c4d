package breaker

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/definition"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// Outcomes of deploying a workflow or putting a rule.
const (
	deployCreated   = "created"
	deployUpdated   = "updated"
	deployUnchanged = "unchanged"
)

// deployment is what deploying one file came to.
type deployment struct {
	File    string `json:"file"`
	Outcome string `json:"outcome"`
	Name    string `json:"name"`
	ID      string `json:"id,omitempty"`
	Version int    `json:"version"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

func newDeploy(a *App) *cobra.Command {
	var origin wire.Origin
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "deploy FILE…",
		Short: "Create workflows from files, or deploy their next versions",
		Long: `deploy reads definitions in YAML or JSON ("-" is standard input), reports everything that is
wrong with them at once, and deploys them only if all of them are right. A workflow whose name is
new is created; one whose content differs gets a next version; the others stay unchanged.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if origin.RequestID != "" && len(args) > 1 {
				return usagef("--request-id identifies one change: deploy one file at a time with it")
			}
			files, err := a.read(args)
			if err != nil {
				return err
			}
			c, err := a.Client(cmd.Context())
			if err != nil {
				return err
			}
			done := []deployment{}
			for _, file := range files {
				d, err := a.deploy(cmd.Context(), c, file, origin, dryRun)
				if err != nil {
					a.Console.Notef("%s\n", a.Console.PaintErr(ui.Bad, ui.Clean(file.Path)+" was not deployed"))
					return errors.Join(err, a.deployed(done))
				}
				done = append(done, d)
			}
			return a.deployed(done)
		},
	}
	originFlags(cmd, &origin)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and do nothing")
	return cmd
}

// read reads all files and reports the problems of all of them before it fails.
func (a *App) read(paths []string) ([]*definition.File, error) {
	files := make([]*definition.File, len(paths))
	results := make([]checked, len(paths))
	names := map[string]string{}
	sound := true
	for i, path := range paths {
		file, err := a.readDefinition(path)
		if err != nil {
			return nil, err
		}
		files[i], results[i] = file, newChecked(path, file.Problems)
		if len(file.Problems) > 0 {
			sound = false
			continue
		}
		name := file.Definition().Name
		if other, ok := names[name]; ok {
			return nil, usagef("%s and %s both define %s", other, path, name)
		}
		names[name] = path
	}
	if !sound {
		return nil, a.problems(results)
	}
	return files, nil
}

func (a *App) readDefinition(path string) (*definition.File, error) {
	language, err := a.conditions()
	if err != nil {
		return nil, err
	}
	file, err := definition.Read(language, path, a.Console.In)
	if err != nil {
		return nil, usageError{err}
	}
	return file, nil
}

// checked is what validating one file found.
type checked struct {
	File     string         `json:"file"`
	Valid    bool           `json:"valid"`
	Problems []wire.Problem `json:"problems"`
}

func newChecked(path string, problems []wire.Problem) checked {
	return checked{File: path, Valid: len(problems) == 0, Problems: append([]wire.Problem{}, problems...)}
}

// problems reports what is wrong with each file, and fails if anything is.
func (a *App) problems(results []checked) error {
	var failed error
	for _, r := range results {
		if !r.Valid {
			failed = errProblems
		}
	}
	if a.Console.JSON {
		return errors.Join(failed, a.Console.Document(map[string]any{"files": results}))
	}
	for _, r := range results {
		if r.Valid {
			a.Console.Printf("%s: %s\n", ui.Clean(r.File), a.Console.Paint(ui.Good, "valid"))
			continue
		}
		a.Console.Printf("%s: %s\n", ui.Clean(r.File), a.Console.Paint(ui.Bad, plural(len(r.Problems), "problem", "problems")))
		for _, p := range r.Problems {
			a.Console.Printf("  %s\n", ui.Clean(problemLine(p)))
		}
	}
	return failed
}

func (a *App) deployed(done []deployment) error {
	return a.show(map[string]any{"workflows": done}, func() {
		if len(done) == 0 {
			return
		}
		t := ui.NewTable("WORKFLOW", "VERSION", "OUTCOME", "ID", "FILE")
		for _, d := range done {
			t.Row(d.Name, number(d.Version), outcome(d.Outcome, d.DryRun), d.ID, d.File)
		}
		a.Console.Table(t, "")
	})
}

// outcome is what became of one thing in a file.
func outcome(what string, dryRun bool) ui.Cell {
	cell := ui.Cell{Text: what, Style: map[string]ui.Style{deployCreated: ui.Good, deployUpdated: ui.Accent, deployUnchanged: ui.Dim}[what]}
	if dryRun && what != deployUnchanged {
		cell.Text = "would be " + what
	}
	return cell
}

// deploy brings the fleet to what the file says. Two deployers of one new name race for
// it; who loses finds the other's version and goes on from there.
func (a *App) deploy(ctx context.Context, c *client.Client, file *definition.File, origin wire.Origin, dryRun bool) (deployment, error) {
	d := deployment{File: file.Path, Name: file.Definition().Name, DryRun: dryRun}
	for attempt := 0; ; attempt++ {
		have, err := a.deployedVersion(ctx, c, d.Name)
		if err != nil {
			return d, err
		}
		var now wire.Workflow
		switch {
		case have == nil:
			d.Outcome, d.Version = deployCreated, 1
			if dryRun {
				return d, nil
			}
			now, err = a.create(ctx, c, file, origin)
			if errors.Is(err, fault.WorkflowExists) && attempt == 0 {
				continue
			}
		case definition.Same(&have.Definition, file.Definition()):
			d.Outcome, now = deployUnchanged, *have
		default:
			d.Outcome, d.ID, d.Version = deployUpdated, have.ID, have.Version+1
			if dryRun {
				return d, nil
			}
			now, err = a.update(ctx, c, have, file, origin)
		}
		if err != nil {
			return d, err
		}
		d.ID, d.Version = now.ID, now.Version
		return d, nil
	}
}

func (a *App) deployedVersion(ctx context.Context, c *client.Client, name string) (*wire.Workflow, error) {
	ctx, cancel := a.request(ctx)
	defer cancel()
	have, err := c.WorkflowGet(ctx, wire.WorkflowGetRequest{WorkflowID: name})
	if errors.Is(err, fault.WorkflowNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &have, nil
}

func (a *App) create(ctx context.Context, c *client.Client, file *definition.File, origin wire.Origin) (wire.Workflow, error) {
	ctx, cancel := a.request(ctx)
	defer cancel()
	return c.WorkflowCreate(ctx, wire.WorkflowCreateRequest{Definition: file.JSON, Origin: origin})
}

func (a *App) update(ctx context.Context, c *client.Client, have *wire.Workflow, file *definition.File, origin wire.Origin) (wire.Workflow, error) {
	ctx, cancel := a.request(ctx)
	defer cancel()
	return c.WorkflowUpdate(ctx, wire.WorkflowUpdateRequest{
		WorkflowID: have.ID, Definition: file.JSON, ExpectedVersion: have.Version, Origin: origin,
	})
}
