package projector

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

var texts = []string{
	``, ` `, `null`, `true`, `tru`, `0`, `-0`, `01`, `-`, `1.`, `1.5e+3`, `1e`, `.5`, `"`, `"a"`, `"\u00e9"`, `"\u00g9"`, `"\x"`, "\"\n\"",
	`[]`, `[1,]`, `[1,2]`, `[1 2]`, `{}`, `{"a":1}`, `{"a":1,}`, `{"a"}`, `{a:1}`, `{"a":{"b":[null,false,{"c":"\\\""}]}}`, `{} {}`, `[`, `{`, `{"a":`,
	strings.Repeat("[", 5000), `{"instance":{"tokens":[{"id":"x"}]}}`, "{\"a\":\x00}",
}

// FuzzDecode: whatever the text, reading it as an event must not panic.
func FuzzDecode(f *testing.F) {
	for _, text := range texts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(_ *testing.T, text []byte) {
		_, _ = decode("11111111-1111-4111-8111-111111111111", wire.EventSubject{InstanceID: "22222222-2222-8222-8222-222211111111"}, text)
	})
}

func TestTokenAndRecordReadAsTheContractSays(t *testing.T) {
	t.Parallel()
	at := time.Date(2025, 3, 1, 12, 0, 0, 123456789, time.UTC)
	const workflow, id = "11111111-1111-4111-8111-111111111111", "01958a7e-0000-8abc-8def-000011111111"
	for name, tok := range map[string]wire.Token{
		"fresh":   {ID: id, WorkflowID: workflow, InstanceID: id, Place: "draft", Data: json.RawMessage(`{"n":1.50,"s":"\u2028<"}`), CreatedAt: at, UpdatedAt: at, ArrivedAt: at},
		"resting": {ID: id, WorkflowID: workflow, InstanceID: id, Place: "draft", Data: json.RawMessage(`{}`), Metadata: json.RawMessage(`{"a":{}}`), CreatedAt: at, UpdatedAt: at, ArrivedAt: at, ArrivalSequence: 7, Lineage: []int{1, 3}},
	} {
		state := wire.State{Instance: wire.Instance{ID: id, WorkflowID: workflow, WorkflowVersion: 3, Status: wire.StatusActive, Tokens: []wire.Token{tok}, CreatedAt: at, UpdatedAt: at}}
		body, err := json.Marshal(wire.Event{WorkflowID: workflow, WorkflowVersion: 3, InstanceID: id, Timestamp: at, Instance: &state})
		if err != nil {
			t.Fatal(err)
		}
		e, err := decode(workflow, wire.EventSubject{InstanceID: id}, body)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		subject := wire.PlaceSubject(workflow, "draft", id)
		var got wire.Token
		if err := json.Unmarshal(e.instance.tokens[0].positioned(subject, 42, at), &got); err != nil {
			t.Fatal(err)
		}
		// Through the encoder too, which rewrites some characters.
		var want wire.Token
		positioned, err := json.Marshal(tok.Positioned(42, at))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(positioned, &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the view's token differs (-want +got):\n%s", name, diff)
		}
		var record wire.InstanceRecord
		if err := json.Unmarshal(e.instance.record(42), &record); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wire.InstanceRecord{
			ID: id, WorkflowID: workflow, WorkflowVersion: 3, Status: wire.StatusActive, CreatedAt: at, UpdatedAt: at, NatsSequence: 42,
		}, record); diff != "" {
			t.Errorf("%s: the view's record differs (-want +got):\n%s", name, diff)
		}
	}
}
