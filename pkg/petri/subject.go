package petri

import (
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Subject is where an event is published. An event without an instance is about the
// workflow itself.
func Subject(ev *wire.Event) string {
	if ev.EventType == wire.EventTransitioned {
		return wire.TransitionSubject(ev.WorkflowID, ev.InstanceID, ev.TransitionID)
	}
	kind := ev.EventType
	for _, prefix := range []string{"token_", "instance_", "workflow_"} {
		if rest, ok := strings.CutPrefix(kind, prefix); ok {
			kind = rest
			break
		}
	}
	if ev.InstanceID == "" {
		return wire.WorkflowLifecycleSubject(ev.WorkflowID, kind)
	}
	return wire.LifecycleSubject(ev.WorkflowID, ev.InstanceID, kind)
}
