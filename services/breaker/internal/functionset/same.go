package functionset

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

var moduleName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// ModuleNames says what names modules can have.
const ModuleNames = "1 to 128 letters, digits, dots, hyphens and underscores, and begin with a letter or digit"

// ValidModule reports whether a function can name a module so.
func ValidModule(name string) bool { return moduleName.MatchString(name) }

// Same reports whether a stored function says what the file says, in whatever order.
func (f *Function) Same(have *wire.Function) bool {
	return bytes.Equal(canonical(f.FunctionSpec), canonical(have.FunctionSpec))
}

// Reset names the members that a stored function has and the file has not.
func (f *Function) Reset(have *wire.Function) []string {
	says := members(f.FunctionSpec)
	var gone []string
	for _, name := range slices.Sorted(maps.Keys(members(have.FunctionSpec))) {
		if _, ok := says[name]; !ok {
			gone = append(gone, name)
		}
	}
	return gone
}

func members(spec wire.FunctionSpec) (all map[string]any) {
	text, err := json.Marshal(spec)
	if err != nil {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&all) != nil {
		return nil
	}
	return all
}

// canonical is a definition with its members in one order, without what goes without saying.
func canonical(spec wire.FunctionSpec) []byte {
	if spec.IsEnabled() {
		spec.Enabled = nil
	}
	spec.Tags = slices.Compact(slices.Sorted(slices.Values(spec.Tags)))
	text, err := json.Marshal(members(spec))
	if err != nil {
		return nil
	}
	return text
}
