package transition

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// deployer is a copy of the service beside others on one server.
type deployer struct {
	*Service
	t *testing.T
}

func newTestDeployers(t *testing.T, copies int) []*deployer {
	t.Helper()
	server := natstest.Start(t)
	var all []*deployer
	for range copies {
		cfg := bus.DefaultConfig()
		cfg.URLs = []string{server.URL()}
		b, err := bus.Connect(t.Context(), cfg, telemetry.Discard())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		s, err := New(service.Deps{Bus: b, Tel: telemetry.Discard()}, DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Stop(t.Context()) })
		all = append(all, &deployer{Service: s, t: t})
	}
	return all
}

// edition is a definition that differs from other editions by its description.
func edition(n int) json.RawMessage {
	return fmt.Appendf(nil, `{"name":"paper","description":"edition %d","initial_place":"a","places":[{"id":"a"},{"id":"b"}],
		"transitions":[{"id":"go","from":"a","to":"b"}]}`, n)
}

func deployRequest(workflowID, requestID string, n int) wire.WorkflowUpdateRequest {
	return wire.WorkflowUpdateRequest{WorkflowID: workflowID, Definition: edition(n), Origin: wire.Origin{RequestID: requestID}}
}

func (d *deployer) mustCreate(requestID string) *wire.Workflow {
	d.t.Helper()
	w, err := d.create(d.t.Context(), wire.WorkflowCreateRequest{Definition: edition(1), Origin: wire.Origin{RequestID: requestID}})
	if err != nil {
		d.t.Fatalf("create: %v", err)
	}
	return w
}

func (d *deployer) mustUpdate(req wire.WorkflowUpdateRequest) *wire.Workflow {
	d.t.Helper()
	w, err := d.update(d.t.Context(), req)
	if err != nil {
		d.t.Fatalf("update: %v", err)
	}
	return w
}

func (d *deployer) mustArchive(id string) *wire.Workflow {
	d.t.Helper()
	w, err := d.archive(d.t.Context(), wire.WorkflowArchiveRequest{WorkflowID: id})
	if err != nil {
		d.t.Fatalf("archive: %v", err)
	}
	return w
}

// halfUpdate stores the version that a request makes, and stops there as a crash would.
func (d *deployer) halfUpdate(req wire.WorkflowUpdateRequest) {
	d.t.Helper()
	def, err := d.deployable(d.t.Context(), req.Definition, req.WorkflowID)
	if err != nil {
		d.t.Fatal(err)
	}
	digest, err := bus.Digest(wire.SubjectWorkflowUpdate, req.Origin, req)
	if err != nil {
		d.t.Fatal(err)
	}
	last := d.last(req.WorkflowID)
	_, err = d.putDefinition(d.t.Context(), &wire.Workflow{
		ID: last.ID, Version: last.Version + 1, Status: wire.WorkflowActive, Stream: last.Stream, Definition: *def.Definition, Digest: def.digest,
		CreatedAt: last.CreatedAt, DeployedAt: time.Now().UTC(), RequestID: req.RequestID, RequestDigest: digest,
	}, last.sequence)
	if err != nil {
		d.t.Fatal(err)
	}
}

// last is the newest version that is stored.
func (d *deployer) last(id string) *definition {
	d.t.Helper()
	last, err := d.lastDefinition(d.t.Context(), wire.StreamName(id), id)
	if err != nil || last == nil {
		d.t.Fatalf("last definition: %v, %v", last, err)
	}
	return last
}

func (d *deployer) record(id string) *wire.WorkflowRecord {
	d.t.Helper()
	record, _, err := d.registry.Read(d.t.Context(), id)
	if err != nil {
		d.t.Fatal(err)
	}
	return record
}

// holder is the workflow that has the name; empty when nobody has.
func (d *deployer) holder() string {
	d.t.Helper()
	claim, err := d.registry.Claim(d.t.Context(), "paper")
	if err != nil {
		d.t.Fatal(err)
	}
	if claim == nil {
		return ""
	}
	return claim.ID
}

