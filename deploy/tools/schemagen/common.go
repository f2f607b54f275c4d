package main

import (
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const (
	commonFile = "common.json"
	errorFile  = "error.json"
)

// handmade names a schema of a message that is no type of pkg/wire.
type handmade string

var handmadeSchemas = map[handmade]*object{
	"error":   errorSchema(),
	condition: conditionSchema(),
	"workflow_name": obj(
		"$schema", dialect,
		"title", "workflow_name",
		"description", "Which workflow has a name: the value of name.{name} in the workflows bucket.",
		"type", "object",
		"properties", obj("id", ref("uuid")),
		"required", []any{"id"},
	),
	"rate": obj(
		"$schema", dialect,
		"title", "rate",
		"description", "What the runs of a function or agent have taken of its rate limit: the value of rate.{kind}.{target} in the targets bucket.",
		"type", "object",
		"properties", obj(
			"full", described(ref("timestamp"), "When all that was begun has been paid for, and the whole count may begin at once again."),
		),
		"required", []any{"full"},
	),
	"lease": obj(
		"$schema", dialect,
		"title", "lease",
		"description", "A copy of a service that is alive: the value of {service}.{copy} in the leases bucket.",
		"type", "object",
		"properties", obj(
			"service", ref("name"),
			"copy", ref("uuid"),
			"ttl", ref("duration"),
		),
		"required", []any{"service", "copy", "ttl"},
	),
}

func described(s *object, about string) *object { return s.set("description", about) }

// ref points at a part of common.json.
func ref(name string) *object { return obj("$ref", commonFile+"#/$defs/"+name) }

const (
	uuidPattern = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
	namePattern = "[a-z0-9][a-z0-9_-]{0,63}"
	// durationPattern is what Go's time.ParseDuration reads, without a minus.
	durationPattern = `^\+?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`
)

// commonSchema holds the parts that many messages share.
func commonSchema() *object {
	return obj(
		"$schema", dialect,
		"title", "common",
		"description", "The parts that many messages share.",
		"$defs", obj(
			"name", obj(
				"description", "Names a workflow, place, transition, rule, function or agent; safe in a subject.",
				"type", "string", "pattern", "^"+namePattern+"$"),
			"uuid", obj(
				"description", "A UUID in its lower-case, hyphenated form.",
				"type", "string", "pattern", "^"+uuidPattern+"$"),
			"rule_id", obj(
				"description", "Names a rule. Not \"when\": results call a transition's inline condition so.",
				"allOf", []any{obj("$ref", "#/$defs/name"), obj("not", obj("const", wire.ReservedRuleID))}),
			"workflow_ref", obj(
				"description", "A workflow's UUID, or its unique name.",
				"type", "string", "pattern", "^("+namePattern+"|"+strings.ReplaceAll(uuidPattern, "a-f", "a-fA-F")+")$"),
			"routed_id", obj(
				"description", "The id of an instance or a token: a UUID v8 that ends in the first 32 bits of its workflow's UUID, after a 16-bit birth number (0000: the root token, whose id is the instance's).",
				"type", "string", "pattern", "^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"),
			"timestamp", obj(
				"description", "RFC 3339; the fleet writes UTC.",
				"type", "string", "format", "date-time"),
			"duration", obj(
				"description", "Such as 90s, 15m, 48h or 1h30m.",
				"type", "string", "pattern", durationPattern),
			"positive_duration", obj(
				"description", "A duration above zero, such as 90s or 48h.",
				"allOf", []any{obj("$ref", "#/$defs/duration"), obj("pattern", "[1-9]")}),
			"as_of", obj(
				"description", "A point in the past: a stream sequence, or a time.",
				"oneOf", []any{obj("type", "integer", "minimum", 1), obj("$ref", "#/$defs/timestamp")}),
			"document", obj(
				"description", "A JSON object in normal form: no member is null at any depth (elements of lists may be), and numbers keep their text.",
				"type", "object", "additionalProperties", obj("$ref", "#/$defs/not_null")),
			"not_null", obj(
				"description", "Any JSON value but null, and no member in it is null.",
				"type", []any{"string", "number", "boolean", "array", "object"},
				"items", obj("$ref", "#/$defs/element"),
				"additionalProperties", obj("$ref", "#/$defs/not_null")),
			"element", obj(
				"description", "An element of a list: null, or a value without null members.",
				"anyOf", []any{obj("type", "null"), obj("$ref", "#/$defs/not_null")}),
			"input", obj(
				"description", "A JSON object, at most 64 levels deep; members that are null are removed. null is as good as absent.",
				"type", []any{"object", "null"}),
			"patch", obj(
				"description", "A merge patch (RFC 7396): members replace, null removes.",
				"type", "object"),
			"input_patch", obj(
				"description", "A merge patch (RFC 7396): members replace, null removes; at most 64 levels deep. null for the whole is as good as absent.",
				"type", []any{"object", "null"}),
		),
	)
}

// errorSchema is the body of an error reply.
func errorSchema() *object {
	return obj(
		"$schema", dialect,
		"title", "error",
		"description", "The body of an error reply. The header Nats-Service-Error-Code carries the status, Nats-Service-Error the message.",
		"type", "object",
		"properties", obj(
			"code", obj(
				"description", "Identifies the kind of error, see errors.json. Codes may be added: treat one that you do not know by its status.",
				"type", "string", "pattern", "^[a-z][a-z0-9_]*$"),
			"message", obj("description", "Says what was wrong and what to do, for people.", "type", "string", "minLength", 1),
			"details", obj("description", "Names the field, the rule, the limit: what a program needs to react.", "type", "object"),
		),
		"required", []any{"code", "message"},
	)
}

func count() *object { return obj("type", "integer", "minimum", 1, "maximum", maxCount) }

func inputArc() *object {
	return obj("description", "Takes tokens from a place.", "oneOf", []any{
		ref("name"),
		obj("type", "object",
			"properties", obj(
				"place", ref("name"),
				"count", obj(
					"description", `How many tokens; "all" takes every live token of the same split.`,
					"oneOf", []any{count(), obj("const", "all")}),
			),
			"required", []any{"place"}, "additionalProperties", false),
	})
}

func outputArc() *object {
	return obj("description", "Puts tokens into a place.", "oneOf", []any{
		ref("name"),
		obj("type", "object",
			"properties", obj(
				"place", ref("name"),
				"count", count().set("description", "How many tokens."),
				"each", obj(
					"description", "A dotted path to a list in the token: one token for each element, with the element in data.item and its index in data.item_index.",
					"type", "string", "pattern", `^(data|metadata)(\.[^.\s]+)+$`),
			),
			"required", []any{"place"}, "not", obj("required", []any{"count", "each"}), "additionalProperties", false),
	})
}
