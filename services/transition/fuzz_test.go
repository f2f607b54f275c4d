package transition_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// FuzzRequests: no payload makes the decoding of a request panic, and what a request says
// survives being written and read again.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `{"a":1}`, `{"definition":{"name":"x","places":[ ]},"triggered_by":"a","request_id":"r"}`, `{"definition":null}`,
		`{"workflow_id":"w","definition":{},"expected_version":1}`, `{"workflow_id":"w","version":-1}`, `{"workflow_id":"w","version":1.0}`,
		`{"workflow_id":"w","confirm":"w"}`, `{"name_contains":"x","status":"archived","limit":3,"cursor":"00"}`,
		`{"token_id":"t","transition_id":"go","from_place":"a","to_place":"b","data":{"n":1e400},"metadata":{"\u0000":null}}`,
		`{"instance_id":"i","transition_id":"go","expected_sequence":18446744073709551615,"arrival_sequence":0}`,
		`{"instance_id":"i","token_id":"t","arrival_sequence":3,"binding":"f","kind":"function","outcome":"success","output":[1.0],"error":"e","attempts":2,"duration_ms":-7}`,
		`{"token_id":"t","arrival_sequence":-1}`, "{\"token_id\":\"\xff\"}", `{"definition":[[[[`, `{"token_id":"\ud800","token_id":"u"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		roundTrip[wire.WorkflowCreateRequest](t, payload)
		roundTrip[wire.WorkflowUpdateRequest](t, payload)
		roundTrip[wire.WorkflowGetRequest](t, payload)
		roundTrip[wire.WorkflowListRequest](t, payload)
		roundTrip[wire.WorkflowArchiveRequest](t, payload)
		roundTrip[wire.WorkflowDeleteRequest](t, payload)
		roundTrip[wire.WorkflowValidateRequest](t, payload)
		roundTrip[wire.WorkflowStreamsRequest](t, payload)
		roundTrip[wire.FireRequest](t, payload)
		roundTrip[wire.CompleteRequest](t, payload)
		roundTrip[wire.AvailableRequest](t, payload)
	})
}

func roundTrip[Req any](t *testing.T, payload []byte) {
	t.Helper()
	first, err := service.DecodeRequest[Req](payload)
	if err != nil {
		return
	}
	written, err := json.Marshal(first)
	if err != nil {
		t.Fatalf("%T of %q cannot be written: %v", first, payload, err)
	}
	again, err := service.DecodeRequest[Req](written)
	if err != nil {
		t.Fatalf("%T of %q was written as %s, which is refused: %v", first, payload, written, err)
	}
	if diff := cmp.Diff(first, again, cmp.Comparer(sameDocument)); diff != "" {
		t.Errorf("%T of %q became %s (-first +again):\n%s", first, payload, written, diff)
	}
}

// sameDocument: space and spelling of a document may change, and null is nothing.
func sameDocument(a, b json.RawMessage) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && string(x) == string(y)
}
