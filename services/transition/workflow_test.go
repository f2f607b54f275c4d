package transition_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestAWorkflowIsDeployedAsWritten(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := servicetest.Do(f.t, f.WorkflowCreate, wire.WorkflowCreateRequest{Definition: definition("order", "v1"), Origin: wire.Origin{TriggeredBy: "alice"}})
	if w.Name != "order" || w.Version != 1 || w.Status != wire.WorkflowActive || w.InitialPlace != "a" || w.Stream != wire.StreamName(w.ID) || w.CreatedAt.IsZero() || w.DeployedBy != "alice" {
		t.Errorf("have %+v", w)
	}
	for _, name := range []string{"order", w.ID} {
		if diff := cmp.Diff(w, servicetest.Do(f.t, f.WorkflowGet, wire.WorkflowGetRequest{WorkflowID: name})); diff != "" {
			t.Errorf("get %s (-create +get):\n%s", name, diff)
		}
	}
	for _, kind := range []string{wire.LifecycleStreamCreated, wire.LifecycleDeployed} {
		if n := f.Stored(w.Stream, wire.WorkflowLifecycleSubject(w.ID, kind)); n != 1 {
			t.Errorf("the stream has %d events %s", n, kind)
		}
	}
	streams := servicetest.Do(f.t, f.WorkflowStreams, wire.WorkflowStreamsRequest{WorkflowID: "order"}).Streams
	if len(streams) != 1 || streams[0].Name != w.Stream || streams[0].MessageCount != 3 || streams[0].ByteSize == 0 || streams[0].LastActivity.IsZero() {
		t.Errorf("have %+v", streams)
	}
}

func TestAnInvalidDefinitionIsRefusedWithEveryProblem(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	bad := json.RawMessage(`{"name":"Bad Name","initial_place":"x","places":[{"id":"a"},{"id":"a"}],"transitions":[{"id":"go","from":"a","to":"moon"}]}`)
	checked := servicetest.Do(f.t, f.WorkflowValidate, wire.WorkflowValidateRequest{Definition: bad})
	if checked.Valid || len(checked.Problems) < 4 {
		t.Errorf("have %+v", checked)
	}
	err := servicetest.Refused(f.t, fault.InvalidDefinition, f.WorkflowCreate, wire.WorkflowCreateRequest{Definition: bad})
	if problems, _ := err.Details["problems"].([]any); len(problems) != len(checked.Problems) {
		t.Errorf("create names %v, validate %v", err.Details, checked.Problems)
	}
	if good := servicetest.Do(f.t, f.WorkflowValidate, wire.WorkflowValidateRequest{Definition: definition("order", "")}); !good.Valid || len(good.Problems) != 0 {
		t.Errorf("have %+v", good)
	}
	f.deploy("order", "")
	servicetest.Refused(f.t, fault.InvalidDefinition, f.WorkflowUpdate, wire.WorkflowUpdateRequest{WorkflowID: "order", Definition: bad})
	servicetest.Refused(f.t, fault.InvalidField, f.WorkflowUpdate, wire.WorkflowUpdateRequest{WorkflowID: "order", Definition: definition("other", "")})
	servicetest.Refused(f.t, fault.WorkflowNotFound, f.WorkflowUpdate, wire.WorkflowUpdateRequest{WorkflowID: "nobody", Definition: definition("nobody", "")})
	if got := servicetest.Do(f.t, f.WorkflowList, wire.WorkflowListRequest{}).Workflows; len(got) != 1 || got[0].Version != 1 {
		t.Errorf("refusals left %+v", got)
	}
}

func TestARepeatedCreateIsOneWorkflow(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.start() // a second copy
	var mu sync.Mutex
	ids := map[string]bool{}
	var callers sync.WaitGroup
	for range 6 {
		callers.Go(func() {
			w, err := f.WorkflowCreate(t.Context(), creation("order", "once"))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			ids[w.ID] = true
			mu.Unlock()
		})
	}
	callers.Wait()
	f.restart()
	w := f.deploy("order", "once")
	ids[w.ID] = true
	if len(ids) != 1 {
		t.Errorf("one request made %v", ids)
	}
	servicetest.Refused(f.t, fault.WorkflowExists, f.WorkflowCreate, creation("order", "another"))
	other := creation("order", "once")
	other.Definition = definition("order", "changed")
	servicetest.Refused(f.t, fault.RequestIDReused, f.WorkflowCreate, other)
	if n := f.Stored(w.Stream, wire.DefinitionSubject(w.ID)); n != 1 {
		t.Errorf("the stream has %d definitions", n)
	}
}

