package token_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/token"
)

// fill creates instances, some at once, and waits until the view has them.
func (f *fleet) fill(workflow string, n int) map[string]bool {
	f.t.Helper()
	created := make([]wire.Token, n)
	slots := make(chan struct{}, 16)
	var work sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			token, err := f.TokenCreate(f.t.Context(), wire.TokenCreateRequest{WorkflowID: workflow, Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))})
			if err != nil {
				f.t.Error(err)
			}
			created[i] = token
		})
	}
	work.Wait()
	ids, last := map[string]bool{}, uint64(0)
	for _, token := range created {
		ids[token.ID], last = true, max(last, token.NatsSequence)
	}
	servicetest.Do(f.t, f.TokenList, wire.TokenListRequest{WorkflowID: workflow, MinSequence: last, Page: wire.Page{Limit: 1}})
	return ids
}

func TestPagesHoldAHundredUnlessAskedOtherwise(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	w := f.deploy(reviewNet)
	ids := f.fill("review", wire.DefaultPage+7)

	first := servicetest.Do(f.t, f.TokenList, wire.TokenListRequest{WorkflowID: "review", Place: "draft"})
	if len(first.Tokens) != wire.DefaultPage || first.NextCursor == "" {
		t.Errorf("the first page has %d tokens and cursor %q", len(first.Tokens), first.NextCursor)
	}
	rest := servicetest.Do(f.t, f.TokenList, wire.TokenListRequest{WorkflowID: "review", Place: "draft", Page: wire.Page{Cursor: first.NextCursor}})
	if len(rest.Tokens) != 7 || rest.NextCursor != "" {
		t.Errorf("the second page has %d tokens and cursor %q", len(rest.Tokens), rest.NextCursor)
	}
	seen := map[string]bool{}
	for _, token := range append(first.Tokens, rest.Tokens...) {
		if !ids[token.ID] || seen[token.ID] {
			t.Errorf("token %s was not asked for, or came twice", token.ID)
		}
		seen[token.ID] = true
	}
	if whole := servicetest.Do(f.t, f.TokenList, wire.TokenListRequest{WorkflowID: w.ID, Page: wire.Page{Limit: wire.MaxPage}}); len(whole.Tokens) != len(ids) || whole.NextCursor != "" {
		t.Errorf("the largest page has %d tokens and cursor %q", len(whole.Tokens), whole.NextCursor)
	}
	for _, limit := range []int{-1, wire.MaxPage + 1} {
		servicetest.Refused(f.t, fault.InvalidField, f.TokenList, wire.TokenListRequest{WorkflowID: "review", Page: wire.Page{Limit: limit}})
		servicetest.Refused(f.t, fault.InvalidField, f.InstanceList, wire.InstanceListRequest{Page: wire.Page{Limit: limit}})
		servicetest.Refused(f.t, fault.InvalidField, f.TokenFind, wire.TokenFindRequest{WorkflowID: "review", Where: "true", Limit: limit})
	}
	// Instances come in the same pages.
	count := 0
	for instance, err := range f.AllInstances(t.Context(), wire.InstanceListRequest{WorkflowID: "review", Page: wire.Page{Limit: 40}}) {
		if err != nil {
			t.Fatal(err)
		}
		if count++; !ids[instance.ID] || len(instance.Tokens) != 1 {
			t.Errorf("have %+v", instance)
		}
	}
	if count != len(ids) {
		t.Errorf("pages of 40 gave %d instances, want %d", count, len(ids))
	}
}

