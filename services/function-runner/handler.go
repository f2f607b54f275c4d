package functionrunner

import (
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func (s *Service) endpoints() []service.Endpoint {
	return []service.Endpoint{
		service.Handle(wire.SubjectFunctionCreate, s.create),
		service.Handle(wire.SubjectFunctionUpdate, s.update),
		service.Handle(wire.SubjectFunctionGet, s.get),
		service.Handle(wire.SubjectFunctionList, s.list),
		service.Handle(wire.SubjectFunctionDelete, s.remove),
		service.Handle(wire.SubjectFunctionInvoke, s.invoke),
		service.Handle(wire.SubjectFunctionTrigger, s.trigger),
		service.Handle(wire.SubjectExecutionGet, s.execution),
		service.Handle(wire.SubjectExecutionList, s.executions),
		service.Handle(wire.SubjectExecutionRedrive, s.redrive),
		service.Handle(wire.SubjectExecutionDiscard, s.discard),
	}
}