func TestARepeatedUpdateIsOneVersion(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy("order", "first")
	update := func(description, requestID string, expected int) wire.WorkflowUpdateRequest {
		return wire.WorkflowUpdateRequest{
			WorkflowID: "order", Definition: definition("order", description), ExpectedVersion: expected, Origin: wire.Origin{RequestID: requestID},
		}
	}
	second := servicetest.Do(f.t, f.WorkflowUpdate, update("v2", "second", 1))
	if second.ID != w.ID || second.Version != 2 || second.Description != "v2" || !second.CreatedAt.Equal(w.CreatedAt) {
		t.Errorf("have %+v", second)
	}
	f.restart()
	if again := servicetest.Do(f.t, f.WorkflowUpdate, update("v2", "second", 1)); cmp.Diff(second, again) != "" {
		t.Errorf("a repeat made %+v", again)
	}
	servicetest.Refused(f.t, fault.RequestIDReused, f.WorkflowUpdate, update("v3", "second", 1))
	servicetest.Refused(f.t, fault.VersionMismatch, f.WorkflowUpdate, update("v3", "third", 1))
	third := servicetest.Do(f.t, f.WorkflowUpdate, update("v3", "third", 2))
	// What a client repeats late, after others went on, does not become a new version.
	if again := servicetest.Do(f.t, f.WorkflowUpdate, update("v2", "second", 1)); cmp.Diff(second, again) != "" {
		t.Errorf("a late repeat made %+v", again)
	}
	unfenced := update("v4", "fourth", 0)
	fourth := servicetest.Do(f.t, f.WorkflowUpdate, unfenced)
	servicetest.Do(f.t, f.WorkflowUpdate, update("v5", "fifth", 0))
	if again := servicetest.Do(f.t, f.WorkflowUpdate, unfenced); cmp.Diff(fourth, again) != "" {
		t.Errorf("a late repeat without a fence made %+v", again)
	}
	if again := servicetest.Do(f.t, f.WorkflowCreate, creation("order", "first")); cmp.Diff(w, again) != "" {
		t.Errorf("a late repeat of the create made %+v", again)
	}
	if n := f.Stored(w.Stream, wire.DefinitionSubject(w.ID)); n != 5 {
		t.Errorf("five versions are %d", n)
	}
	for version, want := range map[int]wire.Workflow{1: w, 2: second, 3: third, 4: fourth} {
		if got := servicetest.Do(f.t, f.WorkflowGet, wire.WorkflowGetRequest{WorkflowID: "order", Version: version}); cmp.Diff(want, got) != "" {
			t.Errorf("version %d is %+v", version, got)
		}
	}
	servicetest.Refused(f.t, fault.VersionNotFound, f.WorkflowGet, wire.WorkflowGetRequest{WorkflowID: "order", Version: 6})
	servicetest.Refused(f.t, fault.InvalidField, f.WorkflowGet, wire.WorkflowGetRequest{WorkflowID: "order", Version: -1})
}

func TestAnUpdateSentTwiceAtOnceIsOneVersion(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.start() // a second copy
	w := f.deploy("order", "")
	for round := range 5 {
		request := wire.WorkflowUpdateRequest{
			WorkflowID: "order", Definition: definition("order", fmt.Sprint(round)), Origin: wire.Origin{RequestID: fmt.Sprint("round ", round)},
		}
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				if got, err := f.WorkflowUpdate(t.Context(), request); err != nil || got.Version != round+2 {
					t.Errorf("round %d made version %d, %v", round, got.Version, err)
				}
			})
		}
		callers.Wait()
	}
	if n := f.Stored(w.Stream, wire.DefinitionSubject(w.ID)); n != 6 {
		t.Errorf("six versions are %d", n)
	}
}

func TestArchivingFreesTheName(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	old := f.deploy("order", "")
	first := servicetest.Do(f.t, f.WorkflowArchive, wire.WorkflowArchiveRequest{WorkflowID: "order", Origin: wire.Origin{RequestID: "a"}})
	if first.ID != old.ID || first.Status != wire.WorkflowArchived {
		t.Errorf("have %+v", first)
	}
	servicetest.Refused(f.t, fault.WorkflowArchived, f.WorkflowUpdate, wire.WorkflowUpdateRequest{WorkflowID: old.ID, Definition: definition("order", "v2")})

	again := servicetest.Do(f.t, f.WorkflowArchive, wire.WorkflowArchiveRequest{WorkflowID: old.ID, Origin: wire.Origin{RequestID: "a"}})
	if cmp.Diff(first, again) != "" || f.Stored(old.Stream, wire.WorkflowLifecycleSubject(old.ID, wire.LifecycleArchived)) != 1 {
		t.Errorf("archived twice it is %+v", again)
	}
	heir := f.deploy("order", "")
	if heir.ID == old.ID {
		t.Error("the new workflow has the old one's id")
	}
	// To archive the old one once more takes the name from nobody.
	servicetest.Do(f.t, f.WorkflowArchive, wire.WorkflowArchiveRequest{WorkflowID: old.ID})
	f.restart()
	if got := servicetest.Do(f.t, f.WorkflowGet, wire.WorkflowGetRequest{WorkflowID: "order"}); got.ID != heir.ID || got.Status != wire.WorkflowActive {
		t.Errorf("the name leads to %+v", got)
	}
	if got := servicetest.Do(f.t, f.WorkflowGet, wire.WorkflowGetRequest{WorkflowID: old.ID}); got.Status != wire.WorkflowArchived {
		t.Errorf("the old id leads to %+v", got)
	}
	for status, want := range map[wire.WorkflowStatus]string{wire.WorkflowActive: heir.ID, wire.WorkflowArchived: old.ID} {
		if got := servicetest.Do(f.t, f.WorkflowList, wire.WorkflowListRequest{Status: status}).Workflows; len(got) != 1 || got[0].ID != want {
			t.Errorf("%s are %+v", status, got)
		}
	}
}

