package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

// race does something from two copies at once, many times, and sorts the outcomes.
func race(t *testing.T, do func(copy, i int) (*entry, error)) (done []*entry, errs []error) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			e, err := do(i%2, i)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, err)
			} else {
				done = append(done, e)
			}
		})
	}
	wg.Wait()
	return done, errs
}

func TestOfRacingCreatesOneWins(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	copies := []*copyOf{w.open(), w.open()}
	for version := range 3 {
		done, errs := race(t, func(copy, i int) (*entry, error) {
			return copies[copy].create(t.Context(), "raced", "", fmt.Sprint(i))
		})
		if len(done) != 1 || done[0].Definition.Version != version+1 {
			t.Fatalf("%d creates were done: %+v", len(done), done)
		}
		for _, err := range errs {
			if !errors.Is(err, planExists) {
				t.Errorf("a create failed with %v", err)
			}
		}
		copies[0].must(copies[0].remove(t.Context(), "raced", version+1, ""))
	}
	if n := w.stored(); n != 6 {
		t.Errorf("%d messages are stored", n)
	}
}

func TestRivalsOfAnUpdateEachMakeAVersion(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	copies := []*copyOf{w.open(), w.open()}
	copies[0].must(copies[0].create(t.Context(), "contended", "", "first"))
	done, errs := race(t, func(copy, i int) (*entry, error) {
		return copies[copy].update(t.Context(), "contended", 0, "", fmt.Sprint(i))
	})
	seen := map[int]bool{}
	for _, e := range done {
		seen[e.Definition.Version] = true
	}
	if len(errs) != 0 || len(seen) != 20 || seen[1] || !seen[21] {
		t.Errorf("the versions are %v, the errors %v", seen, errs)
	}
	done, errs = race(t, func(copy, i int) (*entry, error) {
		return copies[copy].update(t.Context(), "contended", 21, "", fmt.Sprint(i))
	})
	if len(done) != 1 || done[0].Definition.Version != 22 {
		t.Errorf("of those that expected one version %d were done", len(done))
	}
	for _, err := range errs {
		if !errors.Is(err, fault.VersionMismatch) {
			t.Errorf("an update failed with %v", err)
		}
	}
}

func TestARepeatIsAnsweredWithWhatTheFirstMade(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	copies := []*copyOf{w.open(), w.open()}
	c, other := copies[0], copies[1]
	done, errs := race(t, func(copy, _ int) (*entry, error) {
		return copies[copy].create(t.Context(), "repeated", "r1", "one")
	})
	if len(errs) > 0 || w.stored() != 1 {
		t.Fatalf("repeats at once stored %d messages, and failed with %v", w.stored(), errs)
	}
	first := done[0].Definition
	for _, e := range done {
		if cmp.Diff(first, e.Definition) != "" {
			t.Errorf("one was answered %+v, another %+v", first, e.Definition)
		}
	}
	second := c.must(c.update(t.Context(), "repeated", 1, "r2", "two")).Definition
	c.must(c.update(t.Context(), "repeated", 0, "", "three"))
	last := c.must(c.remove(t.Context(), "repeated", 3, "r3")).Definition
	c.must(c.create(t.Context(), "repeated", "r4", "four"))

	for name, test := range map[string]struct {
		want  plan
		again func(context.Context) (*entry, error)
	}{
		"the creation": {first, func(ctx context.Context) (*entry, error) { return other.create(ctx, "repeated", "r1", "one") }},
		"the update":   {second, func(ctx context.Context) (*entry, error) { return other.update(ctx, "repeated", 1, "r2", "two") }},
		"the deletion": {last, func(ctx context.Context) (*entry, error) { return other.remove(ctx, "repeated", 3, "r3") }},
	} {
		if got := other.must(test.again(t.Context())).Definition; cmp.Diff(test.want, got) != "" {
			t.Errorf("the repeat of %s was answered %+v, not %+v", name, got, test.want)
		}
	}
	if n := w.stored(); n != 5 {
		t.Errorf("%d messages are stored", n)
	}
}

