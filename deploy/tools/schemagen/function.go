package main

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// What the function-runner and its kinds bound of a function.
const (
	maxConcurrency  = 8192
	maxTriggers     = 32
	maxChains       = 32
	maxRate         = 1_000_000
	maxFailures     = 1000
	maxAttempts     = 100
	maxHeaders      = 64
	maxStatuses     = 32
	maxExecArgs     = 256
	minExecMemoryMB = 16
	maxExecMemoryMB = 1 << 20
	maxCPUSeconds   = 24 * 60 * 60
	maxWASMList     = 64
	maxWASMMemoryMB = 1024
)

const (
	statusPattern     = "^[2-5]([0-9][0-9]|xx)$"
	headerNamePattern = "^[0-9A-Za-z!#$%&'*+.^_`|~-]{1,128}$"
	secretPattern     = "^secret:[A-Z][A-Z0-9_]{0,63}$"
	commandPattern    = "^[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}$"
	variablePattern   = "^[A-Za-z_][A-Za-z0-9_]*$"
	modulePattern     = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
)

// functionFields says what differs in the types of functions and their runs, as byField does.
// A bound of 0 stands for absent in Go, and is left out here: nobody should send it.
var functionFields = map[string]*object{
	"Function.id":                ref("name"),
	"FunctionSpec.kind":          functionKind(),
	"FunctionSpec.expression":    text(maxExpression),
	"FunctionSpec.input_schema":  jsonSchema(),
	"FunctionSpec.output_schema": jsonSchema(),
	"FunctionSpec.timeout":       ref("positive_duration"),
	"FunctionSpec.concurrency":   upTo(1, maxConcurrency),

	"HTTPFunction.url":      obj("type", "string", "minLength", 1),
	"HTTPFunction.method":   enum("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS").set("default", "POST"),
	"HTTPFunction.headers":  textsBy(headerNamePattern).set("maxProperties", maxHeaders),
	"HTTPFunction.body":     text(0),
	"HTTPFunction.success":  statuses(),
	"HTTPFunction.retry_on": statuses(),
	"HTTPHMAC.secret":       obj("type", "string", "pattern", secretPattern),
	"HTTPHMAC.header":       obj("type", "string", "pattern", headerNamePattern),
	"HTTPHMAC.algorithm":    enum("sha256", "sha512"),

	"ExecFunction.command":     obj("type", "string", "pattern", commandPattern),
	"ExecFunction.args":        listOf(text(0)).set("maxItems", maxExecArgs),
	"ExecFunction.env":         textsBy(variablePattern),
	"ExecFunction.memory_mb":   upTo(minExecMemoryMB, maxExecMemoryMB),
	"ExecFunction.cpu_seconds": upTo(1, maxCPUSeconds),

	"WASMFunction.module":    obj("type", "string", "pattern", modulePattern),
	"WASMFunction.args":      listOf(text(0)).set("maxItems", maxWASMList),
	"WASMFunction.env":       textsBy("^[^=]+$").set("maxProperties", maxWASMList),
	"WASMFunction.memory_mb": upTo(1, maxWASMMemoryMB),

	"RetryPolicy.attempts":   upTo(1, maxAttempts),
	"RetryPolicy.backoff":    enum(wire.BackoffFixed, wire.BackoffLinear, wire.BackoffExponential).set("default", wire.BackoffExponential),
	"RetryPolicy.initial":    ref("positive_duration"),
	"RetryPolicy.max":        ref("positive_duration"),
	"RetryPolicy.jitter":     obj("type", "number", "minimum", 0, "maximum", 1),
	"RetryPolicy.errors":     listOf(failureCode()),
	"RateLimit.count":        upTo(1, maxRate),
	"RateLimit.per":          ref("positive_duration"),
	"CircuitPolicy.failures": upTo(1, maxFailures),
	"CircuitPolicy.cooldown": ref("positive_duration"),

	"FunctionBinding.input":  obj("description", "A mapping that makes the function's input; absent is the function's own, or else the token's data."),
	"FunctionBinding.output": dataPath(),
	"AgentBinding.output":    dataPath(),

	"Circuit.copy":   ref("uuid"),
	"Circuit.state":  enum("open", "half_open"),
	"Circuit.reason": text(0),

	"Trigger.event":    enum(wire.TriggerEvents()...),
	"Trigger.workflow": ref("workflow_ref"),
	"Trigger.name":     ref("name"),
	"Trigger.when":     text(maxExpression),
	"Chain.on":         enum(wire.ChainSuccess, wire.ChainFailure, wire.ChainAlways).set("default", wire.ChainSuccess),
	"Chain.when":       text(maxExpression),

	"FunctionCreateRequest.id":     ref("name"),
	"FunctionUpdateRequest.id":     ref("name"),
	"FunctionUpdateRequest.reset":  listOf(enum(membersOf(reflect.TypeFor[wire.FunctionSpec]())...)),
	"FunctionGetRequest.id":        ref("name"),
	"FunctionGetRequest.version":   integer(0),
	"FunctionListRequest.tag":      text(0),
	"FunctionListRequest.kind":     functionKind(),
	"FunctionDeleteRequest.id":     ref("name"),
	"FunctionInvokeRequest.id":     ref("name"),
	"FunctionTriggerRequest.event": ref("name"),
	"FunctionTriggerRequest.data":  obj(),
	"TriggeredExecution.id":        ref("uuid"),

	"Job.id":       ref("uuid"),
	"Job.cause":    cause(),
	"Job.mapping":  obj(),
	"Job.event":    causingEvent(),
	"Job.when":     text(maxExpression),
	"Job.previous": obj("type", "object", "properties", obj("input", obj(), "output", obj(), "error", failure())),
	"Job.parent":   ref("uuid"),
	"Job.attempt":  integer(1),
	"Failure.code": failureCode(),

	"AttemptFailure.attempt": integer(1),
	"DeadLetter.attempts":    integer(1),

	"Execution.id":     ref("uuid"),
	"Execution.cause":  cause(),
	"Execution.parent": ref("uuid"),
	"Execution.copy":   ref("uuid"),
	"Execution.output": obj(),
	"Execution.stderr": text(0),
	"Execution.reason": text(0),

	"ExecutionGetRequest.id":          ref("uuid"),
	"ExecutionFilter.workflow_id":     orNone("workflow_ref"),
	"ExecutionFilter.instance_id":     orNone("routed_id"),
	"ExecutionFilter.from":            ref("timestamp"),
	"ExecutionFilter.to":              ref("timestamp"),
	"ExecutionRedriveRequest.id":      ref("uuid"),
	"ExecutionDiscardRequest.id":      ref("uuid"),
	"ExecutionDiscardRequest.reason":  obj("type", "string", "maxLength", maxReason, "pattern", `\S`),
	"ExecutionChangeReply.executions": listOf(ref("uuid")).set("description", "Those that were changed."),
	"RefusedExecution.id":             ref("uuid"),
}