func TestDeletingTakesEverythingAway(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w, other := f.deploy("order", ""), f.deploy("other", "")
	servicetest.Refused(f.t, fault.InvalidField, f.WorkflowDelete, wire.WorkflowDeleteRequest{WorkflowID: "order"})
	servicetest.Refused(f.t, fault.InvalidField, f.WorkflowDelete, wire.WorkflowDeleteRequest{WorkflowID: "order", Confirm: "other"})
	// What the token service keeps in the shared streams goes too; that of others stays.
	for _, id := range []string{w.ID, other.ID} {
		for _, subject := range []string{wire.PlaceSubject(id, "a", id), wire.InstanceRecordSubject(id, wire.StatusActive, id), wire.ProjectionSubject(id), wire.TimerSetSubject("timeout", id, id, id)} {
			if _, err := f.JS.Publish(t.Context(), subject, []byte("{}")); err != nil {
				t.Fatal(err)
			}
		}
	}
	gone := servicetest.Do(f.t, f.WorkflowDelete, wire.WorkflowDeleteRequest{WorkflowID: "order", Confirm: "order"})
	if gone.ID != w.ID {
		t.Errorf("have %+v", gone)
	}
	if _, err := f.JS.Stream(t.Context(), w.Stream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("its stream: %v", err)
	}
	for _, name := range []string{wire.StreamPlaces, wire.StreamTimers} {
		s, err := f.JS.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			t.Fatal(err)
		}
		if len(info.State.Subjects) == 0 {
			t.Errorf("%s lost what others have there", name)
		}
		for subject := range info.State.Subjects {
			if strings.Contains(subject, w.ID) {
				t.Errorf("%s keeps %s", name, subject)
			}
		}
	}
	for _, name := range []string{"order", w.ID} {
		servicetest.Refused(f.t, fault.WorkflowNotFound, f.WorkflowGet, wire.WorkflowGetRequest{WorkflowID: name})
		servicetest.Refused(f.t, fault.WorkflowNotFound, f.WorkflowDelete, wire.WorkflowDeleteRequest{WorkflowID: name, Confirm: "order"})
		servicetest.Refused(f.t, fault.WorkflowNotFound, f.WorkflowArchive, wire.WorkflowArchiveRequest{WorkflowID: name})
	}
	if heir := f.deploy("order", ""); heir.ID == w.ID {
		t.Error("the name is not free for a workflow of its own")
	}
}

func TestAListIsOrderedAndPaged(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	for i := range 5 {
		f.deploy(fmt.Sprintf("flow_%d", 4-i), "")
	}
	f.deploy("other", "")
	var names []string
	for w, err := range f.AllWorkflows(t.Context(), wire.WorkflowListRequest{NameContains: "low_", Page: wire.Page{Limit: 2}}) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, w.Name)
	}
	if diff := cmp.Diff([]string{"flow_0", "flow_1", "flow_2", "flow_3", "flow_4"}, names); diff != "" {
		t.Errorf("(-want +have):\n%s", diff)
	}
	if whole := servicetest.Do(f.t, f.WorkflowList, wire.WorkflowListRequest{}); len(whole.Workflows) != 6 || whole.NextCursor != "" {
		t.Errorf("have %d and cursor %q", len(whole.Workflows), whole.NextCursor)
	}
	servicetest.Refused(f.t, fault.InvalidField, f.WorkflowList, wire.WorkflowListRequest{Page: wire.Page{Limit: wire.MaxPage + 1}})
	servicetest.Refused(f.t, fault.InvalidField, f.WorkflowList, wire.WorkflowListRequest{Page: wire.Page{Cursor: "x"}})
	servicetest.Refused(f.t, fault.InvalidField, f.WorkflowList, wire.WorkflowListRequest{Status: "asleep"})
}
