package bus_test

import (
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// rewrite changes a record in the bucket, as it stands there.
func (f *fleet) rewrite(id string, change func(*wire.WorkflowRecord)) {
	f.t.Helper()
	record, revision, err := f.registry.Read(f.t.Context(), id)
	if err != nil || record == nil {
		f.t.Fatalf("read %s: %v, %v", id, record, err)
	}
	change(record)
	if err := f.registry.Write(f.t.Context(), *record, revision); err != nil {
		f.t.Fatal(err)
	}
}

// status is what the registry remembers of a workflow; empty when it knows none.
func (f *fleet) status(id string) wire.WorkflowStatus {
	for _, record := range f.registry.All() {
		if record.ID == id {
			return record.Status
		}
	}
	return ""
}

func TestAClockThatIsAheadDoesNotFreezeTheRegistry(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	skewed, correct, watching := newFleet(t, server.URL()), newFleet(t, server.URL()), newFleet(t, server.URL())
	w := skewed.deploy(loop)
	skewed.rewrite(w.ID, func(r *wire.WorkflowRecord) { r.UpdatedAt = r.UpdatedAt.Add(time.Hour) })
	correct.rewrite(w.ID, func(r *wire.WorkflowRecord) { r.Status, r.UpdatedAt = wire.WorkflowArchived, time.Now().UTC() })
	for name, f := range map[string]*fleet{"the copy that wrote it": correct, "the skewed copy": skewed, "a third copy": watching} {
		eventually(t, name+" knows that the workflow is archived", func() bool { return f.status(w.ID) == wire.WorkflowArchived })
	}
	if _, err := watching.registry.Resolve(t.Context(), w.Name); err == nil {
		t.Error("an archived workflow still had its name")
	}
}

func TestARemovedWorkflowIsForgottenEverywhere(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	one, two := newFleet(t, server.URL()), newFleet(t, server.URL())
	w := one.deploy(loop)
	eventually(t, "the other copy knows the workflow", func() bool { return two.status(w.ID) != "" })
	if err := one.registry.Remove(t.Context(), w.ID); err != nil {
		t.Fatal(err)
	}
	if one.status(w.ID) != "" {
		t.Error("the copy that removed it still knew the workflow")
	}
	eventually(t, "the other copy has forgotten it", func() bool { return two.status(w.ID) == "" })
	_, err := two.registry.Resolve(t.Context(), w.ID)
	wantCode(t, err, fault.WorkflowNotFound)
	// Removed before it starts: a copy that comes later never knows it.
	if late := newFleet(t, server.URL()); late.status(w.ID) != "" {
		t.Error("a later copy knew a removed workflow")
	}
}

func TestTheRegistrySurvivesTheLossOfItsBucket(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	watching, writing := newFleet(t, server.URL()), newFleet(t, server.URL())
	lost := writing.deploy(loop)
	eventually(t, "the workflow is known", func() bool { return watching.status(lost.ID) != "" })
	changed := watching.registry.Changed()
	if err := writing.bus.JS.DeleteKeyValue(t.Context(), wire.BucketWorkflows); err != nil {
		t.Fatal(err)
	}
	// A fleet in memory loses it with its server; whoever starts next makes a new one.
	eventually(t, "the bucket is there again", func() bool { return writing.bus.EnsureShared(t.Context()) == nil })
	found := writing.deploy(`{"name":"another","initial_place":"a","places":[{"id":"a"},{"id":"b"}],"transitions":[{"id":"go","from":"a","to":"b"}]}`)
	eventually(t, "a workflow of the new bucket is known", func() bool { return watching.status(found.ID) == wire.WorkflowActive })
	eventually(t, "one that it does not hold is forgotten", func() bool { return watching.status(lost.ID) == "" })
	select {
	case <-changed:
	default:
		t.Error("the change was not announced")
	}
	writing.rewrite(found.ID, func(r *wire.WorkflowRecord) { r.Status = wire.WorkflowArchived })
	eventually(t, "what happens later is known too", func() bool { return watching.status(found.ID) == wire.WorkflowArchived })
}

func TestTheRegistryFollowsThroughARestart(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	watching, writing := newFleet(t, server.URL()), newFleet(t, server.URL())
	w := writing.deploy(loop)
	server.Restart()
	eventually(t, "the writer is back", func() bool {
		_, _, err := writing.registry.Read(t.Context(), w.ID)
		return err == nil
	})
	writing.rewrite(w.ID, func(r *wire.WorkflowRecord) { r.Status = wire.WorkflowArchived })
	eventually(t, "the change after the restart is known", func() bool { return watching.status(w.ID) == wire.WorkflowArchived })
}
