package rules

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Bounds of a rule.
const (
	// maxDescription and maxTag are in characters.
	maxDescription = 4096
	maxTag         = 64
	maxTags        = 32
	maxTriggeredBy = 1024
	maxRequestID   = 256
)

func (s *Service) create(ctx context.Context, req wire.RuleCreateRequest) (wire.Rule, error) {
	digest, err := bus.Digest(wire.SubjectRuleCreate, req.Origin, req)
	if err != nil {
		return wire.Rule{}, err
	}
	now := s.now().UTC()
	r := wire.Rule{
		ID: req.ID, Description: req.Description, WorkflowID: req.WorkflowID, Condition: req.Condition, Tags: req.Tags,
		Author: req.TriggeredBy, CreatedAt: now, UpdatedAt: now, RequestID: req.RequestID, RequestDigest: digest,
	}
	if err := s.check(ctx, &r); err != nil {
		return wire.Rule{}, err
	}
	for {
		last, err := s.store.current(ctx, r.ID)
		if err != nil {
			return wire.Rule{}, err
		}
		var revision uint64
		r.Version = 1
		if last != nil {
			if first, err := s.store.made(ctx, r.ID, req.RequestID, digest); err != nil || first != nil {
				return first.shown(), err
			}
			if !last.deleted {
				return wire.Rule{}, fault.New(fault.RuleExists, "there is a rule %q already, in version %d; update it", r.ID, last.Version).
					With("rule_id", r.ID).With("version", last.Version)
			}
			revision, r.Version = last.revision, last.Version+1
		}
		stored, err := s.store.put(ctx, r, revision)
		if !errors.Is(err, bus.ErrWrongSequence) {
			return stored.shown(), err
		}
		if ctx.Err() != nil {
			return wire.Rule{}, ctx.Err()
		}
	}
}

// shown is the rule as replies have it; nothing of a nil one.
func (r *rule) shown() wire.Rule {
	if r == nil {
		return wire.Rule{}
	}
	return r.Rule
}

func (s *Service) update(ctx context.Context, req wire.RuleUpdateRequest) (wire.Rule, error) {
	digest, err := bus.Digest(wire.SubjectRuleUpdate, req.Origin, req)
	if err != nil {
		return wire.Rule{}, err
	}
	if req.Description == nil && req.WorkflowID == nil && req.Condition == nil && req.Tags == nil {
		return wire.Rule{}, fault.New(fault.InvalidField, "give what is to change: condition, description, tags or workflow_id").With("field", "condition")
	}
	for {
		if err := validID("id", req.ID); err != nil {
			return wire.Rule{}, err
		}
		if first, err := s.store.made(ctx, req.ID, req.RequestID, digest); err != nil || first != nil {
			return first.shown(), err
		}
		last, err := s.existing(ctx, req.ID)
		if err != nil {
			return wire.Rule{}, err
		}
		if req.ExpectedVersion != 0 && req.ExpectedVersion != last.Version {
			return wire.Rule{}, versionMismatch(req.ExpectedVersion, last.Version)
		}
		next := last.Rule
		next.Version, next.UpdatedAt, next.Author = last.Version+1, s.now().UTC(), req.TriggeredBy
		next.RequestID, next.RequestDigest = req.RequestID, digest
		if req.Description != nil {
			next.Description = *req.Description
		}
		if req.WorkflowID != nil {
			next.WorkflowID = *req.WorkflowID
		}
		if req.Condition != nil {
			next.Condition = req.Condition
		}
		if req.Tags != nil {
			next.Tags = *req.Tags
		}
		if err := s.check(ctx, &next); err != nil {
			return wire.Rule{}, err
		}
		stored, err := s.store.put(ctx, next, last.revision)
		if !errors.Is(err, bus.ErrWrongSequence) {
			return stored.shown(), err
		}
		if ctx.Err() != nil {
			return wire.Rule{}, ctx.Err()
		}
	}
}

