package functionrunner

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// Bounds of a definition.
const (
	maxConcurrency = 8192
	maxTriggers    = 32
	maxChains      = 32
	maxRate        = 1_000_000
	// maxDefinition is in bytes of JSON.
	maxDefinition = 512 << 10
)

func bad(field, format string, args ...any) error {
	return fault.New(fault.InvalidField, field+" "+format, args...).With("field", field)
}

func oneOf(field, value string, allowed []string) error {
	return bad(field, "is one of %s, not %q", strings.Join(allowed, ", "), value)
}

// check refuses what cannot be stored.
func (s *Service) check(_ context.Context, fn *wire.Function) error {
	if err := s.checkSpec(fn); err != nil {
		return err
	}
	return s.checkCycle(fn)
}

// checkSpec refuses what the definition alone shows to be wrong.
func (s *Service) checkSpec(fn *wire.Function) error {
	if text, err := json.Marshal(fn); err != nil || len(text) > maxDefinition {
		return bad("function", "takes more than %d bytes", maxDefinition)
	}
	for _, check := range []func(*wire.FunctionSpec) error{s.checkKind, checkPolicy, checkTriggers, checkChains} {
		if err := check(&fn.FunctionSpec); err != nil {
			return err
		}
	}
	_, err := s.compile(fn)
	return err
}

func (s *Service) checkKind(fn *wire.FunctionSpec) error {
	runs := s.kinds[fn.Kind]
	if runs == nil {
		return oneOf("kind", fn.Kind, wire.FunctionKinds())
	}
	for name, given := range map[string]bool{
		wire.FunctionHTTP: fn.HTTP != nil, wire.FunctionExec: fn.Exec != nil, wire.FunctionWASM: fn.WASM != nil,
		wire.FunctionExpression: fn.Expression != "",
	} {
		switch {
		case given && name != fn.Kind:
			return bad(name, "does not go with kind %s", fn.Kind)
		case !given && name == fn.Kind:
			return bad(name, "is missing: kind %s needs it", fn.Kind)
		}
	}
	return runs.Check(fn)
}

func checkPolicy(fn *wire.FunctionSpec) error {
	if d := time.Duration(fn.Timeout); d < 0 || d > work.MaxTimeout {
		return bad("timeout", "is %s; it must be longer than 0 and at most %s", d, work.MaxTimeout)
	}
	if fn.Concurrency < 0 || fn.Concurrency > maxConcurrency {
		return bad("concurrency", "must be 1 to %d, or absent", maxConcurrency)
	}
	if r := fn.RateLimit; r != nil && (r.Count < 1 || r.Count > maxRate || r.Per <= 0 || time.Duration(r.Per) > work.MaxTimeout) {
		return bad("rate_limit", "needs a count of 1 to %d, and per, longer than 0 and at most %s", maxRate, work.MaxTimeout)
	}
	if c := fn.Circuit; c != nil {
		if c.Failures < 0 || c.Failures > 1000 {
			return bad("circuit_breaker.failures", "must be 1 to 1000")
		}
		if c.Cooldown < 0 || time.Duration(c.Cooldown) > work.MaxTimeout {
			return bad("circuit_breaker.cooldown", "must be longer than 0 and at most %s", work.MaxTimeout)
		}
	}
	r := fn.Retry
	if r == nil {
		return nil
	}
	backoffs := []string{wire.BackoffFixed, wire.BackoffLinear, wire.BackoffExponential}
	switch {
	case r.Attempts < 0 || r.Attempts > work.MaxAttempts:
		return bad("retry.attempts", "must be 1 to %d", work.MaxAttempts)
	case r.Backoff != "" && !slices.Contains(backoffs, r.Backoff):
		return oneOf("retry.backoff", r.Backoff, backoffs)
	case r.Initial < 0 || time.Duration(r.Initial) > work.MaxDelay:
		return bad("retry.initial", "must be longer than 0 and at most %s", work.MaxDelay)
	case r.Max < 0 || time.Duration(r.Max) > work.MaxDelay:
		return bad("retry.max", "must be longer than 0 and at most %s", work.MaxDelay)
	case r.Jitter != nil && (*r.Jitter < 0 || *r.Jitter > 1):
		return bad("retry.jitter", "must be 0 to 1")
	}
	codes := wire.FailureCodes()
	for i, code := range r.Errors {
		if _, ok := codes[code]; !ok {
			return oneOf("retry.errors["+sequence(uint64(i))+"]", code, slices.Sorted(maps.Keys(codes)))
		}
	}
	return nil
}

