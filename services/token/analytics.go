package token

import (
	"context"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/token/internal/analytics"
)

func (s *Service) placeFigures(ctx context.Context, req wire.AnalyticsRequest) (wire.AnalyticsPlacesReply, error) {
	record, err := s.registry.Resolve(ctx, req.WorkflowID)
	if err != nil {
		return wire.AnalyticsPlacesReply{}, err
	}
	_, workflow, err := s.registry.Net(ctx, record.ID, 0)
	if err != nil {
		return wire.AnalyticsPlacesReply{}, err
	}
	live, err := s.view.Count(ctx, record.ID)
	if err != nil {
		return wire.AnalyticsPlacesReply{}, err
	}
	places := make([]string, 0, len(workflow.Places))
	for i := range workflow.Places {
		places = append(places, workflow.Places[i].ID)
	}
	return analytics.Places(ctx, s.bus, record, places, live, req, s.now())
}

func (s *Service) transitionFigures(ctx context.Context, req wire.AnalyticsRequest) (wire.AnalyticsTransitionsReply, error) {
	record, err := s.registry.Resolve(ctx, req.WorkflowID)
	if err != nil {
		return wire.AnalyticsTransitionsReply{}, err
	}
	_, workflow, err := s.registry.Net(ctx, record.ID, 0)
	if err != nil {
		return wire.AnalyticsTransitionsReply{}, err
	}
	transitions := make([]string, 0, len(workflow.Transitions))
	for i := range workflow.Transitions {
		transitions = append(transitions, workflow.Transitions[i].ID)
	}
	return analytics.Transitions(ctx, s.bus, record, transitions, req, s.now())
}
