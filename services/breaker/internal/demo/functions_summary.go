package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/seed-42b4788c/circuit-breaker/deploy/examples"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// FunctionSummary counts the runs of a function.
type FunctionSummary struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
	examples.Runs
	// Retried are the runs that needed more than one attempt.
	Retried     int `json:"retried"`
	DeadLetters int `json:"dead_letters"`
}

// FunctionRefusal is a run that has failed, with what the function after it said.
type FunctionRefusal struct {
	Workflow string `json:"workflow"`
	Sample   string `json:"sample"`
	Function string `json:"function"`
	wire.Failure
	Next   string          `json:"next"`
	Output json.RawMessage `json:"output"`
}

// tellRuns reads the runs of all functions and shows what they did.
func (d *demo) tellRuns(ctx context.Context, r *run, s *Summary) (err error) {
	counted := map[string]*FunctionSummary{}
	for _, w := range d.workflows {
		if w.runs, err = d.readRuns(ctx, r, w); err != nil {
			return fmt.Errorf("reading the runs of %s: %w", w.Definition.Name, err)
		}
		for _, fn := range w.Functions {
			if counted[fn.ID] == nil {
				counted[fn.ID] = &FunctionSummary{Name: fn.ID, Kind: fn.Kind}
			}
		}
		w.runs.count(counted)
		if refusal := w.runs.refusal(); s.Refusal == nil && refusal != nil {
			refusal.of(w, r)
			s.Refusal = &refusal.FunctionRefusal
		}
	}
	for _, name := range slices.Sorted(maps.Keys(counted)) {
		s.Functions = append(s.Functions, *counted[name])
	}
	d.showRefusal(s.Refusal)
	d.heading("What the functions did")
	table := ui.NewTable("  function", "kind", "runs", "succeeded", "failed", "tried again", "dead letters")
	for _, f := range s.Functions {
		table.Row("  "+f.Name, f.Kind, number(f.Ended()), number(f.Succeeded), number(f.Failed), number(f.Retried), number(f.DeadLetters))
	}
	d.table(table)
	return nil
}

func (r *runs) count(counted map[string]*FunctionSummary) {
	of := func(id string) *FunctionSummary {
		if counted[id] == nil {
			counted[id] = &FunctionSummary{Name: id}
		}
		return counted[id]
	}
	for i := range r.records {
		f, n := of(r.records[i].Target), countOf(&r.records[i])
		f.Runs = f.Add(n)
		f.Retried += min(n.Retries, 1)
	}
	for _, letter := range r.letters {
		of(letter.Target).DeadLetters++
	}
}

// refusedRun is a refusal with the instance that it is about.
type refusedRun struct {
	FunctionRefusal
	instance string
}

// refusal finds the first run that a program refused and that another one came after.
func (r *runs) refusal() *refusedRun {
	next := map[string]*wire.Execution{}
	for i := range r.records {
		if e := &r.records[i]; e.Parent != "" {
			next[e.Parent] = e
		}
	}
	for i := range r.letters {
		letter := &r.letters[i]
		after := next[letter.ID]
		if letter.Error == nil || letter.Error.Code != wire.FailureRejected || after == nil {
			continue
		}
		return &refusedRun{instance: letter.InstanceID, FunctionRefusal: FunctionRefusal{
			Function: letter.Target, Failure: *letter.Error, Next: after.Target, Output: after.Output,
		}}
	}
	return nil
}

func (refused *refusedRun) of(w *deployed, r *run) {
	refused.Workflow = w.Definition.Name
	for _, doc := range r.documents {
		if doc.outcome.Instance.ID == refused.instance {
			refused.Sample = doc.sample.Description
		}
	}
}

func (d *demo) showRefusal(r *FunctionRefusal) {
	if r == nil {
		return
	}
	d.heading("A document that a function refuses")
	d.printf("  %s: %s\n", r.Workflow, ui.Clean(r.Sample))
	d.printf("  %s failed with %s: %s\n", r.Function, d.console.Paint(ui.Bad, r.Code), ui.Clean(r.Message))
	d.printf("  %s came after it and gave %s\n", r.Next, ui.Clean(string(r.Output)))
}

// functionsSay sums up what was verified of functions.
func (s *Summary) functionsSay() string {
	var all FunctionSummary
	for _, f := range s.Functions {
		all.Runs = all.Add(f.Runs)
		all.Retried, all.DeadLetters = all.Retried+f.Retried, all.DeadLetters+f.DeadLetters
	}
	return fmt.Sprintf("Functions gave %d results, each of them once in the log, %d after a second attempt; the %d dead letters are those that the samples want.",
		all.Ended(), all.Retried, all.DeadLetters)
}
