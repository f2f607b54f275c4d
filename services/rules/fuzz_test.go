package rules_test

import (
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// FuzzRequests: no payload makes the decoding of a request panic.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `{"a":1}`, `{"id":"r","condition":{"and":[{"field_exists":"data.a"}]},"tags":["a"],"triggered_by":"a","request_id":"r"}`,
		`{"id":"r","description":null,"tags":null,"expected_version":1}`, `{"id":"r","version":-1}`, `{"ids":["a","b"],"tag":"x","limit":3,"cursor":"00"}`,
		`{"rule_id":"r","token_id":"t","as_of":17}`, `{"condition":"true","token":{"data":{"n":1e400},"created_at":"2026-03-01T09:00:00Z"}}`,
		`{"instance":{"id":"i","tokens":[{"id":"i","data":{}}],"visits":{"a":1},"births":1},"firings":[{"transition_id":"go","consumed":["i"]}],"explain":true}`,
		`{"instance":[`, `{"instance":{"tokens":[[[[`, `{"instance":{"births":1e9}}`, "{\"id\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(_ *testing.T, payload []byte) {
		decode[wire.RuleCreateRequest](payload)
		decode[wire.RuleUpdateRequest](payload)
		decode[wire.RuleGetRequest](payload)
		decode[wire.RuleListRequest](payload)
		decode[wire.RuleDeleteRequest](payload)
		decode[wire.RuleHistoryRequest](payload)
		decode[wire.RuleEvaluateRequest](payload)
		decode[wire.RuleGuardRequest](payload)
	})
}

func decode[Req any](payload []byte) { _, _ = service.DecodeRequest[Req](payload) }
