package examples

import (
	"fmt"
	"io/fs"
	"slices"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Library reads the ready rules, by id.
func Library() ([]wire.RuleCreateRequest, error) {
	names, err := fs.Glob(files, "rules/*.yaml")
	if err != nil {
		return nil, err
	}
	rules := make([]wire.RuleCreateRequest, len(names))
	for i, name := range names {
		if err := readStrictly(name, &rules[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return rules, nil
}

// Rules are the ready rules that a definition names, by id: whoever deploys it creates them
// first.
func Rules(def *wire.Definition) ([]wire.RuleCreateRequest, error) {
	library, err := Library()
	if err != nil {
		return nil, err
	}
	named := map[string]bool{}
	for _, t := range def.Transitions {
		for _, id := range t.Rules {
			named[id] = true
			if !slices.ContainsFunc(library, func(r wire.RuleCreateRequest) bool { return r.ID == id }) {
				return nil, fmt.Errorf("transition %s: there is no ready rule %s", t.ID, id)
			}
		}
	}
	return slices.DeleteFunc(library, func(r wire.RuleCreateRequest) bool { return !named[r.ID] }), nil
}
