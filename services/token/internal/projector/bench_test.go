package projector

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// BenchmarkProjection brings the view up to a log that is already there: instances that
// were created and moved four times each, with tokens of about 1 KB. The server shares the
// machine.
func BenchmarkProjection(b *testing.B) {
	for name, way := range map[string][]string{
		"Moves":  {"take", "put", "take", "put"},
		"Timers": {"submit", "back", "submit", "escalate"},
	} {
		b.Run(name, func(b *testing.B) {
			w := newTestWorld(b, time.Hour)
			w.benchmark(b, w.publishLog(b, 5000, way))
		})
	}
}

// benchmark also reports the processor's time, server and all, because a machine is rarely
// ours alone.
func (w *world) benchmark(b *testing.B, last uint64) {
	b.ResetTimer()
	for range b.N {
		began, used := time.Now(), processorTime(b)
		p := w.project()
		w.members.own(p.members.Copy())
		w.reach(p, last)
		b.ReportMetric(float64(last)/time.Since(began).Seconds(), "events/s")
		b.ReportMetric(float64((processorTime(b)-used).Microseconds())/float64(last), "cpu-us/event")
		b.StopTimer()
		p.Stop()
		if err := p.drop(b.Context(), w.workflow.ID); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// publishLog stores the events of instances that all go the same way, step by step.
func (w *world) publishLog(b *testing.B, instances int, way []string) (last uint64) {
	b.Helper()
	js, err := jetstream.New(w.bus.NC, jetstream.WithPublishAsyncMaxPending(512))
	if err != nil {
		b.Fatal(err)
	}
	data := json.RawMessage(`{"text":"` + strings.Repeat("x", 1000) + `"}`)
	states := make([]*wire.State, instances)
	for step := range len(way) + 1 {
		for n := range instances {
			var cmd petri.Command
			if step == 0 {
				id, err := wire.NewInstanceID(w.workflow.ID, time.Now().UnixMilli(), rand.Uint32())
				if err != nil {
					b.Fatal(err)
				}
				cmd = petri.Create{WorkflowID: w.workflow.ID, InstanceID: id, Data: data}
			} else {
				cmd = petri.Fire{TransitionID: way[step-1]}
			}
			ev, err := petri.Decide(w.net, states[n], cmd, petri.Meta{Time: time.Now()}, w.limits)
			if err != nil {
				b.Fatal(err)
			}
			body, err := json.Marshal(ev)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := js.PublishMsgAsync(&nats.Msg{Subject: petri.Subject(ev), Data: body}, jetstream.WithStallWait(testPatience)); err != nil {
				b.Fatal(err)
			}
			// Nobody else writes, so the order of publishing is the sequence.
			last++
			ev.Instance.Fill(last)
			states[n] = ev.Instance
		}
	}
	<-js.PublishAsyncComplete()
	return last
}
