package service_test

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// BenchmarkRequest compares what the wrapper costs with a bare subscription on the same server.
func BenchmarkRequest(b *testing.B) {
	s := natstest.Start(b)
	cfg := bus.DefaultConfig()
	cfg.URLs = []string{s.URL()}
	tel, err := telemetry.New(b.Context(), telemetry.Config{LogWriter: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	conn, err := bus.Connect(b.Context(), cfg, tel)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	server := service.NewServer(service.Deps{Bus: conn, Tel: tel}, service.ServerConfig{Name: "bench"},
		service.Handle("breaker.bench.wrapped", func(_ context.Context, req wire.FireRequest) (wire.FireReply, error) {
			return wire.FireReply{Success: true, Message: req.TransitionID}, nil
		}))
	if err := server.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = server.Stop(context.Background()) })
	if _, err := conn.NC.Subscribe("breaker.bench.bare", func(msg *nats.Msg) {
		var req wire.FireRequest
		_ = json.Unmarshal(msg.Data, &req)
		body, _ := json.Marshal(wire.FireReply{Success: true, Message: req.TransitionID})
		_ = msg.Respond(body)
	}); err != nil {
		b.Fatal(err)
	}
	caller := s.Connect()
	payload := []byte(`{"token_id":"t","transition_id":"submit","data":{"text":"` + strings.Repeat("x", 400) + `"},"request_id":"r"}`)
	for _, way := range []string{"bare", "wrapped"} {
		b.Run(way, func(b *testing.B) {
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := caller.Request("breaker.bench."+way, payload, patience); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkDecode compares the strict decoding with encoding/json's.
func BenchmarkDecode(b *testing.B) {
	payload := []byte(`{"token_id":"t","transition_id":"submit","data":{"text":"` + strings.Repeat("x", 2000) + `"},"request_id":"r"}`)
	b.Run("encoding/json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var req wire.FireRequest
			if err := json.Unmarshal(payload, &req); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("strict", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := service.DecodeRequest[wire.FireRequest](payload); err != nil {
				b.Fatal(err)
			}
		}
	})
}