// room leaves space for so many more messages in a workflow's stream.
func (d *deployer) room(w *wire.Workflow, messages int) {
	d.t.Helper()
	stream, err := d.bus.JS.Stream(d.t.Context(), w.Stream)
	if err != nil {
		d.t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgs = int64(stream.CachedInfo().State.Msgs) + int64(messages)
	if _, err := d.bus.JS.UpdateStream(d.t.Context(), cfg); err != nil {
		d.t.Fatal(err)
	}
}

func mustFailAs(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Fatalf("got error %v, want %s", err, code)
	}
}

func TestAnUpdateThatFinishesLateLeavesTheWorkflowArchived(t *testing.T) {
	t.Parallel()
	d := newTestDeployers(t, 1)[0]
	old := d.mustCreate("")
	late := deployRequest(old.ID, "late", 2)
	d.halfUpdate(late)
	d.mustArchive(old.ID)
	successor := d.mustCreate("")

	if w := d.mustUpdate(late); w.Version != 2 || w.Status != wire.WorkflowArchived {
		t.Errorf("the repeat answered version %d, %s; want 2, archived", w.Version, w.Status)
	}
	if r := d.record(old.ID); r.Status != wire.WorkflowArchived || r.Version != 2 {
		t.Errorf("the record says %s at version %d, want archived at 2", r.Status, r.Version)
	}
	if named, err := d.registry.Resolve(t.Context(), "paper"); err != nil || named.ID != successor.ID {
		t.Errorf("the name leads to %v (%v), want %s", named, err, successor.ID)
	}
	_, err := d.update(t.Context(), deployRequest(old.ID, "new", 3))
	mustFailAs(t, err, fault.WorkflowArchived)
}

func TestACopyThatIsBehindDoesNotUpdateAnArchivedWorkflow(t *testing.T) {
	t.Parallel()
	copies := newTestDeployers(t, 2)
	ahead, behind := copies[0], copies[1]
	w := ahead.mustCreate("")
	if _, err := behind.registry.Resolve(t.Context(), w.ID); err != nil {
		t.Fatal(err)
	}
	behind.registry.Stop()
	ahead.mustArchive(w.ID)
	_, err := behind.update(t.Context(), deployRequest(w.ID, "", 2))
	mustFailAs(t, err, fault.WorkflowArchived)
	if r := ahead.record(w.ID); r.Status != wire.WorkflowArchived {
		t.Errorf("the record says %s", r.Status)
	}
	if last := ahead.last(w.ID); last.Version != 1 {
		t.Errorf("version %d was stored", last.Version)
	}
}

func TestAnUpdateDoesNotBringBackADeletedWorkflow(t *testing.T) {
	t.Parallel()
	d := newTestDeployers(t, 1)[0]
	w := d.mustCreate("")
	d.registry.Stop()
	w.Version = 2
	if err := d.registry.Remove(t.Context(), w.ID); err != nil {
		t.Fatal(err)
	}
	err := d.publishVersion(t.Context(), w, "", false)
	mustFailAs(t, err, fault.WorkflowNotFound)
	if d.record(w.ID) != nil {
		t.Error("a deleted workflow has a record")
	}
}

func TestARepeatedDeploymentAnswersWithItsOwnVersion(t *testing.T) {
	t.Parallel()
	copies := newTestDeployers(t, 2)
	one, two := copies[0], copies[1]
	created := one.mustCreate("create")
	first := deployRequest(created.ID, "first", 2)
	one.mustUpdate(first)
	two.mustUpdate(deployRequest(created.ID, "second", 3))

	if w := one.mustUpdate(first); w.Version != 2 || w.Description != "edition 2" {
		t.Errorf("the repeat answered version %d, %q", w.Version, w.Description)
	}
	if w := two.mustCreate("create"); w.ID != created.ID || w.Version != 1 {
		t.Errorf("the repeated create answered %s version %d, want %s version 1", w.ID, w.Version, created.ID)
	}
	if last := one.last(created.ID); last.Version != 3 || last.Description != "edition 3" {
		t.Errorf("the newest version is %d, %q: a repeat took effect", last.Version, last.Description)
	}
	_, err := two.update(t.Context(), deployRequest(created.ID, "first", 4))
	mustFailAs(t, err, fault.RequestIDReused)
	_, err = two.create(t.Context(), wire.WorkflowCreateRequest{Definition: edition(1)})
	mustFailAs(t, err, fault.WorkflowExists)
}

