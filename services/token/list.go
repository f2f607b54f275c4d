package token

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func (s *Service) list(ctx context.Context, req wire.TokenListRequest) (wire.TokenListReply, error) {
	reply := wire.TokenListReply{Tokens: []wire.Token{}}
	limit, err := bus.PageSize(req.Limit)
	if err != nil {
		return reply, err
	}
	if req.Place != "" && !wire.ValidName(req.Place) {
		return reply, fault.New(fault.InvalidField, "place is no place's id").With("field", "place")
	}
	id, err := s.optional(ctx, req.WorkflowID)
	if err != nil {
		return reply, err
	}
	if req.MinSequence > 0 {
		if id == "" {
			return reply, fault.New(fault.InvalidField, "min_sequence counts in one workflow: give workflow_id too").With("field", "min_sequence")
		}
		if err := s.view.WaitFor(ctx, id, req.MinSequence); err != nil {
			return reply, err
		}
	}
	tokens, next, err := s.view.Tokens(ctx, id, req.Place, limit, req.Cursor)
	if err != nil {
		return reply, err
	}
	reply.Tokens, reply.NextCursor = append(reply.Tokens, tokens...), next
	return reply, nil
}

// optional is the id of a workflow that a request may name.
func (s *Service) optional(ctx context.Context, idOrName string) (string, error) {
	if idOrName == "" {
		return "", nil
	}
	record, err := s.registry.Resolve(ctx, idOrName)
	if err != nil {
		return "", err
	}
	return record.ID, nil
}

// Pages of instances: the view has short records, the truth the rest.
const instanceReaders = 16

func (s *Service) listInstances(ctx context.Context, req wire.InstanceListRequest) (wire.InstanceListReply, error) {
	reply := wire.InstanceListReply{Instances: []wire.Instance{}}
	limit, err := bus.PageSize(req.Limit)
	if err != nil {
		return reply, err
	}
	if err := knownStatus(req.Status); err != nil {
		return reply, err
	}
	id, err := s.optional(ctx, req.WorkflowID)
	if err != nil {
		return reply, err
	}
	size := 0
	for cursor := req.Cursor; ; {
		records, next, err := s.view.Instances(ctx, id, req.Status, limit, cursor)
		if err != nil {
			return reply, err
		}
		if req.NameContains != "" {
			records = s.named(records, req.NameContains)
		}
		instances, err := s.read(ctx, records)
		if err != nil {
			return reply, err
		}
		for _, instance := range instances {
			size += instanceSize(&instance)
			reply.Instances = append(reply.Instances, instance)
		}
		// A filter by name can empty a page; then the next one is tried for the caller.
		if next == "" || len(reply.Instances) > 0 || ctx.Err() != nil {
			reply.NextCursor = next
			return reply, fits(size, int(s.bus.NC.MaxPayload()))
		}
		cursor = next
	}
}

func knownStatus(status wire.Status) error {
	if status == "" {
		return nil
	}
	for _, known := range wire.Statuses() {
		if status == known {
			return nil
		}
	}
	return fault.New(fault.InvalidField, "status is active, suspended, completed or cancelled, not %q", status).With("field", "status")
}

func (s *Service) named(records []wire.InstanceRecord, part string) []wire.InstanceRecord {
	names := map[string]bool{}
	for _, w := range s.registry.All() {
		names[w.ID] = strings.Contains(w.Name, part)
	}
	var kept []wire.InstanceRecord
	for _, record := range records {
		if names[record.WorkflowID] {
			kept = append(kept, record)
		}
	}
	return kept
}

// read reads the instances behind records, some at once; one that was purged meanwhile is
// left out.
func (s *Service) read(ctx context.Context, records []wire.InstanceRecord) ([]wire.Instance, error) {
	found := make([]*wire.Instance, len(records))
	faults := make([]error, len(records))
	slots := make(chan struct{}, instanceReaders)
	var readers sync.WaitGroup
	for i, record := range records {
		slots <- struct{}{}
		readers.Go(func() {
			defer func() { <-slots }()
			out, err := s.bus.LoadInstance(ctx, s.registry, "instance_id", record.ID, record.WorkflowID, true)
			if err == nil {
				instance := out.Instance()
				found[i] = &instance
			} else if !errors.Is(err, fault.InstanceNotFound) {
				faults[i] = err
			}
		})
	}
	readers.Wait()
	instances := make([]wire.Instance, 0, len(found))
	for _, instance := range found {
		if instance != nil {
			instances = append(instances, *instance)
		}
	}
	return instances, errors.Join(faults...)
}

func instanceSize(instance *wire.Instance) int {
	n := 0
	for i := range instance.Tokens {
		n += bus.ReplySizeOf(&wire.State{}, &instance.Tokens[i])
	}
	return n + bus.ReplySizeOf(&wire.State{Instance: *instance})
}

func fits(size, most int) error {
	if size > most {
		return fault.New(fault.LimitExceeded, "this page would take %d bytes, more than fits into a message (%d): ask for fewer with limit", size, most).
			With("limit", "reply").With("max", most).With("actual", size)
	}
	return nil
}

// ofWhere says which field a limit of the condition is about.
func ofWhere(err error) error {
	var limit *fault.Error
	if errors.As(err, &limit) {
		return limit.With("field", "where")
	}
	return err
}

// Bounds of find: it reads the view from the beginning, a page after the other.
const findMost = 100_000

func (s *Service) search(ctx context.Context, req wire.TokenFindRequest) (wire.TokenFindReply, error) {
	reply := wire.TokenFindReply{Tokens: []wire.Token{}}
	limit, err := bus.PageSize(req.Limit)
	if err != nil {
		return reply, err
	}
	record, err := s.registry.Resolve(ctx, req.WorkflowID)
	if err != nil {
		return reply, err
	}
	where, err := s.language.CompileText("where", req.Where)
	if err != nil {
		return reply, err
	}
	if where.NeedsHistory() || where.NeedsInstance() {
		return reply, fault.New(fault.InvalidField, "where can ask about the tokens themselves, not about their history, visits or instance").With("field", "where")
	}
	size, seen, now := 0, 0, s.now()
	for cursor := ""; ; {
		tokens, next, err := s.view.Tokens(ctx, record.ID, "", wire.DefaultPage, cursor)
		if err != nil {
			return cutShort(reply, err)
		}
		for i := range tokens {
			matches, err := where.Passes(ctx, condition.NewInput(condition.Subject{Token: &tokens[i], Now: now}))
			if err != nil {
				return cutShort(reply, ofWhere(err))
			}
			if !matches {
				continue
			}
			size += len(tokens[i].Data) + len(tokens[i].Metadata)
			if len(reply.Tokens) == limit || size > wire.MaxPageBytes && len(reply.Tokens) > 0 {
				reply.Truncated = true
				return reply, nil
			}
			reply.Tokens = append(reply.Tokens, tokens[i])
		}
		if seen += len(tokens); next == "" {
			return reply, nil
		}
		if seen >= findMost {
			reply.Truncated = true
			return reply, nil
		}
		cursor = next
	}
}

// cutShort turns the end of the time into a truncated answer: what was found is of use.
func cutShort(reply wire.TokenFindReply, err error) (wire.TokenFindReply, error) {
	if errors.Is(err, context.DeadlineExceeded) && len(reply.Tokens) > 0 {
		reply.Truncated = true
		return reply, nil
	}
	return reply, err
}