func TestACursorBelongsToItsFilter(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(reviewNet)
	f.fill("review", 3)
	cursor := servicetest.Do(f.t, f.TokenList, wire.TokenListRequest{WorkflowID: "review", Place: "draft", Page: wire.Page{Limit: 1}}).NextCursor
	for _, other := range []wire.TokenListRequest{
		{WorkflowID: "review", Place: "desk"}, {WorkflowID: "review"}, {Place: "draft"}, {},
	} {
		other.Cursor = cursor
		servicetest.Refused(f.t, fault.InvalidField, f.TokenList, other)
	}
	servicetest.Refused(f.t, fault.InvalidField, f.InstanceList, wire.InstanceListRequest{WorkflowID: "review", Page: wire.Page{Cursor: cursor}})
	servicetest.Refused(f.t, fault.InvalidField, f.TokenList, wire.TokenListRequest{Page: wire.Page{Cursor: "AAAA"}})

	cursor = servicetest.Do(f.t, f.InstanceList, wire.InstanceListRequest{WorkflowID: "review", Page: wire.Page{Limit: 1}}).NextCursor
	servicetest.Refused(f.t, fault.InvalidField, f.InstanceList, wire.InstanceListRequest{WorkflowID: "review", Status: wire.StatusActive, Page: wire.Page{Cursor: cursor}})
	// A page may be of another size than the one before.
	if rest := servicetest.Do(f.t, f.InstanceList, wire.InstanceListRequest{WorkflowID: "review", Page: wire.Page{Limit: 5, Cursor: cursor}}); len(rest.Instances) != 2 {
		t.Errorf("after the first of three there are %d", len(rest.Instances))
	}
}

func TestListsFollowPlaceAndStatusInAnyWorkflow(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(reviewNet)
	f.deploy(`{"name":"orders","initial_place":"draft","places":[{"id":"draft"},{"id":"done"}],"transitions":[{"id":"finish","from":"draft","to":"done"}]}`)
	moved, resting, over := f.create("review", ``), f.create("review", ``), f.create("review", ``)
	ordered := f.create("orders", ``)
	f.fire(moved.ID, "submit")
	servicetest.Do(f.t, f.InstanceSuspend, wire.InstanceSuspendRequest{InstanceID: resting.ID})
	last := f.fire(over.ID, "finish")[0].NatsSequence
	for workflow, sequence := range map[string]uint64{"review": last, "orders": ordered.NatsSequence} {
		servicetest.Do(f.t, f.TokenList, wire.TokenListRequest{WorkflowID: workflow, MinSequence: sequence})
	}
	for place, want := range map[string][]string{"draft": {resting.ID, ordered.ID}, "desk": {moved.ID}, "done": {over.ID}, "legal": nil} {
		got := map[string]bool{}
		for _, token := range servicetest.Do(f.t, f.TokenList, wire.TokenListRequest{Place: place}).Tokens {
			got[token.ID] = true
		}
		same(t, "in "+place+" of any workflow", got, want)
	}
	for status, want := range map[wire.Status][]string{
		wire.StatusActive: {moved.ID, ordered.ID}, wire.StatusSuspended: {resting.ID}, wire.StatusCompleted: {over.ID},
		wire.StatusCancelled: nil, "": {moved.ID, resting.ID, over.ID, ordered.ID},
	} {
		got := map[string]bool{}
		for _, instance := range servicetest.Do(f.t, f.InstanceList, wire.InstanceListRequest{Status: status}).Instances {
			got[instance.ID] = true
		}
		same(t, "with status "+string(status), got, want)
	}
	got := map[string]bool{}
	for _, instance := range servicetest.Do(f.t, f.InstanceList, wire.InstanceListRequest{NameContains: "rder", Page: wire.Page{Limit: 1}}).Instances {
		got[instance.ID] = true
	}
	same(t, "whose workflow is named like rder", got, []string{ordered.ID})
	servicetest.Refused(f.t, fault.InvalidField, f.InstanceList, wire.InstanceListRequest{Status: "asleep"})
	servicetest.Refused(f.t, fault.InvalidField, f.TokenList, wire.TokenListRequest{Place: "*"})
	servicetest.Refused(f.t, fault.WorkflowNotFound, f.TokenList, wire.TokenListRequest{WorkflowID: "nobody"})
}

func same(t *testing.T, what string, got map[string]bool, want []string) {
	t.Helper()
	ok := len(got) == len(want)
	for _, id := range want {
		ok = ok && got[id]
	}
	if !ok {
		t.Errorf("%s: have %v, want %v", what, got, want)
	}
}

