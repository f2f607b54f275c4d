package main

import (
	"reflect"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// text is a string that may hold anything.
func text(maxLength int) *object {
	s := obj("type", "string")
	if maxLength > 0 {
		s.set("maxLength", maxLength)
	}
	return s
}

func enum(values ...string) *object {
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = v
	}
	return obj("enum", list)
}

func integer(from int) *object { return obj("type", "integer", "minimum", from) }

func listOf(item *object) *object { return obj("type", "array", "items", item) }

func mapOf(key string, value *object) *object {
	return obj("type", "object", "propertyNames", ref(key), "additionalProperties", value)
}

func page() *object {
	return obj("type", "integer", "minimum", 1, "maximum", wire.MaxPage, "default", wire.DefaultPage)
}

// The bounds that the engine puts on texts, in bytes.
const (
	maxRequestID   = 256
	maxTriggeredBy = 1024
	maxReason      = 4096
	maxDescription = 4096
	maxTag         = 64
	maxTags        = 32
	maxPlaces      = 500
	maxTransitions = 1000
	// maxEntries bounds the lists inside a place or a transition, maxCount an arc's count.
	maxEntries = 500
	maxCount   = 256
)

// byMember says what a member holds, wherever it occurs.
var byMember = map[string]*object{
	"workflow_id":      ref("uuid"),
	"instance_id":      ref("routed_id"),
	"token_id":         ref("routed_id"),
	"transition_id":    ref("name"),
	"place":            ref("name"),
	"from_place":       ref("name"),
	"to_place":         ref("name"),
	"initial_place":    ref("name"),
	"from":             ref("name"),
	"to":               ref("name"),
	"transition":       ref("name"),
	"function":         ref("name"),
	"agent":            ref("name"),
	"binding":          ref("name"),
	"target":           ref("name"),
	"output":           text(0),
	"on_success":       ref("name"),
	"on_failure":       ref("name"),
	"rule_id":          ref("name"),
	"name":             ref("name"),
	"stream":           text(0),
	"data":             ref("document"),
	"metadata":         ref("document"),
	"description":      text(maxDescription),
	"triggered_by":     text(maxTriggeredBy),
	"deployed_by":      text(maxTriggeredBy),
	"request_id":       text(maxRequestID),
	"request_digest":   text(0),
	"digest":           text(0),
	"reason":           text(maxReason),
	"explanation":      text(0),
	"message":          text(0),
	"code":             obj("type", "string", "pattern", "^[a-z][a-z0-9_]*$"),
	"path":             text(0),
	"holder":           text(0),
	"server":           text(0),
	"cursor":           text(0),
	"next_cursor":      text(0),
	"limit":            page(),
	"kind":             enum(wire.KindFunction, wire.KindAgent),
	"outcome":          enum(wire.OutcomeSuccess, wire.OutcomeFailure),
	"name_contains":    text(0),
	"subject":          text(0),
	"nats_subject":     text(0),
	"visits":           mapOf("name", integer(0)),
	"version":          integer(1),
	"workflow_version": integer(1),
	"input":            obj(),
	"lineage":          listOf(obj("type", "integer", "minimum", 0, "maximum", wire.MaxBirths)),
	"where":            conditionPart("expression"),
	"author":           text(maxTriggeredBy),
	"tags":             listOf(obj("type", "string", "minLength", 1, "maxLength", maxTag)).set("maxItems", maxTags),
}

// byRequestMember says what differs where people ask for something.
var byRequestMember = map[string]*object{
	"workflow_id":       ref("workflow_ref"),
	"data":              ref("input_patch"),
	"metadata":          ref("input_patch"),
	"definition":        obj("$ref", "definition.json"),
	"expected_sequence": integer(0),
	"arrival_sequence":  integer(0),
	"expected_version":  integer(0),
	"condition":         obj("$ref", string(condition)+".json"),
}

