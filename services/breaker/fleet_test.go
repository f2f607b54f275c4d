package breaker_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/survey"
)

// followed is an event as "watch --json" writes it.
type followed struct {
	Sequence uint64     `json:"nats_sequence"`
	Subject  string     `json:"nats_subject"`
	Workflow string     `json:"workflow"`
	Event    wire.Event `json:"event"`
}

// watching is a running "breaker watch --json".
type watching struct {
	lines chan followed
	stop  func() int
}

func (c *cli) watch(t *testing.T, args ...string) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	w := &watching{lines: make(chan followed, 1000)}
	ended := make(chan int, 1)
	go func() {
		code := breaker.Run(ctx, append([]string{"watch", "--json"}, args...), c.environ, strings.NewReader(""), writer, io.Discard)
		writer.Close()
		ended <- code
	}()
	go func() {
		defer close(w.lines)
		scanner := bufio.NewScanner(reader)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			var f followed
			if json.Unmarshal(scanner.Bytes(), &f) == nil {
				w.lines <- f
			}
		}
	}()
	w.stop = func() int {
		cancel()
		code := <-ended
		ended <- code
		return code
	}
	t.Cleanup(func() { w.stop() })
	return w
}

// next waits for the next event.
func (w *watching) next(t *testing.T) followed {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	select {
	case f, ok := <-w.lines:
		if !ok {
			t.Fatal("the watch ended")
		}
		return f
	case <-ctx.Done():
		t.Fatal("no event came")
		return followed{}
	}
}

func TestAWorkflowFromDeployToVerify(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	c.start(t)
	path := c.file(t, "review.yaml", reviewYAML)

	if out := c.ok(t, "deploy", path); !strings.Contains(out, "created") {
		t.Errorf("deploy says:\n%s", out)
	}
	if out := c.ok(t, "deploy", path); !strings.Contains(out, "unchanged") {
		t.Errorf("a second deploy says:\n%s", out)
	}

	var token wire.Token
	c.json(t, &token, "token", "create", "review", "--data", `{"title":"Plan","pages":12}`, "--by", "alice", "--request-id", "r1")
	var again wire.Token
	c.json(t, &again, "token", "create", "review", "--data", `{"title":"Plan","pages":12}`, "--by", "alice", "--request-id", "r1")
	if again.ID != token.ID {
		t.Errorf("the same request made %s and %s", token.ID, again.ID)
	}
	watch := c.watch(t, "--instance", token.ID, "--all")
	if got := watch.next(t); got.Event.EventType != "token_created" || got.Workflow != "review" || got.Event.Instance != nil {
		t.Errorf("the first event is %+v", got)
	}

	if out := c.ok(t, "available", token.ID); !strings.Contains(out, "submit") || !strings.Contains(out, "yes") {
		t.Errorf("available says:\n%s", out)
	}
	if got := c.run(t, "fire", token.ID, "approve"); got.code != 4 || !strings.Contains(got.err, "no token stands in review") {
		t.Errorf("a transition that is not enabled ended with %d: %s", got.code, got.err)
	}
	if out := c.ok(t, "fire", token.ID, "submit", "--data", `{"pages":13}`, "--by", "bob"); !strings.Contains(out, "review") {
		t.Errorf("fire says:\n%s", out)
	}
	fired := watch.next(t)
	if fired.Event.TransitionID != "submit" || fired.Event.FromPlace != "draft" || fired.Event.ToPlace != "review" || fired.Event.TriggeredBy != "bob" {
		t.Errorf("the watch shows %+v", fired.Event)
	}
	if code := watch.stop(); code != 0 {
		t.Errorf("an interrupted watch ended with %d", code)
	}

	var listed wire.TokenListReply
	eventually(t, "the token in the view", func() bool {
		c.json(t, &listed, "token", "list", "review", "--place", "review")
		return len(listed.Tokens) == 1 && listed.Tokens[0].ID == token.ID
	})
	c.ok(t, "fire", token.ID, "approve")
	if got := c.run(t, "fire", token.ID, "approve"); got.code != 3 {
		t.Errorf("firing in a finished instance ended with %d: %s", got.code, got.err)
	}

	resumed := c.watch(t, "review", "--from", "1", "--count", "100")
	for last := uint64(0); ; {
		e := resumed.next(t)
		if e.Sequence <= last {
			t.Fatalf("sequence %d came after %d", e.Sequence, last)
		}
		if last = e.Sequence; e.Event.TransitionID == "approve" {
			if !e.Event.Completes {
				t.Error("the last firing did not complete the instance")
			}
			break
		}
	}
	resumed.stop()

	history := c.ok(t, "token", "history", token.ID)
	for i, part := range []string{"SEQUENCE", "create", "submit", "approve"} {
		if line := strings.Split(history, "\n")[i]; !strings.Contains(line, part) {
			t.Errorf("line %d of the history is %q, want %s", i, line, part)
		}
	}
	var past wire.Token
	c.json(t, &past, "token", "get", token.ID, "--as-of", fmt.Sprint(fired.Sequence))
	if past.Place != "review" || !strings.Contains(string(past.Data), `"pages": 13`) {
		t.Errorf("as of %d the token stood in %s with %s", fired.Sequence, past.Place, past.Data)
	}
}

