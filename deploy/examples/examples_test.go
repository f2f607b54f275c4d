package examples

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func newTestExamples(t *testing.T) []Example {
	t.Helper()
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	return all
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
	want := []string{"document_review", "incident_response", "invoice_processing", "order"}
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
				if out.Firings != s.Firings() {
					t.Errorf("fired %d times, not %d", out.Firings, s.Firings())
				}
			})
			for _, step := range s.Steps {
				fired[step.Transition] = true
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

func TestReadmesAreShort(t *testing.T) {
	t.Parallel()
	for _, e := range newTestExamples(t) {
		text, err := os.ReadFile(filepath.Join(e.Folder, "README.md"))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), "\n"); n > 40 {
			t.Errorf("%s/README.md has %d lines", e.Folder, n)
		}
		for _, s := range e.Samples {
			if !strings.Contains(string(text), "`"+s.Name+"`") {
				t.Errorf("%s/README.md does not name the sample %s", e.Folder, s.Name)
			}
		}
	}
}

// testEngine is the pure engine with one instance in memory. A time-out is due at once.
type testEngine struct {
	net        *petri.Net
	limits     petri.Limits
	state      *wire.State
	revision   uint64
	now        time.Time
	beforeFire func(place string)
}

func newTestEngine(t *testing.T, e Example) *testEngine {
	t.Helper()
	net, problems := petri.Compile(e.Definition)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return &testEngine{
		net: net, limits: petri.DefaultLimits(4 << 20), now: time.Unix(1_700_000_000, 0).UTC(),
		beforeFire: func(string) {},
	}
}

func (e *testEngine) driver() Driver {
	return Driver{Create: e.create, Fire: e.fire, Get: e.get, Await: e.await}
}

func (e *testEngine) commit(cmd petri.Command) error {
	e.now = e.now.Add(time.Second)
	event, err := petri.Decide(e.net, e.state, cmd, petri.Meta{Time: e.now}, e.limits)
	if err != nil {
		return err
	}
	e.revision++
	e.state = event.Instance
	e.state.Fill(e.revision)
	return nil
}

func (e *testEngine) create(_ context.Context, req wire.TokenCreateRequest) (wire.Token, error) {
	const workflow = "11111111-2222-4333-8444-555555555555"
	id, err := wire.NewInstanceID(workflow, e.now.UnixMilli(), 1)
	if err != nil {
		return wire.Token{}, err
	}
	err = e.commit(petri.Create{WorkflowID: workflow, InstanceID: id, Place: req.Place, Data: req.Data, Metadata: req.Metadata})
	if err != nil {
		return wire.Token{}, err
	}
	return e.state.Tokens[0], nil
}

func (e *testEngine) fire(_ context.Context, req wire.FireRequest) (wire.FireReply, error) {
	transition, ok := e.net.Transition(req.TransitionID)
	if ok {
		for _, token := range e.state.Tokens {
			if slices.Contains(transition.From, token.Place) {
				e.beforeFire(token.Place)
			}
		}
	}
	err := e.commit(petri.Fire{
		TransitionID: req.TransitionID, FromPlace: req.FromPlace, Data: req.Data, Metadata: req.Metadata,
	})
	if err != nil {
		return wire.FireReply{}, err
	}
	instance := e.state.Instance
	instance.Tokens = nil
	return wire.FireReply{Success: true, Instance: instance}, nil
}

func (e *testEngine) get(context.Context, wire.InstanceGetRequest) (wire.Instance, error) {
	return e.state.Instance, nil
}

func (e *testEngine) await(context.Context, string, uint64) (wire.Instance, error) {
	for _, token := range e.state.Tokens {
		place, ok := e.net.Place(token.Place)
		if !ok || place.Timeout == nil {
			continue
		}
		if err := e.commit(petri.Fire{TokenID: token.ID, TransitionID: place.Timeout.Transition}); err != nil {
			return wire.Instance{}, err
		}
		return e.state.Instance, nil
	}
	return wire.Instance{}, errors.New("no token has a time-out to wait for")
}
