package rules_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestGuardsOfSeveralFiringsAreJudgedInOneRequest(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.rule("is_large", `{"field_greater_than":{"field":"data.amount","value":100}}`)
	servicetest.Do(f.t, f.RuleCreate, wire.RuleCreateRequest{ID: "foreign", WorkflowID: "elsewhere", Condition: json.RawMessage(`"true"`)})
	state := f.deploy(`{"name":"review","initial_place":"a","places":[{"id":"a"},{"id":"b"}],"transitions":[
		{"id":"large","from":"a","to":"b","rules":["is_large"]},{"id":"both","from":"a","to":"b","rules":["is_large"],"when":"token.data.ok"},
		{"id":"lost","from":"a","to":"b","rules":["no_such"]},{"id":"foreign","from":"a","to":"b","rules":["foreign"]},
		{"id":"free","from":"a","to":"b"}]}`, `{"amount":500}`)
	ask := func(explain bool) []wire.GuardOutcome {
		t.Helper()
		request := &wire.RuleGuardRequest{Instance: wire.Snapshot{State: *state}, Explain: explain}
		for _, id := range []string{"large", "both", "lost", "foreign", "free"} {
			request.Firings = append(request.Firings, wire.GuardFiring{TransitionID: id, Consumed: []string{state.ID}})
		}
		// The same once more, with the documents that a firing would carry on.
		request.Firings = append(request.Firings, wire.GuardFiring{
			TransitionID: "both", Consumed: []string{state.ID}, Data: json.RawMessage(`{"amount":500,"ok":true}`),
		})
		return servicetest.Do(f.t, f.RuleGuard, request).Outcomes
	}
	for _, explain := range []bool{false, true} {
		outcomes := ask(explain)
		if len(outcomes) != 6 {
			t.Fatalf("there are %d outcomes", len(outcomes))
		}
		for i, want := range []bool{true, false, false, false, true, true} {
			if outcomes[i].Passed != want {
				t.Errorf("outcome %d is %+v", i, outcomes[i])
			}
		}
		large, both, lost, foreign := outcomes[0].RuleResults, outcomes[1].RuleResults, outcomes[2].RuleResults, outcomes[3].RuleResults
		if len(large) != 1 || large[0].RuleID != "is_large" || large[0].Version != 1 || !large[0].Passed || (large[0].Explanation != "") != explain {
			t.Errorf("large: %+v", large)
		}
		if len(both) != 2 || !both[0].Passed || both[1].RuleID != "when" || both[1].Passed || !strings.Contains(both[1].Explanation, "missing") {
			t.Errorf("both: %+v", both)
		}
		if lost[0].Passed || !strings.Contains(lost[0].Explanation, "no rule no_such") || lost[0].Version != 0 {
			t.Errorf("lost: %+v", lost)
		}
		if foreign[0].Passed || !strings.Contains(foreign[0].Explanation, "elsewhere") {
			t.Errorf("foreign: %+v", foreign)
		}
	}
	// A rule that nobody has heard of yet is looked up.
	f.rule("no_such", `"true"`)
	if outcome := ask(false)[2]; !outcome.Passed {
		t.Errorf("the new rule: %+v", outcome)
	}
	for name, firing := range map[string]wire.GuardFiring{
		"no token":    {TransitionID: "large"},
		"an old one":  {TransitionID: "large", Consumed: []string{wire.TokenID(state.ID, 7)}},
		"a long gone": {TransitionID: "large", Consumed: []string{state.ID, ""}},
	} {
		_, err := f.RuleGuard(t.Context(), &wire.RuleGuardRequest{Instance: wire.Snapshot{State: *state}, Firings: []wire.GuardFiring{firing}})
		if !errors.Is(err, fault.InvalidField) {
			t.Errorf("%s: %v", name, err)
		}
	}
	many := make([]wire.GuardFiring, 1001)
	servicetest.Refused(f.t, fault.InvalidField, f.RuleGuard, &wire.RuleGuardRequest{Instance: wire.Snapshot{State: *state}, Firings: many})
	servicetest.Refused(f.t, fault.InvalidField, f.RuleGuard, &wire.RuleGuardRequest{
		Instance: wire.Snapshot{State: *state}, Firings: []wire.GuardFiring{{TransitionID: "large", Consumed: make([]string, 257)}},
	})
	crowd := wire.Snapshot{State: *state}
	crowd.Tokens = make([]wire.Token, 257)
	servicetest.Refused(f.t, fault.InvalidField, f.RuleGuard, &wire.RuleGuardRequest{Instance: crowd})
	servicetest.Refused(f.t, fault.TransitionNotFound, f.RuleGuard, &wire.RuleGuardRequest{
		Instance: wire.Snapshot{State: *state}, Firings: []wire.GuardFiring{{TransitionID: "nope", Consumed: []string{state.ID}}},
	})
	servicetest.Refused(f.t, fault.InvalidField, f.RuleGuard, &wire.RuleGuardRequest{})
}

