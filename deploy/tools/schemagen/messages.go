package main

import "github.com/seed-42b4788c/circuit-breaker/pkg/wire"

// endpoint is one thing that a service answers.
type endpoint struct {
	subject        string
	service        string
	request, reply any
}

const (
	serviceToken      = "token"
	serviceTransition = "transition"
	serviceRules      = "rules"
	serviceFunctions  = "function-runner"
)

// endpoints lists every endpoint of the fleet, in the order of the documents.
var endpoints = []endpoint{
	{wire.SubjectWorkflowCreate, serviceTransition, wire.WorkflowCreateRequest{}, wire.Workflow{}},
	{wire.SubjectWorkflowUpdate, serviceTransition, wire.WorkflowUpdateRequest{}, wire.Workflow{}},
	{wire.SubjectWorkflowGet, serviceTransition, wire.WorkflowGetRequest{}, wire.Workflow{}},
	{wire.SubjectWorkflowList, serviceTransition, wire.WorkflowListRequest{}, wire.WorkflowListReply{}},
	{wire.SubjectWorkflowArchive, serviceTransition, wire.WorkflowArchiveRequest{}, wire.Workflow{}},
	{wire.SubjectWorkflowDelete, serviceTransition, wire.WorkflowDeleteRequest{}, wire.Workflow{}},
	{wire.SubjectWorkflowValidate, serviceTransition, wire.WorkflowValidateRequest{}, wire.WorkflowValidateReply{}},
	{wire.SubjectWorkflowStreams, serviceTransition, wire.WorkflowStreamsRequest{}, wire.WorkflowStreamsReply{}},

	{wire.SubjectTransitionFire, serviceTransition, wire.FireRequest{}, wire.FireReply{}},
	{wire.SubjectTransitionComplete, serviceTransition, wire.CompleteRequest{}, wire.FireReply{}},
	{wire.SubjectTransitionAvailable, serviceTransition, wire.AvailableRequest{}, wire.AvailableReply{}},

	{wire.SubjectRuleCreate, serviceRules, wire.RuleCreateRequest{}, wire.Rule{}},
	{wire.SubjectRuleUpdate, serviceRules, wire.RuleUpdateRequest{}, wire.Rule{}},
	{wire.SubjectRuleGet, serviceRules, wire.RuleGetRequest{}, wire.Rule{}},
	{wire.SubjectRuleList, serviceRules, wire.RuleListRequest{}, wire.RuleListReply{}},
	{wire.SubjectRuleDelete, serviceRules, wire.RuleDeleteRequest{}, wire.Rule{}},
	{wire.SubjectRuleHistory, serviceRules, wire.RuleHistoryRequest{}, wire.RuleHistoryReply{}},
	{wire.SubjectRuleEvaluate, serviceRules, wire.RuleEvaluateRequest{}, wire.RuleEvaluateReply{}},
	{wire.SubjectRuleGuard, serviceRules, wire.RuleGuardRequest{}, wire.RuleGuardReply{}},

	{wire.SubjectFunctionCreate, serviceFunctions, wire.FunctionCreateRequest{}, wire.Function{}},
	{wire.SubjectFunctionUpdate, serviceFunctions, wire.FunctionUpdateRequest{}, wire.Function{}},
	{wire.SubjectFunctionGet, serviceFunctions, wire.FunctionGetRequest{}, wire.Function{}},
	{wire.SubjectFunctionList, serviceFunctions, wire.FunctionListRequest{}, wire.FunctionListReply{}},
	{wire.SubjectFunctionDelete, serviceFunctions, wire.FunctionDeleteRequest{}, wire.Function{}},
	{wire.SubjectFunctionInvoke, serviceFunctions, wire.FunctionInvokeRequest{}, wire.Execution{}},
	{wire.SubjectFunctionTrigger, serviceFunctions, wire.FunctionTriggerRequest{}, wire.FunctionTriggerReply{}},

	{wire.SubjectExecutionGet, serviceFunctions, wire.ExecutionGetRequest{}, wire.Execution{}},
	{wire.SubjectExecutionList, serviceFunctions, wire.ExecutionListRequest{}, wire.ExecutionListReply{}},
	{wire.SubjectExecutionRedrive, serviceFunctions, wire.ExecutionRedriveRequest{}, wire.ExecutionChangeReply{}},
	{wire.SubjectExecutionDiscard, serviceFunctions, wire.ExecutionDiscardRequest{}, wire.ExecutionChangeReply{}},

	{wire.SubjectTokenCreate, serviceToken, wire.TokenCreateRequest{}, wire.Token{}},
	{wire.SubjectTokenInject, serviceToken, wire.TokenInjectRequest{}, wire.Token{}},
	{wire.SubjectTokenGet, serviceToken, wire.TokenGetRequest{}, wire.Token{}},
	{wire.SubjectTokenList, serviceToken, wire.TokenListRequest{}, wire.TokenListReply{}},
	{wire.SubjectTokenFind, serviceToken, wire.TokenFindRequest{}, wire.TokenFindReply{}},
	{wire.SubjectTokenHistory, serviceToken, wire.TokenHistoryRequest{}, wire.TokenHistoryReply{}},
	{wire.SubjectTokenUpdate, serviceToken, wire.TokenUpdateRequest{}, wire.Token{}},
	{wire.SubjectTokenCancel, serviceToken, wire.TokenCancelRequest{}, wire.Instance{}},

	{wire.SubjectInstanceGet, serviceToken, wire.InstanceGetRequest{}, wire.Instance{}},
	{wire.SubjectInstanceList, serviceToken, wire.InstanceListRequest{}, wire.InstanceListReply{}},
	{wire.SubjectInstanceSuspend, serviceToken, wire.InstanceSuspendRequest{}, wire.Instance{}},
	{wire.SubjectInstanceResume, serviceToken, wire.InstanceResumeRequest{}, wire.Instance{}},
	{wire.SubjectInstanceMigrate, serviceToken, wire.InstanceMigrateRequest{}, wire.Instance{}},

	{wire.SubjectAnalyticsPlaces, serviceToken, wire.AnalyticsRequest{}, wire.AnalyticsPlacesReply{}},
	{wire.SubjectAnalyticsTransitions, serviceToken, wire.AnalyticsRequest{}, wire.AnalyticsTransitionsReply{}},
}

