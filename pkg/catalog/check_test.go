package catalog_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/catalog"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestWhatCannotBeStoredIsRefused(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	c := w.open()
	c.must(c.create(t.Context(), "there", "", "one"))
	for name, test := range map[string]struct {
		plan   plan
		origin wire.Origin
		field  string
	}{
		"no id":            {plan{}, wire.Origin{}, "id"},
		"a bad id":         {plan{ID: "No Name"}, wire.Origin{}, "id"},
		"a reserved id":    {plan{ID: "none"}, wire.Origin{}, "id"},
		"a long text":      {plan{ID: "x", Description: strings.Repeat("ä", catalog.MaxDescription+1)}, wire.Origin{}, "description"},
		"many tags":        {plan{ID: "x", Tags: make([]string, catalog.MaxTags+1)}, wire.Origin{}, "tags"},
		"an empty tag":     {plan{ID: "x", Tags: []string{"a", ""}}, wire.Origin{}, "tags[1]"},
		"a long tag":       {plan{ID: "x", Tags: []string{strings.Repeat("ä", catalog.MaxTag+1)}}, wire.Origin{}, "tags[0]"},
		"a long author":    {plan{ID: "x"}, wire.Origin{TriggeredBy: strings.Repeat("a", catalog.MaxTriggeredBy+1)}, "triggered_by"},
		"a long request":   {plan{ID: "x"}, wire.Origin{RequestID: strings.Repeat("a", catalog.MaxRequestID+1)}, "request_id"},
		"the owner's no":   {plan{ID: "x", Text: "bad"}, wire.Origin{}, "text"},
		"the head's first": {plan{ID: "x", Text: "bad", Tags: []string{""}}, wire.Origin{}, "tags[0]"},
	} {
		check := func(_ context.Context, p *plan) error {
			if p.Text == "bad" {
				return fault.New(fault.InvalidField, "text is bad").With("field", "text")
			}
			return nil
		}
		e := c.refused(fault.InvalidField)(c.Create(t.Context(), test.plan, test.origin, "", check))
		if e.Details["field"] != test.field {
			t.Errorf("created with %s: %v, want %s", name, e.Details, test.field)
		}
		if test.field == "id" {
			continue
		}
		e = c.refused(fault.InvalidField)(c.Update(t.Context(), "there", 0, test.origin, "", func(p *plan) {
			p.Description, p.Tags, p.Text = test.plan.Description, test.plan.Tags, test.plan.Text
		}, check))
		if e.Details["field"] != test.field {
			t.Errorf("updated to %s: %v, want %s", name, e.Details, test.field)
		}
	}
	c.refused(fault.InvalidField)(c.Update(t.Context(), "none", 0, wire.Origin{}, "", nil, nil))
	c.refused(fault.InvalidField)(c.Delete(t.Context(), "none", 0, wire.Origin{}, "", nil))
	c.refused(fault.InvalidField)(c.Delete(t.Context(), "there", 0, wire.Origin{RequestID: strings.Repeat("a", catalog.MaxRequestID+1)}, "", nil))
	if e := c.refused(fault.InvalidField)(c.Version(t.Context(), "plan_id", "none", 0)); e.Details["field"] != "plan_id" ||
		e.Message != `plan_id cannot be "none": the absence of a plan is called so` {
		t.Errorf("%s, %v", e.Message, e.Details)
	}
	if n := w.stored(); n != 1 {
		t.Errorf("refusals left %d messages", n)
	}
}

// A check may bring what is stored into its canonical form.
func TestAVersionIsStoredAsItWasChecked(t *testing.T) {
	t.Parallel()
	c := newTestWorld(t).open()
	trim := func(_ context.Context, p *plan) error { p.Text = strings.TrimSpace(p.Text); return nil }
	c.must(c.Create(t.Context(), plan{ID: "trimmed", Text: " one "}, request(""), "", trim))
	c.must(c.Update(t.Context(), "trimmed", 0, request(""), "", func(p *plan) { p.Text += " and two " }, trim))
	if e := c.must(c.Existing(t.Context(), "trimmed")); e.Definition.Text != "one and two" || e.Prepared != "ONE AND TWO" {
		t.Errorf("stored is %+v", e)
	}
}

func TestMessagesFollowFromTheNoun(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	c := w.open(func(cfg *catalog.Config[plan, string]) { cfg.Noun = "agent" })
	c.must(c.create(t.Context(), "smith", "", "one"))
	said := []string{
		c.refused(planExists)(c.create(t.Context(), "smith", "", "one")).Message,
		c.refused(fault.VersionMismatch)(c.update(t.Context(), "smith", 7, "", "two")).Message,
		c.refused(fault.VersionNotFound)(c.Version(t.Context(), "id", "smith", 2)).Message,
		c.refused(planNotFound)(c.Version(t.Context(), "id", "jones", 2)).Message,
	}
	c.must(c.remove(t.Context(), "smith", 1, ""))
	said = append(said, "header "+w.last("smith").Header.Get("Breaker-Agent-Version"))
	w.lose()
	said = append(said, c.refused(fault.Unavailable)(c.Existing(t.Context(), "smith")).Message)
	want := []string{
		`there is an agent "smith" already, in version 1; update it`,
		`the agent is at version 1, not 7: look at it and try again`,
		`agent "smith" has no version 2; the newest is 1`,
		`there is no agent "jones"`,
		`header 1`,
		`the bucket of agents is out of reach at the moment; try again`,
	}
	if fmt.Sprint(said) != fmt.Sprint(want) {
		t.Errorf("said was %q, not %q", said, want)
	}
}