func checkTriggers(fn *wire.FunctionSpec) error {
	if len(fn.Triggers) > maxTriggers {
		return bad("triggers", "has %d elements; at most %d are possible", len(fn.Triggers), maxTriggers)
	}
	for i := range fn.Triggers {
		t := &fn.Triggers[i]
		if !slices.Contains(wire.TriggerEvents(), t.Event) {
			return oneOf(at("triggers", i, "event"), t.Event, wire.TriggerEvents())
		}
		if t.Workflow != "" && !wire.IsUUID(t.Workflow) && !wire.ValidName(t.Workflow) {
			return bad(at("triggers", i, "workflow"), "is neither a UUID nor a name that a workflow can have")
		}
		if t.Outcome != "" && t.Outcome != wire.OutcomeSuccess && t.Outcome != wire.OutcomeFailure {
			return oneOf(at("triggers", i, "outcome"), t.Outcome, []string{wire.OutcomeSuccess, wire.OutcomeFailure})
		}
		if t.Event == wire.TriggerFunctionCompleted && t.Function == "" {
			return bad(at("triggers", i, "function"), "is missing: say whose end is meant")
		}
		if t.Event == wire.TriggerCustom && t.Name == "" {
			return bad(at("triggers", i, "name"), "is missing: a custom event has one")
		}
		for _, m := range []struct {
			name, value string
			events      []string
		}{
			{"place", t.Place, []string{wire.TriggerCreated, wire.TriggerInjected, wire.TriggerUpdated, wire.TriggerTransitioned}},
			{"from", t.From, []string{wire.TriggerTransitioned}},
			{"to", t.To, []string{wire.TriggerTransitioned}},
			{"transition", t.Transition, []string{wire.TriggerTransitioned}},
			{"function", t.Function, []string{wire.TriggerFunctionCompleted}},
			{"name", t.Name, []string{wire.TriggerCustom}},
			{"outcome", t.Outcome, []string{wire.TriggerFunctionCompleted}},
		} {
			switch {
			case m.value == "":
			case !slices.Contains(m.events, t.Event):
				return bad(at("triggers", i, m.name), "does not go with the event %s", t.Event)
			case !wire.ValidName(m.value):
				return bad(at("triggers", i, m.name), "is no name: those have 1 to 64 characters of a-z, 0-9, _ and -, and begin with a letter or digit")
			}
		}
	}
	return nil
}

func checkChains(fn *wire.FunctionSpec) error {
	if len(fn.Chains) > maxChains {
		return bad("chains", "has %d elements; at most %d are possible", len(fn.Chains), maxChains)
	}
	seen := map[string]bool{}
	ends := []string{wire.ChainSuccess, wire.ChainFailure, wire.ChainAlways}
	for i := range fn.Chains {
		c := &fn.Chains[i]
		content := contentOf(c)
		twice := seen[content]
		seen[content] = true
		switch {
		case twice:
			return bad("chains["+sequence(uint64(i))+"]", "is the same as one before")
		case !wire.ValidName(c.Function):
			return bad(at("chains", i, "function"), "must be the id of a function")
		case c.On != "" && !slices.Contains(ends, c.On):
			return oneOf(at("chains", i, "on"), c.On, ends)
		case c.Delay < 0 || time.Duration(c.Delay) > work.MaxDelay:
			return bad(at("chains", i, "delay"), "must be at least 0 and at most %s", work.MaxDelay)
		}
	}
	return nil
}

// checkCycle refuses a function that would come after itself, by chains or by triggers on the
// end of functions, whatever their conditions.
func (s *Service) checkCycle(fn *wire.Function) error {
	all := map[string]*wire.Function{fn.ID: fn}
	for _, e := range s.store.All() {
		if e.Definition.ID != fn.ID {
			all[e.Definition.ID] = &e.Definition
		}
	}
	after := func(id string) []string {
		next := map[string]bool{}
		if f := all[id]; f != nil {
			for _, c := range f.Chains {
				next[c.Function] = true
			}
		}
		for other, f := range all {
			for _, t := range f.Triggers {
				if t.Event == wire.TriggerFunctionCompleted && t.Function == id {
					next[other] = true
				}
			}
		}
		return slices.Sorted(maps.Keys(next))
	}
	seen := map[string]bool{}
	var way []string
	var walk func(id string) bool
	walk = func(id string) bool {
		way = append(way, id)
		for _, next := range after(id) {
			if next == fn.ID {
				return true
			}
			if !seen[next] {
				seen[next] = true
				if walk(next) {
					return true
				}
			}
		}
		way = way[:len(way)-1]
		return false
	}
	if !walk(fn.ID) {
		return nil
	}
	field := "chains"
	if len(fn.Chains) == 0 {
		field = "triggers"
	}
	return bad(field, "would have the function come after itself: %s", strings.Join(append(way, fn.ID), " → ")).(*fault.Error).With("cycle", append(way, fn.ID))
}
