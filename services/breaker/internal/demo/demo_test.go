package demo

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// newTestOptions are a small demo without pauses.
func newTestOptions() Options {
	o := DefaultOptions()
	o.Documents, o.Waiting, o.Concurrency, o.Pace = 26, 1, 8, 0
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
	instances, completed, timeouts := 0, 0, 0
	for _, w := range summary.Workflows {
		instances, completed, timeouts = instances+w.Instances, completed+w.Completed, timeouts+w.Timeouts
	}
	if instances != 30 || completed != instances {
		t.Errorf("%d of %d instances completed, want 30", completed, instances)
	}
	if timeouts != 6 {
		t.Errorf("%d time-outs fired, want 6", timeouts)
	}
	for _, want := range []string{"page_manager", "All is well", "document_review", "p99"} {
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
	o.Documents, o.Waiting = 13, 0
	var out, progress bytes.Buffer
	if _, err := Run(t.Context(), o, &ui.Console{Out: &out, Err: &progress, JSON: true}); err != nil {
		t.Fatal(err)
	}
	var summary Summary
	decoder := json.NewDecoder(&out)
	if err := decoder.Decode(&summary); err != nil || decoder.More() {
		t.Fatalf("not one document: %v", err)
	}
	if len(summary.Verified) != 4 || len(summary.Story) == 0 || progress.Len() > 0 {
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