func TestARequestIDIsForOneChange(t *testing.T) {
	t.Parallel()
	c := newTestWorld(t).open()
	c.must(c.create(t.Context(), "taken", "r1", "one"))
	c.refused(fault.RequestIDReused)(c.create(t.Context(), "taken", "r1", "another"))
	c.refused(fault.RequestIDReused)(c.update(t.Context(), "taken", 0, "r1", "one"))
	c.refused(fault.RequestIDReused)(c.remove(t.Context(), "taken", 0, "r1"))
	c.must(c.remove(t.Context(), "taken", 0, "r2"))
	if e := c.refused(fault.RequestIDReused)(c.create(t.Context(), "taken", "r2", "one")); e.Details["request_id"] != "r2" {
		t.Errorf("the details are %v", e.Details)
	}
	// It is a name within one definition.
	c.must(c.create(t.Context(), "free", "r1", "one"))
}

func TestADefinitionGoesOnCountingAfterItsEnd(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	c := w.open()
	first := c.must(c.create(t.Context(), "mortal", "", "one"))
	c.must(c.update(t.Context(), "mortal", 1, "", "two"))
	c.refused(fault.VersionMismatch)(c.remove(t.Context(), "mortal", 1, ""))
	if gone := c.must(c.remove(t.Context(), "mortal", 2, `a "quoted"`+"\nid")); gone.Definition.Version != 2 || gone.Deleted {
		t.Errorf("the deletion answered %+v", gone)
	}
	m := w.last("mortal")
	for name, want := range map[string]string{
		"KV-Operation": "DEL", "Breaker-Plan-Version": "2", "Breaker-Author": `"alice"`,
		"Breaker-Request-Id": `"a \"quoted\"\nid"`, "Breaker-Request-Digest": "delete",
	} {
		if got := m.Header.Get(name); got != want || len(m.Data) > 0 {
			t.Errorf("the deletion says %s: %s, not %s", name, got, want)
		}
	}
	if known := c.Known("mortal"); !known.Deleted || known.Revision != m.Sequence || known.Prepared != "" || known.Definition.ID != "mortal" ||
		known.Definition.Version != 2 || known.Definition.Author != "alice" || known.Definition.RequestID != `a "quoted"`+"\nid" {
		t.Errorf("remembered is %+v", known)
	}
	for name, err := range map[string]*fault.Error{
		"get":    c.refused(planNotFound)(c.Existing(t.Context(), "mortal")),
		"update": c.refused(planNotFound)(c.update(t.Context(), "mortal", 0, "", "three")),
		"delete": c.refused(planNotFound)(c.remove(t.Context(), "mortal", 0, "")),
	} {
		if err.Details["plan_id"] != "mortal" || err.Message != `there is no plan "mortal"` {
			t.Errorf("%s: %s, %v", name, err.Message, err.Details)
		}
	}
	anew := c.must(c.create(t.Context(), "mortal", "", "three"))
	if anew.Definition.Version != 3 || !anew.Definition.CreatedAt.After(first.Definition.CreatedAt) {
		t.Errorf("made anew is %+v", anew.Definition)
	}
	if old := c.must(c.Version(t.Context(), "id", "mortal", 1)); old.Definition.Text != "one" || old.Prepared != "ONE" {
		t.Errorf("the first version is %+v", old)
	}
	e := c.refused(planExists)(c.create(t.Context(), "mortal", "", "four"))
	if e.Details["version"] != 3 || e.Message != `there is a plan "mortal" already, in version 3; update it` {
		t.Errorf("%s, %v", e.Message, e.Details)
	}
}

func TestOnlyTheUnusedIsDeleted(t *testing.T) {
	t.Parallel()
	c := newTestWorld(t).open()
	c.must(c.create(t.Context(), "needed", "", "one"))
	c.refused(fault.RuleInUse)(c.Delete(t.Context(), "needed", 0, request(""), "", func(context.Context) error {
		return fault.New(fault.RuleInUse, "it is needed")
	}))
	c.must(c.Existing(t.Context(), "needed"))
}
