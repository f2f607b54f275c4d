package functionset

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ruleset"
)

// checker checks what the members of one function say together, and what they are written in.
type checker struct {
	*reader
	at string
	fn *Function
	// broken are the members that have problems already.
	broken map[string]bool
}

func (c *checker) bad(path, code, format string, args ...any) {
	c.problem(inside(c.at, path), code, format, args...)
}

func (c *checker) check() {
	c.identify()
	c.kind()
	c.retry()
	c.triggers()
	c.chains()
	c.mapping("input", c.fn.Input)
	for _, schema := range []struct {
		name string
		text []byte
	}{{"input_schema", c.fn.InputSchema}, {"output_schema", c.fn.OutputSchema}} {
		if _, problem := bus.CompileSchema(schema.text); problem != nil {
			c.bad(schema.name, invalidSchema, "is %s", problem.Message)
		}
	}
	if c.fn.Expression != "" {
		_, err := c.language.CompileExpression(inside(c.at, "expression"), c.fn.Expression)
		c.refused("expression", err)
	}
}

func (c *checker) identify() {
	id := c.fn.ID
	other, twice := c.seen[id]
	switch {
	case id == "":
		c.missing("id", "say what the function is called")
	case !wire.ValidName(id):
		c.bad("id", invalidID, "must be 1 to 64 characters of a-z, 0-9, _ and -, and begin with a letter or digit")
	case twice:
		c.bad("id", duplicateID, "%s is also the id of %s", id, other)
	}
	if id != "" {
		c.seen[id] = c.at
	}
}

func (c *checker) missing(name, what string) {
	if !c.broken[name] {
		c.bad(name, missing, "is missing: %s", what)
	}
}

func (c *checker) kind() {
	fn, kinds := c.fn, strings.Join(wire.FunctionKinds(), ", ")
	switch {
	case fn.Kind == "":
		c.missing("kind", "it is one of "+kinds)
		return
	case !slices.Contains(wire.FunctionKinds(), fn.Kind):
		c.oneOf("kind", fn.Kind, wire.FunctionKinds())
		return
	}
	for _, member := range []struct {
		kind       string
		given      bool
		path, text string
	}{
		{wire.FunctionHTTP, fn.HTTP != nil, "http.url", deref(fn.HTTP).URL},
		{wire.FunctionExec, fn.Exec != nil, "exec.command", deref(fn.Exec).Command},
		{wire.FunctionWASM, fn.WASM != nil, "wasm.module", deref(fn.WASM).Module},
		{wire.FunctionExpression, fn.Expression != "", "", "given"},
	} {
		switch {
		case member.given && member.kind != fn.Kind:
			c.bad(member.kind, misplaced, "does not go with kind %s", fn.Kind)
		case !member.given && member.kind == fn.Kind:
			c.missing(member.kind, "kind "+fn.Kind+" needs it")
		case member.given && member.text == "":
			c.bad(member.path, missing, "is missing")
		}
	}
	if w := fn.WASM; w != nil && w.Module != "" && !ValidModule(w.Module) {
		c.bad("wasm.module", invalidValue, "must be %s", ModuleNames)
	}
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// oneOf refuses a value that is not among the possible ones.
func (c *checker) oneOf(path, value string, possible []string) {
	if !slices.Contains(possible, value) {
		c.bad(path, invalidValue, "is one of %s, not %q", strings.Join(possible, ", "), value)
	}
}

func (c *checker) retry() {
	r := deref(c.fn.Retry)
	c.oneOf("retry.backoff", cmp.Or(r.Backoff, wire.BackoffExponential), []string{wire.BackoffFixed, wire.BackoffLinear, wire.BackoffExponential})
	codes := slices.Sorted(maps.Keys(wire.FailureCodes()))
	for i, code := range r.Errors {
		c.oneOf(fmt.Sprintf("retry.errors[%d]", i), code, codes)
	}
}

func (c *checker) triggers() {
	for i := range c.fn.Triggers {
		t := &c.fn.Triggers[i]
		path := fmt.Sprintf("triggers[%d]", i)
		if t.Event == "" {
			c.bad(path+".event", missing, "is missing: it is one of %s", strings.Join(wire.TriggerEvents(), ", "))
		} else {
			c.oneOf(path+".event", t.Event, wire.TriggerEvents())
		}
		if t.Event == wire.TriggerCustom && t.Name == "" {
			c.bad(path+".name", missing, "is missing: a custom event has one")
		}
		c.oneOf(path+".outcome", cmp.Or(t.Outcome, wire.OutcomeSuccess), []string{wire.OutcomeSuccess, wire.OutcomeFailure})
		c.when(path+".when", t.When)
		c.mapping(path+".input", t.Input)
	}
}

func (c *checker) chains() {
	for i := range c.fn.Chains {
		chain := &c.fn.Chains[i]
		path := fmt.Sprintf("chains[%d]", i)
		switch {
		case chain.Function == "":
			c.bad(path+".function", missing, "is missing: say which function follows")
		case !wire.ValidName(chain.Function):
			c.bad(path+".function", invalidID, "must be the id of a function")
		}
		c.oneOf(path+".on", cmp.Or(chain.On, wire.ChainSuccess), []string{wire.ChainSuccess, wire.ChainFailure, wire.ChainAlways})
		c.when(path+".when", chain.When)
		c.mapping(path+".input", chain.Input)
	}
}

func (c *checker) when(path, text string) {
	if text != "" {
		_, err := c.language.CompileWorkCondition(inside(c.at, path), text)
		c.refused(path, err)
	}
}

func (c *checker) mapping(path string, text []byte) {
	if len(text) > 0 {
		_, err := c.language.CompileMapping(inside(c.at, path), text)
		c.refused(path, err)
	}
}

// refused notes what the language says against an expression.
func (c *checker) refused(path string, err error) {
	if err != nil {
		c.file.Problems = append(c.file.Problems, ruleset.Problem(inside(c.at, path), err))
	}
}
