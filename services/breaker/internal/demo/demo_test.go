package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/deploy/examples"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// samples are those that wait for no time-out.
const samples = 25

// newTestOptions are a small demo without pauses: every sample twice, those that wait once.
func newTestOptions() Options {
	o := DefaultOptions()
	o.Documents, o.Waiting, o.Concurrency, o.Pace = 2*samples, 1, 8, 0
	o.TimeoutAfter = 300 * time.Millisecond
	return o
}

func TestDemoEndsWellOnARealFleet(t *testing.T) {
	t.Parallel()
	var out, progress bytes.Buffer
	summary, err := Run(t.Context(), newTestOptions(), &ui.Console{Out: &out, Err: &progress})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	var all WorkflowSummary
	for _, w := range summary.Workflows {
		all.Instances, all.Completed = all.Instances+w.Instances, all.Completed+w.Completed
		all.Timeouts, all.Automatic, all.Rejected = all.Timeouts+w.Timeouts, all.Automatic+w.Automatic, all.Rejected+w.Rejected
		all.Functions += w.Functions
	}
	if want := 2*samples + 4; all.Instances != want || all.Completed != want {
		t.Errorf("%d of %d instances completed, want %d", all.Completed, all.Instances, want)
	}
	if all.Timeouts != 6 || all.Automatic != 50 || all.Rejected != 8 || all.Functions != 36 {
		t.Errorf("%d time-outs, %d automatic firings, %d rejected ones and %d by functions, want 6, 50, 8 and 36", all.Timeouts, all.Automatic, all.Rejected, all.Functions)
	}
	if diff := cmp.Diff([]FunctionSummary{
		{Name: "receipt_check", Kind: "nats", Runs: examples.Runs{Succeeded: 10, Failed: 2, Retries: 4}, Retried: 4, DeadLetters: 2},
		{Name: "reimbursement", Kind: "expression", Runs: examples.Runs{Succeeded: 10}},
		{Name: "return_note", Kind: "expression", Runs: examples.Runs{Succeeded: 4}},
		{Name: "travel_allowance", Kind: "expression", Runs: examples.Runs{Succeeded: 12, Failed: 2}, DeadLetters: 2},
	}, summary.Functions); diff != "" {
		t.Errorf("the functions (-want +got):\n%s", diff)
	}
	for _, want := range []string{
		"page_manager", "All is well", "document_review", "p99", "has_title, version 1, did not pass",
		"above 15.00 there must be a receipt", "Please correct it",
		"Functions gave 40 results, each of them once in the log, 4 after a second attempt; the 4 dead letters are those that the samples want.",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String()+progress.String(), "\x1b") {
		t.Error("control sequences were written into a log")
	}
}

func TestDemoSpeaksJSON(t *testing.T) {
	t.Parallel()
	o := newTestOptions()
	o.Documents, o.Waiting = samples, 0
	var out, progress bytes.Buffer
	if _, err := Run(t.Context(), o, &ui.Console{Out: &out, Err: &progress, JSON: true}); err != nil {
		t.Fatal(err)
	}
	var summary Summary
	decoder := json.NewDecoder(&out)
	if err := decoder.Decode(&summary); err != nil || decoder.More() {
		t.Fatalf("not one document: %v", err)
	}
	if len(summary.Verified) != 5 || len(summary.Functions) != 4 || summary.Refusal == nil || len(summary.Story) == 0 || summary.Rejection == nil || len(summary.Rejection.Results) == 0 || progress.Len() > 0 {
		t.Errorf("got %+v and on stderr %q", summary, progress.String())
	}
}

func TestDocumentsThatEndElsewhereAreAnError(t *testing.T) {
	t.Parallel()
	faulty := &run{documents: []*document{{}}}
	if faulty.failures() != nil {
		t.Error("a document without an error is a failure")
	}
	faulty.documents[0].err = errors.New("ended elsewhere")
	if err := faulty.failures(); err == nil || !strings.Contains(err.Error(), "1 of 1 documents") {
		t.Errorf("got %v", err)
	}
}
