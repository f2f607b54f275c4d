package token_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestATokenIsCreatedAsAsked(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(reviewNet)
	got := servicetest.Do(f.t, f.TokenCreate, wire.TokenCreateRequest{
		WorkflowID: "review", Place: "desk", Data: json.RawMessage(`{"n":1}`), Metadata: json.RawMessage(`{"source":"mail"}`),
		Origin: wire.Origin{TriggeredBy: "alice"},
	})
	if got.WorkflowID != w.ID || got.InstanceID != got.ID || got.Place != "desk" || string(got.Data) != `{"n":1}` || string(got.Metadata) != `{"source":"mail"}` {
		t.Errorf("have %+v", got)
	}
	if got.NatsSubject != wire.PlaceSubject(w.ID, "desk", got.ID) || got.NatsSequence == 0 || got.ArrivalSequence != got.NatsSequence || got.NatsTimestamp.IsZero() {
		t.Errorf("its position is %+v", got)
	}
	// Only a read knows when the server stored the event; a reply has the event's own time.
	if diff := cmp.Diff(got, f.token(got.ID), cmpopts.IgnoreFields(wire.Token{}, "NatsTimestamp")); diff != "" {
		t.Errorf("get differs from create (-create +get):\n%s", diff)
	}
	if first := f.create("review", ``); first.Place != "draft" || string(first.Data) != `{}` {
		t.Errorf("without a place and data there is %s in %s", first.Data, first.Place)
	}
	instance := f.instance(got.ID)
	if instance.Status != wire.StatusActive || len(instance.Tokens) != 1 || instance.Visits["desk"] != 1 || instance.NatsSequence != got.NatsSequence {
		t.Errorf("the instance is %+v", instance)
	}
	if done := servicetest.Do(f.t, f.TokenCreate, wire.TokenCreateRequest{WorkflowID: w.ID, Place: "done"}); f.instance(done.ID).Status != wire.StatusCompleted {
		t.Error("an instance that begins at its end is not completed")
	}
}

// Asked without our types, so that none of them can put right what the wire has wrong.
func TestDataKeepsItsNumbersAndLosesItsNulls(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(reviewNet)
	data := `{ "z": 1.0, "big": 123456789012345678901234567890, "huge": 1e400, "no": null, "deep": {"no": null, "list": [null, {"no": null}, 1.50]}, "text": "a<b" }`
	const want = `"data":{"big":123456789012345678901234567890,"deep":{"list":[null,{},1.50]},"huge":1e400,"text":"a\u003cb","z":1.0}`
	var token wire.Token
	reply := f.must(wire.SubjectTokenCreate, `{"workflow_id":"review","data":`+data+`}`)
	if !strings.Contains(reply, want) {
		t.Errorf("create replied %s, want %s", reply, want)
	}
	if err := json.Unmarshal([]byte(reply), &token); err != nil {
		t.Fatal(err)
	}
	for subject, body := range map[string]string{
		wire.SubjectTokenGet:    `{"token_id":"` + token.ID + `"}`,
		wire.SubjectInstanceGet: `{"instance_id":"` + token.ID + `"}`,
		wire.SubjectTokenList:   `{"workflow_id":"review","min_sequence":` + jsonOf(t, token.NatsSequence) + `}`,
		wire.SubjectTokenFind:   `{"workflow_id":"review","where":"token.data.z == 1.0"}`,
	} {
		servicetest.Eventually(t, subject+" shows the data as it was given", func() bool { return strings.Contains(f.must(subject, body), want) })
	}
	reply = f.must(wire.SubjectTokenUpdate, `{"token_id":"`+token.ID+`","data":{"z":2.00,"deep":null,"huge":null,"big":null,"new":{"no":null}}}`)
	if !strings.Contains(reply, `"data":{"new":{},"text":"a\u003cb","z":2.00}`) {
		t.Errorf("after a merge patch: %s", reply)
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAnUpdateIsAMergePatchBehindItsFences(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(reviewNet)
	first := f.create("review", `{"a":1,"b":{"c":2}}`)
	updated := servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{
		TokenID: first.ID, Data: json.RawMessage(`{"a":null,"b":{"d":3}}`), Metadata: json.RawMessage(`{"k":"v"}`),
		ExpectedSequence: first.NatsSequence, ArrivalSequence: first.ArrivalSequence,
	})
	if string(updated.Data) != `{"b":{"c":2,"d":3}}` || string(updated.Metadata) != `{"k":"v"}` {
		t.Errorf("data %s, metadata %s", updated.Data, updated.Metadata)
	}
	if updated.NatsSequence <= first.NatsSequence || updated.ArrivalSequence != first.ArrivalSequence || !updated.ArrivedAt.Equal(first.ArrivedAt) {
		t.Errorf("an update is no arrival: %+v", updated)
	}
	servicetest.Refused(f.t, fault.SequenceMismatch, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: first.ID, Data: json.RawMessage(`{}`), ExpectedSequence: first.NatsSequence})
	f.fire(first.ID, "submit")
	servicetest.Refused(f.t, fault.TokenMoved, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: first.ID, Data: json.RawMessage(`{}`), ArrivalSequence: first.ArrivalSequence})
	servicetest.Refused(f.t, fault.InvalidField, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: first.ID})
	servicetest.Refused(f.t, fault.InvalidField, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: first.ID, Data: json.RawMessage(`[1]`)})
	if got := f.token(first.ID); string(got.Data) != `{"b":{"c":2,"d":3}}` {
		t.Errorf("a refused update left %s", got.Data)
	}
}

