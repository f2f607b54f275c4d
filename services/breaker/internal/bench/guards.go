package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// The rules that guard the firings of a guarded loop, and the condition beside them.
var guardRules = map[string]string{
	"bench_is_open":  `{"field_equals":{"field":"data.status","value":"open"}}`,
	"bench_in_range": `{"and":[{"field_greater_than":{"field":"data.amount","value":100}},{"field_less_than":{"field":"data.amount","value":1000}}]}`,
}

const guardCondition = "token.place != 'ended' && token.data.amount != 0"

// guards measures guarded firings and unguarded ones in turn, in one fleet.
func (r *runner) guards(ctx context.Context, _ *Fleet, nc *nats.Conn) error {
	var err error
	if r.report.TenRules, err = tenRules(ctx); err != nil {
		return err
	}
	c := client.New(nc)
	def := loopDefinition("bench_guarded")
	for i := range def.Transitions {
		def.Transitions[i].When = guardCondition
	}
	for id, condition := range guardRules {
		ask, cancel := context.WithTimeout(ctx, replyWait)
		_, err := c.RuleCreate(ask, wire.RuleCreateRequest{ID: id, Condition: json.RawMessage(condition)})
		cancel()
		if err != nil {
			return fmt.Errorf("making the rule %s: %w", id, err)
		}
		for i := range def.Transitions {
			def.Transitions[i].Rules = append(def.Transitions[i].Rules, id)
		}
	}
	var loops [2]*loop
	for i, def := range []*wire.Definition{loopDefinition("bench_unguarded"), def} {
		if loops[i], err = deploy(ctx, nc, def, r.EventBytes); err != nil {
			return err
		}
		if err := loops[i].seed(ctx, nc, r.Instances, func(int) {}); err != nil {
			return err
		}
		if err := r.caughtUp(ctx, nc, loops[i], ViewLive); err != nil {
			return err
		}
	}
	if err := r.weigh(ctx, nc, loops[0]); err != nil {
		return err
	}
	for _, inFlight := range r.InFlight {
		var taken [2][]Figure
		for range r.Rounds {
			for i, l := range loops {
				f, err := measure(ctx, inFlight, r.Duration, l.fire(nc, inFlight))
				if err != nil {
					return err
				}
				taken[i] = append(taken[i], f)
				if err := r.caughtUp(ctx, nc, l, ViewLive); err != nil {
					return err
				}
			}
		}
		g := Guarding{InFlight: inFlight, Unguarded: median(taken[0]), Guarded: median(taken[1])}
		g.RateRatio, g.P50Ratio = ratio(g.Guarded.Rate, g.Unguarded.Rate), ratio(g.Guarded.P50, g.Unguarded.P50)
		r.report.Guards = append(r.report.Guards, g)
		r.note("%2d in flight: %6.0f guarded firings/s, %6.0f unguarded, ratio %.3f", inFlight, g.Guarded.Rate, g.Unguarded.Rate, g.RateRatio)
	}
	return nil
}

// tenConditions are rules of every kind over the document of tenRules.
var tenConditions = []string{
	`{"field_exists":{"field":"data.customer.name"}}`,
	`{"field_equals":{"field":"data.status","value":"open"}}`,
	`{"field_greater_than":{"field":"data.amount","value":100}}`,
	`{"field_less_than":{"field":"data.lines[3].price","value":1000}}`,
	`{"field_contains":{"field":"data.tags","value":"urgent"}}`,
	`{"field_matches":{"field":"data.number","pattern":"^INV-[0-9]{4}-[0-9]+$"}}`,
	`{"in":{"field":"data.currency","values":["EUR","USD","CHF"]}}`,
	`{"and":[{"field_exists":{"field":"data.customer.id"}},{"not":{"field_exists":{"field":"data.blocked"}}}]}`,
	`{"expression":"token.data.amount > 100 && token.data.customer.country == 'CH'"}`,
	`{"expression":"has(token.metadata.source) || token.place == 'review'"}`,
}

// tenRules measures how long it takes to judge ten rules on a token of 4 KB, in
// microseconds: from its bytes, which each hearing decodes anew, to ten outcomes.
func tenRules(ctx context.Context) (float64, error) {
	language, err := condition.New()
	if err != nil {
		return 0, err
	}
	programs := make([]*condition.Program, len(tenConditions))
	for i, text := range tenConditions {
		if programs[i], err = language.Compile("condition", json.RawMessage(text)); err != nil {
			return 0, err
		}
	}
	line := `{"sku":"A-17","text":"a line of an invoice","price":12.50,"quantity":3,"tax":{"code":"V1","rate":0.081}}`
	data := `{"number":"INV-2026-0017","status":"open","amount":250.75,"currency":"CHF","tags":["net30","urgent"],` +
		`"customer":{"id":"c-1","name":"Example","country":"CH"},"lines":[` + strings.Repeat(line+",", 30) + line + `],"note":"` + strings.Repeat("x", 300) + `"}`
	token := &wire.Token{Place: "review", Data: json.RawMessage(data), Metadata: json.RawMessage(`{"source":"mail"}`)}
	const most = 20_000
	started, n := time.Now(), 0
	for ; n < most && time.Since(started) < 500*time.Millisecond; n++ {
		in := condition.NewInput(condition.Subject{Token: token, Now: started})
		for i, p := range programs {
			passed, err := p.Passes(ctx, in)
			if err != nil {
				return 0, err
			}
			if !passed {
				return 0, fmt.Errorf("the condition %s did not pass", tenConditions[i])
			}
		}
	}
	return time.Since(started).Seconds() * 1e6 / float64(n), nil
}
