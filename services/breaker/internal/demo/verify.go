package demo

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/audit"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// Verified is what the event log of one workflow says.
type Verified struct {
	Workflow  string `json:"workflow"`
	Instances int    `json:"instances"`
	Firings   int    `json:"firings"`
	// Results are those of functions, with and without a firing.
	Results int `json:"results"`
	// Differences are empty when all is well.
	Differences []string `json:"differences"`
}

// verify compares the log of every workflow with what the demo saw acknowledged and what
// was to fire by itself, with the records of the functions' runs, and with itself and the view.
func (d *demo) verify(ctx context.Context, r *run, s *Summary) error {
	d.heading("What the event log says")
	table := ui.NewTable("  workflow", "instances", "firings", "results", "lost or doubled", "log, states and view")
	wrong := 0
	for _, w := range d.workflows {
		v, audited, err := d.verifyOne(ctx, r, w)
		if err != nil {
			return fmt.Errorf("verifying %s: %w", w.Definition.Name, err)
		}
		booked := len(v.Differences)
		v.Differences = append(v.Differences, audited...)
		s.Verified = append(s.Verified, v)
		wrong += len(v.Differences)
		table.Row("  "+v.Workflow, number(v.Instances), number(v.Firings), number(v.Results), verdict(booked, "none"), verdict(len(audited), "agree"))
	}
	d.table(table)
	if wrong == 0 {
		d.printf("\n%s every document ended as it should; the log holds what was acknowledged and what was to come by itself, once."+
			" Nothing that a rule rejected is in it.\n", d.console.Paint(ui.Good, "All is well:"))
		d.printf("%s\n", s.functionsSay())
		return nil
	}
	for _, v := range s.Verified {
		for _, difference := range v.Differences {
			d.console.Notef("%s: %s\n", v.Workflow, ui.Clean(difference))
		}
	}
	return fmt.Errorf("the event log shows %d differences", wrong)
}

func verdict(differences int, fine string) ui.Cell {
	if differences > 0 {
		return ui.Cell{Text: fmt.Sprintf("%d differences", differences), Style: ui.Bad}
	}
	return ui.Cell{Text: fine, Style: ui.Good}
}

// verifyOne returns what the books say and what the audit found.
func (d *demo) verifyOne(ctx context.Context, r *run, w *deployed) (Verified, []string, error) {
	v := Verified{Workflow: w.Definition.Name, Differences: []string{}}
	stream, err := d.bus.JS.Stream(ctx, w.workflow.Stream)
	if err != nil {
		return v, nil, err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(wire.EventSubjects(w.workflow.ID)))
	if err != nil {
		return v, nil, err
	}
	log := newBooks(info.State.Subjects)
	v.Instances, v.Firings = log.totals()
	expected := map[string]map[string]int{}
	for _, doc := range r.documents {
		if doc.of == w {
			expected[doc.outcome.Instance.ID] = doc.outcome.Firings
		}
	}
	v.Results = len(w.runs.results)
	v.Differences = append(v.Differences, log.compare(expected)...)
	v.Differences = append(v.Differences, w.runs.compare(r.expectedRuns(w))...)
	audited, err := d.audit(ctx, w)
	return v, audited, err
}

// audit folds the log, compares it with every snapshot in it, and with the view.
func (d *demo) audit(ctx context.Context, w *deployed) ([]string, error) {
	record := wire.WorkflowRecord{
		ID: w.workflow.ID, Name: w.workflow.Name, Version: w.workflow.Version,
		Status: w.workflow.Status, Stream: w.workflow.Stream,
	}
	report, err := audit.Verify(ctx, d.bus, record, audit.Options{})
	if err != nil {
		return nil, err
	}
	var differences []string
	for _, one := range report.Differences {
		differences = append(differences, fmt.Sprintf("%s: instance %s, revision %d: %s", one.Kind, one.InstanceID, one.Sequence, one.Message))
	}
	if more := report.Found - len(report.Differences); more > 0 {
		differences = append(differences, fmt.Sprintf("and %d more", more))
	}
	if report.Moving > 0 {
		differences = append(differences, fmt.Sprintf("%d instances changed although all had ended", report.Moving))
	}
	return differences, nil
}
