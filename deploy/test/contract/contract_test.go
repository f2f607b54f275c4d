package contract

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// sample is an entry of samples/index.json.
type sample struct {
	File         string `json:"file"`
	Schema       string `json:"schema"`
	Valid        bool   `json:"valid"`
	About        string `json:"about"`
	Code         string `json:"code"`
	SchemaPasses bool   `json:"schema_passes"`
}

func newTestSamples(t *testing.T) (*Contract, []sample) {
	t.Helper()
	c := Load(t)
	var index struct{ Samples []sample }
	if err := c.read("samples/index.json", &index); err != nil {
		t.Fatal(err)
	}
	if len(index.Samples) == 0 {
		t.Fatal("samples/index.json lists nothing")
	}
	return c, index.Samples
}

func (c *Contract) sample(t *testing.T, s sample) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(c.Root, "samples", s.File))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestSamplesAgreeWithTheirSchemas(t *testing.T) {
	t.Parallel()
	c, samples := newTestSamples(t)
	for _, s := range samples {
		err := c.Check("schema/"+s.Schema, c.sample(t, s))
		switch {
		case (s.Valid || s.SchemaPasses) && err != nil:
			t.Errorf("%s: %v", s.File, err)
		case !s.Valid && !s.SchemaPasses && err == nil:
			t.Errorf("%s: the schema lets it pass", s.File)
		}
	}
}