func versionMismatch(expected, actual int) error {
	return fault.New(fault.VersionMismatch, "the rule is at version %d, not %d: look at it and try again", actual, expected).
		With("expected", expected).With("actual", actual)
}

func notFound(id string) error {
	return fault.New(fault.RuleNotFound, "there is no rule %q", id).With("rule_id", id)
}

// existing is the newest version of a rule as the bucket has it.
func (s *Service) existing(ctx context.Context, id string) (*rule, error) {
	if err := validID("id", id); err != nil {
		return nil, err
	}
	last, err := s.store.current(ctx, id)
	if err != nil {
		return nil, err
	}
	if last == nil || last.deleted {
		return nil, notFound(id)
	}
	return last, nil
}

func validID(field, id string) error {
	switch {
	case id == "":
		return fault.New(fault.InvalidField, "%s is missing", field).With("field", field)
	case !wire.ValidName(id):
		return fault.New(fault.InvalidField, "%s must be 1 to 64 characters of a-z, 0-9, _ and -, and begin with a letter or digit", field).With("field", field)
	case id == wire.ReservedRuleID:
		return fault.New(fault.InvalidField, "%s cannot be %q: inline conditions are called so", field, id).With("field", field)
	}
	return nil
}

func boundedOrigin(o wire.Origin) error {
	for _, f := range []struct {
		name, value string
		most        int
	}{{"triggered_by", o.TriggeredBy, maxTriggeredBy}, {"request_id", o.RequestID, maxRequestID}} {
		if len(f.value) > f.most {
			return fault.New(fault.InvalidField, "%s is %d bytes long; at most %d are possible", f.name, len(f.value), f.most).With("field", f.name)
		}
	}
	return nil
}

// check refuses what cannot be stored, and brings the condition into its canonical form.
func (s *Service) check(ctx context.Context, r *wire.Rule) error {
	if err := validID("id", r.ID); err != nil {
		return err
	}
	bad := func(field, format string, args ...any) error {
		return fault.New(fault.InvalidField, field+" "+format, args...).With("field", field)
	}
	switch {
	case utf8.RuneCountInString(r.Description) > maxDescription:
		return bad("description", "has %d characters; at most %d are possible", utf8.RuneCountInString(r.Description), maxDescription)
	case len(r.Tags) > maxTags:
		return bad("tags", "has %d elements; at most %d are possible", len(r.Tags), maxTags)
	}
	if err := boundedOrigin(wire.Origin{TriggeredBy: r.Author, RequestID: r.RequestID}); err != nil {
		return err
	}
	for i, tag := range r.Tags {
		if n := utf8.RuneCountInString(tag); n == 0 || n > maxTag {
			return bad("tags["+strconv.Itoa(i)+"]", "must have 1 to %d characters", maxTag)
		}
	}
	if r.WorkflowID != "" {
		switch lower := strings.ToLower(r.WorkflowID); {
		case wire.IsUUID(lower):
			if _, err := s.registry.Resolve(ctx, lower); err != nil {
				return err
			}
			r.WorkflowID = lower
		case !wire.ValidName(r.WorkflowID):
			return bad("workflow_id", "is neither a UUID nor a name that a workflow can have")
		}
	}
	program, err := s.language.Compile("condition", r.Condition)
	if err != nil {
		return err
	}
	r.Condition = program.Canonical()
	return nil
}

func (s *Service) get(ctx context.Context, req wire.RuleGetRequest) (wire.Rule, error) {
	r, err := s.version(ctx, "id", req.ID, req.Version)
	return r.shown(), err
}

