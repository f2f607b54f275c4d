package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Version is one version of a workflow, ready to run. It never changes.
type Version struct {
	Workflow *wire.Workflow
	Net      *petri.Net
	// Schema checks token data; nil where the definition has none.
	Schema *jsonschema.Schema
}

// Registry knows every workflow: it follows the workflows bucket and keeps compiled
// versions. What it remembers may be behind by moments, so a miss is looked up.
type Registry struct {
	bus *Bus
	kv  jetstream.KeyValue

	mu      sync.RWMutex
	records map[string]wire.WorkflowRecord
	// revisions are those of the bucket at which each record, or its removal, was learned:
	// the only order that does not hang on anybody's clock.
	revisions map[string]uint64
	names     map[string]string
	prefixes  map[string][]string
	versions  map[string]map[int]*Version
	changed   chan struct{}

	follower *Follower
}

// NewRegistry makes a registry; Start begins to follow the bucket.
func NewRegistry(b *Bus) *Registry {
	return &Registry{
		bus:       b,
		records:   map[string]wire.WorkflowRecord{},
		revisions: map[string]uint64{},
		names:     map[string]string{},
		prefixes:  map[string][]string{},
		versions:  map[string]map[int]*Version{},
		changed:   make(chan struct{}),
	}
}

// remember takes in a record as the bucket had it at a revision, unless something newer is
// known.
func (r *Registry) remember(record wire.WorkflowRecord, revision uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if revision <= r.revisions[record.ID] {
		return
	}
	_, known := r.records[record.ID]
	r.records[record.ID], r.revisions[record.ID] = record, revision
	if !known {
		prefix := record.ID[:8]
		r.prefixes[prefix] = append(r.prefixes[prefix], record.ID)
	}
	switch {
	case record.Status == wire.WorkflowActive:
		r.names[record.Name] = record.ID
	case r.names[record.Name] == record.ID:
		delete(r.names, record.Name)
	}
	r.announce()
}

// forget drops a workflow that was removed at a revision (0: after all that is known of it).
// The revision stays, so that an older word of the workflow does not bring it back.
func (r *Registry) forget(id string, revision uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if revision != 0 {
		if revision <= r.revisions[id] {
			return
		}
		r.revisions[id] = revision
	}
	r.drop(id)
}

// drop takes a workflow out of everything but the revisions. Call it with the lock held.
func (r *Registry) drop(id string) {
	record, known := r.records[id]
	if !known {
		return
	}
	delete(r.records, id)
	delete(r.versions, id)
	if r.names[record.Name] == id {
		delete(r.names, record.Name)
	}
	prefix := id[:8]
	rest := r.prefixes[prefix][:0:0]
	for _, other := range r.prefixes[prefix] {
		if other != id {
			rest = append(rest, other)
		}
	}
	if len(rest) == 0 {
		delete(r.prefixes, prefix)
	} else {
		r.prefixes[prefix] = rest
	}
	r.announce()
}

func (r *Registry) announce() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// Changed is closed at the next change of any workflow.
func (r *Registry) Changed() <-chan struct{} {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.changed
}

// All lists every workflow, by id.
func (r *Registry) All() []wire.WorkflowRecord {
	r.mu.RLock()
	all := make([]wire.WorkflowRecord, 0, len(r.records))
	for _, record := range r.records {
		all = append(all, record)
	}
	r.mu.RUnlock()
	sort.Slice(all, func(i, k int) bool { return all[i].ID < all[k].ID })
	return all
}

// Resolve finds a workflow by its UUID or by its name, which is unique among the active
// ones. It fails with fault.WorkflowNotFound, or fault.InvalidField for an empty or
// impossible name.
func (r *Registry) Resolve(ctx context.Context, idOrName string) (*wire.WorkflowRecord, error) {
	if idOrName == "" {
		return nil, fault.New(fault.InvalidField, "workflow_id is missing: give the workflow's UUID or its name").With("field", "workflow_id")
	}
	lower := strings.ToLower(idOrName)
	if wire.IsUUID(lower) {
		return r.byID(ctx, lower)
	}
	if !wire.ValidName(idOrName) {
		return nil, fault.New(fault.InvalidField, "workflow_id is neither a UUID nor a workflow's name").With("field", "workflow_id")
	}
	r.mu.RLock()
	record, known := r.records[r.names[idOrName]]
	r.mu.RUnlock()
	if known {
		return &record, nil
	}
	claim, err := r.Claim(ctx, idOrName)
	if err != nil {
		return nil, err
	}
	if claim == nil {
		return nil, notFound(idOrName)
	}
	found, err := r.byID(ctx, claim.ID)
	if errors.Is(err, fault.WorkflowNotFound) || err == nil && found.Status != wire.WorkflowActive {
		return nil, notFound(idOrName)
	}
	return found, err
}

func notFound(idOrName string) error {
	return fault.New(fault.WorkflowNotFound, "there is no workflow %q", idOrName).With("workflow_id", idOrName)
}

