package catalog_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestDefinitionsAreListedByPages(t *testing.T) {
	t.Parallel()
	c := newTestWorld(t).open()
	for i := range 25 {
		c.must(c.create(t.Context(), fmt.Sprintf("plan-%02d", (i*7)%25), "", "small"))
	}
	c.must(c.create(t.Context(), "gone", "", "small"))
	c.must(c.remove(t.Context(), "gone", 0, ""))
	ids := func(matches func(*plan) bool) (all []string) {
		t.Helper()
		for page := (wire.Page{Limit: 4}); ; {
			part, next, err := c.List(matches, page)
			if err != nil || len(part) > 4 || len(part) == 0 {
				t.Fatalf("a page has %d plans, %v", len(part), err)
			}
			for _, p := range part {
				all = append(all, p.ID)
			}
			if page.Cursor = next; next == "" {
				return all
			}
		}
	}
	if all := ids(func(*plan) bool { return true }); len(all) != 25 || !slices.IsSorted(all) || all[0] != "plan-00" {
		t.Errorf("all are %v", all)
	}
	if some := ids(func(p *plan) bool { return strings.HasPrefix(p.ID, "plan-1") }); len(some) != 10 {
		t.Errorf("those that begin with plan-1 are %v", some)
	}
	if none, next, err := c.List(func(*plan) bool { return false }, wire.Page{}); none == nil || len(none) != 0 || next != "" || err != nil {
		t.Errorf("none are %v, %q, %v", none, next, err)
	}
	twice, _, err := c.Page(wire.Page{}, func() ([]*entry, error) {
		return []*entry{c.Known("plan-03"), c.Known("plan-01"), c.Known("plan-03")}, nil
	})
	if err != nil || len(twice) != 2 || twice[0].ID != "plan-01" {
		t.Errorf("what is listed twice came as %v, %v", twice, err)
	}
	never := func() ([]*entry, error) { t.Error("a bad page was listed"); return nil, nil }
	for _, page := range []wire.Page{{Cursor: "zz"}, {Limit: -1}, {Limit: wire.MaxPage + 1}} {
		if _, _, err := c.Page(page, never); !errors.Is(err, fault.InvalidField) {
			t.Errorf("%+v: %v", page, err)
		}
	}
}

func TestHistoryHasEveryVersion(t *testing.T) {
	t.Parallel()
	c := newTestWorld(t).open()
	c.must(c.create(t.Context(), "old", "", "1"))
	for i := 2; i <= 9; i++ {
		c.must(c.update(t.Context(), "old", i-1, "", fmt.Sprint(i)))
	}
	c.must(c.remove(t.Context(), "old", 0, ""))
	var texts []string
	for page := (wire.Page{Limit: 4}); ; {
		part, next, err := c.History(t.Context(), "old", page)
		if err != nil || len(part) > 4 {
			t.Fatalf("a page has %d versions, %v", len(part), err)
		}
		for _, p := range part {
			texts = append(texts, p.Text)
		}
		if page.Cursor = next; next == "" {
			break
		}
	}
	if strings.Join(texts, "") != "123456789" {
		t.Errorf("the versions are %v", texts)
	}
	if e := c.refused(fault.InvalidField)(c.Version(t.Context(), "id", "old", -1)); e.Details["field"] != "version" {
		t.Errorf("the details are %v", e.Details)
	}
	for name, test := range map[string]struct {
		id   string
		page wire.Page
		code fault.Code
	}{
		"what never was": {"never", wire.Page{}, planNotFound},
		"no id":          {"", wire.Page{}, fault.InvalidField},
		"a cursor":       {"old", wire.Page{Cursor: "-1"}, fault.InvalidField},
		"a limit":        {"old", wire.Page{Limit: wire.MaxPage + 1}, fault.InvalidField},
	} {
		if _, _, err := c.History(t.Context(), test.id, test.page); !errors.Is(err, test.code) {
			t.Errorf("%s: %v, want %s", name, err, test.code)
		}
	}
}

// A page takes one definition, however large.
func TestAPageEndsWhenItIsLarge(t *testing.T) {
	t.Parallel()
	c := newTestWorld(t).open()
	large := strings.Repeat("x", wire.MaxPageBytes+1)
	c.must(c.create(t.Context(), "a", "", large))
	c.must(c.create(t.Context(), "b", "", "small"))
	c.must(c.update(t.Context(), "a", 0, "", "small"))
	page, next, err := c.History(t.Context(), "a", wire.Page{})
	if err != nil || len(page) != 1 || next != "1" {
		t.Errorf("the history begins with %d versions, then %q, %v", len(page), next, err)
	}
	c.must(c.update(t.Context(), "a", 0, "", large))
	list, next, err := c.List(func(*plan) bool { return true }, wire.Page{})
	if err != nil || len(list) != 1 || next != "61" {
		t.Errorf("the list begins with %d plans, then %q, %v", len(list), next, err)
	}
}
