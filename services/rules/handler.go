package rules

import (
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func (s *Service) endpoints() []service.Endpoint {
	return []service.Endpoint{
		service.Handle(wire.SubjectRuleCreate, s.create),
		service.Handle(wire.SubjectRuleUpdate, s.update),
		service.Handle(wire.SubjectRuleGet, s.get),
		service.Handle(wire.SubjectRuleList, s.list),
		service.Handle(wire.SubjectRuleDelete, s.remove),
		service.Handle(wire.SubjectRuleHistory, s.history),
		service.Handle(wire.SubjectRuleEvaluate, s.evaluate),
		service.Handle(wire.SubjectRuleGuard, s.guard),
	}
}
