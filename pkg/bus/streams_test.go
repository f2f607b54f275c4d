package bus_test

import (
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestAWorkflowStreamThatFindsNoRoomSaysSo(t *testing.T) {
	t.Parallel()
	small := natstest.Start(t, natstest.MaxStoreBytes(64<<20))
	f := newFleet(t, small.URL(), func(c *bus.Config) { c.MaxBytes = 1 << 30 })
	_, err := f.bus.EnsureWorkflowStream(t.Context(), "0b6f0c7e-9a51-4c80-8d5e-8f2f7c1e4a11")
	wantCode(t, err, fault.WorkflowFull)
}

func TestAWorkflowStreamWithoutJetStreamIsUnavailable(t *testing.T) {
	t.Parallel()
	plain := natstest.Start(t, natstest.WithoutJetStream())
	cfg := bus.DefaultConfig()
	cfg.URLs = []string{plain.URL()}
	b, err := bus.Connect(t.Context(), cfg, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	_, err = b.EnsureWorkflowStream(t.Context(), "0b6f0c7e-9a51-4c80-8d5e-8f2f7c1e4a11")
	wantCode(t, err, fault.Unavailable)
	wantCode(t, b.DeleteWorkflowStream(t.Context(), wire.StreamName("0b6f0c7e-9a51-4c80-8d5e-8f2f7c1e4a11")), fault.Unavailable)
}
