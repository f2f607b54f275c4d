package wire

import (
	"regexp"
	"strings"
)

// Streams and buckets that all workflows share.
const (
	StreamPlaces      = "PLACES"
	StreamTimers      = "TIMERS"
	StreamJobs        = "JOBS"
	StreamExecutions  = "EXECUTIONS"
	StreamDeadLetters = "DEAD_LETTERS"
	BucketWorkflows   = "workflows"
	BucketRules       = "rules"
	BucketFunctions   = "functions"
	BucketTargets     = "targets"
	BucketModules     = "modules"
	BucketLeases      = "leases"
	streamPrefix      = "WORKFLOW_"
	subjectRoot       = "workflows."
	workflowInstance  = "workflow"
	timerSetPrefix    = "timers.set."
	timerDuePrefix    = "timers.due."
	registryNameSpace = "name."
	functionPrefix    = "functions."
	jobPrefix         = "jobs."
	jobWaitPrefix     = "jobs.wait."
	executionPrefix   = "executions."
	deadLetterPrefix  = "dead_letters."
)

// Kinds of timers.
const (
	// TimerTimeout fires a place's time-out transition; the transition service consumes it.
	TimerTimeout = "timeout"
	// TimerPurge removes a finished instance after its retention; the token service consumes it.
	TimerPurge = "purge"
)

// Types of lifecycle events, the last word of their subject.
const (
	LifecycleCreated          = "created"
	LifecycleInjected         = "injected"
	LifecycleUpdated          = "updated"
	LifecycleFunctionExecuted = "function_executed"
	LifecycleFunctionFailed   = "function_failed"
	LifecycleAgentProcessed   = "agent_processed"
	LifecycleAgentFailed      = "agent_failed"
	LifecycleSuspended        = "suspended"
	LifecycleResumed          = "resumed"
	LifecycleCancelled        = "cancelled"
	LifecycleMigrated         = "migrated"
	LifecycleDeployed         = "deployed"
	LifecycleStreamCreated    = "stream_created"
	LifecycleArchived         = "archived"
)

var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// ValidName reports whether s may name a workflow, place, transition, rule, function or
// agent: 1 to 64 characters, each safe in a subject.
func ValidName(s string) bool { return namePattern.MatchString(s) }

// StreamName is the stream of a workflow. Only deployment derives it; everyone else
// reads it from the registry (Workflow.Stream).
func StreamName(workflowID string) string { return streamPrefix + strings.ToUpper(workflowID) }

// WorkflowStreamSubjects are the subjects that a workflow's stream holds.
func WorkflowStreamSubjects(w string) []string {
	return []string{
		DefinitionSubject(w),
		subjectRoot + w + ".events.transitions.*.*",
		subjectRoot + w + ".events.lifecycle.*.*",
	}
}

// DefinitionSubject holds one message for each version of a workflow.
func DefinitionSubject(w string) string { return subjectRoot + w + ".definition" }

// TransitionSubject is where a firing of an instance is published.
func TransitionSubject(w, instance, transition string) string {
	return subjectRoot + w + ".events.transitions." + instance + "." + transition
}

// LifecycleSubject is where any other change of an instance is published.
func LifecycleSubject(w, instance, kind string) string {
	return subjectRoot + w + ".events.lifecycle." + instance + "." + kind
}

// WorkflowLifecycleSubject is where an event about the workflow itself is published.
func WorkflowLifecycleSubject(w, kind string) string {
	return LifecycleSubject(w, workflowInstance, kind)
}

// InstanceSubjects matches every event of one instance.
func InstanceSubjects(w, instance string) string {
	return subjectRoot + w + ".events.*." + instance + ".*"
}

// MigratedSubjects matches the migrations of a workflow's instances.
func MigratedSubjects(w string) string { return LifecycleSubject(w, "*", LifecycleMigrated) }

// EventSubjects matches every event of a workflow.
func EventSubjects(w string) string { return subjectRoot + w + ".events.>" }

// PlaceSubject is where the view keeps a token: one message, the token that stands there now.
func PlaceSubject(w, place, token string) string {
	return subjectRoot + w + ".places." + place + ".tokens." + token
}

// TokenPlaces matches a token in whatever place the view has it.
func TokenPlaces(w, token string) string { return PlaceSubject(w, "*", token) }

// InstanceRecordSubject is where the view keeps the short record of an instance.
func InstanceRecordSubject(w string, status Status, instance string) string {
	return subjectRoot + w + ".instances." + string(status) + "." + instance
}

// ViewSubjects matches everything that the view has of a workflow. Within PLACES only.
func ViewSubjects(w string) string { return subjectRoot + w + ".>" }

// ProjectionSubject holds the projector's checkpoint.
func ProjectionSubject(w string) string { return subjectRoot + w + ".projection" }