// byField says what differs in one type.
var byField = map[string]*object{
	"Definition.schema": obj("type", []any{"object", "boolean"},
		"description", "A JSON Schema for the data of the workflow's tokens, enforced on create, inject, update and fire."),
	"Definition.labels":   obj("type", "object", "additionalProperties", obj("type", "string")),
	"Place.id":            ref("name"),
	"Transition.id":       ref("name"),
	"Transition.when":     text(maxExpression),
	"Transition.rules":    listOf(ref("rule_id")).set("description", "Rules that must all pass."),
	"Transition.priority": obj("type", "integer"),
	"Transition.from": obj("oneOf", []any{
		ref("name"), obj("type", "array", "items", ref("name"), "minItems", 1, "maxItems", maxEntries, "uniqueItems", true),
	}),
	"Timeout.after": ref("positive_duration"),

	"Workflow.id":           ref("uuid"),
	"WorkflowRecord.id":     ref("uuid"),
	"WorkflowRecord.places": listOf(ref("name")),

	"Token.id":             ref("routed_id"),
	"Instance.id":          ref("routed_id"),
	"InstanceRecord.id":    ref("routed_id"),
	"RememberedRequest.id": text(maxRequestID),
	"StreamInfo.name":      text(0),

	"Event.event_type": enum(eventTypes()...),
	"Event.metadata":   ref("patch"),
	"Patch.data":       ref("patch"),
	"Patch.metadata":   ref("patch"),
	"Produced.parents": listOf(ref("routed_id")),
	"Timer.kind":       enum(wire.TimerTimeout, wire.TimerPurge),

	"WorkflowGetRequest.version":         integer(0),
	"WorkflowDeleteRequest.confirm":      ref("name"),
	"WorkflowValidateRequest.definition": obj("description", "What is to be checked; anything, since saying what is wrong is the point."),
	"CompleteRequest.output":             obj(),
	"CompleteRequest.error":              obj(),
	"CompleteRequest.arrival_sequence":   integer(1),
	"InstanceMigrateRequest.places":      mapOf("name", ref("name")),
	"TokenCreateRequest.data":            ref("input"),
	"TokenCreateRequest.metadata":        ref("input"),
	"TokenInjectRequest.data":            ref("input"),
	"TokenInjectRequest.metadata":        ref("input"),
	"TransitionRecord.metadata":          ref("patch"),

	"Rule.id":          ref("rule_id"),
	"Rule.workflow_id": ref("workflow_ref"),
	"Rule.condition":   conditionPart("canonical").set("description", "A tree in its canonical form, see README.md."),

	"RuleCreateRequest.id": ref("rule_id"),
	"RuleUpdateRequest.id": ref("rule_id"),
	"RuleUpdateRequest.workflow_id": obj("description", "As in rule_create_request.json; empty frees the rule for every workflow.",
		"anyOf", []any{ref("workflow_ref"), obj("const", "")}),
	"RuleGetRequest.id":           ref("rule_id"),
	"RuleGetRequest.version":      integer(0),
	"RuleListRequest.ids":         listOf(ref("rule_id")).set("maxItems", wire.MaxPage),
	"RuleListRequest.tag":         text(0),
	"RuleDeleteRequest.id":        ref("rule_id"),
	"RuleHistoryRequest.id":       ref("rule_id"),
	"RuleEvaluateRequest.rule_id": ref("rule_id"),
	"RuleEvaluateRequest.version": integer(0),

	"GuardFiring.consumed": listOf(ref("routed_id")).set("minItems", 1),

	"GivenToken.id":                 text(0),
	"GivenToken.workflow_id":        text(0),
	"GivenToken.instance_id":        text(0),
	"GivenToken.place":              text(0),
	"GivenToken.data":               ref("input"),
	"GivenToken.metadata":           ref("input"),
	"GivenToken.transition_history": givenHistory(),

	"AnalyticsRequest.from": ref("timestamp"),
	"AnalyticsRequest.to":   ref("timestamp"),
	"Window.from":           ref("timestamp"),
	"Window.to":             ref("timestamp"),
}