func TestVerifyFindsNothingWhereAllIsWell(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	c.start(t)
	c.ok(t, "deploy", c.file(t, "review.yaml", reviewYAML))
	var token wire.Token
	for range 5 {
		c.json(t, &token, "token", "create", "review")
		c.ok(t, "fire", token.ID, "submit")
	}
	for _, args := range [][]string{{"verify"}, {"verify", "review", "--rebuild"}} {
		var result struct {
			OK        bool
			Workflows []struct {
				Name       string
				Instances  int
				Firings    int
				ViewTokens int `json:"view_tokens"`
			}
		}
		c.json(t, &result, args...)
		if !result.OK || len(result.Workflows) != 1 || result.Workflows[0].Instances != 5 || result.Workflows[0].Firings != 5 || result.Workflows[0].ViewTokens != 5 {
			t.Errorf("%v says %+v", args, result)
		}
	}
	if out := c.ok(t, "verify"); !strings.Contains(out, "ok") {
		t.Errorf("verify says:\n%s", out)
	}
}

func TestVerifyEndsWithSixWhereTheViewLies(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	u := c.start(t)
	c.ok(t, "deploy", c.file(t, "review.yaml", reviewYAML))
	var token wire.Token
	c.json(t, &token, "token", "create", "review")
	c.ok(t, "verify")

	nc, err := nats.Connect(u.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ghost := wire.PlaceSubject(token.WorkflowID, "approved", wire.TokenID(token.ID, 9))
	if _, err := nc.Request(ghost, []byte(`{"id":"ghost"}`), limit); err != nil {
		t.Fatal(err)
	}
	got := c.run(t, "verify", "review")
	if got.code != 6 || !strings.Contains(got.out, "view_ghost") || got.err != "" {
		t.Errorf("ended with %d\nstdout: %s\nstderr: %s", got.code, got.out, got.err)
	}
	if out := c.ok(t, "verify", "review", "--rebuild"); !strings.Contains(out, "ok") {
		t.Errorf("after a rebuild verify says:\n%s", out)
	}
}

func TestStatusShowsWhoServesAndWhatIsThere(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	c.start(t)
	c.ok(t, "deploy", c.file(t, "review.yaml", reviewYAML))
	var first, second wire.Token
	c.json(t, &first, "token", "create", "review")
	c.json(t, &second, "token", "create", "review")
	c.ok(t, "instance", "suspend", second.ID, "--reason", "audit")

	var found survey.Survey
	eventually(t, "the view of both instances", func() bool {
		c.json(t, &found, "status")
		return len(found.Workflows) == 1 && found.Workflows[0].Lag == 0 && found.Workflows[0].Instances[wire.StatusSuspended] == 1
	})
	var services []string
	for _, s := range found.Services {
		services = append(services, fmt.Sprintf("%s %d", s.Name, s.Copies))
	}
	if diff := cmp.Diff([]string{"function-runner 1", "rules 1", "token 1", "transition 1"}, services); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	out := c.ok(t, "status")
	for _, part := range []string{"nats-server 2.", "PLACES", "TIMERS", "WORKFLOW_", "review", "VIEW BEHIND"} {
		if !strings.Contains(out, part) {
			t.Errorf("no %q in:\n%s", part, out)
		}
	}
}

func TestInstancesAndTokensAreManaged(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	c.start(t)
	path := c.file(t, "review.yaml", reviewYAML)
	c.ok(t, "deploy", path)
	var token, other wire.Token
	c.json(t, &token, "token", "create", "review", "--data", "@"+c.file(t, "data.json", `{"n": 1}`))
	var updated wire.Token
	decode(t, c.feed(t, `{"n": null, "m": 2}`, "token", "update", token.ID, "--data", "-", "--json").out, &updated)
	if strings.Contains(string(updated.Data), `"n"`) || !strings.Contains(string(updated.Data), `"m": 2`) {
		t.Errorf("a merge patch gave %s", updated.Data)
	}
	if got := c.run(t, "token", "update", token.ID, "--data", "{}", "--expected-sequence", "1"); got.code != 4 {
		t.Errorf("a wrong sequence ended with %d: %s", got.code, got.err)
	}
	c.json(t, &other, "token", "inject", token.ID, "review", "--data", `{"extra": true}`)
	if wire.InstanceOf(other.ID) != token.ID {
		t.Errorf("%s was not injected into %s", other.ID, token.ID)
	}
	c.ok(t, "instance", "suspend", token.ID)
	if got := c.run(t, "fire", token.ID, "submit"); got.code != 4 {
		t.Errorf("firing in a suspended instance ended with %d: %s", got.code, got.err)
	}
	c.ok(t, "instance", "resume", token.ID)
	// The first token's id is the instance's too: --token means the token alone.
	if got := c.run(t, "fire", token.ID, "approve", "--token"); got.code != 4 {
		t.Errorf("the token stands in draft, and yet approve ended with %d: %s", got.code, got.err)
	}
	c.ok(t, "fire", token.ID, "approve")

	renamed := c.file(t, "v2.yaml", strings.NewReplacer("id: draft", "id: begin", "from: draft", "from: begin", "initial_place: draft", "initial_place: begin").Replace(reviewYAML))
	if out := c.ok(t, "deploy", renamed, "--dry-run"); !strings.Contains(out, "would be updated") {
		t.Errorf("a dry run says:\n%s", out)
	}
	if out := c.ok(t, "deploy", renamed); !strings.Contains(out, "updated") {
		t.Errorf("deploy says:\n%s", out)
	}
	var instance wire.Instance
	c.json(t, &instance, "instance", "migrate", token.ID, "2", "--place", "draft=begin")
	if instance.WorkflowVersion != 2 || instance.Token(token.ID) == nil || instance.Token(token.ID).Place != "begin" {
		t.Errorf("after the migration: %+v", instance)
	}
	c.json(t, &instance, "instance", "cancel", token.ID, "--reason", "enough")
	if instance.Status != wire.StatusCancelled || instance.Reason != "enough" {
		t.Errorf("after the cancellation: %+v", instance)
	}
	if got := c.run(t, "token", "get", other.ID); got.code != 3 {
		t.Errorf("a token that ended was shown with %d: %s", got.code, got.err)
	}

	c.ok(t, "workflow", "archive", "review")
	if got := c.run(t, "workflow", "show", "review"); got.code != 3 {
		t.Errorf("an archived name was found with %d: %s", got.code, got.err)
	}
	if out := c.ok(t, "workflow", "list"); !strings.Contains(out, "archived") {
		t.Errorf("the list says:\n%s", out)
	}
	c.ok(t, "workflow", "delete", token.WorkflowID, "--confirm", "review")
	if out := c.ok(t, "workflow", "list"); !strings.Contains(out, "no workflows") {
		t.Errorf("the list says:\n%s", out)
	}
}

func TestListsGoOnWhereTheyEnded(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	c.start(t)
	c.ok(t, "deploy", c.file(t, "review.yaml", reviewYAML))
	for range 7 {
		c.ok(t, "token", "create", "review")
	}
	var all wire.TokenListReply
	eventually(t, "seven tokens in the view", func() bool {
		c.json(t, &all, "token", "list", "review", "--all")
		return len(all.Tokens) == 7
	})
	var got []string
	for cursor := ""; ; {
		var page wire.TokenListReply
		args := []string{"token", "list", "review", "--limit", "3"}
		if cursor != "" {
			args = append(args, "--cursor", cursor)
		}
		c.json(t, &page, args...)
		for _, token := range page.Tokens {
			got = append(got, token.ID)
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	var want []string
	for _, token := range all.Tokens {
		want = append(want, token.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pages differ from the whole (-want +got):\n%s", diff)
	}
	people := c.run(t, "token", "list", "review", "--limit", "3")
	if people.code != 0 || !strings.Contains(people.err, "--cursor") {
		t.Errorf("nothing says that there is more: %s", people.err)
	}
}
