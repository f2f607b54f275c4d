package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// The sample functions of protocols/examples, as programs of their own, at work for a fleet.

// bound deploys a workflow whose first place is bound to a function.
func (f *fleet) bound(function string) {
	f.t.Helper()
	f.function(fmt.Sprintf(`{"id":%q,"kind":"nats","output_schema":{"type":"object"}}`, function))
	f.deploy(worker(function+"_flow", fmt.Sprintf(`{"function":%q,"output":"output","on_success":"accept","on_failure":"park"}`, function)))
}

// succeeds has a bound function done for a token, and returns its run.
func (f *fleet) succeeds(function, data, want string) wire.Execution {
	f.t.Helper()
	token := f.create(function+"_flow", data)
	if got := f.standsIn(token.ID, "good"); string(got.Data) != want {
		f.t.Errorf("%s made %s, want %s", function, got.Data, want)
	}
	run := f.runFor(function, token.ID)
	if run.Status != wire.ExecutionSucceeded || run.Attempt != 1 || run.TransitionID != "accept" {
		f.t.Errorf("the record is %+v", run)
	}
	return run
}

// declines has a bound function refuse what a token has, for good.
func (f *fleet) declines(function, data, code, says string) {
	f.t.Helper()
	token := f.create(function+"_flow", data)
	f.standsIn(token.ID, "bad")
	run := f.runFor(function, token.ID)
	if run.Status != wire.ExecutionFailed || run.Attempt != 1 || run.TransitionID != "park" ||
		run.Error == nil || run.Error.Code != code || !strings.Contains(run.Error.Message, says) {
		f.t.Errorf("the record is %+v with the error %+v, want %s that says %s", run, run.Error, code, says)
	}
}

// runFor waits for the end of a function's run for a token.
func (f *fleet) runFor(function, tokenID string) wire.Execution {
	f.t.Helper()
	var run wire.Execution
	servicetest.Eventually(f.t, function+" has run for "+tokenID, func() bool {
		for _, e := range f.ended(function, 1) {
			if e.TokenID == tokenID && e.Status.Ended() && e.NatsSequence != 0 {
				run = e
				return true
			}
		}
		return false
	})
	return run
}

// asking sends a request as the runner does, with a subscription for all that comes back.
func (f *fleet) asking(function, input string, header nats.Header) *nats.Subscription {
	f.t.Helper()
	inbox := f.NC.NewInbox()
	replies, err := f.NC.SubscribeSync(inbox)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = replies.Unsubscribe() })
	if err := f.NC.PublishMsg(&nats.Msg{Subject: wire.FunctionSubject(function), Reply: inbox, Data: []byte(input), Header: header}); err != nil {
		f.t.Fatal(err)
	}
	return replies
}

func (f *fleet) next(replies *nats.Subscription) *nats.Msg {
	f.t.Helper()
	m, err := replies.NextMsg(servicetest.Patience)
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

// aRequest are headers as the runner sends them.
func aRequest(key string) nats.Header {
	return nats.Header{
		wire.HeaderIdempotencyKey: {key}, wire.HeaderAttempt: {"2"},
		"traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	}
}

func TestSampleNodeFunction(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("!!! Node or npm is missing: the Node function is LEFT OUT")
	}
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(filepath.Join(samples, "node"))); err != nil {
		t.Fatal(err)
	}
	prepare(t, folder, "npm", "ci", "--no-audit", "--no-fund")
	f := newTestFleet(t)
	cmd := exec.Command("node", "function.js")
	cmd.Dir = folder
	p := f.startSample(`{"message":"answers"`, cmd)

	f.bound("word_count")
	run := f.succeeds("word_count", `{"text":"two words"}`, `{"output":{"words":2},"text":"two words"}`)
	p.prints(fmt.Sprintf(`{"message":"counted","key":%q,"attempt":1`, run.ID))
	f.declines("word_count", `{"pages":3}`, wire.FailureRejected, `422: the input is no {"text": "…"}`)

	// Asked to stop while it is at work, it goes on to the reply, with signs of progress.
	replies := f.asking("word_count", `{"text":"`+strings.Repeat("w ", 400_000)+`"}`, aRequest("long"))
	reply := f.next(replies)
	if reply.Header.Get(wire.HeaderProgress) != "10000 words so far" {
		t.Errorf("no progress, but %q with the headers %v", reply.Data, reply.Header)
	}
	p.terminate()
	for reply.Header.Get(wire.HeaderProgress) != "" {
		reply = f.next(replies)
	}
	if string(reply.Data) != `{"words":400000}` || reply.Header.Get(fault.HeaderCode) != "" {
		t.Errorf("the reply is %q with the headers %v", reply.Data, reply.Header)
	}
	p.ends()
	p.prints(`{"message":"counted","key":"long","attempt":2,"trace":"4bf92f3577b34da6a3ce929d0e0e4736","words":400000}`)
	p.prints(`{"message":"stopped"}`)
}

