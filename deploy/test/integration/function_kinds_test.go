package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	functionrunner "github.com/seed-42b4788c/circuit-breaker/services/function-runner"
)

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// program writes a shell script and returns its path.
func script(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// module builds a WASI module from a Go program.
func module(t *testing.T, source string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "module.wasm")
	build := exec.Command("go", "build", "-o", path, source)
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", source, err, out)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// upload puts a module where functions find it.
func (f *fleet) upload(name string, module []byte) {
	f.t.Helper()
	store, err := f.JS.ObjectStore(f.t.Context(), wire.BucketModules)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := store.Put(f.t.Context(), jetstream.ObjectMeta{Name: name}, bytes.NewReader(module)); err != nil {
		f.t.Fatal(err)
	}
}

// TestAFunctionOfEveryKindRunsInAPlace: against a real server, a real process, a real module.
func TestAFunctionOfEveryKindRunsInAPlace(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("X-Text") != "two words" || r.Header.Get(wire.HeaderIdempotencyKey) == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"words":2,"heard":%s}`, body)
	}))
	defer server.Close()
	f := newTestFleetFor(t, func(c *functionrunner.Config) {
		c.HTTPAllow = []netip.Prefix{loopback}
		c.ExecAllow = map[string]string{"count": script(t, "count", `wc -w | tr -d ' '`)}
	})
	f.upload("word_count.wasm", module(t, "../../../protocols/examples/wasm/word_count.go"))
	f.answering("by_nats", func(*nats.Msg) *nats.Msg { return said(`{"words":2}`) })
	for kind, c := range map[string]struct{ definition, output string }{
		"by_nats":       {`"kind":"nats"`, `{"words":2}`},
		"by_expression": {`"kind":"expression","expression":"{'words': size(input.text)}"`, `{"words":9}`},
		"by_http": {
			fmt.Sprintf(`"kind":"http","http":{"url":%q,"headers":{"X-Text":"{{ .input.text }}"},"body":"{{ json .input.text }}"}`, server.URL+"/count"),
			`{"words":2,"heard":"two words"}`,
		},
		"by_exec": {`"kind":"exec","exec":{"command":"count"}`, `2`},
		"by_wasm": {`"kind":"wasm","wasm":{"module":"word_count.wasm"}`, `{"words":2}`},
	} {
		f.function(fmt.Sprintf(`{"id":%q,%s}`, kind, c.definition))
		f.deploy(worker("flow_"+kind, fmt.Sprintf(`{"function":%q,"on_success":"accept","on_failure":"park"}`, kind)))
		token := f.create("flow_"+kind, `{"text":"two words"}`)
		run := f.ended(kind, 1)[0]
		if string(run.Output) != c.output || run.TransitionID != "accept" {
			t.Errorf("%s gave %s, and %+v", kind, run.Output, run)
		}
		f.standsIn(token.ID, "good")
	}
}

// TestHostileFunctionsCostOnlyThemselves: each of them fails within its bounds while others work.
func TestHostileFunctionsCostOnlyThemselves(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "http://127.0.0.1:1/secret", http.StatusFound)
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(bytes.Repeat([]byte("x"), 64<<10)); err != nil {
					return
				}
			}
		case "/drip":
			for r.Context().Err() == nil {
				if _, err := w.Write([]byte(" ")); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				select {
				case <-release:
					return
				case <-time.After(20 * time.Millisecond): // It drips; that is what is tested.
				}
			}
		}
	}))
	defer server.Close()
	defer close(release)
	f := newTestFleetFor(t, func(c *functionrunner.Config) {
		c.HTTPAllow = []netip.Prefix{loopback}
		c.ExecAllow = map[string]string{
			"forever": script(t, "forever", "trap '' TERM INT HUP\nwhile :; do sleep 1; done\n"),
			"loud":    script(t, "loud", "head -c 1000000000 /dev/zero\n"),
		}
	})
	f.upload("loop.wasm", module(t, "testdata/loop/main.go"))
	f.upload("bomb.wasm", module(t, "testdata/bomb/main.go"))
	once := `"timeout":"2s","retry":{"attempts":1}`
	hostile := map[string]struct{ definition, code string }{
		"redirect": {fmt.Sprintf(`"kind":"http","http":{"url":%q}`, server.URL+"/redirect"), wire.FailureRejected},
		"endless":  {fmt.Sprintf(`"kind":"http","http":{"url":%q}`, server.URL+"/endless"), wire.FailureLimit},
		"drip":     {fmt.Sprintf(`"kind":"http","http":{"url":%q}`, server.URL+"/drip"), wire.FailureTimeout},
		"metadata": {`"kind":"http","http":{"url":"http://169.254.169.254/latest"}`, wire.FailureForbidden},
		"forever":  {`"kind":"exec","exec":{"command":"forever"}`, wire.FailureTimeout},
		"loud":     {`"kind":"exec","exec":{"command":"loud"}`, wire.FailureLimit},
		"unlisted": {`"kind":"exec","exec":{"command":"rm"}`, wire.FailureForbidden},
		"loop":     {`"kind":"wasm","wasm":{"module":"loop.wasm"}`, wire.FailureTimeout},
		"bomb":     {`"kind":"wasm","wasm":{"module":"bomb.wasm","memory_mb":32}`, ""},
		"missing":  {`"kind":"wasm","wasm":{"module":"missing.wasm"}`, wire.FailureMisconfigured},
	}
	f.function(`{"id":"honest","kind":"expression","expression":"input.n"}`)
	f.deploy(worker("honest_flow", `{"function":"honest","on_success":"accept"}`))
	tokens := map[string]string{}
	for id, h := range hostile {
		f.function(fmt.Sprintf(`{"id":%q,%s,%s}`, id, h.definition, once))
		f.deploy(worker("flow_"+id, fmt.Sprintf(`{"function":%q,"on_success":"accept","on_failure":"park"}`, id)))
		tokens[id] = f.create("flow_"+id, `{}`).ID
		f.standsIn(f.create("honest_flow", `{"n":1}`).ID, "good")
	}
	for id, h := range hostile {
		run := f.ended(id, 1)[0]
		if run.Status != wire.ExecutionFailed || h.code != "" && run.Error.Code != h.code {
			t.Errorf("%s ended %s with %+v, want %s", id, run.Status, run.Error, h.code)
		}
		f.standsIn(tokens[id], "bad")
	}
	if letters := servicetest.Do(t, f.ExecutionList, wire.ExecutionListRequest{DeadLetters: true}).Executions; len(letters) != len(hostile) {
		t.Errorf("%d dead letters, want %d", len(letters), len(hostile))
	}
}

// TestASecretIsNeverStored looks for it in every message of every stream.
func TestASecretIsNeverStored(t *testing.T) {
	t.Parallel()
	const value = "s3cr3t-value-that-must-not-leak"
	heard := make(chan string, 8)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard <- r.Header.Get("Authorization")
		if r.URL.Path == "/fail" {
			w.WriteHeader(http.StatusBadRequest)
		}
		fmt.Fprintf(w, `{"you_said":%q}`, r.Header.Get("Authorization")) // A server that gives away what it hears.
	}))
	defer server.Close()
	f := newTestFleetFor(t, func(c *functionrunner.Config) {
		c.HTTPAllow = []netip.Prefix{loopback}
		c.ExecAllow = map[string]string{"gossip": script(t, "gossip", `echo "{\"token\":\"$TOKEN\"}"; echo "$TOKEN" >&2; test -z "$FAIL" || exit 65`)}
		c.Environ = []string{"BREAKER_SECRET_API_KEY=" + value}
	})
	header := `"headers":{"Authorization":"Bearer {{ secret \"API_KEY\" }}"}`
	for id, definition := range map[string]string{
		"http_gossip":  fmt.Sprintf(`"kind":"http","http":{"url":%q,%s}`, server.URL+"/ok", header),
		"http_failing": fmt.Sprintf(`"kind":"http","http":{"url":%q,%s}`, server.URL+"/fail", header),
		"exec_gossip":  `"kind":"exec","exec":{"command":"gossip","env":{"TOKEN":"secret:API_KEY"}}`,
		"exec_failing": `"kind":"exec","exec":{"command":"gossip","env":{"TOKEN":"secret:API_KEY","FAIL":"1"}}`,
	} {
		f.function(fmt.Sprintf(`{"id":%q,%s}`, id, definition))
		f.deploy(worker("flow_"+id, fmt.Sprintf(`{"function":%q,"output":"said","on_success":"accept","on_failure":"park"}`, id)))
		f.create("flow_"+id, `{}`)
		f.ended(id, 1)
	}
	if got := <-heard; got != "Bearer "+value {
		t.Fatalf("the server heard %q: the secret was not sent at all", got)
	}
	seen := 0
	streams := f.JS.StreamNames(t.Context())
	for name := range streams.Name() {
		stream, err := f.JS.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for sequence := stream.CachedInfo().State.FirstSeq; sequence <= stream.CachedInfo().State.LastSeq; sequence++ {
			msg, err := stream.GetMsg(t.Context(), sequence)
			if err != nil {
				continue // Removed meanwhile.
			}
			seen++
			if strings.Contains(string(msg.Data), value) {
				t.Errorf("%s %s holds the secret: %s", name, msg.Subject, msg.Data)
			}
		}
	}
	if err := streams.Err(); err != nil || seen == 0 {
		t.Errorf("%d messages were seen, %v", seen, err)
	}
	// Without the secret the work fails, and says what is missing.
	f.function(`{"id":"unknown_secret","kind":"exec","exec":{"command":"gossip","env":{"TOKEN":"secret:NO_SUCH"}}}`)
	run := servicetest.Do(t, f.FunctionInvoke, wire.FunctionInvokeRequest{ID: "unknown_secret"})
	if run.Error == nil || run.Error.Code != wire.FailureMisconfigured || !strings.Contains(run.Error.Message, "NO_SUCH") {
		t.Errorf("have %+v", run)
	}
}

func TestAFunctionIsChecked(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	for definition, field := range map[string]string{
		`{"id":"x"}`:                                                                       "kind",
		`{"id":"x","kind":"magic"}`:                                                        "kind",
		`{"id":"X","kind":"nats"}`:                                                         "id",
		`{"id":"x","kind":"http"}`:                                                         "http",
		`{"id":"x","kind":"nats","expression":"1"}`:                                        "expression",
		`{"id":"x","kind":"expression","expression":"input."}`:                             "expression",
		`{"id":"x","kind":"http","http":{"url":"ftp://a/b"}}`:                              "http.url",
		`{"id":"x","kind":"nats","input":{"a":["=token."]}}`:                               "input.a[0]",
		`{"id":"x","kind":"nats","input_schema":{"type":3}}`:                               "input_schema",
		`{"id":"x","kind":"nats","timeout":"25h"}`:                                         "timeout",
		`{"id":"x","kind":"nats","retry":{"attempts":101}}`:                                "retry.attempts",
		`{"id":"x","kind":"nats","retry":{"errors":["oops"]}}`:                             "retry.errors[0]",
		`{"id":"x","kind":"nats","rate_limit":{"count":0,"per":"1s"}}`:                     "rate_limit",
		`{"id":"x","kind":"nats","triggers":[{"event":"created"},{"event":"born"}]}`:       "triggers[1].event",
		`{"id":"x","kind":"nats","triggers":[{"event":"created","from":"a"}]}`:             "triggers[0].from",
		`{"id":"x","kind":"nats","triggers":[{"event":"custom"}]}`:                         "triggers[0].name",
		`{"id":"x","kind":"nats","triggers":[{"event":"created","when":"event.type =="}]}`: "triggers[0].when",
		`{"id":"x","kind":"nats","chains":[{"function":"y","on":"sometimes"}]}`:            "chains[0].on",
		`{"id":"x","kind":"exec","exec":{"command":"a","env":{"LD_PRELOAD":"x"}}}`:         "exec.env.LD_PRELOAD",
		`{"id":"x","kind":"wasm","wasm":{"module":"../x"}}`:                                "wasm.module",
	} {
		var req wire.FunctionCreateRequest
		if err := json.Unmarshal([]byte(definition), &req); err != nil {
			t.Fatal(err)
		}
		refused := servicetest.Refused(t, fault.InvalidField, f.FunctionCreate, req)
		if refused.Details["field"] != field {
			t.Errorf("%s: the field is %v, want %s: %s", definition, refused.Details["field"], field, refused.Message)
		}
	}
}

func TestAnUpdateChangesWhatItNames(t *testing.T) {
	t.Parallel()
	f := newTestFleet(t)
	f.function(`{"id":"changing","kind":"expression","expression":"1","concurrency":3,"tags":["a"],"triggers":[{"event":"custom","name":"x"}]}`)
	disabled := false
	second := servicetest.Do(t, f.FunctionUpdate, wire.FunctionUpdateRequest{ID: "changing", FunctionSpec: wire.FunctionSpec{Enabled: &disabled}})
	if second.Version != 2 || second.IsEnabled() || second.Concurrency != 3 || second.Expression != "1" {
		t.Errorf("have %+v", second)
	}
	servicetest.Refused(t, fault.FunctionDisabled, f.FunctionInvoke, wire.FunctionInvokeRequest{ID: "changing"})
	third := servicetest.Do(t, f.FunctionUpdate, wire.FunctionUpdateRequest{
		ID: "changing", FunctionSpec: wire.FunctionSpec{Kind: wire.FunctionNATS}, Reset: []string{"concurrency", "enabled", "triggers"},
	})
	if third.Version != 3 || !third.IsEnabled() || third.Concurrency != 0 || third.Kind != wire.FunctionNATS || third.Expression != "" || len(third.Triggers) != 0 || len(third.Tags) != 1 {
		t.Errorf("have %+v", third)
	}
	servicetest.Refused(t, fault.InvalidField, f.FunctionUpdate, wire.FunctionUpdateRequest{ID: "changing"})
	servicetest.Refused(t, fault.InvalidField, f.FunctionUpdate, wire.FunctionUpdateRequest{ID: "changing", Reset: []string{"version"}})
	servicetest.Refused(t, fault.VersionMismatch, f.FunctionUpdate, wire.FunctionUpdateRequest{ID: "changing", ExpectedVersion: 1, Reset: []string{"tags"}})
	servicetest.Refused(t, fault.FunctionExists, f.FunctionCreate, wire.FunctionCreateRequest{ID: "changing", FunctionSpec: wire.FunctionSpec{Kind: wire.FunctionNATS}})
	servicetest.Do(t, f.FunctionDelete, wire.FunctionDeleteRequest{ID: "changing"})
	servicetest.Refused(t, fault.FunctionNotFound, f.FunctionGet, wire.FunctionGetRequest{ID: "changing"})
}
