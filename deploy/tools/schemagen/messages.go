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
	{"service", "The service."},
	{"copy", "The UUID that a copy draws when it starts."},
}

// standalone are the types with a file of their own besides the endpoints' and the
// published ones.
var standalone = []any{wire.Definition{}, wire.State{}}
