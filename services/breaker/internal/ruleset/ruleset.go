// Package ruleset reads rules from files, YAML or JSON, and says everything that is wrong
// with them at once. A file holds one rule, or a list of them under rules:
//
//	id: has_title                                  rules:
//	description: The document has a title.           - { id: has_title, condition: … }
//	condition: { field_exists: data.title }          - { id: urgent, condition: token.data.priority > 7 }
package ruleset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/source"
)

// Codes of problems, those of package petri where it has the same.
const (
	malformed  = "malformed"
	unknownKey = "unknown_key"
	missing    = "missing"
	wrongType  = "wrong_type"
	invalidID  = "invalid_id"
	duplicate  = "duplicate_id"
)

// Rule is a rule as a file has it.
type Rule struct {
	wire.RuleCreateRequest
	// Program is its condition, compiled; nil where it has problems.
	Program *condition.Program
}

// File is what a file holds.
type File struct {
	// Path is the file's name as it was given; "-" for standard input.
	Path string
	// Rules are in the order of the file. They can be used only where there are no Problems.
	Rules    []Rule
	Problems []wire.Problem
}

// Read reads and checks the file at path, or stdin for "-". The error is for a file that
// cannot be read; whatever is wrong with its content is in Problems.
func Read(language *condition.Language, path string, stdin io.Reader) (*File, error) {
	raw, err := source.Read(path, stdin)
	if err != nil {
		return nil, err
	}
	return Parse(language, path, raw), nil
}

// Parse checks rules in YAML or JSON.
func Parse(language *condition.Language, path string, raw []byte) *File {
	r := &reader{language: language, file: &File{Path: path}, seen: map[string]string{}}
	document, err := source.JSON(raw)
	if err != nil {
		r.problem("", malformed, "%s", err)
		return r.file
	}
	all := r.members("", document)
	list, several := all["rules"]
	if !several {
		if all != nil {
			r.rule("", all)
		}
		return r.file
	}
	r.only("", all, "rules")
	var rules []json.RawMessage
	if json.Unmarshal(list, &rules) != nil || len(rules) == 0 {
		r.problem("rules", wrongType, "must be a list of at least one rule")
	}
	for i, one := range rules {
		at := fmt.Sprintf("rules[%d]", i)
		if members := r.members(at, one); members != nil {
			r.rule(at, members)
		}
	}
	return r.file
}

type reader struct {
	language *condition.Language
	file     *File
	// seen says where in the file each id stands.
	seen map[string]string
}

func (r *reader) problem(at, code, format string, args ...any) {
	r.file.Problems = append(r.file.Problems, wire.Problem{Path: at, Code: code, Message: fmt.Sprintf(format, args...)})
}

func (r *reader) members(at string, raw json.RawMessage) map[string]json.RawMessage {
	var all map[string]json.RawMessage
	if json.Unmarshal(raw, &all) != nil || all == nil {
		r.problem(at, wrongType, "must be a rule: an object with the members id and condition")
		return nil
	}
	return all
}

// inside is the path of a member.
func inside(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func (r *reader) only(at string, all map[string]json.RawMessage, known ...string) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(known, name) {
			r.problem(inside(at, name), unknownKey, "is not known here; possible are %s", strings.Join(known, ", "))
		}
	}
}

func (r *reader) rule(at string, all map[string]json.RawMessage) {
	var rule Rule
	r.only(at, all, "id", "description", "workflow_id", "condition", "tags")
	r.text(at, "id", all, &rule.ID)
	r.text(at, "description", all, &rule.Description)
	r.text(at, "workflow_id", all, &rule.WorkflowID)
	if raw, ok := all["tags"]; ok && json.Unmarshal(raw, &rule.Tags) != nil {
		r.problem(inside(at, "tags"), wrongType, "must be a list of texts")
	}
	r.identify(at, rule.ID, all["id"])
	r.condition(at, &rule, all["condition"])
	r.file.Rules = append(r.file.Rules, rule)
}

func (r *reader) text(at, name string, all map[string]json.RawMessage, into *string) {
	if raw, ok := all[name]; ok && json.Unmarshal(raw, into) != nil {
		r.problem(inside(at, name), wrongType, "must be a text")
	}
}

func (r *reader) identify(at, id string, raw json.RawMessage) {
	path := inside(at, "id")
	other, twice := r.seen[id]
	switch {
	case raw == nil:
		r.problem(path, missing, "is missing")
	case id == "" && !bytes.Equal(raw, []byte(`""`)): // It is no text, which was said.
	case !wire.ValidName(id):
		r.problem(path, invalidID, "must be 1 to 64 characters of a-z, 0-9, _ and -, and begin with a letter or digit")
	case id == wire.ReservedRuleID:
		r.problem(path, invalidID, "cannot be %q: inline conditions are called so", id)
	case twice:
		r.problem(path, duplicate, "%s is also the id of %s", id, other)
	}
	r.seen[id] = at
}

func (r *reader) condition(at string, rule *Rule, raw json.RawMessage) {
	path := inside(at, "condition")
	if raw == nil || bytes.Equal(raw, []byte("null")) {
		r.problem(path, missing, "is missing")
		return
	}
	rule.Condition = raw
	var err error
	if rule.Program, err = r.language.Compile(path, raw); err != nil {
		r.file.Problems = append(r.file.Problems, Problem(path, err))
	}
}

// Problem is what is wrong with a condition that does not compile, at the path of the part
// that is wrong.
func Problem(path string, err error) wire.Problem {
	p := wire.Problem{Path: path, Code: condition.InvalidCondition, Message: err.Error()}
	var refused *fault.Error
	if errors.As(err, &refused) {
		p.Message = refused.Message
		if field, ok := refused.Details["field"].(string); ok {
			p.Path, p.Message = field, strings.TrimPrefix(refused.Message, field+" ")
		}
	}
	return p
}

// Same reports whether a stored rule says what the file says, however the condition was
// written and the tags were ordered.
func (r *Rule) Same(language *condition.Language, have *wire.Rule) bool {
	stored, err := language.Compile("condition", have.Condition)
	return err == nil && bytes.Equal(stored.Canonical(), r.Program.Canonical()) &&
		have.Description == r.Description && strings.EqualFold(have.WorkflowID, r.WorkflowID) &&
		slices.Equal(tags(have.Tags), tags(r.Tags))
}

func tags(given []string) []string {
	sorted := slices.Clone(given)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}