func TestAFullWorkflowCanBeArchivedAndItsNameUsedAgain(t *testing.T) {
	t.Parallel()
	d := newTestDeployers(t, 1)[0]
	w := d.mustCreate("")
	d.room(w, 0)
	d.mustArchive(w.ID)
	if holder := d.holder(); holder != "" {
		t.Errorf("the name is still held by %s", holder)
	}
	if successor := d.mustCreate(""); successor.ID == w.ID {
		t.Error("the id was used again")
	}
}

func TestADeletedWorkflowLeavesItsNameFree(t *testing.T) {
	t.Parallel()
	d := newTestDeployers(t, 1)[0]
	w := d.mustCreate("")
	// Archived half way: the record says so, and the name is not released yet.
	record, revision, err := d.registry.Read(t.Context(), w.ID)
	if err != nil {
		t.Fatal(err)
	}
	record.Status = wire.WorkflowArchived
	if err := d.registry.Write(t.Context(), *record, revision); err != nil {
		t.Fatal(err)
	}
	if _, err := d.remove(t.Context(), wire.WorkflowDeleteRequest{WorkflowID: w.ID, Confirm: "paper"}); err != nil {
		t.Fatal(err)
	}
	if holder := d.holder(); holder != "" {
		t.Errorf("the name is still held by %s", holder)
	}
	if successor := d.mustCreate(""); successor.ID == w.ID {
		t.Error("the id of a deleted workflow was used again")
	}
}

func TestADeploymentIsKnownEvenWhereItsNoteFindsNoRoom(t *testing.T) {
	t.Parallel()
	d := newTestDeployers(t, 1)[0]
	w := d.mustCreate("")
	d.room(w, 1)
	if next := d.mustUpdate(deployRequest(w.ID, "", 2)); next.Version != 2 {
		t.Errorf("deployed version %d", next.Version)
	}
	if r := d.record(w.ID); r.Version != 2 {
		t.Errorf("the record is at version %d", r.Version)
	}
	_, err := d.update(t.Context(), deployRequest(w.ID, "", 3))
	mustFailAs(t, err, fault.WorkflowFull)
}

func TestEveryFailureOfTheStreamHasACode(t *testing.T) {
	t.Parallel()
	for failure, want := range map[error]fault.Code{
		bus.ErrNoStream: fault.Unavailable, bus.ErrNotSent: fault.Unavailable,
		bus.ErrAmbiguous: fault.Timeout, bus.ErrStreamFull: fault.WorkflowFull,
	} {
		mustFailAs(t, outOfReach(fmt.Errorf("storing: %w", failure)), want)
	}
}

func TestARepeatedDeleteAnswersWithListsThatAreEmpty(t *testing.T) {
	t.Parallel()
	copies := newTestDeployers(t, 2)
	w := copies[0].mustCreate("")
	copies[0].mustArchive(w.ID)
	// The first one stopped after the stream had gone; the other copy has not read the
	// definition and cannot any more.
	if err := copies[0].bus.DeleteWorkflowStream(t.Context(), w.Stream); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Fatal(err)
	}
	gone, err := copies[1].remove(t.Context(), wire.WorkflowDeleteRequest{WorkflowID: w.ID, Confirm: "paper"})
	if err != nil {
		t.Fatal(err)
	}
	if gone.Places == nil || gone.Transitions == nil {
		t.Errorf("places are %v and transitions %v, want empty lists", gone.Places, gone.Transitions)
	}
	if gone.Name != "paper" || gone.Status != wire.WorkflowArchived || !gone.CreatedAt.Equal(w.CreatedAt) {
		t.Errorf("the reply says %s, %s, created %s", gone.Name, gone.Status, gone.CreatedAt)
	}
}

func TestACompletionNamesItsInstance(t *testing.T) {
	t.Parallel()
	d := newTestDeployers(t, 1)[0]
	_, err := d.complete(t.Context(), wire.CompleteRequest{TokenID: "0197f0c0-0000-8000-8000-000000000001", ArrivalSequence: 1})
	mustFailAs(t, err, fault.InvalidField)
	var coded *fault.Error
	if errors.As(err, &coded); coded.Details["field"] != "instance_id" {
		t.Errorf("the refusal names %v", coded.Details["field"])
	}
}
