package examples

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
)

func newTestExamples(t *testing.T) []Example {
	t.Helper()
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// newTestSample is a sample whose steps may be changed.
func newTestSample(t *testing.T, folder, name string) (Example, Sample) {
	t.Helper()
	for _, e := range newTestExamples(t) {
		for _, s := range e.Samples {
			if e.Folder == folder && s.Name == name {
				s.Steps = slices.Clone(s.Steps)
				return e, s
			}
		}
	}
	t.Fatalf("there is no sample %s of %s", name, folder)
	return Example{}, Sample{}
}

func newTestText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAllAreThere(t *testing.T) {
	t.Parallel()
	var names []string
	for _, e := range newTestExamples(t) {
		names = append(names, e.Definition.Name)
		if len(e.Samples) < 4 {
			t.Errorf("%s has %d samples", e.Folder, len(e.Samples))
		}
	}
	want := []string{"document_review", "expense_report", "incident_response", "invoice_processing", "order"}
	if !slices.Equal(names, want) {
		t.Errorf("examples are %v, want %v", names, want)
	}
}

// Every sample ends where it says, and together they fire every transition.
func TestSamplesEndWhereTheySay(t *testing.T) {
	t.Parallel()
	for _, e := range newTestExamples(t) {
		fired := map[string]bool{}
		for _, s := range e.Samples {
			t.Run(e.Folder+"/"+s.Name, func(t *testing.T) {
				t.Parallel()
				engine := newTestEngine(t, e)
				out, err := engine.driver().Run(t.Context(), e.Definition.Name, s)
				if err != nil {
					t.Fatal(err)
				}
				if !maps.Equal(out.Firings, s.Firings()) {
					t.Errorf("fired %v, not %v", out.Firings, s.Firings())
				}
				if !maps.Equal(engine.runs, s.Runs) && len(engine.runs)+len(s.Runs) > 0 {
					t.Errorf("the functions ran %v, not %v", engine.runs, s.Runs)
				}
			})
			for transition := range s.Firings() {
				fired[transition] = true
			}
		}
		for _, transition := range e.Definition.Transitions {
			if !fired[transition.ID] {
				t.Errorf("%s: no sample fires %s", e.Folder, transition.ID)
			}
		}
	}
}

func TestRunNoticesAnotherEnd(t *testing.T) {
	t.Parallel()
	e := newTestExamples(t)[0]
	s := e.Samples[0]
	s.Ends.Places = []string{"withdrawn"}
	_, err := newTestEngine(t, e).driver().Run(t.Context(), e.Definition.Name, s)
	if err == nil || !strings.Contains(err.Error(), "withdrawn") {
		t.Errorf("another end was accepted: %v", err)
	}
}

// A sample that waits must not also race: it never fires by hand out of a place whose
// time-out a hurried copy shortens.
func TestHurriedSamplesDoNotRace(t *testing.T) {
	t.Parallel()
	const after = 2 * time.Second
	waiting := 0
	for _, e := range newTestExamples(t) {
		hurried := e.Hurried("hurried", after)
		if _, problems := petri.Compile(hurried.Definition); len(problems) > 0 {
			t.Fatalf("%s: the hurried copy is invalid: %v", e.Folder, problems)
		}
		short := map[string]bool{}
		for i, place := range hurried.Definition.Places {
			if place.Timeout == nil {
				continue
			}
			if time.Duration(place.Timeout.After) == after {
				short[place.ID] = true
			}
			if original := e.Definition.Places[i].Timeout; time.Duration(original.After) == after {
				t.Errorf("%s: the original was changed too", e.Folder)
			}
		}
		for _, s := range hurried.Samples {
			waiting++
			engine := newTestEngine(t, hurried)
			engine.beforeFire = func(place string) {
				if short[place] {
					t.Errorf("%s/%s fires by hand out of %s", e.Folder, s.Name, place)
				}
			}
			if _, err := engine.driver().Run(t.Context(), "hurried", s); err != nil {
				t.Error(err)
			}
		}
	}
	if waiting < 3 {
		t.Errorf("only %d samples wait for a time-out", waiting)
	}
}

// A step that comes by itself must be the very next that happens.
func TestRunNoticesAnotherAutomaticFiring(t *testing.T) {
	t.Parallel()
	e, s := newTestSample(t, "invoice-processing", "petty")
	s.Steps[2].Transition = "request_approval"
	_, err := newTestEngine(t, e).driver().Run(t.Context(), e.Definition.Name, s)
	if err == nil || !strings.Contains(err.Error(), `"waive_approval" fired instead`) {
		t.Errorf("another firing was accepted: %v", err)
	}
}

func TestRunNoticesWhoFired(t *testing.T) {
	t.Parallel()
	e, s := newTestSample(t, "expense-report", "small")
	out, err := newTestEngine(t, e).driver().Run(t.Context(), e.Definition.Name, s)
	if err != nil || out.Functions != 3 || out.Automatic != 1 {
		t.Fatalf("got %+v, %v", out, err)
	}
	s.Steps[0].ByFunction, s.Steps[0].Automatic = false, true
	_, err = newTestEngine(t, e).driver().Run(t.Context(), e.Definition.Name, s)
	if err == nil || !strings.Contains(err.Error(), `it was fired by "function-runner", not "rules"`) {
		t.Errorf("a firing of another was accepted: %v", err)
	}
}

func TestRunNoticesOtherData(t *testing.T) {
	t.Parallel()
	e, s := newTestSample(t, "expense-report", "small")
	s.Ends.Data = map[string]any{"reimbursement": 157.91}
	_, err := newTestEngine(t, e).driver().Run(t.Context(), e.Definition.Name, s)
	if err == nil || !strings.Contains(err.Error(), "data.reimbursement is 157.9, not 157.91") {
		t.Errorf("other data were accepted: %v", err)
	}
}

// A step after a function waits for its result, and so fails where there is none.
func TestRunWaitsForAResult(t *testing.T) {
	t.Parallel()
	e, s := newTestSample(t, "expense-report", "incomplete")
	s.Steps[1].After = "reimbursement"
	_, err := newTestEngine(t, e).driver().Run(t.Context(), e.Definition.Name, s)
	if err == nil || !strings.Contains(err.Error(), "waiting for the result of reimbursement") {
		t.Errorf("a result that never came was not missed: %v", err)
	}
}

func TestRunKeepsRefusals(t *testing.T) {
	t.Parallel()
	e := newTestExamples(t)[0]
	i := slices.IndexFunc(e.Samples, func(s Sample) bool { return s.Name == "untitled" })
	s := e.Samples[i]
	out, err := newTestEngine(t, e).driver().Run(t.Context(), e.Definition.Name, s)
	if err != nil || len(out.Refusals) != 1 {
		t.Fatalf("got %+v, %v", out, err)
	}
	if r := out.Refusals[0]; r.Code != fault.RuleRejected || len(r.Results) != 1 || r.Results[0].RuleID != "has_title" || r.Results[0].Passed {
		t.Errorf("the refusal is %+v", r)
	}
	s.Steps = slices.Clone(s.Steps)
	s.Steps[0].Refused = fault.TransitionNotEnabled
	if _, err := newTestEngine(t, e).driver().Run(t.Context(), e.Definition.Name, s); !errors.Is(err, fault.RuleRejected) {
		t.Errorf("another refusal was accepted: %v", err)
	}
	s.Steps[0].Refused, s.Steps[0].Data = fault.RuleRejected, s.Steps[1].Data
	if _, err := newTestEngine(t, e).driver().Run(t.Context(), e.Definition.Name, s); err == nil {
		t.Error("a firing that was to be refused was accepted")
	}
}

// Every definition compiles with the language of conditions, too.
func TestInlineConditionsCompile(t *testing.T) {
	t.Parallel()
	for _, e := range newTestExamples(t) {
		language := newTestLanguage(t)
		if problems := append(language.CheckWhens(e.Definition), language.CheckMappings(e.Definition)...); len(problems) > 0 {
			t.Errorf("%s: %v", e.Folder, problems)
		}
	}
}

func TestReadmesAreShort(t *testing.T) {
	t.Parallel()
	for _, e := range newTestExamples(t) {
		text := newTestText(t, filepath.Join(e.Folder, "README.md"))
		if n := strings.Count(text, "\n"); n > 40 {
			t.Errorf("%s/README.md has %d lines", e.Folder, n)
		}
		for _, s := range e.Samples {
			if !strings.Contains(text, "`"+s.Name+"`") {
				t.Errorf("%s/README.md does not name the sample %s", e.Folder, s.Name)
			}
		}
		for _, r := range e.Rules {
			if !strings.Contains(text, r.ID) {
				t.Errorf("%s/README.md does not name the rule %s", e.Folder, r.ID)
			}
		}
		for _, f := range e.Functions {
			if !strings.Contains(text, "`"+f.ID+"`") {
				t.Errorf("%s/README.md does not name the function %s", e.Folder, f.ID)
			}
		}
	}
}
