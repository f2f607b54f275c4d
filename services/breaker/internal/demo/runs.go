package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/deploy/examples"
	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// runs are those of the functions of one workflow, three times: as their records, as the dead
// letters, and as the event log tell of them.
type runs struct {
	records, letters []wire.Execution
	results          []result
}

// result is what the log holds of a run: a function's result, and the firing that came with it.
type result struct {
	sequence          uint64
	instance          string
	transition        string
	function, outcome string
	attempts          int
}

// recordsWait is how long the last records may come after the changes that they tell of.
const recordsWait = 10 * time.Second

// readRuns reads what is known of the runs of a workflow's functions, once all of them have been
// settled.
func (d *demo) readRuns(ctx context.Context, r *run, w *deployed) (all runs, err error) {
	if len(w.Functions) == 0 {
		return all, nil
	}
	want := 0
	for _, byFunction := range r.expectedRuns(w) {
		for _, n := range byFunction {
			want += n.Ended()
		}
	}
	if all.records, err = d.settled(ctx, w, want); err != nil {
		return all, err
	}
	if all.letters, err = d.executions(ctx, wire.ExecutionListRequest{
		ExecutionFilter: wire.ExecutionFilter{WorkflowID: w.workflow.ID}, DeadLetters: true,
	}); err != nil {
		return all, err
	}
	all.results, err = d.results(ctx, w)
	return all, err
}

// expectedRuns are those of the samples, by instance and function.
func (r *run) expectedRuns(w *deployed) map[string]map[string]examples.Runs {
	expected := map[string]map[string]examples.Runs{}
	for _, doc := range r.documents {
		if doc.of == w {
			expected[doc.outcome.Instance.ID] = doc.sample.Runs
		}
	}
	return expected
}

// settled waits until so many records are there and all of them say what came of the run, but no
// longer than recordsWait: what is amiss then is told from the log.
func (d *demo) settled(ctx context.Context, w *deployed, want int) ([]wire.Execution, error) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	late := time.NewTimer(recordsWait)
	defer late.Stop()
	for {
		records, err := d.executions(ctx, wire.ExecutionListRequest{ExecutionFilter: wire.ExecutionFilter{WorkflowID: w.workflow.ID}})
		if err != nil {
			return nil, err
		}
		open := slices.ContainsFunc(records, func(e wire.Execution) bool { return !e.Status.Ended() || e.NatsSequence == 0 && e.Reason == "" })
		if len(records) >= want && !open {
			return records, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-late.C:
			return records, nil
		case <-ticker.C:
		}
	}
}

func (d *demo) executions(ctx context.Context, req wire.ExecutionListRequest) ([]wire.Execution, error) {
	req.Limit = wire.MaxPage
	ctx, cancel := context.WithTimeout(ctx, requestWait)
	defer cancel()
	var all []wire.Execution
	for e, err := range d.client.AllExecutions(ctx, req) {
		if err != nil {
			return nil, fmt.Errorf("listing the runs of functions: %w", err)
		}
		all = append(all, e)
	}
	return all, nil
}

// results reads the log of a workflow for the results of functions.
func (d *demo) results(ctx context.Context, w *deployed) ([]result, error) {
	var all []result
	_, err := d.bus.Scan(ctx, bus.TailConfig{Stream: w.workflow.Stream}, func(m *bus.Message) error {
		if _, ok := wire.ParseEventSubject(m.Subject); !ok {
			return nil
		}
		var event struct {
			InstanceID   string     `json:"instance_id"`
			TransitionID string     `json:"transition_id"`
			Work         *wire.Work `json:"work"`
		}
		if err := json.Unmarshal(m.Data, &event); err != nil {
			return fmt.Errorf("event %d: %w", m.Sequence, err)
		}
		if event.Work != nil {
			all = append(all, result{
				sequence: m.Sequence, instance: event.InstanceID, transition: event.TransitionID,
				function: event.Work.Binding, outcome: event.Work.Outcome, attempts: event.Work.Attempts,
			})
		}
		return nil
	})
	return all, err
}