func TestFindLooksIntoTheTokens(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.deploy(reviewNet)
	f.fill("review", 12)
	got := servicetest.Do(f.t, f.TokenFind, wire.TokenFindRequest{WorkflowID: "review", Where: `token.place == "draft" && token.data.n >= 4 && token.data.n < 7`})
	if len(got.Tokens) != 3 || got.Truncated {
		t.Errorf("have %d tokens, truncated %v", len(got.Tokens), got.Truncated)
	}
	if cut := servicetest.Do(f.t, f.TokenFind, wire.TokenFindRequest{WorkflowID: "review", Where: `true`, Limit: 5}); len(cut.Tokens) != 5 || !cut.Truncated {
		t.Errorf("with a limit of 5 have %d tokens, truncated %v", len(cut.Tokens), cut.Truncated)
	}
	if none := servicetest.Do(f.t, f.TokenFind, wire.TokenFindRequest{WorkflowID: "review", Where: `token.data.absent == 1`}); len(none.Tokens) != 0 {
		t.Errorf("a member that is nowhere was found in %d tokens", len(none.Tokens))
	}
	servicetest.Refused(f.t, fault.InvalidField, f.TokenFind, wire.TokenFindRequest{WorkflowID: "review", Where: `token.data.n >`})
	servicetest.Refused(f.t, fault.InvalidField, f.TokenFind, wire.TokenFindRequest{WorkflowID: "review", Where: `token.visits("draft") > 1`})
	servicetest.Refused(f.t, fault.InvalidField, f.TokenFind, wire.TokenFindRequest{WorkflowID: "review", Where: `token.has_transitioned_from("draft")`})
	servicetest.Refused(f.t, fault.InvalidField, f.TokenFind, wire.TokenFindRequest{WorkflowID: "review"})
	servicetest.Refused(f.t, fault.WorkflowNotFound, f.TokenFind, wire.TokenFindRequest{WorkflowID: "nobody", Where: `true`})
}

// The copy that is asked projects nothing, so its list waits until another copy comes.
func TestMinSequenceWaitsForTheView(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, func(c *token.Config) { c.ProjectorPaused = true })
	f.deploy(reviewNet)
	created := f.create("review", `{}`)
	if early := servicetest.Do(f.t, f.TokenList, wire.TokenListRequest{WorkflowID: "review"}); len(early.Tokens) != 0 {
		t.Fatalf("nobody keeps the view, and it has %+v", early.Tokens)
	}
	answers := make(chan *nats.Msg, 1)
	inbox := f.NC.NewRespInbox()
	if _, err := f.NC.ChanSubscribe(inbox, answers); err != nil {
		t.Fatal(err)
	}
	body := fmt.Appendf(nil, `{"workflow_id":"review","place":"draft","min_sequence":%d}`, created.NatsSequence)
	if err := f.NC.PublishRequest(wire.SubjectTokenList, inbox, body); err != nil {
		t.Fatal(err)
	}
	// Whoever asks later is answered before it: the list is at work, and waits.
	f.token(created.ID)
	select {
	case msg := <-answers:
		t.Fatalf("it did not wait: %s", msg.Data)
	default:
	}
	f.start()
	select {
	case msg := <-answers:
		var reply wire.TokenListReply
		if err := json.Unmarshal(msg.Data, &reply); err != nil {
			t.Fatal(err)
		}
		if len(reply.Tokens) != 1 || reply.Tokens[0].ID != created.ID {
			t.Errorf("have %s", msg.Data)
		}
	case <-time.After(servicetest.Patience):
		t.Fatal("the view has come, and the list waits on")
	}
}

func TestMinSequenceWaitsABoundedTime(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t, func(c *token.Config) { c.RequestTimeout = 200 * time.Millisecond })
	f.deploy(reviewNet)
	created := f.create("review", `{}`)
	f.Client = client.New(f.NC, client.WithoutRetry())
	fault := servicetest.Refused(f.t, fault.Timeout, f.TokenList, wire.TokenListRequest{WorkflowID: "review", MinSequence: created.NatsSequence + 1})
	if fault.Details["min_sequence"] != float64(created.NatsSequence+1) {
		t.Errorf("details are %v", fault.Details)
	}
}

func TestMinSequenceNeedsAWorkflow(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	servicetest.Refused(f.t, fault.InvalidField, f.TokenList, wire.TokenListRequest{MinSequence: 1})
}