// version reads one version of a rule; 0 is the newest. Old ones are found also when the
// rule was deleted.
func (s *Service) version(ctx context.Context, field, id string, version int) (*rule, error) {
	if err := validID(field, id); err != nil {
		return nil, err
	}
	if version < 0 {
		return nil, fault.New(fault.InvalidField, "version counts from 1").With("field", "version")
	}
	if version == 0 {
		return s.existing(ctx, id)
	}
	var found *rule
	newest := 0
	err := s.store.versions(ctx, id, func(r *rule) bool {
		if !r.deleted {
			newest = r.Version
			if r.Version == version {
				found = r
			}
		}
		return found == nil
	})
	switch {
	case err != nil:
		return nil, err
	case found != nil:
		s.store.compile(found)
		return found, nil
	case newest == 0:
		return nil, notFound(id)
	}
	return nil, fault.New(fault.VersionNotFound, "rule %q has no version %d; the newest is %d", id, version, newest).With("version", version)
}

func (s *Service) list(ctx context.Context, req wire.RuleListRequest) (wire.RuleListReply, error) {
	reply := wire.RuleListReply{Rules: []wire.Rule{}}
	limit, err := bus.PageSize(req.Limit)
	if err != nil {
		return reply, err
	}
	after, err := cursor(req.Cursor)
	if err != nil {
		return reply, err
	}
	all, err := s.listed(ctx, req)
	if err != nil {
		return reply, err
	}
	size := 0
	for _, r := range all {
		if r.ID <= after {
			continue
		}
		size += ruleOverhead + len(r.Condition) + len(r.Description)
		if len(reply.Rules) == limit || size > wire.MaxPageBytes && len(reply.Rules) > 0 {
			reply.NextCursor = hex.EncodeToString([]byte(reply.Rules[len(reply.Rules)-1].ID))
			break
		}
		reply.Rules = append(reply.Rules, r.Rule)
	}
	return reply, nil
}

// ruleOverhead is what a rule takes in a reply beside its condition, at most on average.
const ruleOverhead = 1 << 10