// besides adds to what a type says of itself.
var besides = map[string]*object{
	"Definition.places":      obj("minItems", 1, "maxItems", maxPlaces),
	"Definition.transitions": obj("maxItems", maxTransitions),
	"Place.agents":           obj("maxItems", maxEntries),
	"Place.functions":        obj("maxItems", maxEntries),
	"Transition.inputs":      obj("minItems", 1, "maxItems", maxEntries),
	"Transition.outputs":     obj("minItems", 1, "maxItems", maxEntries),
	"Transition.rules":       obj("maxItems", maxEntries),
	"Event.patches":          obj("propertyNames", ref("routed_id")),
	"FunctionSpec.triggers":  obj("maxItems", maxTriggers),
	"FunctionSpec.chains":    obj("maxItems", maxChains),
}

// givenHistory is the past of a token as somebody imagines it: records as those of
// breaker.token.history, of which every member may be absent.
func givenHistory() *object {
	return listOf(obj("type", "object", "properties", obj(
		"from_place", text(0), "to_place", text(0), "transition_id", text(0), "timestamp", ref("timestamp"),
		"triggered_by", text(0), "nats_sequence", integer(0), "metadata", obj(),
	), "additionalProperties", false)).set("description", "Where the token has been, oldest first, as breaker.token.history says it.")
}

// fieldSchema is what this file says of a field.
func fieldSchema(owner reflect.Type, name string) (*object, bool) {
	for _, fields := range []map[string]*object{byField, functionFields} {
		if s, ok := fields[owner.Name()+"."+name]; ok {
			return s.clone(), true
		}
	}
	if isRequest(owner) {
		if s, ok := byRequestMember[name]; ok {
			return s.clone(), true
		}
	}
	s, ok := byMember[name]
	if !ok {
		return nil, false
	}
	return s.clone(), true
}

// meanings describe the members that explain themselves to a reader of Go.
var meanings = map[string]string{
	"workflow_id":       "The workflow's UUID.",
	"instance_id":       "The instance's id.",
	"token_id":          "The token's id.",
	"workflow_version":  "The version of the workflow that the instance runs on.",
	"triggered_by":      "Who asked for it.",
	"request_id":        "Makes the change idempotent: draw a fresh one for each change, repeat it with each retry.",
	"timestamp":         "When it happened, by the clock of the service.",
	"next_cursor":       "Ask with it for the next page; absent on the last.",
	"expected_sequence": "The revision that the instance must still have, else 409 sequence_mismatch.",
	"expected_version":  "The version that the workflow must still have, else 409 version_mismatch.",
	"created_at":        "When it began.",
	"updated_at":        "When it last changed.",
	"arrived_at":        "When the token entered its place.",
	"nats_timestamp":    "The time of that event on the server.",
	"nats_subject":      "Where the view keeps the token.",
	"transition_id":     "The transition.",
	"initial_place":     "Where a new instance begins.",
	"auto":              "Fires by itself as soon as it may.",
	"priority":          "Among automatic transitions the higher comes first.",
	"when":              "A condition in CEL that must pass, see README.md.",
	"rule_id":           "The rule; when is the transition's own condition.",
	"condition":         "An expression in CEL, or a tree, see README.md.",
	"author":            "Who made this version.",
	"tags":              "For lists and people.",
	"reason":            "Why.",
	"on_success":        "The transition that fires with the result.",
	"on_failure":        "The transition that fires when the work has failed for good.",
}

func usualMeaning(owner reflect.Type, name string) string {
	if isRequest(owner) && strings.HasPrefix(owner.Name(), "Rule") {
		switch name {
		case "id", "rule_id":
			return "The rule."
		case "expected_version":
			return "The version that the rule must still have, else 409 version_mismatch."
		}
	}
	if isRequest(owner) {
		if about := functionMeanings(owner, name); about != "" {
			return about
		}
		switch name {
		case "workflow_id":
			return "The workflow's UUID, or its unique name."
		case "arrival_sequence":
			return "The revision at which the token must have entered its place, else 409 token_moved."
		}
	}
	return meanings[name]
}

