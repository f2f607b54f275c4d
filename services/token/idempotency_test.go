package token_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// outcome is what of a reply a repeat must return: all but the moment at which the server
// stored the event, which only a read knows.
func outcome(t *testing.T, reply string) string {
	t.Helper()
	var members any
	if err := json.Unmarshal([]byte(reply), &members); err != nil {
		t.Fatal(err)
	}
	forget(members)
	return jsonOf(t, members)
}

func forget(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "nats_timestamp")
		for _, inner := range v {
			forget(inner)
		}
	case []any:
		for _, inner := range v {
			forget(inner)
		}
	}
}

// Each change is asked for, repeated at once, repeated after others followed it, and
// repeated to a copy that has only the stream to know it from.
func TestARepeatedChangeReturnsItsFirstOutcome(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(reviewNet)
	var token wire.Token
	type change struct{ subject, body, other string }
	create := change{
		wire.SubjectTokenCreate, `{"workflow_id":"review","data":{"n":1},"request_id":"create"}`, `{"workflow_id":"review","data":{"n":2},"request_id":"create"}`,
	}
	first := f.must(create.subject, create.body)
	if err := json.Unmarshal([]byte(first), &token); err != nil {
		t.Fatal(err)
	}
	f.redeploy(w, reviewNet)
	id := token.ID
	changes := []change{
		{wire.SubjectTokenUpdate, `{"token_id":"` + id + `","data":{"n":2},"request_id":"update"}`, `{"token_id":"` + id + `","data":{"n":3},"request_id":"update"}`},
		{wire.SubjectInstanceSuspend, `{"instance_id":"` + id + `","request_id":"suspend"}`, `{"instance_id":"` + id + `","reason":"x","request_id":"suspend"}`},
		{wire.SubjectInstanceResume, `{"instance_id":"` + id + `","request_id":"resume"}`, `{"instance_id":"` + id + `","triggered_by":"eve","request_id":"suspend"}`},
		{
			wire.SubjectTokenInject, `{"workflow_id":"review","instance_id":"` + id + `","place":"desk","request_id":"inject"}`,
			`{"workflow_id":"review","instance_id":"` + id + `","place":"legal","request_id":"inject"}`,
		},
		{wire.SubjectInstanceMigrate, `{"instance_id":"` + id + `","version":2,"request_id":"migrate"}`, `{"instance_id":"` + id + `","version":1,"request_id":"migrate"}`},
		{wire.SubjectTokenCancel, `{"instance_id":"` + id + `","request_id":"cancel"}`, `{"instance_id":"` + id + `","reason":"y","request_id":"cancel"}`},
	}
	replies := []string{first}
	for _, c := range changes {
		reply := f.must(c.subject, c.body)
		if again := f.must(c.subject, c.body); outcome(t, again) != outcome(t, reply) {
			t.Errorf("%s at once: %s, first %s", c.body, again, reply)
		}
		replies = append(replies, reply)
	}
	stored := f.events(w, id)
	if want := len(changes) + 1; stored != want {
		t.Errorf("%d changes became %d events", want, stored)
	}
	f.restart()
	for i, c := range append([]change{create}, changes...) {
		if again := f.must(c.subject, c.body); outcome(t, again) != outcome(t, replies[i]) {
			t.Errorf("%s after all and a restart: %s, first %s", c.body, again, replies[i])
		}
		var refusal struct{ Code fault.Code }
		if err := json.Unmarshal(f.ask(c.subject, c.other).Data, &refusal); err != nil || refusal.Code != fault.RequestIDReused {
			t.Errorf("%s under a used id: %s, %v", c.other, refusal.Code, err)
		}
	}
	if n := f.events(w, id); n != stored {
		t.Errorf("repeats made %d events of %d", n, stored)
	}
}

// The callers come at once to two copies, and once more after everything was restarted.
func TestARepeatedCreateIsOneInstance(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(reviewNet)
	f.start() // a second copy
	request := wire.TokenCreateRequest{WorkflowID: "review", Data: json.RawMessage(`{"n":1}`), Origin: wire.Origin{RequestID: "once"}}
	var mu sync.Mutex
	ids := map[string]int{}
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			token, err := f.TokenCreate(t.Context(), request)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			ids[token.ID]++
			mu.Unlock()
		})
	}
	callers.Wait()
	f.restartAll(func() {})
	ids[servicetest.Do(f.t, f.TokenCreate, request).ID]++
	if n := f.Stored(w.Stream, wire.LifecycleSubject(w.ID, "*", wire.LifecycleCreated)); len(ids) != 1 || n != 1 {
		t.Errorf("one request made %d instances: %v", n, ids)
	}
}

// A request id is remembered by the instance that it changed, and by no other.
func TestRequestIDsOfInstancesAreApart(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(reviewNet)
	for n := range 3 {
		token := f.create("review", `{}`)
		got := servicetest.Do(f.t, f.TokenUpdate, wire.TokenUpdateRequest{
			TokenID: token.ID, Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)), Origin: wire.Origin{RequestID: "same"},
		})
		if want := fmt.Sprintf(`{"n":%d}`, n); string(got.Data) != want {
			t.Errorf("have %s, want %s", got.Data, want)
		}
	}
}

func TestARefusedChangeIsEvaluatedAnew(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(reviewNet)
	token := f.create("review", `{}`)
	servicetest.Do(f.t, f.InstanceSuspend, wire.InstanceSuspendRequest{InstanceID: token.ID})
	inject := wire.TokenInjectRequest{WorkflowID: "review", InstanceID: token.ID, Place: "desk", Origin: wire.Origin{RequestID: "later"}}
	servicetest.Refused(f.t, fault.InstanceSuspended, f.TokenInject, inject)
	servicetest.Do(f.t, f.InstanceResume, wire.InstanceResumeRequest{InstanceID: token.ID})
	if got := servicetest.Do(f.t, f.TokenInject, inject); got.Place != "desk" {
		t.Errorf("have %+v", got)
	}
}
