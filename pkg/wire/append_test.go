package wire_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Generators initialise themselves on first use, so the tests that share these do not run in
// parallel.
var (
	words     = rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[a-z_]{1,8}`), rapid.String())
	documents = rapid.SampledFrom([]json.RawMessage{nil, json.RawMessage(`{}`), json.RawMessage(`{"a":1.0,"b":["\u003c",{}]}`)})
	lineages  = rapid.SliceOfN(rapid.IntRange(0, 70000), 0, 3)
	moments   = rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "seconds"), rapid.SampledFrom([]int64{0, 5, 120, 999999999}).Draw(t, "nanoseconds")).UTC()
	})
)

func tokens(t *rapid.T) wire.Token {
	token := wire.Token{
		ID: words.Draw(t, "id"), WorkflowID: words.Draw(t, "workflow"), InstanceID: words.Draw(t, "instance"), Place: words.Draw(t, "place"),
		Data: documents.Draw(t, "data"), Metadata: documents.Draw(t, "metadata"),
		CreatedAt: moments.Draw(t, "created"), UpdatedAt: moments.Draw(t, "updated"), ArrivedAt: moments.Draw(t, "arrived"),
		ArrivalSequence: rapid.Uint64().Draw(t, "arrival"), Lineage: lineages.Draw(t, "lineage"),
		NatsSequence: rapid.Uint64Range(0, 3).Draw(t, "sequence"), NatsSubject: words.Draw(t, "subject"),
	}
	if rapid.Bool().Draw(t, "positioned") {
		token.NatsTimestamp = moments.Draw(t, "stored")
		token.TransitionHistory = []wire.TransitionRecord{{FromPlace: "a", ToPlace: "b"}}
	}
	return token
}

func events(t *rapid.T) *wire.Event {
	ev := &wire.Event{
		EventType: words.Draw(t, "type"), WorkflowID: words.Draw(t, "workflow"), WorkflowVersion: rapid.Int().Draw(t, "version"),
		InstanceID: words.Draw(t, "instance"), TokenID: words.Draw(t, "token"), FromPlace: words.Draw(t, "from"), ToPlace: words.Draw(t, "to"),
		TransitionID: words.Draw(t, "transition"), Completes: rapid.Bool().Draw(t, "completes"), Reason: words.Draw(t, "reason"),
		TriggeredBy: words.Draw(t, "by"), Timestamp: moments.Draw(t, "at"), RequestID: words.Draw(t, "request"),
		RequestDigest: words.Draw(t, "digest"), Metadata: documents.Draw(t, "metadata"), Automatic: rapid.Bool().Draw(t, "automatic"),
	}
	for range rapid.IntRange(0, 2).Draw(t, "arcs") {
		ev.Consumed = append(ev.Consumed, wire.Consumed{TokenID: words.Draw(t, "consumed"), Place: words.Draw(t, "place")})
		ev.Produced = append(ev.Produced, wire.Produced{
			TokenID: words.Draw(t, "produced"), Place: words.Draw(t, "place"),
			Parents: rapid.SliceOfN(words, 0, 2).Draw(t, "parents"), Lineage: lineages.Draw(t, "lineage"),
		})
	}
	ev.Patches = map[string]wire.Patch{}
	for range rapid.IntRange(0, 3).Draw(t, "patches") {
		ev.Patches[words.Draw(t, "patched")] = wire.Patch{Data: documents.Draw(t, "data"), Metadata: documents.Draw(t, "metadata")}
	}
	if rapid.Bool().Draw(t, "works") {
		ev.Work = &wire.Work{Binding: words.Draw(t, "binding"), Kind: "agent", Outcome: "success", Attempts: rapid.IntRange(0, 2).Draw(t, "attempts"), DurationMS: rapid.Int64Range(0, 2).Draw(t, "ms")}
	}
	if rapid.Bool().Draw(t, "has state") {
		ev.Instance = &wire.State{
			Instance: wire.Instance{
				ID: words.Draw(t, "id"), WorkflowID: words.Draw(t, "workflow"), WorkflowVersion: 3, Status: wire.StatusActive,
				Tokens:    rapid.SliceOfN(rapid.Custom(tokens), 0, 3).Draw(t, "tokens"),
				Visits:    rapid.MapOfN(words, rapid.Int(), 0, 3).Draw(t, "visits"),
				CreatedAt: moments.Draw(t, "created"), UpdatedAt: moments.Draw(t, "updated"), Reason: words.Draw(t, "reason"),
				NatsSequence: rapid.Uint64Range(0, 2).Draw(t, "revision"),
			},
			Births:          rapid.Int().Draw(t, "births"),
			AutomaticChains: rapid.MapOfN(words, rapid.Int(), 0, 2).Draw(t, "chains"), Migrations: rapid.IntRange(0, 2).Draw(t, "migrations"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "requests") {
			ev.Instance.Requests = append(ev.Instance.Requests, wire.RememberedRequest{
				ID: words.Draw(t, "request"), Digest: words.Draw(t, "digest"), Sequence: rapid.Uint64Range(0, 2).Draw(t, "sequence"),
				Time: rapid.Int64Range(0, 4e9).Draw(t, "time"),
			})
		}
	}
	return ev
}

func TestAppendedEventIsWhatTheLibraryWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev := events(t)
		want, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(ev.AppendJSON(nil))); diff != "" {
			t.Fatalf("the two differ:\n%s", diff)
		}
	})
}

func TestAppendedReplyIsWhatTheLibraryWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		reply := wire.FireReply{
			Success: rapid.Bool().Draw(t, "success"), Message: words.Draw(t, "message"), Token: tokens(t),
			Tokens:   rapid.SliceOfN(rapid.Custom(tokens), 0, 3).Draw(t, "tokens"),
			Instance: wire.Instance{ID: words.Draw(t, "id"), Visits: map[string]int{"a": 1}, NatsSequence: 7},
		}
		want, err := json.Marshal(reply)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(reply.AppendJSON(nil))); diff != "" {
			t.Fatalf("the two differ:\n%s", diff)
		}
	})
}

func TestReadStateIsWhatTheLibraryReads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev := events(t)
		if ev.Instance == nil {
			ev.Instance = &wire.State{}
		}
		for i := range ev.Instance.Tokens {
			ev.Instance.Tokens[i].TransitionHistory = nil // never in a snapshot
		}
		text := ev.AppendJSON(nil)
		var want wire.Event
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		want.Instance.Fill(77)
		got, err := wire.ReadState(text, 77)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.Instance, got); diff != "" {
			t.Fatalf("the two differ:\n%s", diff)
		}
	})
}

func TestASnapshotIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev := events(t)
		if ev.Instance == nil {
			return
		}
		for i := range ev.Instance.Tokens {
			ev.Instance.Tokens[i].TransitionHistory = nil // never in a snapshot
		}
		text, err := json.Marshal(&wire.RuleGuardRequest{Instance: wire.Snapshot{State: *ev.Instance}})
		if err != nil {
			t.Fatal(err)
		}
		var want struct{ Instance wire.State }
		var got wire.RuleGuardRequest
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.Instance, got.Instance.State); diff != "" {
			t.Fatalf("the two differ:\n%s", diff)
		}
	})
}
