package functionrunner

import (
	"encoding/json"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// FuzzRequests: no payload makes the decoding of a request, the check of a definition, or the
// merging of two panic, and what is taken can be compiled.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `null`, `[]`, `{"a":1}`, `{"id":"f","kind":"nats","timeout":"1s","retry":{"attempts":3,"jitter":0.5},"tags":["a"],"triggered_by":"a"}`,
		`{"id":"f","kind":"http","http":{"url":"http://a/{{ .input.x }}","headers":{"A":"secret:B"},"hmac":{"secret":"secret:C"}}}`,
		`{"id":"f","kind":"exec","exec":{"command":"a","env":{"A":"b"},"memory_mb":-1}}`, `{"id":"f","kind":"wasm","wasm":{"module":"m.wasm"}}`,
		`{"id":"f","kind":"expression","expression":"input.a + 1","input":{"a":"=token.data.a"},"input_schema":{"type":"object"}}`,
		`{"id":"f","kind":"nats","triggers":[{"event":"transitioned","from":"a"},{"event":"custom","name":"x","when":"event.data"}],"chains":[{"function":"f","delay":"1h"}]}`,
		`{"id":"f","reset":["timeout"],"expected_version":1}`, `{"id":"f","input":[1,{"x":null}],"token_id":"t","async":true}`, `{"event":"e","data":{"x":1e400}}`,
		`{"target":"f","from":"2026-03-01T09:00:00Z","status":"failed","dead_letters":true,"limit":3,"cursor":"7"}`, `{"id":"x","reason":"r"}`, "{\"id\":\"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	s := newTestService(f)
	f.Fuzz(func(t *testing.T, payload []byte) {
		if req, err := service.DecodeRequest[wire.FunctionCreateRequest](payload); err == nil {
			fn := wire.Function{ID: req.ID, FunctionSpec: req.FunctionSpec}
			if s.checkSpec(&fn) == nil {
				if prepared := s.prepare(&fn); prepared.unusable != nil {
					t.Errorf("a definition was taken that cannot be used: %v", prepared.unusable)
				}
				if _, err := json.Marshal(fn); err != nil {
					t.Error(err)
				}
			}
		}
		if req, err := service.DecodeRequest[wire.FunctionUpdateRequest](payload); err == nil {
			_, _ = merged(wire.FunctionSpec{Kind: wire.FunctionNATS}, req.FunctionSpec, req.Reset)
		}
		_, _ = service.DecodeRequest[wire.FunctionGetRequest](payload)
		_, _ = service.DecodeRequest[wire.FunctionListRequest](payload)
		_, _ = service.DecodeRequest[wire.FunctionDeleteRequest](payload)
		_, _ = service.DecodeRequest[wire.FunctionInvokeRequest](payload)
		_, _ = service.DecodeRequest[wire.FunctionTriggerRequest](payload)
		_, _ = service.DecodeRequest[wire.ExecutionListRequest](payload)
		_, _ = service.DecodeRequest[wire.ExecutionRedriveRequest](payload)
		_, _ = service.DecodeRequest[wire.ExecutionDiscardRequest](payload)
	})
}
