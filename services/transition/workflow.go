package transition

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"sort"
	"strings"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Space that a reply's envelope may take.
const replyMargin = 64 << 10

// namesake is the active workflow of which a definition would be the next version; empty
// where there is none.
func (s *Service) namesake(ctx context.Context, raw json.RawMessage) string {
	var named struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(raw, &named) != nil || !wire.ValidName(named.Name) {
		return ""
	}
	record, err := s.registry.Resolve(ctx, named.Name)
	if err != nil {
		return ""
	}
	return record.ID
}

// checked is a definition that may be deployed, and the digest of its content.
type checked struct {
	*wire.Definition
	digest string
}

// check parses and validates a definition, reporting everything at once: what the text
// itself shows, and then the rules that there are not. workflowID is empty for a new
// workflow. It fails with fault.RulesMissing when nobody can say which rules there are.
func (s *Service) check(ctx context.Context, raw json.RawMessage, workflowID string) (checked, []wire.Problem, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return checked{}, []wire.Problem{{Path: "", Code: "missing", Message: "the definition is missing"}}, nil
	}
	def, problems := petri.ParseDefinition(raw)
	if len(problems) > 0 {
		return checked{}, problems, nil
	}
	if _, problems = petri.Compile(def); len(problems) > 0 {
		return checked{}, problems, nil
	}
	if _, problem := bus.CompileSchema(def.Schema); problem != nil {
		problems = append(problems, *problem)
	}
	problems = append(problems, s.language.CheckWhens(def)...)
	problems = append(problems, s.language.CheckMappings(def)...)
	unknown, err := s.unknownRules(ctx, def, workflowID)
	if err != nil {
		return checked{}, problems, err
	}
	if problems = append(problems, unknown...); len(problems) > 0 {
		return checked{}, problems, nil
	}
	canonical, err := json.Marshal(def)
	if err != nil {
		return checked{}, nil, err
	}
	sum := sha256.Sum256(canonical)
	return checked{Definition: def, digest: hex.EncodeToString(sum[:16])}, nil, nil
}

// deployable is check for those who deploy.
func (s *Service) deployable(ctx context.Context, raw json.RawMessage, workflowID string) (checked, error) {
	def, problems, err := s.check(ctx, raw, workflowID)
	if len(problems) > 0 {
		return def, bus.Invalid(problems)
	}
	return def, err
}

func (s *Service) validate(ctx context.Context, req wire.WorkflowValidateRequest) (wire.WorkflowValidateReply, error) {
	_, problems, err := s.check(ctx, req.Definition, s.namesake(ctx, req.Definition))
	if len(problems) == 0 && err != nil {
		return wire.WorkflowValidateReply{}, err
	}
	if problems == nil {
		problems = []wire.Problem{}
	}
	return wire.WorkflowValidateReply{Valid: len(problems) == 0, Problems: problems}, nil
}

func (s *Service) create(ctx context.Context, req wire.WorkflowCreateRequest) (*wire.Workflow, error) {
	def, err := s.deployable(ctx, req.Definition, "")
	if err != nil {
		return nil, err
	}
	requestDigest, err := bus.Digest(wire.SubjectWorkflowCreate, req.Origin, req)
	if err != nil {
		return nil, err
	}
	id, err := s.claim(ctx, def.Name)
	if err != nil {
		return nil, err
	}
	if _, err := s.bus.EnsureWorkflowStream(ctx, id); err != nil {
		return nil, err
	}
	now := s.now().UTC()
	want := wire.Workflow{
		ID: id, Version: 1, Status: wire.WorkflowActive, Stream: wire.StreamName(id), Definition: *def.Definition, Digest: def.digest,
		CreatedAt: now, DeployedAt: now, DeployedBy: req.TriggeredBy, RequestID: req.RequestID, RequestDigest: requestDigest,
	}
	stored, err := s.lastDefinition(ctx, want.Stream, id)
	if err == nil && stored == nil {
		stored, err = s.putDefinition(ctx, &want, 0)
	}
	if err != nil {
		return nil, err
	}
	// Whoever stored it, the deployment is brought to its end; then we see whose it was.
	if err := s.publishVersion(ctx, &stored.Workflow, req.TriggeredBy, true); err != nil {
		return nil, err
	}
	if stored.Version == 1 && stored.DeployedAt.Equal(now) && stored.Digest == def.digest {
		return &stored.Workflow, nil
	}
	first, err := s.repeated(ctx, stored.Stream, id, req.RequestID, requestDigest)
	if err != nil {
		return nil, err
	}
	if first == nil {
		return nil, exists(def.Name, id)
	}
	first.Status = stored.Status
	return &first.Workflow, nil
}