func TestASchemaGuardsWhatComesIn(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(`{"name":"orders","initial_place":"a","places":[{"id":"a"},{"id":"b"}],"transitions":[{"id":"go","from":"a","to":"b"}],
		"schema":{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}}`)
	servicetest.Refused(f.t, fault.SchemaViolation, f.TokenCreate, wire.TokenCreateRequest{WorkflowID: "orders"})
	token := f.create("orders", `{"n":1}`)
	servicetest.Refused(f.t, fault.SchemaViolation, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: token.ID, Data: json.RawMessage(`{"n":null}`)})
	servicetest.Refused(f.t, fault.SchemaViolation, f.TokenInject, wire.TokenInjectRequest{WorkflowID: "orders", InstanceID: token.ID, Place: "a", Data: json.RawMessage(`{"n":"x"}`)})
	if got := f.instance(token.ID); len(got.Tokens) != 1 || got.NatsSequence != token.NatsSequence {
		t.Errorf("refusals left %+v", got)
	}
}

func TestAnInjectedTokenIsCancelledAlone(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(reviewNet)
	root := f.create("review", `{"n":1}`)
	second := servicetest.Do(f.t, f.TokenInject, wire.TokenInjectRequest{WorkflowID: "review", InstanceID: root.ID, Place: "desk", Data: json.RawMessage(`{"n":2}`)})
	if second.ID == root.ID || second.InstanceID != root.ID || wire.InstanceOf(second.ID) != root.ID || second.Place != "desk" {
		t.Errorf("have %+v", second)
	}
	if got := f.instance(root.ID); len(got.Tokens) != 2 {
		t.Errorf("the marking is %+v", got.Tokens)
	}
	servicetest.Refused(f.t, fault.InvalidField, f.InstanceGet, wire.InstanceGetRequest{InstanceID: second.ID})
	servicetest.Refused(f.t, fault.InvalidField, f.TokenInject, wire.TokenInjectRequest{InstanceID: root.ID, Place: "desk"})
	servicetest.Refused(f.t, fault.InvalidField, f.TokenInject, wire.TokenInjectRequest{WorkflowID: "review", InstanceID: root.ID})
	servicetest.Refused(f.t, fault.PlaceMismatch, f.TokenInject, wire.TokenInjectRequest{WorkflowID: "review", InstanceID: root.ID, Place: "moon"})

	servicetest.Refused(f.t, fault.InvalidField, f.TokenCancel, wire.TokenCancelRequest{})
	servicetest.Refused(f.t, fault.InvalidField, f.TokenCancel, wire.TokenCancelRequest{TokenID: second.ID, InstanceID: root.ID})
	left := servicetest.Do(f.t, f.TokenCancel, wire.TokenCancelRequest{TokenID: root.ID, Reason: "double"})
	if left.Status != wire.StatusActive || len(left.Tokens) != 1 || left.Tokens[0].ID != second.ID {
		t.Errorf("after one of two was cancelled: %+v", left)
	}
	servicetest.Refused(f.t, fault.TokenEnded, f.TokenGet, wire.TokenGetRequest{TokenID: root.ID})
	servicetest.Refused(f.t, fault.TokenEnded, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: root.ID, Data: json.RawMessage(`{"n":3}`)})

	over := servicetest.Do(f.t, f.TokenCancel, wire.TokenCancelRequest{InstanceID: root.ID, Reason: "enough"})
	if over.Status != wire.StatusCancelled || len(over.Tokens) != 0 || over.Reason != "enough" {
		t.Errorf("after the instance was cancelled: %+v", over)
	}
	servicetest.Refused(f.t, fault.InstanceFinished, f.TokenInject, wire.TokenInjectRequest{WorkflowID: "review", InstanceID: root.ID, Place: "desk"})
	servicetest.Refused(f.t, fault.InstanceFinished, f.TokenCancel, wire.TokenCancelRequest{InstanceID: root.ID})
}

