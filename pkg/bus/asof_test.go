package bus

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// newTestReplicated is a bus that takes its stream S for a replicated one, so that the test
// can play the replica that lags: what the leader answers comes from the server, and what
// any replica may answer comes from the test.
func newTestReplicated(t *testing.T) *tailTest {
	t.Helper()
	tt := newTestTail(t)
	tt.bus.cfg.Replicas = 3
	stream, err := tt.bus.JS.Stream(t.Context(), "S")
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	cfg.AllowDirect = false
	if _, err := tt.bus.JS.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	return tt
}

// answerDirect has the test answer direct gets of S with these sequences.
func (tt *tailTest) answerDirect(sequences ...uint64) {
	tt.t.Helper()
	var replies []*nats.Msg
	for _, sequence := range sequences {
		m, err := tt.bus.At(tt.t.Context(), "S", sequence)
		if err != nil {
			tt.t.Fatal(err)
		}
		replies = append(replies, &nats.Msg{Data: m.Data, Header: nats.Header{
			"Nats-Stream": {"S"}, "Nats-Subject": {m.Subject}, "Nats-Num-Pending": {"0"},
			"Nats-Sequence": {fmt.Sprint(m.Sequence)}, "Nats-Time-Stamp": {m.Time.Format(time.RFC3339Nano)},
		}})
	}
	end := &nats.Msg{Header: nats.Header{"Status": {"204"}, "Description": {"EOB"}}}
	if len(replies) == 0 {
		end = &nats.Msg{Header: nats.Header{"Status": {"404"}, "Description": {"No Results"}}}
	}
	tt.answer("$JS.API.DIRECT.GET.S", func(m *nats.Msg) {
		for _, reply := range append(slices.Clone(replies), end) {
			reply := &nats.Msg{Subject: m.Reply, Header: reply.Header, Data: reply.Data}
			if err := tt.bus.NC.PublishMsg(reply); err != nil {
				tt.t.Errorf("answering: %v", err)
			}
		}
	})
}

// answer has the test hear requests, beside or instead of the server.
func (tt *tailTest) answer(subject string, handle nats.MsgHandler) {
	tt.t.Helper()
	if _, err := tt.bus.NC.Subscribe(subject, handle); err != nil {
		tt.t.Fatal(err)
	}
}

func TestThePastIsWholeThoughAReplicaLags(t *testing.T) {
	t.Parallel()
	for name, has := range map[string][]uint64{"it has nothing": nil, "it has the first": {1}, "it has all": {1, 2, 4}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt := newTestReplicated(t)
			tt.publish("s.a.x", 2)
			tt.publish("s.b.x", 1)
			tt.publish("s.a.y", 1)
			tt.publish("s.a.x", 1)
			at, err := tt.bus.At(t.Context(), "S", 4)
			if err != nil {
				t.Fatal(err)
			}
			tt.answerDirect(has...)
			for _, point := range []wire.AsOf{{Sequence: 4}, {Time: at.Time}} {
				got, err := tt.bus.AsOf(t.Context(), "S", "s.a.*", point)
				if err != nil || got.Sequence != 4 || got.Subject != "s.a.y" {
					t.Errorf("as of %+v: %+v, %v; want message 4", point, got, err)
				}
			}
		})
	}
	tt := newTestReplicated(t)
	tt.publish("s.b", 1)
	tt.publish("s.a", 1)
	tt.answerDirect()
	if got, err := tt.bus.AsOf(t.Context(), "S", "s.a", wire.AsOf{Sequence: 1}); !errors.Is(err, ErrNoMessage) {
		t.Errorf("before the first message: %+v, %v", got, err)
	}
}

func TestThePastIncludesItsMoment(t *testing.T) {
	t.Parallel()
	tt := newTestTail(t)
	tt.publish("s.b", 1)
	tt.publish("s.a", 2)
	second, err := tt.bus.At(t.Context(), "S", 3)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Time]uint64{second.Time: 3, second.Time.Add(-1): 2, second.Time.Add(time.Hour): 3} {
		if got, err := tt.bus.AsOf(t.Context(), "S", "s.a", wire.AsOf{Time: at}); err != nil || got.Sequence != want {
			t.Errorf("as of %s: %+v, %v; want message %d", at, got, err, want)
		}
	}
}
