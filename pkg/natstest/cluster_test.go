package natstest_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
)

func TestClusterReplicatesAtOnce(t *testing.T) {
	t.Parallel()
	servers := natstest.StartCluster(t, 3)
	js, err := jetstream.New(servers[0].Connect())
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "R3", Subjects: []string{"r3"}, Replicas: 3})
	if err != nil {
		t.Fatal(err)
	}
	if c := stream.CachedInfo().Cluster; c == nil || c.Leader == "" || len(c.Replicas) != 2 {
		t.Fatalf("the stream's replicas are %+v", c)
	}
	if _, err := js.Publish(t.Context(), "r3", nil); err != nil {
		t.Fatal(err)
	}
}