// What an outsider writes can neither hang a copy nor exhaust it: it is refused, or it does
// not pass and says why, and others are served meanwhile.
func TestHostileConditionsNeitherHangNorExhaustTheService(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	deep := func(open, inner, end string, n int) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	quoted := func(text string) json.RawMessage {
		raw, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for name, condition := range map[string]json.RawMessage{
		"a long text":      quoted("token.place == '" + strings.Repeat("x", 100_000) + "'"),
		"many parentheses": quoted(deep("(", "true", ")", 5000)),
		"many nots":        json.RawMessage(deep(`{"not":`, `{"expression":"true"}`, `}`, 1000)),
		"many operands":    json.RawMessage(`{"and":[` + strings.Repeat(`{"field_exists":"data.a"},`, 5000) + `{"field_exists":"data.a"}]}`),
		"three loops":      quoted("[1].all(a, [1].all(b, [1].all(c, true)))"),
		"a large regex":    json.RawMessage(`{"field_matches":{"field":"data.a","pattern":"(a{100}){100}"}}`),
		"an escape":        json.RawMessage(`{"expression":"true) || (true"}`),
		"a comment":        json.RawMessage(`{"and":[{"expression":"true // "},{"expression":")"}]}`),
	} {
		started := time.Now()
		servicetest.Refused(f.t, fault.InvalidField, f.RuleCreate, wire.RuleCreateRequest{ID: "hostile", Condition: condition})
		if took := time.Since(started); took > 5*time.Second {
			t.Errorf("%s was refused after %s", name, took)
		}
	}
	list := "[" + strings.Repeat("1,", 50_000) + "1]"
	token := &wire.GivenToken{Data: json.RawMessage(fmt.Sprintf(`{"list":%s,"text":%q}`, list, strings.Repeat("a", 500_000)))}
	costly := []string{
		`token.data.list.all(a, token.data.list.all(b, a == b))`,
		`token.data.list.map(a, token.data.text + token.data.text).size() > 0`,
		`token.data.text.matches("(a?){40}b")`,
		`token.data.list.exists(a, token.data.text.contains(token.data.text + "b"))`,
		`token.data.list.all(a, token.data == token.data)`,
	}
	answers := make(chan error, 4*len(costly))
	for range 4 {
		for _, condition := range costly {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				reply, err := f.RuleEvaluate(ctx, wire.RuleEvaluateRequest{Condition: quoted(condition), Token: token})
				if err == nil && (reply.Passed || reply.Explanation == "") {
					err = fmt.Errorf("%s: %+v", condition, reply)
				}
				answers <- err
			}()
		}
	}
	// Somebody else, meanwhile.
	if reply := servicetest.Do(f.t, f.RuleEvaluate, wire.RuleEvaluateRequest{Condition: quoted("1 < 2"), Token: &wire.GivenToken{}}); !reply.Passed {
		t.Errorf("a plain condition: %+v", reply)
	}
	for range cap(answers) {
		// Under this load a request may end at its deadline, and say so.
		if err := <-answers; err != nil && !errors.Is(err, fault.Timeout) {
			t.Error(err)
		}
	}
}