// listed are the rules that a list asks for, by id. Those that it names are read from the
// bucket, so that a rule that was just made is among them.
func (s *Service) listed(ctx context.Context, req wire.RuleListRequest) ([]*rule, error) {
	var all []*rule
	if len(req.IDs) > wire.MaxPage {
		return nil, fault.New(fault.InvalidField, "ids has %d elements; at most %d are possible", len(req.IDs), wire.MaxPage).With("field", "ids")
	}
	if req.IDs == nil {
		all = s.store.all()
	}
	for i, id := range req.IDs {
		if id == wire.ReservedRuleID {
			continue // Nothing can be called so.
		}
		if err := validID("ids["+strconv.Itoa(i)+"]", id); err != nil {
			return nil, err
		}
		r, err := s.store.current(ctx, id)
		if err != nil {
			return nil, err
		}
		if r != nil && !r.deleted {
			all = append(all, r)
		}
	}
	var scope []string
	if req.WorkflowID != "" {
		scope = []string{req.WorkflowID}
		record, err := s.registry.Resolve(ctx, req.WorkflowID)
		switch {
		case err == nil:
			scope = []string{record.ID, record.Name}
		case !errors.Is(err, fault.WorkflowNotFound):
			return nil, err
		}
	}
	all = slices.DeleteFunc(all, func(r *rule) bool {
		return !strings.Contains(r.ID, req.NameContains) ||
			req.Tag != "" && !slices.Contains(r.Tags, req.Tag) ||
			scope != nil && !slices.Contains(scope, r.WorkflowID)
	})
	slices.SortFunc(all, func(a, b *rule) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(all, func(a, b *rule) bool { return a.ID == b.ID }), nil
}

func cursor(opaque string) (string, error) {
	after, err := hex.DecodeString(opaque)
	if err != nil {
		return "", fault.New(fault.InvalidField, "cursor is not one that this list returned").With("field", "cursor")
	}
	return string(after), nil
}

func (s *Service) history(ctx context.Context, req wire.RuleHistoryRequest) (wire.RuleHistoryReply, error) {
	reply := wire.RuleHistoryReply{Versions: []wire.Rule{}}
	limit, err := bus.PageSize(req.Limit)
	if err != nil {
		return reply, err
	}
	if err := validID("id", req.ID); err != nil {
		return reply, err
	}
	after := 0
	if req.Cursor != "" {
		if after, err = strconv.Atoi(req.Cursor); err != nil || after < 0 {
			return reply, fault.New(fault.InvalidField, "cursor is not one that a history returned").With("field", "cursor")
		}
	}
	size, ever := 0, false
	err = s.store.versions(ctx, req.ID, func(r *rule) bool {
		ever = true
		if r.deleted || r.Version <= after {
			return true
		}
		size += ruleOverhead + len(r.Condition) + len(r.Description)
		if len(reply.Versions) == limit || size > wire.MaxPageBytes && len(reply.Versions) > 0 {
			reply.NextCursor = strconv.Itoa(reply.Versions[len(reply.Versions)-1].Version)
			return false
		}
		reply.Versions = append(reply.Versions, r.Rule)
		return true
	})
	if err == nil && !ever {
		err = notFound(req.ID)
	}
	return reply, err
}

func (s *Service) remove(ctx context.Context, req wire.RuleDeleteRequest) (wire.Rule, error) {
	if err := validID("id", req.ID); err != nil {
		return wire.Rule{}, err
	}
	if err := boundedOrigin(req.Origin); err != nil {
		return wire.Rule{}, err
	}
	digest, err := bus.Digest(wire.SubjectRuleDelete, req.Origin, req)
	if err != nil {
		return wire.Rule{}, err
	}
	for {
		last, err := s.store.current(ctx, req.ID)
		if err != nil {
			return wire.Rule{}, err
		}
		if last == nil {
			return wire.Rule{}, notFound(req.ID)
		}
		first, err := s.store.made(ctx, req.ID, req.RequestID, digest)
		switch {
		case err != nil:
			return wire.Rule{}, err
		case first != nil: // A repeat; the rule may have been made anew since.
			return s.get(ctx, wire.RuleGetRequest{ID: req.ID, Version: first.Version})
		case last.deleted:
			return wire.Rule{}, notFound(req.ID)
		case req.ExpectedVersion != 0 && req.ExpectedVersion != last.Version:
			return wire.Rule{}, versionMismatch(req.ExpectedVersion, last.Version)
		}
		if err := s.unused(ctx, req.ID); err != nil {
			return wire.Rule{}, err
		}
		err = s.store.drop(ctx, last, req.Origin, digest)
		if errors.Is(err, bus.ErrWrongSequence) && ctx.Err() == nil {
			continue
		}
		return last.Rule, err
	}
}

// unused refuses the deletion of a rule that a workflow uses: in the newest version of an
// active one, or in a version that a live instance runs on.
func (s *Service) unused(ctx context.Context, id string) error {
	var users []string
	// What this copy remembers may be behind, and a workflow that was just deployed counts.
	records, err := s.registry.ReadAll(ctx)
	if err != nil {
		return err
	}
	for _, record := range records {
		uses := false
		var versions []int
		err := s.bus.Definitions(ctx, &record, func(w *wire.Workflow, _ uint64) bool {
			if !slices.ContainsFunc(w.Transitions, func(t wire.Transition) bool { return slices.Contains(t.Rules, id) }) {
				return true
			}
			uses = uses || w.Version >= record.Version && record.Status == wire.WorkflowActive
			versions = append(versions, w.Version)
			return true
		})
		if err != nil {
			return err
		}
		if len(versions) > 0 && !uses {
			// An instance that has just begun must not be overlooked.
			if err := s.bus.CaughtUp(ctx, &record); err != nil {
				return err
			}
			live, err := s.bus.LiveVersions(ctx, record.ID, versions)
			if err != nil {
				return err
			}
			uses = len(live) > 0
		}
		if uses {
			users = append(users, record.Name)
		}
	}
	if len(users) > 0 {
		slices.Sort(users)
		return fault.New(fault.RuleInUse, "rule %q is used by %s; deploy without it, or archive, and let running instances end first", id, strings.Join(users, ", ")).
			With("rule_id", id).With("workflows", users)
	}
	return nil
}
