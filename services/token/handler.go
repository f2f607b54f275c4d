package token

import (
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func (s *Service) endpoints() []service.Endpoint {
	return []service.Endpoint{
		service.Handle(wire.SubjectTokenCreate, s.create),
		service.Handle(wire.SubjectTokenInject, s.inject),
		service.Handle(wire.SubjectTokenGet, s.get),
		service.Handle(wire.SubjectTokenList, s.list),
		service.Handle(wire.SubjectTokenFind, s.search),
		service.Handle(wire.SubjectTokenHistory, s.history),
		service.Handle(wire.SubjectTokenUpdate, s.update),
		service.Handle(wire.SubjectTokenCancel, s.cancel),
		service.Handle(wire.SubjectInstanceGet, s.getInstance),
		service.Handle(wire.SubjectInstanceList, s.listInstances),
		service.Handle(wire.SubjectInstanceSuspend, s.suspend),
		service.Handle(wire.SubjectInstanceResume, s.resume),
		service.Handle(wire.SubjectInstanceMigrate, s.migrate),
		service.Handle(wire.SubjectAnalyticsPlaces, s.placeFigures),
		service.Handle(wire.SubjectAnalyticsTransitions, s.transitionFigures),
	}
}
