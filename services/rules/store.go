package rules

import (
	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/catalog"
	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// rule is one version of a rule, ready to judge.
type rule = catalog.Entry[wire.Rule, compiled]

// compiled is the condition of a rule. program is nil, and unusable says why, where the
// stored condition cannot be compiled.
type compiled struct {
	program  *condition.Program
	unusable error
}

// store knows every rule.
type store = catalog.Catalog[wire.Rule, compiled]

func newStore(b *bus.Bus, language *condition.Language, tel *telemetry.Telemetry) *store {
	return catalog.New(b, tel, catalog.Config[wire.Rule, compiled]{
		Bucket: wire.BucketRules, Noun: "rule", NotFound: fault.RuleNotFound, Exists: fault.RuleExists,
		Head: func(r *wire.Rule) catalog.Head {
			return catalog.Head{
				ID: &r.ID, Version: &r.Version, Description: &r.Description, Tags: &r.Tags, Author: &r.Author,
				CreatedAt: &r.CreatedAt, UpdatedAt: &r.UpdatedAt, RequestID: &r.RequestID, RequestDigest: &r.RequestDigest,
			}
		},
		Prepare: func(r *wire.Rule) (c compiled) {
			c.program, c.unusable = language.Compile("condition", r.Condition)
			return c
		},
		Reserved: map[string]string{wire.ReservedRuleID: "inline conditions are called so"},
		Size:     func(r *wire.Rule) int { return ruleOverhead + len(r.Condition) + len(r.Description) },
	})
}

// ruleOverhead is what a rule takes in a reply beside its condition, at most on average.
const ruleOverhead = 1 << 10
