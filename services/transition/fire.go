package transition

import (
	"context"
	"fmt"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func (s *Service) fire(ctx context.Context, req wire.FireRequest) (wire.FireReply, error) {
	if req.TransitionID == "" {
		return wire.FireReply{}, missing("transition_id")
	}
	field, id, err := target(req.TokenID, req.InstanceID)
	if err != nil {
		return wire.FireReply{}, err
	}
	digest, err := bus.Digest(wire.SubjectTransitionFire, req.Origin, req)
	if err != nil {
		return wire.FireReply{}, err
	}
	out, err := s.committer.Commit(ctx, bus.Change{
		Field: field, InstanceID: id, Origin: req.Origin, Digest: digest, ReplySize: firingSize,
		Command: func(ctx context.Context, v *bus.Version, state *wire.State) (petri.Command, error) {
			cmd := petri.Fire{
				TokenID: req.TokenID, TransitionID: req.TransitionID, FromPlace: req.FromPlace, ToPlace: req.ToPlace,
				Data: req.Data, Metadata: req.Metadata,
				ExpectedSequence: req.ExpectedSequence, ArrivalSequence: req.ArrivalSequence, Automatic: req.Automatic,
			}
			var err error
			cmd.Guards, err = s.permit(ctx, v, state, cmd, req.TransitionID)
			return cmd, err
		},
	})
	if err != nil {
		return wire.FireReply{}, err
	}
	return firingReply(out)
}

func (s *Service) complete(ctx context.Context, req wire.CompleteRequest) (wire.FireReply, error) {
	var reply wire.FireReply
	switch {
	case req.InstanceID == "":
		return reply, missing("instance_id")
	case req.TokenID == "":
		return reply, missing("token_id")
	case wire.IsRoutedID(req.TokenID) && wire.InstanceOf(req.TokenID) != req.InstanceID:
		return reply, fault.New(fault.InvalidField, "token_id does not belong to instance_id").With("field", "token_id")
	case req.ArrivalSequence == 0:
		return reply, missing("arrival_sequence")
	}
	digest, err := bus.Digest(wire.SubjectTransitionComplete, req.Origin, req)
	if err != nil {
		return reply, err
	}
	out, err := s.committer.Commit(ctx, bus.Change{
		Field: "token_id", InstanceID: req.TokenID, Origin: req.Origin, Digest: digest, ReplySize: firingSize,
		Command: func(ctx context.Context, v *bus.Version, state *wire.State) (petri.Command, error) {
			cmd := petri.Complete{
				TokenID: req.TokenID, ArrivalSequence: req.ArrivalSequence,
				Binding: req.Binding, Kind: req.Kind, Outcome: req.Outcome, Output: req.Output, Error: req.Error,
				TransitionID: req.TransitionID, Data: req.Data, Attempts: req.Attempts, DurationMS: req.DurationMS,
			}
			var err error
			cmd.Guards, err = s.permit(ctx, v, state, cmd, req.TransitionID)
			return cmd, err
		},
	})
	if err != nil {
		return reply, err
	}
	if len(out.Event.Produced) > 0 {
		return firingReply(out)
	}
	token, err := out.Token(req.TokenID)
	if err != nil {
		return reply, err
	}
	return wire.FireReply{
		Success: true, Message: fmt.Sprintf("recorded the %s of %s %s", req.Outcome, req.Kind, req.Binding),
		Token: token, Instance: withoutTokens(out),
	}, nil
}

func firingReply(out *bus.Outcome) (wire.FireReply, error) {
	tokens, err := out.Produced()
	if err != nil {
		return wire.FireReply{}, err
	}
	reply := wire.FireReply{Success: true, Message: firingMessage(out.Event), Instance: withoutTokens(out)}
	if len(tokens) > 0 {
		reply.Token = tokens[0]
	}
	if split(out.Event) {
		reply.Tokens = tokens
	}
	return reply, nil
}

// split reports whether the firing split its tokens, be it into one: its tokens then begin a
// lineage of their own.
func split(ev *wire.Event) bool {
	if len(ev.Produced) != 1 {
		return len(ev.Produced) > 1
	}
	lineage := ev.Produced[0].Lineage
	return len(lineage) > 0 && lineage[len(lineage)-1] == int(wire.BirthOf(ev.Produced[0].TokenID)) && ev.Produced[0].TokenID != ev.Consumed[0].TokenID
}

func withoutTokens(out *bus.Outcome) wire.Instance {
	instance := out.State.Instance
	instance.Tokens, instance.NatsSequence = nil, out.Sequence
	return instance
}

func firingMessage(ev *wire.Event) string {
	from := make([]string, 0, len(ev.Consumed))
	for _, c := range ev.Consumed {
		from = append(from, c.Place)
	}
	to := make([]string, 0, len(ev.Produced))
	for _, p := range ev.Produced {
		to = append(to, p.Place)
	}
	return fmt.Sprintf("%s moved %s to %s", ev.TransitionID, places(from), places(to))
}

// places lists places, each once, with how often when it is more than once.
func places(ids []string) string {
	count := map[string]int{}
	var order []string
	for _, id := range ids {
		if count[id]++; count[id] == 1 {
			order = append(order, id)
		}
	}
	for i, id := range order {
		if count[id] > 1 {
			order[i] = fmt.Sprintf("%s (%d tokens)", id, count[id])
		}
	}
	return strings.Join(order, ", ")
}

// firingSize: the first token appears twice after a split.
func firingSize(ev *wire.Event) int {
	tokens := make([]*wire.Token, 0, len(ev.Produced)+1)
	for _, p := range ev.Produced {
		tokens = append(tokens, ev.Instance.Token(p.TokenID))
	}
	if len(tokens) > 1 {
		tokens = append(tokens, tokens[0])
	}
	if len(tokens) == 0 && ev.TokenID != "" {
		tokens = append(tokens, ev.Instance.Token(ev.TokenID))
	}
	return bus.ReplySizeOf(ev.Instance, tokens...)
}

func (s *Service) available(ctx context.Context, req wire.AvailableRequest) (wire.AvailableReply, error) {
	reply := wire.AvailableReply{Transitions: []wire.AvailableTransition{}}
	field, id, err := target(req.TokenID, req.InstanceID)
	if err != nil {
		return reply, err
	}
	out, err := s.committer.Load(ctx, field, id, "", true)
	if err != nil {
		return reply, err
	}
	standing := out.State.Tokens
	if req.TokenID != "" {
		token, err := out.Token(req.TokenID)
		if err != nil {
			return reply, err
		}
		standing = []wire.Token{token}
	}
	version, err := s.registry.Version(ctx, out.Record, out.State.WorkflowVersion)
	if err != nil {
		return reply, err
	}
	asked := map[string]bool{}
	for i := range standing {
		for _, t := range version.Net.Leaving(standing[i].Place) {
			if !asked[t.ID] {
				asked[t.ID] = true
				reply.Transitions = append(reply.Transitions, s.tryOut(version, out.State, req.TokenID, t))
			}
		}
	}
	return reply, s.weigh(ctx, version, out.State, req.TokenID, reply.Transitions)
}

// tryOut asks the engine what would happen, and forgets the answer.
func (s *Service) tryOut(v *bus.Version, state *wire.State, tokenID string, t *wire.Transition) wire.AvailableTransition {
	result := wire.AvailableTransition{TransitionID: t.ID, Description: t.Description}
	ev, err := petri.Decide(v.Net, state, petri.Fire{TokenID: tokenID, TransitionID: t.ID}, petri.Meta{Time: state.UpdatedAt}, s.committer.Limits())
	if err != nil {
		result.Explanation = fault.From(err).Message
		return result
	}
	result.Enabled = true
	result.Explanation = "would fire: " + firingMessage(ev)
	return result
}

// target is the id that a request addresses an instance by, and the field that holds it.
func target(tokenID, instanceID string) (field, id string, err error) {
	switch {
	case tokenID == "" && instanceID == "":
		return "", "", fault.New(fault.InvalidField, "token_id or instance_id is missing").With("field", "token_id")
	case tokenID == "":
		if wire.IsRoutedID(instanceID) && wire.BirthOf(instanceID) != 0 {
			return "", "", fault.New(fault.InvalidField, "instance_id is the id of a token; give it as token_id").With("field", "instance_id")
		}
		return "instance_id", instanceID, nil
	case instanceID != "" && wire.IsRoutedID(tokenID) && wire.InstanceOf(tokenID) != instanceID:
		return "", "", fault.New(fault.InvalidField, "token_id does not belong to instance_id; give one of the two").With("field", "token_id")
	}
	return "token_id", tokenID, nil
}

func missing(field string) error {
	return fault.New(fault.InvalidField, "%s is missing", field).With("field", field)
}
