package main

import (
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

var braces = regexp.MustCompile(`\{([a-z_]+)\}`)

// subjects is subjects.json: what travels where, for programs.
func (g *generator) subjects() *object {
	var answered, stored []any
	for _, e := range endpoints {
		answered = append(answered, obj(
			"subject", e.subject, "service", e.service, "mutates", mutates(e.request),
			"request", g.path(e.request), "reply", g.path(e.reply)))
	}
	for _, p := range publishedMessages {
		stored = append(stored, obj(
			"subject", p.subject, "stream", p.stream, "publisher", p.service, "payload", g.path(p.payload), "description", p.about))
	}
	return obj(
		"description", "Which message travels on which subject; schemas are relative to this file. A part in braces is a parameter; of several subjects that match, the first counts.",
		"error", schemaFile(errorFile),
		"endpoints", answered,
		"messages", stored,
	)
}

func (g *generator) path(v any) string {
	if name, ok := v.(handmade); ok {
		return schemaFile(string(name) + ".json")
	}
	return schemaFile(g.files[reflect.TypeOf(v)])
}

// schemaFile is a schema as seen from protocols/.
func schemaFile(name string) string { return "schema/" + name }

func messageName(v any) string {
	if name, ok := v.(handmade); ok {
		return string(name)
	}
	return snake(reflect.TypeOf(v).Name())
}

// asyncAPI is asyncapi.yaml. Fleets are described from their own side: an endpoint
// receives a request and replies, a publisher sends.
func (g *generator) asyncAPI() *object {
	channels, operations, messages := obj(), obj(), obj()
	message := func(v any) string {
		name := messageName(v)
		messages.set(name, g.message(name, g.path(v), nil))
		return name
	}
	messages.set("error", g.message("error", schemaFile(errorFile), obj(
		"type", "object",
		"properties", obj(
			"Nats-Service-Error-Code", obj("type", "string", "pattern", "^[45][0-9]{2}$"),
			"Nats-Service-Error", obj("type", "string")),
		"required", []any{"Nats-Service-Error-Code", "Nats-Service-Error"})))

	for _, e := range endpoints {
		id := channelID(e.subject)
		request, reply := message(e.request), message(e.reply)
		channels.set(id, obj(
			"address", e.subject,
			"description", g.said.aboutType(reflect.TypeOf(e.request)),
			"messages", obj(request, pointer("components", "messages", request))))
		channels.set(id+"_reply", obj(
			"address", nil,
			"messages", obj(reply, pointer("components", "messages", reply), "error", pointer("components", "messages", "error"))))
		operations.set(id, obj(
			"action", "receive",
			"summary", "Answered by the "+e.service+" service.",
			"channel", pointer("channels", id),
			"messages", []any{pointer("channels", id, "messages", request)},
			"bindings", obj("nats", obj("queue", "q")),
			"reply", obj(
				"address", obj("location", "$message.header#/reply", "description", "The reply subject of the NATS message."),
				"channel", pointer("channels", id+"_reply"),
				"messages", []any{
					pointer("channels", id+"_reply", "messages", reply),
					pointer("channels", id+"_reply", "messages", "error"),
				})))
	}
	for _, p := range publishedMessages {
		id := channelID(p.subject)
		payload := message(p.payload)
		channel := obj("address", p.subject, "description", p.about+" Stream "+p.stream+".")
		if used := g.parameters(p.subject); len(used.keys) > 0 {
			channel.set("parameters", used)
		}
		channels.set(id, channel.set("messages", obj(payload, pointer("components", "messages", payload))))
		operations.set(id, obj(
			"action", "send",
			"summary", "Published by: "+p.service+".",
			"channel", pointer("channels", id),
			"messages", []any{pointer("channels", id, "messages", payload)}))
	}
	return obj(
		"asyncapi", "3.0.0",
		"info", obj(
			"title", "Circuit Breaker",
			"version", "1.0.0",
			"description", "A durable workflow engine on NATS JetStream. README.md beside this file says how to speak to it.",
			"license", obj("name", "Apache-2.0")),
		"defaultContentType", "application/json",
		"channels", channels,
		"operations", operations,
		"components", obj("messages", messages),
	)
}

func (g *generator) message(name, schema string, headers *object) *object {
	m := obj("name", name, "contentType", "application/json")
	if headers != nil {
		m.set("headers", headers)
	}
	return m.set("payload", obj(
		"schemaFormat", "application/schema+json;version=2020-12",
		"schema", obj("$ref", "./"+schema)))
}

func (g *generator) parameters(subject string) *object {
	used := obj()
	for _, m := range braces.FindAllStringSubmatch(subject, -1) {
		at := slices.IndexFunc(parameters, func(p struct{ name, about string }) bool { return p.name == m[1] })
		used.set(m[1], obj("description", parameters[at].about))
	}
	return used
}

// channelID names a channel after the fixed words of its subject.
func channelID(subject string) string {
	subject = strings.TrimPrefix(strings.TrimPrefix(subject, "breaker."), "$")
	switch {
	case strings.HasPrefix(subject, "workflows.") && strings.Contains(subject, "{workflow_lifecycle}"):
		return "events_workflow"
	case subject == "KV."+wire.BucketWorkflows+".{workflow_id}":
		return "workflow_records"
	}
	var words []string
	for _, w := range strings.Split(strings.ToLower(subject), ".") {
		if !strings.HasPrefix(w, "{") {
			words = append(words, w)
		}
	}
	return strings.TrimPrefix(strings.Join(words, "_"), "workflows_")
}

func pointer(parts ...string) *object {
	return obj("$ref", "#/"+strings.Join(parts, "/"))
}
