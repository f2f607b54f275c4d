package rules_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestEveryVersionOfARuleIsKept(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	create := wire.RuleCreateRequest{
		ID: "has_title", Description: "There is a title.", Condition: json.RawMessage(`{"field_exists":"data.title"}`), Tags: []string{"content"},
		Origin: wire.Origin{TriggeredBy: "alice", RequestID: "c1"},
	}
	first := servicetest.Do(f.t, f.RuleCreate, create)
	if first.Version != 1 || first.Author != "alice" || first.CreatedAt.IsZero() || string(first.Condition) != `{"field_exists":{"field":"data.title"}}` {
		t.Errorf("created %+v", first)
	}
	servicetest.Refused(f.t, fault.RuleExists, f.RuleCreate, wire.RuleCreateRequest{ID: "has_title", Condition: json.RawMessage(`"true"`)})

	// More than a bucket of the client keeps.
	const updates = 70
	for i := range updates {
		text := fmt.Sprint("version ", i+2)
		updated := servicetest.Do(f.t, f.RuleUpdate, wire.RuleUpdateRequest{ID: "has_title", Description: &text, ExpectedVersion: i + 1, Origin: wire.Origin{TriggeredBy: "bob"}})
		if updated.Version != i+2 || updated.Author != "bob" || !updated.CreatedAt.Equal(first.CreatedAt) || !slices.Equal(updated.Tags, first.Tags) {
			t.Fatalf("updated %+v", updated)
		}
	}
	servicetest.Refused(f.t, fault.VersionMismatch, f.RuleUpdate, wire.RuleUpdateRequest{ID: "has_title", ExpectedVersion: 1, Condition: json.RawMessage(`"true"`)})
	if again := servicetest.Do(f.t, f.RuleCreate, create); cmp.Diff(first, again) != "" {
		t.Errorf("the repeat of the creation answered %+v", again)
	}
	create.Description = "another"
	servicetest.Refused(f.t, fault.RequestIDReused, f.RuleCreate, create)

	var versions []int
	for r, err := range f.AllRuleVersions(t.Context(), wire.RuleHistoryRequest{ID: "has_title", Page: wire.Page{Limit: 30}}) {
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, r.Version)
	}
	if len(versions) != updates+1 || !slices.IsSorted(versions) {
		t.Errorf("the versions are %v", versions)
	}
	if old := servicetest.Do(f.t, f.RuleGet, wire.RuleGetRequest{ID: "has_title", Version: 1}); cmp.Diff(first, old) != "" {
		t.Errorf("the first version is %+v", old)
	}
	servicetest.Refused(f.t, fault.VersionNotFound, f.RuleGet, wire.RuleGetRequest{ID: "has_title", Version: updates + 2})
	servicetest.Refused(f.t, fault.RuleNotFound, f.RuleHistory, wire.RuleHistoryRequest{ID: "nothing"})
	servicetest.Refused(f.t, fault.RuleNotFound, f.RuleUpdate, wire.RuleUpdateRequest{ID: "nothing", Condition: json.RawMessage(`"true"`)})
}