func (r *Registry) byID(ctx context.Context, id string) (*wire.WorkflowRecord, error) {
	r.mu.RLock()
	record, known := r.records[id]
	r.mu.RUnlock()
	if known {
		return &record, nil
	}
	fresh, revision, err := r.Read(ctx, id)
	if err != nil {
		return nil, err
	}
	if fresh == nil {
		return nil, notFound(id)
	}
	r.remember(*fresh, revision)
	return fresh, nil
}

// Read reads a workflow's record from the bucket, as it is at this moment, with its
// revision there; nil when there is none.
func (r *Registry) Read(ctx context.Context, id string) (*wire.WorkflowRecord, uint64, error) {
	entry, err := r.entry(ctx, id)
	if err != nil || entry == nil {
		return nil, 0, err
	}
	var record wire.WorkflowRecord
	if err := json.Unmarshal(entry.Data, &record); err != nil {
		return nil, 0, fmt.Errorf("registry record %s: %w", id, err)
	}
	return &record, entry.Sequence, nil
}

// entry reads a key from the bucket's leader, because a replica that lags would have us
// decide on what is over; nil when the key is not there.
func (r *Registry) entry(ctx context.Context, key string) (*Message, error) {
	msg, err := r.bus.Last(ctx, BucketStream(wire.BucketWorkflows), BucketSubject(wire.BucketWorkflows, key), true)
	switch {
	case errors.Is(err, ErrNoMessage), err == nil && len(msg.Data) == 0:
		return nil, nil
	case err != nil:
		return nil, unavailable(err)
	}
	return msg, nil
}

// ReadAll reads every workflow's record from the bucket, as it is at this moment.
func (r *Registry) ReadAll(ctx context.Context) ([]wire.WorkflowRecord, error) {
	var all []wire.WorkflowRecord
	_, err := r.bus.Scan(ctx, TailConfig{
		Stream: BucketStream(wire.BucketWorkflows), Subjects: []string{BucketSubject(wire.BucketWorkflows, "*")},
	}, func(m *Message) error {
		if len(m.Data) == 0 {
			return nil // It was removed.
		}
		var record wire.WorkflowRecord
		if err := json.Unmarshal(m.Data, &record); err != nil {
			return fmt.Errorf("registry record %s: %w", m.Subject, err)
		}
		all = append(all, record)
		return nil
	})
	if errors.Is(err, ErrNoStream) {
		return nil, unavailable(err)
	}
	return all, err
}

// Write stores a record that was read at a revision (0: that did not exist). It fails with
// fault.Conflict when somebody else wrote it meanwhile.
func (r *Registry) Write(ctx context.Context, record wire.WorkflowRecord, revision uint64) error {
	body, err := json.Marshal(record)
	if err != nil {
		return err
	}
	var stored uint64
	if revision == 0 {
		stored, err = r.kv.Create(ctx, record.ID, body)
	} else {
		stored, err = r.kv.Update(ctx, record.ID, body, revision)
	}
	if err := keyError(err); err != nil {
		return err
	}
	r.remember(record, stored)
	return nil
}

// Remove deletes a workflow's record.
func (r *Registry) Remove(ctx context.Context, id string) error {
	if err := r.kv.Delete(ctx, id); err != nil {
		return unavailable(err)
	}
	r.forget(id, 0)
	return nil
}

// Claim is what the key of a name says: which workflow has it.
type Claim struct {
	ID       string `json:"id"`
	Revision uint64 `json:"-"`
}

// Claim reads who has a name; nil when nobody has.
func (r *Registry) Claim(ctx context.Context, name string) (*Claim, error) {
	entry, err := r.entry(ctx, wire.RegistryNameKey(name))
	if err != nil || entry == nil {
		return nil, err
	}
	claim := Claim{Revision: entry.Sequence}
	if err := json.Unmarshal(entry.Data, &claim); err != nil || !wire.IsUUID(claim.ID) {
		return nil, fmt.Errorf("registry name %s: %w", name, err)
	}
	return &claim, nil
}

// ClaimName gives a name to a workflow, if the name is as it was when before was read (nil:
// nobody's). It fails with fault.Conflict otherwise.
func (r *Registry) ClaimName(ctx context.Context, name, id string, before *Claim) error {
	body, err := json.Marshal(Claim{ID: id})
	if err != nil {
		return err
	}
	if before == nil {
		_, err = r.kv.Create(ctx, wire.RegistryNameKey(name), body)
	} else {
		_, err = r.kv.Update(ctx, wire.RegistryNameKey(name), body, before.Revision)
	}
	return keyError(err)
}

// ReleaseName frees a name that belongs to this workflow; somebody else's stays.
func (r *Registry) ReleaseName(ctx context.Context, name, id string) error {
	for {
		claim, err := r.Claim(ctx, name)
		if err != nil || claim == nil || claim.ID != id {
			return err
		}
		err = keyError(r.kv.Delete(ctx, wire.RegistryNameKey(name), jetstream.LastRevision(claim.Revision)))
		if !errors.Is(err, fault.Conflict) {
			return err
		}
	}
}

func keyError(err error) error {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrKeyExists),
		errors.As(err, &api) && (api.ErrorCode == codeWrongLastSequence || api.ErrorCode == codeWrongLastReplicated):
		return fault.New(fault.Conflict, "the registry of workflows was changed by somebody else at the same time; try again").Because(err)
	}
	return unavailable(err)
}

