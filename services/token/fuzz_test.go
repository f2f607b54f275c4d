package token_test

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// FuzzRequests: no payload makes the decoding of a request panic, and what a request says
// survives being written and read again.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `{"a":1}`, `{"workflow_id":"w","place":"p","data":{"n":1.0,"x":null},"metadata":{},"triggered_by":"a","request_id":"r"}`,
		`{"workflow_id":"w","instance_id":"i","place":"p","data":null}`, `{"token_id":"t","history":true,"as_of":7,"consistent":false}`,
		`{"token_id":"t","as_of":"2026-03-02T09:15:00.5+02:00"}`, `{"token_id":"t","as_of":7,"as_of":"2026-03-02T09:15:00Z"}`,
		`{"workflow_id":"w","place":"p","limit":10,"cursor":"c","min_sequence":18446744073709551615}`, `{"workflow_id":"w","where":"true","limit":-1}`,
		`{"token_id":"t","limit":1e2,"cursor":"\ud800"}`, `{"token_id":"t","data":{"\u0000":"\u2028<&>"},"expected_sequence":1,"arrival_sequence":2}`,
		`{"token_id":"t","instance_id":"i","reason":"é"}`, `{"instance_id":"i","version":2,"places":{"a":"b"}}`, `{"instance_id":"i","places":{}}`,
		`{"status":"active","name_contains":"x","workflow_id":"w"}`, `{"workflow_id":"w","from":"2026-03-02T09:15:00Z","to":null}`, "{\"reason\":\"\xff\"}", `{"data":[[[[`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		roundTrip[wire.TokenCreateRequest](t, payload)
		roundTrip[wire.TokenInjectRequest](t, payload)
		roundTrip[wire.TokenGetRequest](t, payload)
		roundTrip[wire.TokenListRequest](t, payload)
		roundTrip[wire.TokenFindRequest](t, payload)
		roundTrip[wire.TokenHistoryRequest](t, payload)
		roundTrip[wire.TokenUpdateRequest](t, payload)
		roundTrip[wire.TokenCancelRequest](t, payload)
		roundTrip[wire.InstanceGetRequest](t, payload)
		roundTrip[wire.InstanceListRequest](t, payload)
		roundTrip[wire.InstanceSuspendRequest](t, payload)
		roundTrip[wire.InstanceResumeRequest](t, payload)
		roundTrip[wire.InstanceMigrateRequest](t, payload)
		roundTrip[wire.AnalyticsRequest](t, payload)
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
	if diff := cmp.Diff(first, again, cmp.Comparer(sameDocument), cmp.Comparer(samePlaces)); diff != "" {
		t.Errorf("%T of %q became %s (-first +again):\n%s", first, payload, written, diff)
	}
}

// sameDocument: space and spelling of a document may change, and null is nothing.
func sameDocument(a, b json.RawMessage) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && string(x) == string(y)
}

// samePlaces: no map is an empty map.
func samePlaces(a, b map[string]string) bool { return maps.Equal(a, b) }
