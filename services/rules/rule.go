package rules

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func (s *Service) create(ctx context.Context, req wire.RuleCreateRequest) (wire.Rule, error) {
	digest, err := bus.Digest(wire.SubjectRuleCreate, req.Origin, req)
	if err != nil {
		return wire.Rule{}, err
	}
	created, err := s.store.Create(ctx, wire.Rule{
		ID: req.ID, Description: req.Description, WorkflowID: req.WorkflowID, Condition: req.Condition, Tags: req.Tags,
	}, req.Origin, digest, s.check)
	return created.Shown(), err
}

func (s *Service) update(ctx context.Context, req wire.RuleUpdateRequest) (wire.Rule, error) {
	digest, err := bus.Digest(wire.SubjectRuleUpdate, req.Origin, req)
	if err != nil {
		return wire.Rule{}, err
	}
	if req.Description == nil && req.WorkflowID == nil && req.Condition == nil && req.Tags == nil {
		return wire.Rule{}, fault.New(fault.InvalidField, "give what is to change: condition, description, tags or workflow_id").With("field", "condition")
	}
	updated, err := s.store.Update(ctx, req.ID, req.ExpectedVersion, req.Origin, digest, func(r *wire.Rule) {
		if req.Description != nil {
			r.Description = *req.Description
		}
		if req.WorkflowID != nil {
			r.WorkflowID = *req.WorkflowID
		}
		if req.Condition != nil {
			r.Condition = req.Condition
		}
		if req.Tags != nil {
			r.Tags = *req.Tags
		}
	}, s.check)
	return updated.Shown(), err
}

// check refuses what cannot be stored, and brings the condition into its canonical form.
func (s *Service) check(ctx context.Context, r *wire.Rule) error {
	if r.WorkflowID != "" {
		switch lower := strings.ToLower(r.WorkflowID); {
		case wire.IsUUID(lower):
			if _, err := s.registry.Resolve(ctx, lower); err != nil {
				return err
			}
			r.WorkflowID = lower
		case !wire.ValidName(r.WorkflowID):
			return fault.New(fault.InvalidField, "workflow_id is neither a UUID nor a name that a workflow can have").With("field", "workflow_id")
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
	r, err := s.store.Version(ctx, "id", req.ID, req.Version)
	return r.Shown(), err
}

func (s *Service) list(ctx context.Context, req wire.RuleListRequest) (reply wire.RuleListReply, err error) {
	reply.Rules, reply.NextCursor, err = s.store.Page(req.Page, func() ([]*rule, error) { return s.listed(ctx, req) })
	return reply, err
}

// listed are the rules that a list asks for. Those that it names are read from the bucket,
// so that a rule that was just made is among them.
func (s *Service) listed(ctx context.Context, req wire.RuleListRequest) ([]*rule, error) {
	var all []*rule
	if len(req.IDs) > wire.MaxPage {
		return nil, fault.New(fault.InvalidField, "ids has %d elements; at most %d are possible", len(req.IDs), wire.MaxPage).With("field", "ids")
	}
	if req.IDs == nil {
		all = s.store.All()
	}
	for i, id := range req.IDs {
		if id == wire.ReservedRuleID {
			continue // Nothing can be called so.
		}
		if err := s.store.ValidID("ids["+strconv.Itoa(i)+"]", id); err != nil {
			return nil, err
		}
		r, err := s.store.Current(ctx, id)
		if err != nil {
			return nil, err
		}
		if r != nil && !r.Deleted {
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
	return slices.DeleteFunc(all, func(e *rule) bool {
		r := &e.Definition
		return !strings.Contains(r.ID, req.NameContains) ||
			req.Tag != "" && !slices.Contains(r.Tags, req.Tag) ||
			scope != nil && !slices.Contains(scope, r.WorkflowID)
	}), nil
}

func (s *Service) history(ctx context.Context, req wire.RuleHistoryRequest) (reply wire.RuleHistoryReply, err error) {
	reply.Versions, reply.NextCursor, err = s.store.History(ctx, req.ID, req.Page)
	return reply, err
}

func (s *Service) remove(ctx context.Context, req wire.RuleDeleteRequest) (wire.Rule, error) {
	digest, err := bus.Digest(wire.SubjectRuleDelete, req.Origin, req)
	if err != nil {
		return wire.Rule{}, err
	}
	removed, err := s.store.Delete(ctx, req.ID, req.ExpectedVersion, req.Origin, digest, func(ctx context.Context) error {
		return s.unused(ctx, req.ID)
	})
	return removed.Shown(), err
}

// unused refuses the deletion of a rule that a workflow uses.
func (s *Service) unused(ctx context.Context, id string) error {
	users, err := s.bus.Users(ctx, s.registry, func(w *wire.Workflow) bool {
		return slices.ContainsFunc(w.Transitions, func(t wire.Transition) bool { return slices.Contains(t.Rules, id) })
	})
	if err != nil || len(users) == 0 {
		return err
	}
	return fault.New(fault.RuleInUse, "rule %q is used by %s; deploy without it, or archive, and let running instances end first", id, strings.Join(users, ", ")).
		With("rule_id", id).With("workflows", users)
}
