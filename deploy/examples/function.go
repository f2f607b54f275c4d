package examples

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// FunctionLibrary reads the ready functions, by id.
func FunctionLibrary() ([]wire.FunctionCreateRequest, error) {
	names, err := fs.Glob(files, "functions/*.yaml")
	if err != nil {
		return nil, err
	}
	functions := make([]wire.FunctionCreateRequest, len(names))
	for i, name := range names {
		if err := readStrictly(name, &functions[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return functions, nil
}

// readStrictly reads YAML that has only the members that the value knows.
func readStrictly(name string, value any) error {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return err
	}
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	return decoder.Decode(value)
}

// Functions are the ready functions that the places of a definition name, and those that come
// after them in a chain, by id: whoever deploys it creates them first.
func Functions(def *wire.Definition) ([]wire.FunctionCreateRequest, error) {
	library, err := FunctionLibrary()
	if err != nil {
		return nil, err
	}
	named := map[string]bool{}
	var name func(by, id string) error
	name = func(by, id string) error {
		i := slices.IndexFunc(library, func(f wire.FunctionCreateRequest) bool { return f.ID == id })
		if i < 0 {
			return fmt.Errorf("%s: there is no ready function %s", by, id)
		}
		if named[id] {
			return nil
		}
		named[id] = true
		for _, c := range library[i].Chains {
			if err := name("function "+id, c.Function); err != nil {
				return err
			}
		}
		return nil
	}
	for _, place := range def.Places {
		for _, binding := range place.Functions {
			if err := name("place "+place.ID, binding.Function); err != nil {
				return nil, err
			}
		}
	}
	return slices.DeleteFunc(library, func(f wire.FunctionCreateRequest) bool { return !named[f.ID] }), nil
}

// Runs is how often a function runs for a sample.
type Runs struct {
	Succeeded int `json:"succeeded,omitempty"`
	// Failed are those that fail for good; each of them leaves a dead letter.
	Failed int `json:"failed,omitempty"`
	// Retries are the attempts beyond the first, of all runs together.
	Retries int `json:"retries,omitempty"`
}

// Ended is how many have ended, either way.
func (r Runs) Ended() int { return r.Succeeded + r.Failed }

// Add adds other runs.
func (r Runs) Add(other Runs) Runs {
	return Runs{r.Succeeded + other.Succeeded, r.Failed + other.Failed, r.Retries + other.Retries}
}