func TestCancellingTheLastOpenTokenCompletes(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(reviewNet)
	root := f.create("review", ``)
	done := servicetest.Do(f.t, f.TokenInject, wire.TokenInjectRequest{WorkflowID: "review", InstanceID: root.ID, Place: "done"})
	if got := servicetest.Do(f.t, f.TokenCancel, wire.TokenCancelRequest{TokenID: root.ID}); got.Status != wire.StatusCompleted || len(got.Tokens) != 1 || got.Tokens[0].ID != done.ID {
		t.Errorf("have %+v", got)
	}
}

func TestThePastIsReadBySequenceAndByTime(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(reviewNet)
	created := f.token(f.create("review", `{"n":1}`).ID)
	f.create("review", `{"n":"somebody else's"}`)
	f.fire(created.ID, "submit")
	moved := f.token(created.ID)
	servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: created.ID, Data: json.RawMessage(`{"n":2}`)})
	updated := f.token(created.ID)
	f.fire(created.ID, "check")

	for name, c := range map[string]struct {
		at   wire.AsOf
		want wire.Token
	}{
		"at the creation":         {wire.AsOf{Sequence: created.NatsSequence}, created},
		"between two events":      {wire.AsOf{Sequence: moved.NatsSequence - 1}, created},
		"at the move":             {wire.AsOf{Sequence: moved.NatsSequence}, moved},
		"before the split":        {wire.AsOf{Sequence: updated.NatsSequence}, updated},
		"at the creation's time":  {wire.AsOf{Time: created.NatsTimestamp}, created},
		"just before the move":    {wire.AsOf{Time: moved.NatsTimestamp.Add(-1)}, created},
		"at the move's time":      {wire.AsOf{Time: moved.NatsTimestamp}, moved},
		"at the update's time":    {wire.AsOf{Time: updated.NatsTimestamp}, updated},
		"in another zone of time": {wire.AsOf{Time: updated.NatsTimestamp.In(time.FixedZone("", 3*3600))}, updated},
	} {
		if diff := cmp.Diff(c.want, servicetest.Do(f.t, f.TokenGet, wire.TokenGetRequest{TokenID: created.ID, AsOf: c.at})); diff != "" {
			t.Errorf("%s (-want +have):\n%s", name, diff)
		}
		instance := servicetest.Do(f.t, f.InstanceGet, wire.InstanceGetRequest{InstanceID: created.ID, AsOf: c.at})
		if diff := cmp.Diff([]wire.Token{c.want}, instance.Tokens); diff != "" || instance.NatsSequence != c.want.NatsSequence {
			t.Errorf("%s, the instance at %d (-want +have):\n%s", name, instance.NatsSequence, diff)
		}
	}
	for _, at := range []wire.AsOf{{Sequence: created.NatsSequence - 1}, {Sequence: 1}, {Time: created.NatsTimestamp.Add(-1)}} {
		servicetest.Refused(f.t, fault.TokenNotFound, f.TokenGet, wire.TokenGetRequest{TokenID: created.ID, AsOf: at})
		servicetest.Refused(f.t, fault.InstanceNotFound, f.InstanceGet, wire.InstanceGetRequest{InstanceID: created.ID, AsOf: at})
	}
	// The future is the present, on either path.
	servicetest.Refused(f.t, fault.TokenEnded, f.TokenGet, wire.TokenGetRequest{TokenID: created.ID, WorkflowID: w.ID, AsOf: wire.AsOf{Sequence: 1 << 40}})
	servicetest.Refused(f.t, fault.TokenEnded, f.TokenGet, wire.TokenGetRequest{TokenID: created.ID, AsOf: wire.AsOf{Time: time.Now().Add(time.Hour)}})
}

