// Package definition reads workflow definitions from files, YAML or JSON, and says
// everything that is wrong with one at once.
package definition

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	yamlv2 "go.yaml.in/yaml/v2"
	"sigs.k8s.io/yaml"

	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// maxSize bounds what is read of a file; the engine's own limit for definitions is lower.
const maxSize = 4 << 20

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
func Read(path string, stdin io.Reader) (*File, error) {
	raw, err := content(path, stdin)
	if err != nil {
		return nil, err
	}
	return Parse(path, raw), nil
}

func content(path string, stdin io.Reader) ([]byte, error) {
	source := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		source = f
	}
	raw, err := io.ReadAll(io.LimitReader(source, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(raw) > maxSize {
		return nil, fmt.Errorf("%s is larger than %d MiB, too large for a definition", path, maxSize>>20)
	}
	return raw, nil
}

// Parse checks a definition in YAML or JSON.
func Parse(path string, raw []byte) *File {
	f := &File{Path: path}
	object, err := toJSON(raw)
	if err != nil {
		f.Problems = []wire.Problem{{Code: "malformed", Message: err.Error()}}
		return f
	}
	f.JSON = object
	def, problems := petri.ParseDefinition(object)
	if def != nil {
		var more []wire.Problem
		f.Net, more = petri.Compile(def)
		problems = merge(problems, more)
	}
	f.Problems = problems
	if len(problems) > 0 {
		f.Net = nil
	}
	return f
}

// toJSON leaves JSON as it is, so that the engine's own strict reader sees every key and
// every digit, and turns YAML into JSON, refusing duplicate keys.
func toJSON(raw []byte) ([]byte, error) {
	if trimmed := strings.TrimSpace(string(raw)); strings.HasPrefix(trimmed, "{") && json.Valid(raw) {
		return raw, nil
	}
	object, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return nil, fmt.Errorf("neither YAML nor JSON: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return object, onlyDocument(raw)
}

// onlyDocument refuses a second document in the file, which the conversion would pass over
// in silence.
func onlyDocument(raw []byte) error {
	decoder := yamlv2.NewDecoder(bytes.NewReader(raw))
	var document any
	for n := 0; ; n++ {
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("neither YAML nor JSON: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		case n > 0 && document != nil:
			return errors.New("more than one YAML document; write one definition per file")
		}
		document = nil
	}
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
