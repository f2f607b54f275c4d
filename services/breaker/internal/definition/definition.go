// Package definition reads workflow definitions from files, YAML or JSON, and says
// everything that is wrong with one at once.
package definition

import (
	"bytes"
	"encoding/json"
	"io"

	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/source"
)

// File is a definition read from a file.
type File struct {
	// Path is the file's name as it was given; "-" for standard input.
	Path string
	// JSON is the definition as an object, as it goes to the services.
	JSON json.RawMessage
	// Net is the compiled definition; nil while there are Problems.
	Net      *petri.Net
	Problems []wire.Problem
}

// Definition is what the file defines; only where there are no Problems.
func (f *File) Definition() *wire.Definition { return f.Net.Definition() }

// Read reads and checks the file at path, or stdin for "-". The error is for a file that
// cannot be read; whatever is wrong with its content is in Problems.
func Read(language *condition.Language, path string, stdin io.Reader) (*File, error) {
	raw, err := source.Read(path, stdin)
	if err != nil {
		return nil, err
	}
	return Parse(language, path, raw), nil
}

// Parse checks a definition in YAML or JSON: the net, and the conditions written in it.
// Which rules there are, only a fleet knows.
func Parse(language *condition.Language, path string, raw []byte) *File {
	f := &File{Path: path}
	object, err := source.JSON(raw)
	if err != nil {
		f.Problems = []wire.Problem{{Code: "malformed", Message: err.Error()}}
		return f
	}
	f.JSON = object
	def, problems := petri.ParseDefinition(object)
	if def != nil {
		var more []wire.Problem
		f.Net, more = petri.Compile(def)
		problems = append(merge(problems, more), language.CheckWhens(def)...)
		problems = append(problems, language.CheckMappings(def)...)
	}
	f.Problems = problems
	if len(problems) > 0 {
		f.Net = nil
	}
	return f
}

// merge joins the problems of two passes, without the second report of the same fault.
func merge(first, second []wire.Problem) []wire.Problem {
	seen := make(map[[2]string]bool, len(first))
	for _, p := range first {
		seen[[2]string{p.Path, p.Code}] = true
	}
	for _, p := range second {
		if !seen[[2]string{p.Path, p.Code}] {
			first = append(first, p)
		}
	}
	return first
}

// Same reports whether two definitions say the same, however they were written.
func Same(a, b *wire.Definition) bool {
	return bytes.Equal(canonical(a), canonical(b))
}

// canonical is a definition with its members in one order and its schema without spaces.
func canonical(def *wire.Definition) []byte {
	raw, err := json.Marshal(def)
	if err != nil {
		return nil
	}
	var tree any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if decoder.Decode(&tree) != nil {
		return nil
	}
	raw, err = json.Marshal(tree)
	if err != nil {
		return nil
	}
	return raw
}