// dataPath is where a binding puts what it was given.
func dataPath() *object {
	return obj("description", "A dotted path below the token's data, where the output goes; absent leaves it in the metadata alone.",
		"type", "string", "pattern", `^[^. \t\r\n]+(\.[^. \t\r\n]+)*$`)
}

func upTo(from, to int) *object { return integer(from).set("maximum", to) }

func textsBy(name string) *object {
	return obj("type", "object", "propertyNames", obj("pattern", name), "additionalProperties", text(0))
}

func statuses() *object {
	return listOf(obj("type", "string", "pattern", statusPattern)).set("maxItems", maxStatuses)
}

func jsonSchema() *object { return obj("type", []any{"object", "boolean"}) }

func functionKind() *object { return enum(wire.FunctionKinds()...) }

func failureCode() *object { return enum(slices.Sorted(maps.Keys(wire.FailureCodes()))...) }

func failure() *object {
	return obj("type", "object", "properties", obj("code", failureCode(), "message", text(0)), "required", []any{"code", "message"})
}

// cause is what brings a job about.
func cause() *object {
	return enum(slices.Concat([]string{wire.CausePlace, wire.CauseChain, wire.CauseInvoke}, wire.TriggerEvents())...)
}

// causingEvent is what mappings and conditions can ask about an event.
func causingEvent() *object {
	return obj("type", "object", "properties", obj(
		"type", enum(wire.TriggerEvents()...), "name", ref("name"), "transition_id", ref("name"), "from_place", ref("name"), "to_place", ref("name"),
		"triggered_by", text(0), "sequence", integer(1), "time", ref("timestamp"), "data", obj(),
	), "required", []any{"type"})
}