func TestHistoryFollowsATokenToItsBeginning(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(reviewNet)
	root := servicetest.Do(f.t, f.TokenCreate, wire.TokenCreateRequest{WorkflowID: "review", Data: json.RawMessage(`{"n":1}`), Origin: wire.Origin{TriggeredBy: "alice"}})
	f.fire(root.ID, "submit")
	servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{TokenID: root.ID, Data: json.RawMessage(`{"n":2}`)})
	children := f.fire(root.ID, "check")
	f.fire(children[1].ID, "finish")
	f.fire(children[0].ID, "finish")

	want := []string{"create draft>draft", "submit draft>desk", "check desk>finance", "finish finance>done"}
	reply := servicetest.Do(f.t, f.TokenHistory, wire.TokenHistoryRequest{TokenID: children[1].ID})
	if diff := cmp.Diff(want, steps(reply.Records)); diff != "" || reply.NextCursor != "" {
		t.Errorf("cursor %q (-want +have):\n%s", reply.NextCursor, diff)
	}
	if first := reply.Records[0]; first.TriggeredBy != "alice" || first.NatsSequence != root.NatsSequence || first.Timestamp.IsZero() {
		t.Errorf("the first step is %+v", first)
	}
	var paged []wire.TransitionRecord
	pages := 0
	for record, err := range f.AllHistory(t.Context(), wire.TokenHistoryRequest{TokenID: children[1].ID, Page: wire.Page{Limit: 1}}) {
		if err != nil {
			t.Fatal(err)
		}
		paged, pages = append(paged, record), pages+1
	}
	if diff := cmp.Diff(reply.Records, paged); diff != "" || pages != len(want) {
		t.Errorf("%d pages of one (-whole +paged):\n%s", pages, diff)
	}
	// The token that was split has a history still; what it became is not part of it.
	if diff := cmp.Diff(want[:2], steps(servicetest.Do(f.t, f.TokenHistory, wire.TokenHistoryRequest{TokenID: root.ID}).Records)); diff != "" {
		t.Errorf("the root's history (-want +have):\n%s", diff)
	}
	shown := servicetest.Do(f.t, f.TokenGet, wire.TokenGetRequest{TokenID: children[1].ID, History: true})
	if diff := cmp.Diff(reply.Records, shown.TransitionHistory); diff != "" {
		t.Errorf("get with history (-history +get):\n%s", diff)
	}
	var data []string
	for _, step := range shown.History {
		data = append(data, string(step.Data))
	}
	if diff := cmp.Diff([]string{`{"n":1}`, `{"n":1}`, `{"n":2}`, `{"n":2}`}, data); diff != "" {
		t.Errorf("the data after each step (-want +have):\n%s", diff)
	}
	servicetest.Refused(f.t, fault.InvalidField, f.TokenHistory, wire.TokenHistoryRequest{TokenID: root.ID, Page: wire.Page{Cursor: "x"}})
	servicetest.Refused(f.t, fault.InvalidField, f.TokenHistory, wire.TokenHistoryRequest{TokenID: root.ID, Page: wire.Page{Limit: wire.MaxPage + 1}})
	servicetest.Refused(f.t, fault.TokenNotFound, f.TokenHistory, wire.TokenHistoryRequest{TokenID: wire.TokenID(root.ID, 9)})
}

func steps(records []wire.TransitionRecord) []string {
	var all []string
	for _, r := range records {
		all = append(all, r.TransitionID+" "+r.FromPlace+">"+r.ToPlace)
	}
	return all
}
