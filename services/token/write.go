package token

import (
	"context"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func (s *Service) create(ctx context.Context, req wire.TokenCreateRequest) (wire.Token, error) {
	digest, err := bus.Digest(wire.SubjectTokenCreate, req.Origin, req)
	if err != nil {
		return wire.Token{}, err
	}
	out, err := s.committer.Create(ctx, bus.Creation{
		WorkflowID: req.WorkflowID, Origin: req.Origin, Digest: digest,
		Create: petri.Create{Place: req.Place, Data: req.Data, Metadata: req.Metadata},
	})
	if err != nil {
		return wire.Token{}, err
	}
	return out.Token(out.State.ID)
}

func (s *Service) inject(ctx context.Context, req wire.TokenInjectRequest) (wire.Token, error) {
	switch {
	case req.WorkflowID == "":
		return wire.Token{}, missing("workflow_id")
	case req.Place == "":
		return wire.Token{}, missing("place")
	}
	record, err := s.registry.Resolve(ctx, req.WorkflowID)
	if err != nil {
		return wire.Token{}, err
	}
	out, err := s.commit(ctx, wire.SubjectTokenInject, req, bus.Change{
		Field: "instance_id", InstanceID: req.InstanceID, WorkflowID: record.ID, Origin: req.Origin, Injects: true,
		Command: always(petri.Inject{Place: req.Place, Data: req.Data, Metadata: req.Metadata}),
	})
	if err != nil {
		return wire.Token{}, err
	}
	return out.Token(out.Event.TokenID)
}

func (s *Service) update(ctx context.Context, req wire.TokenUpdateRequest) (wire.Token, error) {
	out, err := s.commit(ctx, wire.SubjectTokenUpdate, req, bus.Change{
		Field: "token_id", InstanceID: req.TokenID, Origin: req.Origin,
		Command: always(petri.Update{
			TokenID: req.TokenID, Data: req.Data, Metadata: req.Metadata,
			ExpectedSequence: req.ExpectedSequence, ArrivalSequence: req.ArrivalSequence,
		}),
	})
	if err != nil {
		return wire.Token{}, err
	}
	return out.Token(req.TokenID)
}

func (s *Service) cancel(ctx context.Context, req wire.TokenCancelRequest) (wire.Instance, error) {
	change := bus.Change{Field: "token_id", InstanceID: req.TokenID, Origin: req.Origin}
	switch {
	case req.TokenID == "" && req.InstanceID == "":
		return wire.Instance{}, fault.New(fault.InvalidField, "token_id or instance_id is missing").With("field", "token_id")
	case req.TokenID != "" && req.InstanceID != "":
		return wire.Instance{}, fault.New(fault.InvalidField, "give token_id to cancel one token, or instance_id to cancel the instance, not both").
			With("field", "instance_id")
	case req.TokenID == "":
		change.Field, change.InstanceID = "instance_id", req.InstanceID
	}
	change.Command = always(petri.Cancel{TokenID: req.TokenID, Reason: req.Reason})
	return s.changed(ctx, wire.SubjectTokenCancel, req, change)
}

func (s *Service) suspend(ctx context.Context, req wire.InstanceSuspendRequest) (wire.Instance, error) {
	return s.changed(ctx, wire.SubjectInstanceSuspend, req, bus.Change{
		Field: "instance_id", InstanceID: req.InstanceID, Origin: req.Origin, Command: always(petri.Suspend{Reason: req.Reason}),
	})
}

func (s *Service) resume(ctx context.Context, req wire.InstanceResumeRequest) (wire.Instance, error) {
	return s.changed(ctx, wire.SubjectInstanceResume, req, bus.Change{
		Field: "instance_id", InstanceID: req.InstanceID, Origin: req.Origin, Command: always(petri.Resume{}),
	})
}

func (s *Service) migrate(ctx context.Context, req wire.InstanceMigrateRequest) (wire.Instance, error) {
	if req.Version < 1 {
		return wire.Instance{}, fault.New(fault.InvalidField, "version must name a version of the workflow, from 1").With("field", "version")
	}
	return s.changed(ctx, wire.SubjectInstanceMigrate, req, bus.Change{
		Field: "instance_id", InstanceID: req.InstanceID, Origin: req.Origin,
		Command: func(ctx context.Context, v *bus.Version, _ *wire.State) (petri.Command, error) {
			net, _, err := s.registry.Net(ctx, v.Workflow.ID, req.Version)
			if err != nil {
				return nil, err
			}
			return petri.Migrate{Net: net, Version: req.Version, Places: req.Places}, nil
		},
	})
}

func (s *Service) changed(ctx context.Context, subject string, req any, change bus.Change) (wire.Instance, error) {
	change.ReplySize = func(ev *wire.Event) int {
		tokens := make([]*wire.Token, 0, len(ev.Instance.Tokens))
		for i := range ev.Instance.Tokens {
			tokens = append(tokens, &ev.Instance.Tokens[i])
		}
		return bus.ReplySizeOf(ev.Instance, tokens...)
	}
	out, err := s.commit(ctx, subject, req, change)
	if err != nil {
		return wire.Instance{}, err
	}
	return out.Instance(), nil
}

func (s *Service) commit(ctx context.Context, subject string, req any, change bus.Change) (*bus.Outcome, error) {
	digest, err := bus.Digest(subject, change.Origin, req)
	if err != nil {
		return nil, err
	}
	change.Digest = digest
	return s.committer.Commit(ctx, change)
}

func always(cmd petri.Command) func(context.Context, *bus.Version, *wire.State) (petri.Command, error) {
	return func(context.Context, *bus.Version, *wire.State) (petri.Command, error) { return cmd, nil }
}

func missing(field string) error {
	return fault.New(fault.InvalidField, "%s is missing", field).With("field", field)
}
