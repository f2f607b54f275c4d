package bench

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

func TestMeasureCountsWhatWasDone(t *testing.T) {
	t.Parallel()
	f, err := measure(t.Context(), 4, 50*time.Millisecond, func(int, *rand.Rand) error {
		<-time.After(time.Millisecond)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if f.Operations == 0 || f.P50 < 1 || f.P99 < f.P50 {
		t.Errorf("measured %+v", f)
	}
	// Four workers cannot do more than four operations in a millisecond.
	if f.Rate > 4000 {
		t.Errorf("%.0f operations of 1 ms in a second with 4 in flight", f.Rate)
	}
}

func TestMeasureCountsSlowOperations(t *testing.T) {
	t.Parallel()
	f, err := measure(t.Context(), 2, 10*time.Millisecond, func(int, *rand.Rand) error {
		<-time.After(50 * time.Millisecond)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if f.Operations < 2 || f.P99 < 50 || f.Rate > 2/0.05 {
		t.Errorf("measured %+v", f)
	}
}

func TestMeasureFailsWithTheOperation(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	if _, err := measure(t.Context(), 4, time.Minute, func(int, *rand.Rand) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := measure(ended, 1, time.Minute, func(int, *rand.Rand) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWorkersNeverShareAnInstance(t *testing.T) {
	t.Parallel()
	const inFlight, n = 7, 23
	owner := map[int]int{}
	random := newRandom()
	for worker := range inFlight {
		for range 500 {
			i := own(worker, inFlight, n, random)
			if i < 0 || i >= n {
				t.Fatalf("worker %d drew %d of %d", worker, i, n)
			}
			if other, taken := owner[i]; taken && other != worker {
				t.Fatalf("workers %d and %d both drew %d", worker, other, i)
			}
			owner[i] = worker
		}
	}
	if len(owner) != n {
		t.Errorf("%d of %d were ever drawn", len(owner), n)
	}
}

func TestBarsAreJudgedByTheirFigures(t *testing.T) {
	t.Parallel()
	lag := 20.0
	r := Report{
		Throughput: []Throughput{
			{Sync: SyncInterval, View: ViewLive, InFlight: 1, P50Ratio: 6.5},
			{Sync: SyncInterval, View: ViewLive, InFlight: 64, RateRatio: 0.2, Lag: &lag},
			{Sync: SyncInterval, View: ViewPaused, InFlight: 64, RateRatio: 0.3},
			{Sync: SyncAlways, View: ViewLive, InFlight: 64, RateRatio: 0.01, Lag: &lag},
		},
		Sizes:  []Size{{Instances: 1000, Relative: 1}, {Instances: 100000, Relative: 1.1}},
		Memory: &Memory{Instances: 100000, Settled: 300, Loaded: 500, Peak: 600},
		Pipelines: []Pipeline{
			newPipelineRow(64, Figure{Rate: 20000, P50: 3}, Figure{Rate: 4000, P50: 14}, Figure{Rate: 320, P50: 190}),
			newPipelineRow(1, Figure{Rate: 9000, P50: 0.1}, Figure{Rate: 1500, P50: 0.5}, Figure{Rate: 50, P50: 19.5}),
		},
	}
	r.judge()
	if len(r.Bars) != 8 || r.Missed() != 3 {
		t.Errorf("%d bars, %d missed: %+v", len(r.Bars), r.Missed(), r.Bars)
	}
	var out bytes.Buffer
	r.Show(&ui.Console{Out: &out})
	var page bytes.Buffer
	if err := r.Markdown(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0.200", "missed", "≥ 0.18", "≤ 400", "≥ 1500", "1600", "0.400", "≤ 15", "19.5"} {
		for form, text := range map[string]string{"table": out.String(), "page": page.String()} {
			if !strings.Contains(text, want) {
				t.Errorf("the %s lacks %q:\n%s", form, want, text)
			}
		}
	}
}

func TestMedianIsOfTheRate(t *testing.T) {
	t.Parallel()
	if got := median([]Figure{{Rate: 3}, {Rate: 1}, {Rate: 2}}); got.Rate != 2 {
		t.Errorf("got %v", got)
	}
}

func TestResidentReadsThisProcess(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("there is no /proc here")
	}
	r, ok := resident(os.Getpid())
	if !ok || r.Now < 1 || r.Peak < r.Now {
		t.Errorf("read %+v, %v", r, ok)
	}
	if _, ok := resident(-1); ok {
		t.Error("a process that cannot be has memory")
	}
}

func TestOptionsReportEveryFault(t *testing.T) {
	t.Parallel()
	for _, full := range []bool{false, true} {
		if err := DefaultOptions(full).Validate(); err != nil {
			t.Error(err)
		}
	}
	o := Options{Syncs: []string{"never"}, InFlight: []int{64}, Instances: 10, Rounds: 1}
	err := o.Validate()
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("got %v", err)
	}
}

// newTestLoop is a loop net on a bare server: its stream is there, services are not.
func newTestLoop(t *testing.T, eventBytes int) (*loop, *nats.Conn) {
	t.Helper()
	server := natstest.Start(t)
	cfg := bus.DefaultConfig()
	cfg.URLs = []string{server.URL()}
	b, err := bus.Connect(t.Context(), cfg, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	const id = "11111111-2222-4333-8444-555555555555"
	if _, err := b.EnsureWorkflowStream(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	net, problems := petri.Compile(loopDefinition("bench_loop"))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	l := &loop{net: net, workflow: wire.Workflow{ID: id, Version: 1, Stream: wire.StreamName(id)}}
	if l.data, err = l.sized(eventBytes); err != nil {
		t.Fatal(err)
	}
	return l, b.NC
}

func TestSeedStoresInstancesOfTheSize(t *testing.T) {
	t.Parallel()
	const n, size = 2500, 2048
	l, nc := newTestLoop(t, size)
	told := 0
	if err := l.seed(t.Context(), nc, n, func(more int) { told += more }); err != nil {
		t.Fatal(err)
	}
	if told != n || len(l.ids) != n {
		t.Errorf("told of %d, made %d, of %d", told, len(l.ids), n)
	}
	stored, err := l.eventBytes(t.Context(), nc)
	if err != nil {
		t.Fatal(err)
	}
	// A created event is somewhat smaller than the firing that was sized.
	if stored < size*3/4 || stored > size {
		t.Errorf("a created event has %d bytes", stored)
	}
}

func TestYardstickChainsItsMessages(t *testing.T) {
	t.Parallel()
	l, nc := newTestLoop(t, 2048)
	if err := l.seed(t.Context(), nc, 20, func(int) {}); err != nil {
		t.Fatal(err)
	}
	r, err := newRaw(t.Context(), nc, l, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f, err := measure(t.Context(), 8, 100*time.Millisecond, r.publish(8))
	if err != nil {
		t.Fatal(err)
	}
	if f.Operations == 0 {
		t.Error("nothing was published")
	}
	// A publish that does not know the last message of its chain is refused.
	r.last[0] += 1 << 40
	if err := r.publish(20)(0, newRandom()); !errors.Is(err, bus.ErrWrongSequence) {
		t.Errorf("a publish out of turn gave %v", err)
	}
}