func TestRivalsOfAnUpdateEachMakeAVersion(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.start()
	f.rule("contended", `"true"`)
	const rivals = 20
	var wg sync.WaitGroup
	for i := range rivals {
		wg.Go(func() {
			text := fmt.Sprint(i)
			if _, err := f.RuleUpdate(t.Context(), wire.RuleUpdateRequest{ID: "contended", Description: &text}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, r := range servicetest.Do(f.t, f.RuleHistory, wire.RuleHistoryRequest{ID: "contended"}).Versions[1:] {
		seen[r.Description] = true
	}
	if now := servicetest.Do(f.t, f.RuleGet, wire.RuleGetRequest{ID: "contended"}); len(seen) != rivals || now.Version != rivals+1 {
		t.Errorf("%d updates are kept, and the version is %d", len(seen), now.Version)
	}
}

func TestRulesAreListed(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(`{"name":"review","initial_place":"a","places":[{"id":"a"},{"id":"b"}],"transitions":[{"id":"go","from":"a","to":"b"}]}`, `{}`)
	for i := range 25 {
		servicetest.Do(f.t, f.RuleCreate, wire.RuleCreateRequest{
			ID: fmt.Sprintf("rule-%02d", i), Condition: json.RawMessage(`"true"`), Tags: []string{[]string{"even", "odd"}[i%2]},
			WorkflowID: []string{"", "review", "later"}[i%3],
		})
	}
	ids := func(r wire.RuleListRequest) []string {
		t.Helper()
		var found []string
		r.Limit = 4
		for rule, err := range f.AllRules(t.Context(), r) {
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, rule.ID)
		}
		return found
	}
	if all := ids(wire.RuleListRequest{}); len(all) != 25 || !slices.IsSorted(all) {
		t.Errorf("all are %v", all)
	}
	if odd := ids(wire.RuleListRequest{Tag: "odd"}); len(odd) != 12 {
		t.Errorf("odd are %v", odd)
	}
	if scoped := ids(wire.RuleListRequest{WorkflowID: "review"}); len(scoped) != 8 || scoped[0] != "rule-01" {
		t.Errorf("scoped to review are %v", scoped)
	}
	if later := ids(wire.RuleListRequest{WorkflowID: "later"}); len(later) != 8 {
		t.Errorf("scoped to a workflow that is not there yet are %v", later)
	}
	if named := ids(wire.RuleListRequest{NameContains: "-1"}); len(named) != 10 {
		t.Errorf("named -1 are %v", named)
	}
	if some := ids(wire.RuleListRequest{IDs: []string{"rule-07", "no_such", "rule-03", "rule-07"}}); cmp.Diff([]string{"rule-03", "rule-07"}, some) != "" {
		t.Errorf("asked for by id came %v", some)
	}
	servicetest.Refused(f.t, fault.InvalidField, f.RuleList, wire.RuleListRequest{Page: wire.Page{Cursor: "zz"}})
	servicetest.Refused(f.t, fault.InvalidField, f.RuleList, wire.RuleListRequest{Page: wire.Page{Limit: 1001}})
	servicetest.Refused(f.t, fault.InvalidField, f.RuleList, wire.RuleListRequest{IDs: []string{"No Name"}})
}

func TestWhatCannotBeARuleIsRefused(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	yes := json.RawMessage(`"true"`)
	for name, test := range map[string]struct {
		request wire.RuleCreateRequest
		field   string
	}{
		"no id":           {wire.RuleCreateRequest{Condition: yes}, "id"},
		"a bad id":        {wire.RuleCreateRequest{ID: "Has Title", Condition: yes}, "id"},
		"a reserved id":   {wire.RuleCreateRequest{ID: "when", Condition: yes}, "id"},
		"no condition":    {wire.RuleCreateRequest{ID: "x"}, "condition"},
		"a bad path":      {wire.RuleCreateRequest{ID: "x", Condition: json.RawMessage(`{"and":[{"field_exists":"data.a"},{"field_exists":"title"}]}`)}, "condition.and[1].field_exists"},
		"an unknown kind": {wire.RuleCreateRequest{ID: "x", Condition: json.RawMessage(`{"field_is":{"field":"data.a"}}`)}, "condition"},
		"a typo":          {wire.RuleCreateRequest{ID: "x", Condition: json.RawMessage(`"token.plce == 'a'"`)}, "condition"},
		"a bad scope":     {wire.RuleCreateRequest{ID: "x", Condition: yes, WorkflowID: "No Name"}, "workflow_id"},
		"many tags":       {wire.RuleCreateRequest{ID: "x", Condition: yes, Tags: make([]string, 33)}, "tags"},
		"an empty tag":    {wire.RuleCreateRequest{ID: "x", Condition: yes, Tags: []string{"a", ""}}, "tags[1]"},
		"a long text":     {wire.RuleCreateRequest{ID: "x", Condition: yes, Description: strings.Repeat("ä", 4097)}, "description"},
	} {
		refusal := servicetest.Refused(f.t, fault.InvalidField, f.RuleCreate, test.request)
		if field, _ := refusal.Details["field"].(string); !strings.HasPrefix(field, test.field) {
			t.Errorf("%s: the field is %q, want %q: %s", name, field, test.field, refusal.Message)
		}
	}
	servicetest.Refused(f.t, fault.WorkflowNotFound, f.RuleCreate, wire.RuleCreateRequest{ID: "x", Condition: yes, WorkflowID: "0b5e2c7a-0e6b-4a52-9d3b-3f6c1f1f2a10"})
	servicetest.Refused(f.t, fault.InvalidField, f.RuleUpdate, wire.RuleUpdateRequest{ID: "x"})
	if left := servicetest.Do(f.t, f.RuleList, wire.RuleListRequest{}).Rules; len(left) != 0 {
		t.Errorf("refusals left %+v", left)
	}
}

// The bucket is a plain one for whoever watches it.
func TestTheBucketShowsTheNewestVersion(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.rule("gone", `"true"`)
	f.rule("here", `"true"`)
	servicetest.Do(f.t, f.RuleUpdate, wire.RuleUpdateRequest{ID: "here", Condition: json.RawMessage(`"1 < 2"`)})
	servicetest.Do(f.t, f.RuleDelete, wire.RuleDeleteRequest{ID: "gone", ExpectedVersion: 1})
	kv, err := f.JS.KeyValue(t.Context(), wire.BucketRules)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := kv.Keys(t.Context())
	if err != nil || cmp.Diff([]string{"here"}, keys) != "" {
		t.Errorf("the keys are %v, %v", keys, err)
	}
	entry, err := kv.Get(t.Context(), "here")
	if err != nil {
		t.Fatal(err)
	}
	var rule wire.Rule
	if err := json.Unmarshal(entry.Value(), &rule); err != nil || rule.Version != 2 {
		t.Errorf("the entry is %s, %v", entry.Value(), err)
	}
	if history, err := kv.History(t.Context(), "here"); err != nil || len(history) != 2 {
		t.Errorf("its history has %d entries, %v", len(history), err)
	}
	// A bucket that was lost is made again by the next copy that starts, and the rules
	// that were in it are gone for everybody.
	if err := f.JS.DeleteStream(t.Context(), bus.BucketStream(wire.BucketRules)); err != nil {
		t.Fatal(err)
	}
	once := client.New(f.NC, client.WithoutRetry())
	servicetest.Refused(f.t, fault.Unavailable, once.RuleGet, wire.RuleGetRequest{ID: "here"})
	f.start()
	servicetest.Refused(f.t, fault.RuleNotFound, f.RuleGet, wire.RuleGetRequest{ID: "here"})
	f.rule("here", `"true"`)
}