// PlacesStreamSubjects are the subjects of the PLACES stream.
func PlacesStreamSubjects() []string {
	return []string{
		subjectRoot + "*.places.*.tokens.*",
		subjectRoot + "*.instances.*.*",
		subjectRoot + "*.projection",
	}
}

// TimersStreamSubjects are the subjects of the TIMERS stream.
func TimersStreamSubjects() []string {
	return []string{timerSetPrefix + "*.*.*.*", timerDuePrefix + "*.*.*.*"}
}

// TimerSetSubject holds the schedule of a timer, TimerDueSubject is where it is delivered.
func TimerSetSubject(kind, w, instance, token string) string {
	return timerSetPrefix + kind + "." + w + "." + instance + "." + token
}

// TimerDueSubject is where a timer is delivered when it is due.
func TimerDueSubject(kind, w, instance, token string) string {
	return timerDuePrefix + kind + "." + w + "." + instance + "." + token
}

// TimerDueSubjects matches all due timers of a kind.
func TimerDueSubjects(kind string) string { return TimerDueSubject(kind, "*", "*", "*") }

// FunctionSubject is where a program answers for a function of kind nats.
func FunctionSubject(function string) string { return functionPrefix + function }

// work is what the subjects of jobs, executions and dead letters end with. An empty workflow or
// instance becomes NoInstance.
func work(kind, target, w, instance, execution string) string {
	if w == "" {
		w = NoInstance
	}
	if instance == "" {
		instance = NoInstance
	}
	return kind + "." + target + "." + w + "." + instance + "." + execution
}

// JobsStreamSubjects are the subjects of the JOBS stream.
func JobsStreamSubjects() []string {
	return []string{jobPrefix + "*.*.*.*.*", jobWaitPrefix + "*.*.*.*.*"}
}

// JobSubject is where a job waits for a copy that takes it.
func JobSubject(j *Job) string {
	return jobPrefix + work(j.Kind, j.Target, j.WorkflowID, j.InstanceID, j.ID)
}

// JobWaitSubject holds the schedule of a job that comes later.
func JobWaitSubject(j *Job) string {
	return jobWaitPrefix + work(j.Kind, j.Target, j.WorkflowID, j.InstanceID, j.ID)
}

// JobSubjects matches the jobs of a target, JobWaitSubjects their schedules.
func JobSubjects(kind, target string) string { return jobPrefix + work(kind, target, "*", "*", "*") }

// JobWaitSubjects matches the schedules of a target's jobs.
func JobWaitSubjects(kind, target string) string {
	return jobWaitPrefix + work(kind, target, "*", "*", "*")
}

// ExecutionSubject is where the record of a run is kept; every part but the last may be *.
func ExecutionSubject(kind, target, w, instance, execution string) string {
	return executionPrefix + work(kind, target, w, instance, execution)
}

// DeadLetterSubject is where a run that has failed for good is kept.
func DeadLetterSubject(kind, target, w, instance, execution string) string {
	return deadLetterPrefix + work(kind, target, w, instance, execution)
}

// RegistryNameKey is the key in the workflows bucket that makes a name unique.
func RegistryNameKey(name string) string { return registryNameSpace + name }

// EventSubject is an event's subject taken apart.
type EventSubject struct {
	WorkflowID string
	// Transitions is true on events.transitions, false on events.lifecycle.
	Transitions bool
	// InstanceID is "workflow" on events about the workflow itself.
	InstanceID string
	// Kind is the transition's id, or the lifecycle type.
	Kind string
}

// AboutWorkflow reports whether the event is about the workflow and not about an instance.
func (s EventSubject) AboutWorkflow() bool { return s.InstanceID == workflowInstance }

// ParseEventSubject takes workflows.{w}.events.{transitions|lifecycle}.{i}.{kind} apart.
func ParseEventSubject(subject string) (EventSubject, bool) {
	parts := strings.Split(subject, ".")
	if len(parts) != 6 || parts[0]+"." != subjectRoot || parts[2] != "events" {
		return EventSubject{}, false
	}
	if parts[3] != "transitions" && parts[3] != "lifecycle" {
		return EventSubject{}, false
	}
	return EventSubject{
		WorkflowID: parts[1], Transitions: parts[3] == "transitions", InstanceID: parts[4], Kind: parts[5],
	}, true
}

// ParsePlaceSubject takes workflows.{w}.places.{place}.tokens.{t} apart.
func ParsePlaceSubject(subject string) (workflowID, place, token string, ok bool) {
	parts := strings.Split(subject, ".")
	if len(parts) != 6 || parts[0]+"." != subjectRoot || parts[2] != "places" || parts[4] != "tokens" {
		return "", "", "", false
	}
	return parts[1], parts[3], parts[5], true
}