// compare lists where the runs differ from what is expected, by instance and function, and where
// the log, the records and the dead letters differ from each other.
func (r *runs) compare(expected map[string]map[string]examples.Runs) []string {
	differences := slices.Concat(r.compareResults(), r.compareArrivals(), r.compareLetters(), r.compareCounts(expected))
	slices.Sort(differences)
	return differences
}

// compareResults finds runs without a result of their own in the log, and results without a run.
func (r *runs) compareResults() (differences []string) {
	unclaimed := map[uint64]result{}
	for _, one := range r.results {
		unclaimed[one.sequence] = one
	}
	for i := range r.records {
		e := &r.records[i]
		one, ok := unclaimed[e.NatsSequence]
		switch want := resultOf(e); {
		case !ok:
			differences = append(differences, fmt.Sprintf("run %s of %s is %s, and the log holds no result of its own: %s", e.ID, e.Target, e.Status, e.Reason))
		case one != want:
			differences = append(differences, fmt.Sprintf("run %s of %s: the log holds %+v, not %+v", e.ID, e.Target, one, want))
		}
		delete(unclaimed, e.NatsSequence)
	}
	for _, one := range unclaimed {
		differences = append(differences, fmt.Sprintf("instance %s: no run has the result of %s in event %d", one.instance, one.function, one.sequence))
	}
	return differences
}

// compareArrivals finds functions that ran twice for one arrival of a token.
func (r *runs) compareArrivals() (differences []string) {
	type arrival struct {
		function, token string
		sequence        uint64
	}
	seen := map[arrival]string{}
	for _, e := range r.records {
		at := arrival{e.Target, e.TokenID, e.ArrivalSequence}
		if other, ok := seen[at]; ok {
			differences = append(differences, fmt.Sprintf("runs %s and %s of %s are about the same arrival", other, e.ID, e.Target))
		}
		seen[at] = e.ID
	}
	return differences
}

// compareLetters finds failed runs without a dead letter, and dead letters of others.
func (r *runs) compareLetters() (differences []string) {
	failed := map[string]bool{}
	for _, e := range r.records {
		if e.Status == wire.ExecutionFailed {
			failed[e.ID] = true
		}
	}
	for _, letter := range r.letters {
		if !failed[letter.ID] {
			differences = append(differences, fmt.Sprintf("run %s of %s has a dead letter, and has not failed", letter.ID, letter.Target))
		}
		delete(failed, letter.ID)
	}
	for id := range failed {
		differences = append(differences, fmt.Sprintf("run %s has failed, and has no dead letter", id))
	}
	return differences
}

// compareCounts finds instances for which functions ran more or less often than is expected.
func (r *runs) compareCounts(expected map[string]map[string]examples.Runs) (differences []string) {
	counted := map[string]map[string]examples.Runs{}
	for i := range r.records {
		e := &r.records[i]
		if counted[e.InstanceID] == nil {
			counted[e.InstanceID] = map[string]examples.Runs{}
		}
		counted[e.InstanceID][e.Target] = counted[e.InstanceID][e.Target].Add(countOf(e))
	}
	for id, want := range expected {
		if have := counted[id]; !maps.Equal(have, want) {
			differences = append(differences, fmt.Sprintf("instance %s: the functions ran %+v, not %+v", id, have, want))
		}
		delete(counted, id)
	}
	for id := range counted {
		differences = append(differences, fmt.Sprintf("instance %s: functions ran, and nobody asked for it", id))
	}
	return differences
}

// countOf is a run as samples count it.
func countOf(e *wire.Execution) examples.Runs {
	n := examples.Runs{Retries: max(e.Attempt-1, 0)}
	switch e.Status {
	case wire.ExecutionSucceeded:
		n.Succeeded = 1
	case wire.ExecutionFailed:
		n.Failed = 1
	}
	return n
}

// resultOf is the result that the log must hold of a run.
func resultOf(e *wire.Execution) result {
	outcome := wire.OutcomeSuccess
	if e.Status != wire.ExecutionSucceeded {
		outcome = wire.OutcomeFailure
	}
	return result{
		sequence: e.NatsSequence, instance: e.InstanceID, transition: e.TransitionID,
		function: e.Target, outcome: outcome, attempts: e.Attempt,
	}
}