// orNone is a part of a subject in whose place - may stand.
func orNone(name string) *object {
	return obj("anyOf", []any{ref(name), obj("const", wire.NoInstance)})
}

func executionStatuses() []string {
	var names []string
	for _, s := range wire.ExecutionStatuses() {
		names = append(names, string(s))
	}
	return names
}

// membersOf are the names that a type's fields have on the wire.
func membersOf(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		name, _ := jsonName(t.Field(i))
		names = append(names, name)
	}
	return names
}

// kindMembers are the members of a function that go with a kind.
func kindMembers() []string {
	return slices.DeleteFunc(wire.FunctionKinds(), func(kind string) bool { return kind == wire.FunctionNATS })
}

// functionForms says that a function has the member of its kind, and of no other.
func functionForms() *object {
	var forms []any
	for _, kind := range wire.FunctionKinds() {
		required := []any{"kind"}
		others := slices.DeleteFunc(kindMembers(), func(member string) bool { return member == kind })
		if len(others) < len(kindMembers()) {
			required = append(required, kind)
		}
		forms = append(forms, obj("title", kindTitles[kind],
			"properties", obj("kind", obj("const", kind)), "required", required, "not", atLeastOne(others...)))
	}
	return obj("oneOf", forms)
}

var kindTitles = map[string]string{
	wire.FunctionNATS:       "nats: any program that answers on functions.{id}",
	wire.FunctionHTTP:       "http: a server that is called",
	wire.FunctionExec:       "exec: a program that is run",
	wire.FunctionWASM:       "wasm: a WASI module that is run",
	wire.FunctionExpression: "expression: CEL that is evaluated",
}

// triggerForms says which members go with which events.
func triggerForms() *object {
	rules := []any{when("event", enum(wire.TriggerCustom), obj("required", []any{"name"}), nil)}
	for _, m := range []struct {
		member string
		events []string
	}{
		{"place", []string{wire.TriggerCreated, wire.TriggerInjected, wire.TriggerUpdated, wire.TriggerTransitioned}},
		{"from", []string{wire.TriggerTransitioned}},
		{"to", []string{wire.TriggerTransitioned}},
		{"transition", []string{wire.TriggerTransitioned}},
		{"function", []string{wire.TriggerFunctionCompleted}},
		{"outcome", []string{wire.TriggerFunctionCompleted}},
		{"name", []string{wire.TriggerCustom}},
	} {
		rules = append(rules, obj("if", obj("required", []any{m.member}), "then", obj("properties", obj("event", enum(m.events...)))))
	}
	return obj("allOf", rules)
}

// executionForms says what a record has in each state.
func executionForms() *object {
	has := func(status wire.ExecutionStatus, members ...any) any {
		return when("status", obj("const", string(status)), obj("required", members), nil)
	}
	return obj("allOf", []any{
		has(wire.ExecutionRunning, "attempt", "version", "copy", "started_at"),
		has(wire.ExecutionWaiting, "next_attempt_at"),
		has(wire.ExecutionSucceeded, "attempt", "finished_at"),
		has(wire.ExecutionFailed, "attempt", "finished_at", "error"),
		has(wire.ExecutionDropped, "finished_at", "reason"),
		has(wire.ExecutionDiscarded, "reason"),
	})
}

// functionMeanings describe what is called alike in all requests about functions and runs.
func functionMeanings(owner reflect.Type, name string) string {
	about := map[bool]string{strings.HasPrefix(owner.Name(), "Function"): "function", strings.HasPrefix(owner.Name(), "Execution"): "execution"}[true]
	switch {
	case about == "":
		return ""
	case name == "id":
		return "The " + about + "."
	case name == "expected_version":
		return "The version that the " + about + " must still have, else 409 version_mismatch."
	}
	return ""
}