func eventTypes() []string {
	types := []string{wire.EventTransitioned}
	for _, t := range append(instanceLifecycles(), workflowLifecycles()...) {
		types = append(types, wire.EventType(t))
	}
	return types
}

func instanceLifecycles() []string {
	return []string{
		wire.LifecycleCreated, wire.LifecycleInjected, wire.LifecycleUpdated,
		wire.LifecycleFunctionExecuted, wire.LifecycleFunctionFailed,
		wire.LifecycleAgentProcessed, wire.LifecycleAgentFailed,
		wire.LifecycleSuspended, wire.LifecycleResumed, wire.LifecycleCancelled, wire.LifecycleMigrated,
	}
}

func workflowLifecycles() []string {
	return []string{wire.LifecycleDeployed, wire.LifecycleStreamCreated, wire.LifecycleArchived}
}

// conditions are what holds between members of a type.
var conditions = map[string]*object{
	"TokenCancelRequest": exactlyOne("token_id", "instance_id"),
	"FireRequest":        atLeastOne("token_id", "instance_id"),
	"AvailableRequest":   atLeastOne("token_id", "instance_id"),
	"TokenUpdateRequest": atLeastOne("data", "metadata"),
	"TokenListRequest":   obj("dependentRequired", obj("min_sequence", []any{"workflow_id"})),
	"RuleUpdateRequest":  atLeastOne("condition", "description", "tags", "workflow_id"),
	"RuleEvaluateRequest": obj("allOf", []any{exactlyOne("rule_id", "condition"), exactlyOne("token_id", "token")},
		"dependentRequired", obj("as_of", []any{"token_id"})),
	"Transition": obj("oneOf", []any{
		obj("title", "from any one of these places to one place",
			"required", []any{"from", "to"}, "not", atLeastOne("inputs", "outputs")),
		obj("title", "Petri arcs: all inputs, all outputs",
			"required", []any{"inputs", "outputs"}, "not", atLeastOne("from", "to")),
	}),
	"Event": obj("allOf", []any{
		when("event_type", enum(aboutWorkflow()...), nil,
			obj("required", []any{"instance_id", "instance"})),
		when("event_type", enum(wire.EventTransitioned),
			obj("required", []any{"token_id", "from_place", "to_place", "transition_id", "consumed", "produced"}), nil),
		when("event_type", enum(wire.EventType(wire.LifecycleCreated)),
			obj("required", []any{"token_id", "to_place", "produced"}), nil),
	}),
	"Function":                functionForms(),
	"FunctionCreateRequest":   functionForms(),
	"FunctionUpdateRequest":   atLeastOne(append(membersOf(reflect.TypeFor[wire.FunctionSpec]()), "reset")...),
	"Trigger":                 triggerForms(),
	"Execution":               executionForms(),
	"ExecutionRedriveRequest": atLeastOne("id", "target"),
	"ExecutionDiscardRequest": atLeastOne("id", "target"),
	"Timer": obj("allOf", []any{
		when("kind", enum(wire.TimerTimeout), obj("required", []any{"place", "arrival_sequence", "transition_id"}), nil),
	}),
}

func aboutWorkflow() []string {
	var types []string
	for _, t := range workflowLifecycles() {
		types = append(types, wire.EventType(t))
	}
	return types
}

func when(member string, holds, then, otherwise *object) *object {
	c := obj("if", obj("properties", obj(member, holds)))
	if then != nil {
		c.set("then", then)
	}
	if otherwise != nil {
		c.set("else", otherwise)
	}
	return c
}

func atLeastOne(members ...string) *object { return requiring("anyOf", members) }

func exactlyOne(members ...string) *object { return requiring("oneOf", members) }

func requiring(how string, members []string) *object {
	var forms []any
	for _, m := range members {
		forms = append(forms, obj("required", []any{m}))
	}
	return obj(how, forms)
}