// OfID lists the workflows that an instance or token id can belong to: those whose UUID
// begins as the id ends, nearly always one. It fails with fault.InvalidField when the id
// cannot be one of ours; field names the request's field.
func (r *Registry) OfID(ctx context.Context, field, id string) ([]wire.WorkflowRecord, error) {
	if id == "" {
		return nil, fault.New(fault.InvalidField, "%s is missing", field).With("field", field)
	}
	if !wire.IsRoutedID(id) {
		return nil, fault.New(fault.InvalidField, "%s is not an id of this engine (a lower-case UUID v8)", field).With("field", field)
	}
	prefix := wire.WorkflowPrefixOf(id)
	find := func() []wire.WorkflowRecord {
		r.mu.RLock()
		defer r.mu.RUnlock()
		var found []wire.WorkflowRecord
		for _, w := range r.prefixes[prefix] {
			found = append(found, r.records[w])
		}
		return found
	}
	if found := find(); len(found) > 0 {
		return found, nil
	}
	// The bucket's keys tell what the watch has not brought yet.
	keys, err := r.kv.ListKeys(ctx)
	if err != nil {
		return nil, unavailable(err)
	}
	for key := range keys.Keys() {
		if strings.HasPrefix(key, prefix) && wire.IsUUID(key) {
			if _, err := r.byID(ctx, key); err != nil && !errors.Is(err, fault.WorkflowNotFound) {
				return nil, err
			}
		}
	}
	return find(), nil
}

// Version gives one version of a workflow, compiled; 0 is the newest. It fails with
// fault.VersionNotFound.
func (r *Registry) Version(ctx context.Context, record *wire.WorkflowRecord, version int) (*Version, error) {
	if version == 0 {
		version = record.Version
	}
	r.mu.RLock()
	known := r.versions[record.ID][version]
	r.mu.RUnlock()
	if known != nil {
		return known, nil
	}
	found, err := r.load(ctx, record, version)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	if r.versions[record.ID] == nil {
		r.versions[record.ID] = map[int]*Version{}
	}
	r.versions[record.ID][version] = found
	r.mu.Unlock()
	return found, nil
}

// Net is Version for those who need only the net and the workflow.
func (r *Registry) Net(ctx context.Context, workflowID string, version int) (*petri.Net, *wire.Workflow, error) {
	record, err := r.byID(ctx, workflowID)
	if err != nil {
		return nil, nil, err
	}
	v, err := r.Version(ctx, record, version)
	if err != nil {
		return nil, nil, err
	}
	return v.Net, v.Workflow, nil
}

func (r *Registry) load(ctx context.Context, record *wire.WorkflowRecord, version int) (*Version, error) {
	var found *wire.Workflow
	err := r.bus.Definitions(ctx, record, func(w *wire.Workflow, _ uint64) bool {
		if w.Version == version {
			found = w
		}
		return found == nil
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, fault.New(fault.VersionNotFound, "workflow %q has no version %d; the newest is %d", record.Name, version, record.Version).
			With("version", version)
	}
	return Compile(found)
}

// Definitions reads the versions of a workflow as its stream has them, oldest first, each
// with its sequence, until yield returns false. It fails with fault.Unavailable.
func (b *Bus) Definitions(ctx context.Context, record *wire.WorkflowRecord, yield func(*wire.Workflow, uint64) bool) error {
	for from := uint64(1); ; {
		msg, err := b.Next(ctx, record.Stream, wire.DefinitionSubject(record.ID), from)
		switch {
		case errors.Is(err, ErrNoMessage):
			return nil
		case errors.Is(err, ErrNoStream):
			return streamGone(err)
		case err != nil:
			return err
		}
		var w wire.Workflow
		if err := json.Unmarshal(msg.Data, &w); err != nil {
			return fmt.Errorf("definition of %s at %d: %w", record.ID, msg.Sequence, err)
		}
		if !yield(&w, msg.Sequence) {
			return nil
		}
		from = msg.Sequence + 1
	}
}

func streamGone(err error) error {
	return fault.New(fault.Unavailable, "the workflow's stream is out of reach at the moment, or was just deleted; try again").Because(err)
}

// Compile makes a stored workflow ready to run.
func Compile(w *wire.Workflow) (*Version, error) {
	net, problems := petri.Compile(&w.Definition)
	if len(problems) > 0 {
		return nil, Invalid(problems)
	}
	schema, err := CompileSchema(w.Schema)
	if err != nil {
		return nil, Invalid([]wire.Problem{*err})
	}
	return &Version{Workflow: w, Net: net, Schema: schema}, nil
}

// Invalid is the refusal of a definition, with everything that is wrong with it.
func Invalid(problems []wire.Problem) error {
	first := problems[0]
	where := first.Path
	if where == "" {
		where = "definition"
	}
	message := where + ": " + first.Message
	if len(problems) > 1 {
		message += fmt.Sprintf(" (and %d more, see details.problems)", len(problems)-1)
	}
	return fault.New(fault.InvalidDefinition, "%s", message).With("problems", problems)
}