// published is a message that a service publishes into a stream.
type published struct {
	// subject names its parts in braces; see parameters.
	subject string
	stream  string
	service string
	// payload is a wire type, or a handmade schema.
	payload any
	about   string
}

// someJob is a job in whose place parameters stand.
var someJob = wire.Job{Kind: "{kind}", Target: "{target}", WorkflowID: "{workflow}", InstanceID: "{instance}", ID: "{execution_id}"}

// publishedMessages lists what the streams hold; the first subject that matches counts.
var publishedMessages = []published{
	{
		wire.DefinitionSubject("{workflow_id}"), "WORKFLOW_{WORKFLOW_ID}", serviceTransition,
		wire.Workflow{},
		"One message for each version of the workflow.",
	},
	{
		wire.TransitionSubject("{workflow_id}", "{instance_id}", "{transition_id}"), "WORKFLOW_{WORKFLOW_ID}",
		serviceToken + ", " + serviceTransition,
		wire.Event{},
		"A firing, with the whole instance after it.",
	},
	{
		wire.WorkflowLifecycleSubject("{workflow_id}", "{workflow_lifecycle}"), "WORKFLOW_{WORKFLOW_ID}", serviceTransition,
		wire.Event{},
		"A change of the workflow itself; it carries no instance.",
	},
	{
		wire.LifecycleSubject("{workflow_id}", "{instance_id}", "{lifecycle}"), "WORKFLOW_{WORKFLOW_ID}",
		serviceToken + ", " + serviceTransition,
		wire.Event{},
		"Any other change of an instance, with the whole instance after it.",
	},
	{
		wire.PlaceSubject("{workflow_id}", "{place}", "{token_id}"), wire.StreamPlaces, serviceToken,
		wire.Token{},
		"The token that stands in the place now. An empty message with a TTL says that it has left.",
	},
	{
		wire.InstanceRecordSubject("{workflow_id}", "{status}", "{instance_id}"), wire.StreamPlaces, serviceToken,
		wire.InstanceRecord{},
		"The short record of an instance. An empty message with a TTL says that it has another status now.",
	},
	{
		wire.ProjectionSubject("{workflow_id}"), wire.StreamPlaces, serviceToken,
		wire.Checkpoint{},
		"How far the view has come.",
	},
	{
		wire.TimerSetSubject("{timer}", "{workflow_id}", "{instance_id}", "{token_id}"), wire.StreamTimers, serviceToken,
		wire.Timer{},
		"A schedule: the server delivers the payload on the due subject.",
	},
	{
		wire.TimerDueSubject("{timer}", "{workflow_id}", "{instance_id}", "{token_id}"), wire.StreamTimers, "nats-server",
		wire.Timer{},
		"A timer that is due. The transition service consumes timeout, the token service purge.",
	},
	{
		wire.JobSubject(&someJob), wire.StreamJobs, serviceFunctions + ", nats-server",
		wire.Job{},
		"A piece of work that waits for a copy, or that a copy does: it stays until the work is settled. The server publishes it when a schedule is due.",
	},
	{
		wire.JobWaitSubject(&someJob), wire.StreamJobs, serviceFunctions,
		wire.Job{},
		"A job that comes later, as a schedule: the server delivers it on its own subject.",
	},
	{
		wire.ExecutionSubject("{kind}", "{target}", "{workflow}", "{instance}", "{execution_id}"), wire.StreamExecutions, serviceFunctions,
		wire.Execution{},
		"How far a run has come, or how it ended; replaced at every step.",
	},
	{
		wire.DeadLetterSubject("{kind}", "{target}", "{workflow}", "{instance}", "{execution_id}"), wire.StreamDeadLetters, serviceFunctions,
		wire.DeadLetter{},
		"A run that has failed for good, until somebody redrives or discards it.",
	},
	{
		"$KV." + wire.BucketWorkflows + ".{workflow_id}", "KV_" + wire.BucketWorkflows, serviceTransition,
		wire.WorkflowRecord{},
		"A workflow, for discovery.",
	},
	{
		"$KV." + wire.BucketWorkflows + "." + wire.RegistryNameKey("{name}"), "KV_" + wire.BucketWorkflows, serviceTransition, handmade("workflow_name"),
		"Which workflow has a name.",
	},
	{
		"$KV." + wire.BucketRules + ".{rule_id}", "KV_" + wire.BucketRules, serviceRules,
		wire.Rule{},
		"A version of a rule; every one is kept. An empty message with KV-Operation: DEL says that the rule was deleted.",
	},
	{
		"$KV." + wire.BucketFunctions + ".{function_id}", "KV_" + wire.BucketFunctions, serviceFunctions,
		wire.Function{},
		"A version of a function; every one is kept. An empty message with KV-Operation: DEL says that the function was deleted.",
	},
	{
		"$KV." + wire.BucketTargets + ".circuit.{kind}.{target}.{copy}", "KV_" + wire.BucketTargets, serviceFunctions,
		wire.Circuit{},
		"The circuit breaker of a target in one copy, while it is not closed; it expires by its TTL. An empty message with KV-Operation: PURGE says that it has closed.",
	},
	{
		"$KV." + wire.BucketTargets + ".rate.{kind}.{target}", "KV_" + wire.BucketTargets, serviceFunctions, handmade("rate"),
		"What the runs of a target have taken of its rate limit.",
	},
	{
		"$KV." + wire.BucketLeases + ".{service}.{copy}", "KV_" + wire.BucketLeases, serviceToken, handmade("lease"),
		"A copy of a service that is alive; it expires by its TTL unless it is renewed.",
	},
}

// parameters are the parts of a subject.
var parameters = []struct{ name, about string }{
	{"workflow_id", "The workflow's UUID."},
	{"instance_id", "The instance's id."},
	{"token_id", "The token's id."},
	{"transition_id", "The transition that fired."},
	{"lifecycle", "created, injected, updated, function_executed, function_failed, agent_processed, agent_failed, suspended, resumed, cancelled or migrated."},
	{"workflow_lifecycle", "deployed, stream_created or archived."},
	{"place", "The place in which the token stands."},
	{"status", "active, suspended, completed or cancelled."},
	{"timer", "timeout or purge."},
	{"name", "The workflow's name."},
	{"rule_id", "The rule."},
	{"function_id", "The function."},
	{"kind", "function or agent."},
	{"target", "The id of the function or agent."},
	{"workflow", "The UUID of the workflow whose token the work is about; - where there is none."},
	{"instance", "The id of that token's instance; - where there is none."},
	{"execution_id", "The id of the execution, which is also the job's."},
	{"service", "The service."},
	{"copy", "The UUID that a copy draws when it starts."},
}

// standalone are the types with a file of their own besides the endpoints' and the
// published ones.
var standalone = []any{wire.Definition{}, wire.State{}}
