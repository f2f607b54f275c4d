// Package functionset reads functions from files, YAML or JSON, and says everything that can
// be seen to be wrong with them at once. A file holds one function, or a list of them under
// functions:
//
//	id: word_count                                 functions:
//	kind: nats                                       - { id: word_count, kind: nats }
//	input: { text: "=token.data.text" }              - { id: total, kind: expression, expression: input.a + input.b }
//	timeout: 10s
//
// What a member may be, it reads off package wire. Bounds, and what there is to run, only the
// service knows.
package functionset

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/source"
)

// Codes of problems, those of package petri where it has the same.
const (
	malformed       = "malformed"
	unknownKey      = "unknown_key"
	duplicateKey    = "duplicate_key"
	missing         = "missing"
	misplaced       = "misplaced"
	wrongType       = "wrong_type"
	invalidID       = "invalid_id"
	duplicateID     = "duplicate_id"
	invalidValue    = "invalid_value"
	invalidDuration = "invalid_duration"
	invalidSchema   = "invalid_schema"
)

// Function is a function as a file has it.
type Function struct {
	ID string `json:"id"`
	wire.FunctionSpec
}

// File is what a file holds.
type File struct {
	// Path is the file's name as it was given; "-" for standard input.
	Path string
	// Functions are in the order of the file. They can be used only where there are no Problems.
	Functions []Function
	Problems  []wire.Problem
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

// Parse checks functions in YAML or JSON.
func Parse(language *condition.Language, path string, raw []byte) *File {
	r := &reader{language: language, file: &File{Path: path}, seen: map[string]string{}}
	text, err := document(raw)
	if err != nil {
		r.problem("", malformed, "%s", err)
		return r.file
	}
	all := r.object("", text, wants)
	list := find(all, "functions")
	if list == nil {
		if all != nil {
			r.function("", all)
		}
		return r.file
	}
	for _, m := range all {
		if m.name != "functions" {
			r.problem(m.name, unknownKey, "does not stand beside functions")
		}
	}
	several, ok := elements(list.value)
	if !ok || len(several) == 0 {
		r.problem("functions", wrongType, "must be a list of at least one function")
	}
	for i, one := range several {
		at := fmt.Sprintf("functions[%d]", i)
		if members := r.object(at, one, wants); members != nil {
			r.function(at, members)
		}
	}
	return r.file
}

// wants is what a function must be.
const wants = "a function: an object with the members id and kind"

type reader struct {
	language *condition.Language
	file     *File
	// seen says where in the file each id stands.
	seen map[string]string
}

func (r *reader) problem(at, code, format string, args ...any) {
	r.file.Problems = append(r.file.Problems, wire.Problem{Path: at, Code: code, Message: fmt.Sprintf(format, args...)})
}

// function reads a function of these members. One that has a problem is left out of what is
// checked together, so that it is not reported twice.
func (r *reader) function(at string, all []member) {
	sound, broken := r.members(at, all, definition)
	var text strings.Builder
	for i, m := range sound {
		name, err := json.Marshal(m.name)
		if err != nil {
			continue // A text always has a JSON.
		}
		fmt.Fprintf(&text, "%c%s:%s", "{,"[min(i, 1)], name, m.value)
	}
	var fn Function
	if len(sound) > 0 {
		if err := json.Unmarshal([]byte(text.String()+"}"), &fn); err != nil {
			r.problem(at, wrongType, "cannot be read: %v", err)
		}
	}
	(&checker{reader: r, at: at, fn: &fn, broken: broken}).check()
	r.file.Functions = append(r.file.Functions, fn)
}
