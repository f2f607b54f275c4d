package transition

import (
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func (s *Service) endpoints() []service.Endpoint {
	return []service.Endpoint{
		service.Handle(wire.SubjectWorkflowCreate, s.create),
		service.Handle(wire.SubjectWorkflowUpdate, s.update),
		service.Handle(wire.SubjectWorkflowGet, s.get),
		service.Handle(wire.SubjectWorkflowList, s.list),
		service.Handle(wire.SubjectWorkflowArchive, s.archive),
		service.Handle(wire.SubjectWorkflowDelete, s.remove),
		service.Handle(wire.SubjectWorkflowValidate, s.validate),
		service.Handle(wire.SubjectWorkflowStreams, s.streams),
		service.Handle(wire.SubjectTransitionFire, s.fire),
		service.Handle(wire.SubjectTransitionComplete, s.complete),
		service.Handle(wire.SubjectTransitionAvailable, s.available),
	}
}
