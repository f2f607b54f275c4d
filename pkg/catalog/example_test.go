package catalog_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/catalog"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// A service that owns plans, and answers a request that makes one.
func Example() {
	ctx, tel := context.Background(), telemetry.Discard()
	connection, err := bus.Connect(ctx, bus.DefaultConfig(), tel)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer connection.Close()
	plans := catalog.New(connection, tel, catalog.Config[plan, []string]{
		Bucket: "plans", Noun: "plan", NotFound: fault.RuleNotFound, Exists: fault.RuleExists, Head: head,
		Prepare: func(p *plan) []string { return strings.Split(p.Text, ";") },
		Size:    func(p *plan) int { return len(p.Text) + len(p.Description) + 256 },
	})
	if err := plans.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	defer plans.Stop()

	request, origin := plan{ID: "ship", Text: "pack;send"}, wire.Origin{TriggeredBy: "alice", RequestID: "r1"}
	digest, err := bus.Digest("breaker.plan.create", origin, request)
	if err != nil {
		fmt.Println(err)
		return
	}
	made, err := plans.Create(ctx, request, origin, digest, nil)
	fmt.Println(made.Shown().Version, err)
}
