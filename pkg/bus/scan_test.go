package bus

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// The first consumer lets through only what the lagging replica has. It ends when the leader
// has been asked for the rest, and the next is made by a replica that has everything.
func TestScanOutlivesALaggingReplica(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ subjects, has []string }{
		"that has nothing":               {[]string{"s.>"}, []string{"s.none"}},
		"that has a part":                {[]string{"s.>"}, []string{"s.a"}},
		"that has a part of some":        {[]string{"s.a", "s.b"}, []string{"s.a"}},
		"that has nothing, unfiltered":   {nil, []string{"s.none"}},
		"that has the first, unfiltered": {nil, []string{"s.a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt := newTestReplicated(t)
			tt.publish("s.a", 5)
			tt.publish("s.b", 3)
			tt.makeFirstConsumer(c.has)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			seen := 0
			until, err := tt.bus.Scan(ctx, TailConfig{Stream: "S", Subjects: c.subjects}, func(*Message) error {
				seen++
				return nil
			})
			if err != nil || until != 8 || seen != 8 {
				t.Errorf("read %d messages until %d, %v; want 8", seen, until, err)
			}
		})
	}
}

// makeFirstConsumer narrows the first consumer to what the replica has, until the leader is
// asked for a message.
func (tt *tailTest) makeFirstConsumer(has []string) {
	tt.t.Helper()
	js, err := jetstream.NewWithAPIPrefix(tt.bus.NC, "LAG")
	if err != nil {
		tt.t.Fatal(err)
	}
	names := make(chan string, 1)
	tt.answer("$JS.API.STREAM.MSG.GET.S", func(*nats.Msg) {
		select {
		case name := <-names:
			if err := tt.bus.NC.Publish("$JS.API.CONSUMER.DELETE.S."+name, nil); err != nil {
				tt.t.Errorf("ending the consumer: %v", err)
			}
		default:
		}
	})
	first := true
	tt.answer("LAG.>", func(m *nats.Msg) {
		ask := &nats.Msg{Subject: "$JS.API." + strings.TrimPrefix(m.Subject, "LAG."), Reply: m.Reply, Data: m.Data}
		if rest, ok := strings.CutPrefix(m.Subject, "LAG.CONSUMER.CREATE.S."); ok && first {
			first = false
			name, _, _ := strings.Cut(rest, ".")
			ask.Subject, ask.Data = "$JS.API.CONSUMER.CREATE.S."+name, tt.narrowed(m.Data, has)
			names <- name
		}
		if err := tt.bus.NC.PublishMsg(ask); err != nil {
			tt.t.Errorf("passing on: %v", err)
		}
	})
	tt.bus.JS = js
}

func (tt *tailTest) narrowed(request []byte, has []string) []byte {
	var ask map[string]any
	if err := json.Unmarshal(request, &ask); err != nil {
		tt.t.Errorf("request: %v", err)
		return request
	}
	cfg, ok := ask["config"].(map[string]any)
	if !ok {
		tt.t.Errorf("request without a configuration: %s", request)
		return request
	}
	delete(cfg, "filter_subject")
	cfg["filter_subjects"] = has
	narrowed, err := json.Marshal(ask)
	if err != nil {
		tt.t.Errorf("request: %v", err)
	}
	return narrowed
}