func exists(name, id string) error {
	return fault.New(fault.WorkflowExists, "there is an active workflow %q already; update it, or archive it first", name).
		With("name", name).With("workflow_id", id)
}

// claim gives the name to a workflow id: a new one, or the one of a deployment that stopped
// half way, or that of the workflow which has it (create then finds its definition).
func (s *Service) claim(ctx context.Context, name string) (string, error) {
	for {
		held, err := s.registry.Claim(ctx, name)
		if err != nil {
			return "", err
		}
		if held != nil {
			record, _, err := s.registry.Read(ctx, held.ID)
			if err != nil {
				return "", err
			}
			if record == nil || record.Status == wire.WorkflowActive {
				return held.ID, nil
			}
		}
		id := uuid.NewString()
		err = s.registry.ClaimName(ctx, name, id, held)
		if !errors.Is(err, fault.Conflict) {
			return id, err
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
	}
}

// publishVersion tells everybody about a stored version, and sets the status that the
// workflow has by now. The record comes first: by it the version takes effect.
func (s *Service) publishVersion(ctx context.Context, w *wire.Workflow, by string, first bool) error {
	status, err := s.register(ctx, w, first)
	if err != nil {
		return err
	}
	w.Status = status
	if first {
		if err := s.note(ctx, w, wire.LifecycleStreamCreated, by); err != nil {
			return err
		}
	}
	return s.note(ctx, w, wire.LifecycleDeployed, by)
}

func (s *Service) update(ctx context.Context, req wire.WorkflowUpdateRequest) (*wire.Workflow, error) {
	named, err := s.registry.Resolve(ctx, req.WorkflowID)
	if err != nil {
		return nil, err
	}
	def, err := s.deployable(ctx, req.Definition, named.ID)
	if err != nil {
		return nil, err
	}
	if def.Name != named.Name {
		return nil, fault.New(fault.InvalidField, "the definition is named %q, and the workflow %q: a workflow keeps its name", def.Name, named.Name).
			With("field", "definition.name")
	}
	requestDigest, err := bus.Digest(wire.SubjectWorkflowUpdate, req.Origin, req)
	if err != nil {
		return nil, err
	}
	last, err := s.lastDefinition(ctx, named.Stream, named.ID)
	if err != nil {
		return nil, err
	}
	if last == nil {
		return nil, fault.New(fault.VersionNotFound, "workflow %q has no stored definition", named.Name)
	}
	first, err := s.repeated(ctx, named.Stream, named.ID, req.RequestID, requestDigest)
	if err != nil {
		return nil, err
	}
	if first != nil {
		err := s.publishVersion(ctx, &last.Workflow, req.TriggeredBy, false)
		first.Status = last.Status
		return &first.Workflow, err
	}
	// What this copy remembers may be behind, and an archived workflow takes no version.
	record, _, err := s.registry.Read(ctx, named.ID)
	if err != nil {
		return nil, err
	}
	if record == nil {
		return nil, noWorkflow(req.WorkflowID)
	}
	if record.Status == wire.WorkflowArchived {
		return nil, archived(record)
	}
	if req.ExpectedVersion != 0 && req.ExpectedVersion != last.Version {
		return nil, versionMismatch(req.ExpectedVersion, last.Version)
	}
	next := wire.Workflow{
		ID: record.ID, Version: last.Version + 1, Status: wire.WorkflowActive, Stream: record.Stream, Definition: *def.Definition, Digest: def.digest,
		CreatedAt: last.CreatedAt, DeployedAt: s.now().UTC(), DeployedBy: req.TriggeredBy, RequestID: req.RequestID, RequestDigest: requestDigest,
	}
	stored, err := s.putDefinition(ctx, &next, last.sequence)
	if err != nil {
		return nil, err
	}
	if err := s.publishVersion(ctx, &stored.Workflow, req.TriggeredBy, false); err != nil {
		return nil, err
	}
	if stored.Version == next.Version && stored.DeployedAt.Equal(next.DeployedAt) {
		if stored.Status == wire.WorkflowArchived {
			return nil, archived(record)
		}
		return &stored.Workflow, nil
	}
	// Somebody was faster: perhaps the same request, sent twice.
	if first, err = s.repeated(ctx, record.Stream, record.ID, req.RequestID, requestDigest); err != nil {
		return nil, err
	}
	if first == nil {
		return nil, versionMismatch(last.Version, stored.Version)
	}
	first.Status = stored.Status
	return &first.Workflow, nil
}

func archived(record *wire.WorkflowRecord) error {
	return fault.New(fault.WorkflowArchived, "workflow %q is archived", record.Name).With("workflow_id", record.ID)
}

func versionMismatch(expected, actual int) error {
	return fault.New(fault.VersionMismatch, "the workflow is at version %d, not %d: look at it and try again", actual, expected).
		With("expected", expected).With("actual", actual)
}

func (s *Service) get(ctx context.Context, req wire.WorkflowGetRequest) (*wire.Workflow, error) {
	if req.Version < 0 {
		return nil, fault.New(fault.InvalidField, "version counts from 1").With("field", "version")
	}
	record, err := s.registry.Resolve(ctx, req.WorkflowID)
	if err != nil {
		return nil, err
	}
	return s.shown(ctx, record, req.Version)
}

func (s *Service) shown(ctx context.Context, record *wire.WorkflowRecord, version int) (*wire.Workflow, error) {
	v, err := s.registry.Version(ctx, record, version)
	if err != nil {
		return nil, err
	}
	w := *v.Workflow
	w.Status = record.Status
	return &w, nil
}

func (s *Service) archive(ctx context.Context, req wire.WorkflowArchiveRequest) (*wire.Workflow, error) {
	named, err := s.registry.Resolve(ctx, req.WorkflowID)
	if err != nil {
		return nil, err
	}
	for {
		record, revision, err := s.registry.Read(ctx, named.ID)
		if err != nil {
			return nil, err
		}
		if record == nil {
			return nil, noWorkflow(req.WorkflowID)
		}
		w, err := s.shown(ctx, record, 0)
		if err != nil {
			return nil, err
		}
		if record.Status != wire.WorkflowArchived {
			record.Status, record.UpdatedAt = wire.WorkflowArchived, s.now().UTC()
			if err := s.registry.Write(ctx, *record, revision); errors.Is(err, fault.Conflict) {
				continue
			} else if err != nil {
				return nil, err
			}
		}
		w.Status = wire.WorkflowArchived
		if err := s.registry.ReleaseName(ctx, record.Name, record.ID); err != nil {
			return nil, err
		}
		return w, s.note(ctx, w, wire.LifecycleArchived, req.TriggeredBy)
	}
}

func (s *Service) remove(ctx context.Context, req wire.WorkflowDeleteRequest) (*wire.Workflow, error) {
	record, err := s.registry.Resolve(ctx, req.WorkflowID)
	if err != nil {
		return nil, err
	}
	if req.Confirm != record.Name {
		return nil, fault.New(fault.InvalidField, "confirm must repeat the workflow's name, %q: deleting removes all its instances", record.Name).
			With("field", "confirm")
	}
	w, err := s.shown(ctx, record, 0)
	if err != nil && !errors.Is(err, fault.Unavailable) {
		return nil, err
	}
	if w == nil { // a repeat: the stream is gone already
		w = &wire.Workflow{
			ID: record.ID, Version: record.Version, Stream: record.Stream, CreatedAt: record.CreatedAt,
			Definition: wire.Definition{
				Name: record.Name, Description: record.Description, Places: []wire.Place{}, Transitions: []wire.Transition{},
			},
		}
	}
	// Archived first, so that nothing new begins in what is being taken away.
	if record.Status != wire.WorkflowArchived {
		if _, err := s.archive(ctx, wire.WorkflowArchiveRequest{WorkflowID: record.ID, Origin: req.Origin}); err != nil {
			return nil, err
		}
	}
	if err := s.bus.DeleteWorkflowStream(ctx, record.Stream); err != nil {
		return nil, err
	}
	if err := s.drop(ctx, record.ID); err != nil {
		return nil, err
	}
	// The archiving may have stopped before it; a name that leads to nothing would be taken
	// for a deployment that stopped half way, and its id used again.
	if err := s.registry.ReleaseName(ctx, record.Name, record.ID); err != nil {
		return nil, err
	}
	if err := s.registry.Remove(ctx, record.ID); err != nil {
		return nil, err
	}
	w.Status = wire.WorkflowArchived
	// A projector that was still at work may have written once more.
	return w, s.drop(ctx, record.ID)
}

func (s *Service) list(_ context.Context, req wire.WorkflowListRequest) (wire.WorkflowListReply, error) {
	reply := wire.WorkflowListReply{Workflows: []wire.WorkflowRecord{}}
	limit, err := bus.PageSize(req.Limit)
	if err != nil {
		return reply, err
	}
	switch req.Status {
	case "", wire.WorkflowActive, wire.WorkflowArchived:
	default:
		return reply, fault.New(fault.InvalidField, "status is active or archived, not %q", req.Status).With("field", "status")
	}
	// By name, then id: the cursor is where the last page ended.
	all := s.registry.All()
	key := func(r *wire.WorkflowRecord) string { return r.Name + " " + r.ID }
	sort.Slice(all, func(i, k int) bool { return key(&all[i]) < key(&all[k]) })
	after, err := cursor(req.Cursor)
	if err != nil {
		return reply, err
	}
	for i := range all {
		r := &all[i]
		if key(r) <= after || req.Status != "" && r.Status != req.Status || !strings.Contains(r.Name, req.NameContains) {
			continue
		}
		if len(reply.Workflows) == limit {
			reply.NextCursor = hex.EncodeToString([]byte(key(&reply.Workflows[limit-1])))
			break
		}
		reply.Workflows = append(reply.Workflows, *r)
	}
	return reply, nil
}

func cursor(opaque string) (string, error) {
	after, err := hex.DecodeString(opaque)
	if err != nil {
		return "", fault.New(fault.InvalidField, "cursor is not one that a list returned").With("field", "cursor")
	}
	return string(after), nil
}

func (s *Service) streams(ctx context.Context, req wire.WorkflowStreamsRequest) (wire.WorkflowStreamsReply, error) {
	reply := wire.WorkflowStreamsReply{}
	record, err := s.registry.Resolve(ctx, req.WorkflowID)
	if err != nil {
		return reply, err
	}
	stream, err := s.bus.JS.Stream(ctx, record.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return reply, fault.New(fault.Unavailable, "the workflow's stream is gone, or was just deleted").Because(err)
	}
	if err != nil {
		return reply, fault.New(fault.Unavailable, "the workflow's stream is out of reach at the moment; try again").Because(err)
	}
	info := stream.CachedInfo()
	last := info.State.LastTime
	if info.State.Msgs == 0 {
		last = info.Created
	}
	reply.Streams = []wire.StreamInfo{{
		Name: record.Stream, Subject: strings.TrimSuffix(wire.EventSubjects(record.ID), "events.>") + ">",
		MessageCount: info.State.Msgs, ByteSize: info.State.Bytes, LastActivity: last.UTC(),
	}}
	return reply, nil
}