func TestSampleGoFunction(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "function")
	// A file by its name is no part of a module: it finds nats.go in this one.
	prepare(t, ".", "go", "build", "-o", binary, filepath.Join(samples, "go", "function.go"))
	f := newTestFleet(t)
	p := f.startSample("answers on functions.summarize", exec.Command(binary))

	f.bound("summarize")
	run := f.succeeds("summarize", `{"text":"one two three","words":2}`, `{"output":{"of":3,"summary":"one two …"},"text":"one two three","words":2}`)
	p.prints("summarized key=" + run.ID + " attempt=1 again=false")
	f.declines("summarize", `{"text":"one","words":0}`, wire.FailureRejected, "422: refused: a summary has at least one word")

	// The same key is the same work, so it is not done again.
	for _, text := range []string{"first", "second"} {
		reply := f.next(f.asking("summarize", fmt.Sprintf(`{"text":%q}`, text), aRequest("once")))
		if string(reply.Data) != `{"summary":"first","of":1}` {
			t.Errorf("the reply is %q with the headers %v", reply.Data, reply.Header)
		}
	}
	p.prints("summarized key=once attempt=2 again=true trace=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	p.terminate()
	p.ends()
	p.prints("stopped")
}

func TestSampleShellFunction(t *testing.T) {
	t.Parallel()
	cli := natsCLI(t)
	f := newTestFleet(t)
	cmd := exec.Command("bash", filepath.Join(samples, "shell", "function.sh"))
	cmd.Env = append(os.Environ(), "NATS_CLI="+cli)
	f.startSample(`Listening on "functions.shout" in group "shout"`, cmd)

	f.bound("shout")
	f.succeeds("shout", `{"text":"it's well done"}`, `{"output":{"text":"IT'S WELL DONE"},"text":"it's well done"}`)
	f.declines("shout", `{"pages":3}`, wire.FailureInvalidOutput, "the reply is no JSON")
	// An environment variable has no room for it: there is no output, and the schema wants one.
	f.declines("shout", `{"text":"`+strings.Repeat("w ", 100_000)+`"}`, wire.FailureInvalidOutput, "schema")
}

// TestSampleShellReadsJSON: with jq and without.
func TestSampleShellReadsJSON(t *testing.T) {
	t.Parallel()
	for name, tool := range map[string]string{"jq": "jq", "sed": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(tool); tool != "" && err != nil {
				t.Skip("!!! jq is missing: the shell function's use of it is LEFT OUT")
			}
			for input, want := range map[string]string{
				`{"text":"well done"}`:            `{"text":"WELL DONE"}`,
				"{ \"text\" : \"grüße\",\"n\":1}": map[string]string{"jq": `{"text":"GRüßE"}`}[name],
				`{"text":"a\nb"}`:                 map[string]string{"jq": `{"text":"A\nB"}`}[name],
				`{"text":""}`:                     `{"text":""}`,
				`{"text":7}`:                      "",
				`{}`:                              "",
				`7`:                               "",
				``:                                "",
			} {
				cmd := exec.CommandContext(t.Context(), "bash", filepath.Join(samples, "shell", "function.sh"), "answer")
				cmd.Env = append(os.Environ(), "JQ="+tool, "NATS_REQUEST_BODY="+input)
				out, err := cmd.CombinedOutput()
				switch got := strings.TrimSpace(string(out)); {
				case want == "" && (err == nil || got == "" || strings.HasPrefix(got, "{")):
					t.Errorf("%s: got %q, want an explanation", input, got)
				case want != "" && (err != nil || got != want):
					t.Errorf("%s: got %q and %v, want %q", input, got, err, want)
				}
			}
		})
	}
}