func TestSamplesAreListedAndCoverEverySchema(t *testing.T) {
	t.Parallel()
	c, samples := newTestSamples(t)
	listed, valid, refused := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, s := range samples {
		listed[s.File] = true
		kind := "invalid"
		if s.Valid {
			kind = "valid"
			valid["schema/"+s.Schema] = true
		} else {
			refused["schema/"+s.Schema] = true
		}
		if !strings.HasPrefix(s.File, kind+"/"+strings.TrimSuffix(s.Schema, ".json")+"/") || s.About == "" {
			t.Errorf("%s: the file lies elsewhere than the index says, or nothing is said about it", s.File)
		}
		if _, known := c.Errors[s.Code]; !s.Valid && s.Code != "" && !known {
			t.Errorf("%s: errors.json does not know %q", s.File, s.Code)
		}
	}
	found, err := filepath.Glob(filepath.Join(c.Root, "samples", "*", "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		name, err := filepath.Rel(filepath.Join(c.Root, "samples"), path)
		if err != nil {
			t.Fatal(err)
		}
		if !listed[filepath.ToSlash(name)] {
			t.Errorf("samples/index.json lacks %s", name)
		}
	}
	for _, e := range c.Endpoints {
		if !refused[e.Request] {
			t.Errorf("no invalid sample of %s", e.Request)
		}
	}
	for _, schema := range c.files {
		if schema != "schema/common.json" && !valid[schema] {
			t.Errorf("no valid sample of %s", schema)
		}
	}
}

// TestGoAgreesWithTheSamples: what the samples call valid, the types of pkg/wire read and
// write again without losing a member.
func TestGoAgreesWithTheSamples(t *testing.T) {
	t.Parallel()
	c, samples := newTestSamples(t)
	types := map[string]func() any{
		"definition.json": func() any { return new(wire.Definition) },
		"event.json":      func() any { return new(wire.Event) },
		"token.json":      func() any { return new(wire.Token) },
		"instance.json":   func() any { return new(wire.Instance) },
		"state.json":      func() any { return new(wire.State) },
		"timer.json":      func() any { return new(wire.Timer) },
		"checkpoint.json": func() any { return new(wire.Checkpoint) },
		"rule.json":       func() any { return new(wire.Rule) },

		"function.json":                func() any { return new(wire.Function) },
		"function_create_request.json": func() any { return new(wire.FunctionCreateRequest) },
		"execution.json":               func() any { return new(wire.Execution) },
		"job.json":                     func() any { return new(wire.Job) },
		"dead_letter.json":             func() any { return new(wire.DeadLetter) },
		"circuit.json":                 func() any { return new(wire.Circuit) },
	}
	checked := 0
	for _, s := range samples {
		fresh, ok := types[s.Schema]
		if !ok || !s.Valid {
			continue
		}
		v := fresh()
		raw := c.sample(t, s)
		if err := json.Unmarshal(raw, v); err != nil {
			t.Errorf("%s: %v", s.File, err)
			continue
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		checked++
		if err := c.CheckClosed("schema/"+s.Schema, again); err != nil {
			t.Errorf("%s: written again by Go: %v", s.File, err)
		}
	}
	if checked < len(types) {
		t.Errorf("only %d samples were read by Go", checked)
	}
}

// TestTheEngineAgreesWithTheDefinitions: the fleet takes the valid definitions and refuses
// the others, as the index says; the rules that it has are those of the samples.
func TestTheEngineAgreesWithTheDefinitions(t *testing.T) {
	t.Parallel()
	c, samples := newTestSamples(t)
	language, rules := newTestLanguage(t), map[string]bool{}
	for _, s := range samples {
		var rule struct{ ID string }
		if s.Schema == "rule_create_request.json" && s.Valid {
			if err := json.Unmarshal(c.sample(t, s), &rule); err != nil {
				t.Fatal(err)
			}
			rules[rule.ID] = true
		}
	}
	for _, s := range samples {
		if s.Schema != "definition.json" {
			continue
		}
		def, problems := petri.ParseDefinition(c.sample(t, s))
		if len(problems) == 0 {
			_, problems = petri.Compile(def)
		}
		if len(problems) == 0 {
			problems = slices.Concat(language.CheckWhens(def), language.CheckMappings(def), unknownRules(def, rules))
		}
		if s.Valid != (len(problems) == 0) {
			t.Errorf("%s: valid is %v, the engine says %v", s.File, s.Valid, problems)
		}
	}
}

func unknownRules(def *wire.Definition, known map[string]bool) []wire.Problem {
	var problems []wire.Problem
	for _, t := range def.Transitions {
		for _, id := range t.Rules {
			if !known[id] {
				problems = append(problems, wire.Problem{Code: "unknown_rule", Message: id})
			}
		}
	}
	return problems
}

func TestErrorsAreTheVocabulary(t *testing.T) {
	t.Parallel()
	c := Load(t)
	codes := fault.Codes()
	for code, status := range codes {
		e, ok := c.Errors[string(code)]
		switch {
		case !ok:
			t.Errorf("errors.json lacks %s", code)
		case e.Status != status:
			t.Errorf("%s has status %d, errors.json says %d", code, status, e.Status)
		case e.Meaning == "" || e.WhatToDo == "":
			t.Errorf("errors.json says nothing about %s", code)
		}
	}
	for code := range c.Errors {
		if _, ok := codes[fault.Code(code)]; !ok {
			t.Errorf("errors.json knows %s, the fleet does not", code)
		}
	}
}

// TestSubjectsPageIsComplete: what subjects.json says for programs, subjects.md says for
// people.
func TestSubjectsPageIsComplete(t *testing.T) {
	t.Parallel()
	c := Load(t)
	raw, err := os.ReadFile(filepath.Join(c.Root, "subjects.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	for _, e := range c.Endpoints {
		if !strings.Contains(page, "`"+e.Subject+"`") {
			t.Errorf("subjects.md lacks %s", e.Subject)
		}
	}
	short := strings.NewReplacer("{workflow_id}", "{w}", "{instance_id}", "{i}", "{token_id}", "{t}", "{transition_id}", "{transition}",
		"{workflow_lifecycle}", "{type}", "{lifecycle}", "{type}", "{timer}", "{kind}", "{rule_id}", "{rule}",
		"{workflow}", "{w}", "{instance}", "{i}", "{execution_id}", "{execution}", "{function_id}", "{function}")
	buckets := []string{wire.BucketWorkflows, wire.BucketRules, wire.BucketFunctions, wire.BucketTargets, wire.BucketModules, wire.BucketLeases}
	for _, m := range c.Messages {
		subject := short.Replace(m.Subject)
		for _, bucket := range buckets {
			subject = strings.TrimPrefix(subject, "$KV."+bucket+".")
		}
		if subject == "{w}" {
			continue // The key of a workflow's record, in the table of buckets.
		}
		if !strings.Contains(page, "`"+subject+"`") {
			t.Errorf("subjects.md lacks %s", subject)
		}
	}
	streams := []string{wire.StreamPlaces, wire.StreamTimers, wire.StreamJobs, wire.StreamExecutions, wire.StreamDeadLetters, "WORKFLOW_{W}"}
	for _, name := range slices.Concat(streams, buckets) {
		if !strings.Contains(page, "`"+name+"`") {
			t.Errorf("subjects.md lacks %s", name)
		}
	}
}

func TestAsyncAPIResolves(t *testing.T) {
	t.Parallel()
	c := Load(t)
	raw, err := os.ReadFile(filepath.Join(c.Root, "asyncapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := yaml.UnmarshalStrict(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if doc["asyncapi"] != "3.0.0" {
		t.Errorf("asyncapi is %v", doc["asyncapi"])
	}
	addresses := map[string]map[string]any{}
	for id, v := range doc["channels"].(map[string]any) {
		channel := v.(map[string]any)
		address, present := channel["address"]
		if !present {
			t.Errorf("channel %s has no address, not even null", id)
		}
		if s, ok := address.(string); ok {
			addresses[s] = channel
		}
	}
	for _, e := range c.Endpoints {
		if addresses[e.Subject] == nil {
			t.Errorf("no channel for %s", e.Subject)
		}
	}
	for _, m := range c.Messages {
		channel := addresses[m.Subject]
		if channel == nil {
			t.Errorf("no channel for %s", m.Subject)
			continue
		}
		parameters, _ := channel["parameters"].(map[string]any)
		for _, part := range strings.Split(m.Subject, ".") {
			if name, ok := strings.CutPrefix(part, "{"); ok && parameters[strings.TrimSuffix(name, "}")] == nil {
				t.Errorf("%s: the parameter %s is not described", m.Subject, part)
			}
		}
	}
	replied := 0
	for id, v := range doc["operations"].(map[string]any) {
		operation := v.(map[string]any)
		if operation["action"] == "receive" {
			if operation["reply"] == nil {
				t.Errorf("operation %s has no reply", id)
			}
			replied++
		}
	}
	if replied != len(c.Endpoints) {
		t.Errorf("%d operations with a reply, want %d", replied, len(c.Endpoints))
	}
	resolve(t, c, doc, doc)
}

func resolve(t *testing.T, c *Contract, doc map[string]any, node any) {
	t.Helper()
	switch node := node.(type) {
	case map[string]any:
		if ref, ok := node["$ref"].(string); ok {
			if pointer, ok := strings.CutPrefix(ref, "#/"); ok {
				var target any = doc
				for _, step := range strings.Split(pointer, "/") {
					members, _ := target.(map[string]any)
					target = members[step]
				}
				if target == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			} else if _, err := os.Stat(filepath.Join(c.Root, ref)); err != nil {
				t.Errorf("%s: %v", ref, err)
			}
		}
		for _, child := range node {
			resolve(t, c, doc, child)
		}
	case []any:
		for _, child := range node {
			resolve(t, c, doc, child)
		}
	}
}
