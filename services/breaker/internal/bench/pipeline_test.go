package bench

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
)

func TestPipelineHasFiveStepsToItsEnd(t *testing.T) {
	t.Parallel()
	def := pipelineDefinition("bench_pipeline")
	net, problems := petri.Compile(def)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	place, steps := def.InitialPlace, 0
	for !net.Terminal(place) {
		p, ok := net.Place(place)
		if !ok || len(p.Functions) != 1 {
			t.Fatalf("the place %s asks for %+v", place, p)
		}
		steps++
		_, outputs, ok := net.Arcs(p.Functions[0].OnSuccess)
		if !ok || len(outputs) != 1 {
			t.Fatalf("from %s there is no way on", place)
		}
		if place = outputs[0].Place; net.Terminal(place) != (p.Functions[0].OnSuccess == lastStep) {
			t.Errorf("%s leads to %s", p.Functions[0].OnSuccess, place)
		}
	}
	if steps != 5 {
		t.Errorf("it has %d steps", steps)
	}
}

func TestAnEndCountsWheneverItIsSeen(t *testing.T) {
	t.Parallel()
	var e ends
	// The event may come before the reply to the request that created the instance.
	e.seen("early")
	if err := e.wait(t.Context(), "early", time.Minute); err != nil {
		t.Error(err)
	}
	ended := e.of("late")
	go func() { ended <- struct{}{} }()
	if err := e.wait(t.Context(), "late", time.Minute); err != nil {
		t.Error(err)
	}
	if len(e.each) != 0 {
		t.Errorf("it remembers %d instances", len(e.each))
	}
	if err := e.wait(t.Context(), "never", time.Millisecond); err == nil {
		t.Error("an instance that never ended has ended")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.wait(gone, "never", time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestOnlyOnePhaseIsLeft(t *testing.T) {
	t.Parallel()
	for _, phase := range []string{phaseThroughput, phaseGuards, phasePipeline, phaseSizes} {
		o := DefaultOptions(true)
		if err := o.restrict(phase); err != nil {
			t.Fatal(err)
		}
		left := map[string]bool{
			phaseThroughput: len(o.Syncs) > 0, phaseGuards: o.Guards, phasePipeline: o.Pipeline, phaseSizes: len(o.Sizes) > 0,
		}
		for other, is := range left {
			if is != (other == phase) {
				t.Errorf("with --only %s, %s is measured: %v", phase, other, is)
			}
		}
	}
	o := DefaultOptions(false)
	if err := o.restrict("speed"); err == nil {
		t.Error("an unknown phase was measured")
	}
	if err := o.restrict(""); err != nil || !o.Pipeline || !o.Guards || len(o.Syncs) == 0 || len(o.Sizes) == 0 {
		t.Errorf("without --only: %+v, %v", o, err)
	}
}
