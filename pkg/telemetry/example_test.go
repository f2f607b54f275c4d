package telemetry_test

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

func ExampleInject() {
	incoming := nats.Header{"traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}
	ctx := telemetry.Extract(context.Background(), incoming)

	outgoing := nats.NewMsg("breaker.transition.fire")
	telemetry.Inject(ctx, outgoing.Header)
	fmt.Println(outgoing.Header["traceparent"][0])
	// Output: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
}
