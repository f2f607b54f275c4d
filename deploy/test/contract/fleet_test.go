package contract_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/deploy/test/contract"
	"github.com/seed-42b4788c/circuit-breaker/deploy/test/fleet"
	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
)

func TestMain(m *testing.M) { os.Exit(fleet.Main(m)) }

// liveFleet is a real fleet, spoken to as another language would: with JSON alone.
type liveFleet struct {
	t    *testing.T
	url  string
	nc   *nats.Conn
	c    *contract.Contract
	seen *contract.Watcher
}

func newLiveFleet(t *testing.T) *liveFleet {
	t.Helper()
	up := fleet.StartUp(t, "--sync", "interval")
	f := &liveFleet{t: t, url: up.URL, nc: fleet.Connect(t, up.URL), c: contract.Load(t)}
	f.seen = contract.Watch(t, up.URL)
	return f
}

func (f *liveFleet) send(subject string, payload []byte) *nats.Msg {
	f.t.Helper()
	reply, err := f.nc.Request(subject, payload, 10*time.Second)
	if err != nil {
		f.t.Fatalf("%s: %v", subject, err)
	}
	return reply
}

// ask sends a request that must succeed.
func (f *liveFleet) ask(subject string, request map[string]any) map[string]any {
	f.t.Helper()
	payload, err := json.Marshal(request)
	if err != nil {
		f.t.Fatal(err)
	}
	reply := f.send(subject, payload)
	if code := reply.Header.Get("Nats-Service-Error-Code"); code != "" {
		f.t.Fatalf("%s %s: %s %s", subject, payload, code, reply.Data)
	}
	var body map[string]any
	if err := json.Unmarshal(reply.Data, &body); err != nil {
		f.t.Fatalf("%s: %v", subject, err)
	}
	return body
}

func (f *liveFleet) sample(name string) []byte {
	f.t.Helper()
	raw, err := os.ReadFile(filepath.Join(f.c.Root, "samples", name))
	if err != nil {
		f.t.Fatal(err)
	}
	return raw
}

func (f *liveFleet) deploy(name string) map[string]any {
	f.t.Helper()
	return f.ask("breaker.workflow.create", map[string]any{"definition": json.RawMessage(f.sample("valid/definition/" + name + ".json"))})
}

// rules makes the rules that the definitions of samples/ name.
func (f *liveFleet) rules() {
	f.t.Helper()
	for _, name := range []string{"has_reviewer", "stock_checked"} {
		var request map[string]any
		if err := json.Unmarshal(f.sample("valid/rule_create_request/"+name+".json"), &request); err != nil {
			f.t.Fatal(err)
		}
		f.ask("breaker.rule.create", request)
	}
}

// refused sends a request that must be answered with this error, and returns its details.
func (f *liveFleet) refused(code, subject string, request map[string]any) map[string]any {
	f.t.Helper()
	payload, err := json.Marshal(request)
	if err != nil {
		f.t.Fatal(err)
	}
	reply := f.send(subject, payload)
	var body struct {
		Code    string
		Details map[string]any
	}
	if err := json.Unmarshal(reply.Data, &body); err != nil || body.Code != code {
		f.t.Errorf("%s %s: got %s, want %s", subject, payload, reply.Data, code)
	}
	return body.Details
}

// TestInvalidSamplesAreRefused: the fleet answers each invalid request of samples/ with the
// error that the index names.
func TestInvalidSamplesAreRefused(t *testing.T) {
	t.Parallel()
	f := newLiveFleet(t)
	var index struct {
		Samples []struct {
			File, Schema, Code string
			Valid              bool
		}
	}
	if err := json.Unmarshal(f.sample("index.json"), &index); err != nil {
		t.Fatal(err)
	}
	// The ids of the samples become those of something that exists, so that what is wrong
	// is what the sample is about.
	f.rules()
	f.function("word_count")
	review := f.deploy("document_review")
	f.deploy("smallest")
	token := f.ask("breaker.token.create", map[string]any{"workflow_id": "document_review", "data": map[string]any{"title": "Proposal"}})
	alive := strings.NewReplacer(
		"0199c4d2-1f00-8a3b-9c4d-0000550e8400", token["id"].(string), "550e8400-e29b-41d4-a716-446655440000", review["id"].(string))

	checked := 0
	for _, s := range index.Samples {
		if s.Valid || s.Code == "" {
			continue
		}
		raw := []byte(alive.Replace(string(f.sample(s.File))))
		subjects := f.subjects(s.Schema)
		switch s.Schema {
		case "definition.json":
			raw, subjects = slices.Concat([]byte(`{"definition":`), raw, []byte(`}`)), []string{"breaker.workflow.create"}
		case "condition.json":
			raw, subjects = slices.Concat([]byte(`{"token":{},"condition":`), raw, []byte(`}`)), []string{"breaker.rule.evaluate"}
		}
		for _, subject := range subjects {
			checked++
			reply := f.send(subject, raw)
			var body struct{ Code, Message string }
			if err := json.Unmarshal(reply.Data, &body); err != nil || body.Code != s.Code {
				t.Errorf("%s on %s: got %s, want %s", s.File, subject, reply.Data, s.Code)
			}
		}
	}
	if want := len(f.c.Endpoints); checked < want {
		t.Errorf("%d samples were sent, want at least one for each of %d endpoints", checked, want)
	}
}

func (f *liveFleet) subjects(schema string) []string {
	var all []string
	for _, e := range f.c.Endpoints {
		if e.Request == "schema/"+schema {
			all = append(all, e.Subject)
		}
	}
	return all
}

// TestFleetAnnouncesTheEndpoints: discovery and subjects.json name the same endpoints, in
// the same queue group.
func TestFleetAnnouncesTheEndpoints(t *testing.T) {
	t.Parallel()
	f := newLiveFleet(t)
	inbox := nats.NewInbox()
	sub, err := f.nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.nc.PublishRequest("$SRV.INFO", inbox, nil); err != nil {
		t.Fatal(err)
	}
	announced := map[string]string{}
	for {
		m, err := sub.NextMsg(time.Second)
		if errors.Is(err, nats.ErrTimeout) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		var info struct {
			Name      string
			Endpoints []struct {
				Subject    string
				QueueGroup string `json:"queue_group"`
			}
		}
		if err := json.Unmarshal(m.Data, &info); err != nil {
			t.Fatal(err)
		}
		for _, e := range info.Endpoints {
			announced[e.Subject] = info.Name
			if e.QueueGroup != "q" {
				t.Errorf("%s is in the queue group %q", e.Subject, e.QueueGroup)
			}
		}
	}
	for _, e := range f.c.Endpoints {
		if announced[e.Subject] != e.Service {
			t.Errorf("%s is announced by %q, subjects.json says %q", e.Subject, announced[e.Subject], e.Service)
		}
		delete(announced, e.Subject)
	}
	for subject := range announced {
		t.Errorf("subjects.json lacks %s", subject)
	}
}

// TestFleetKeepsTheContract asks every endpoint something that it can answer, but for those
// about functions. The watch holds each message to the schemas; here it is made sure that it
// saw all of them.
func TestFleetKeepsTheContract(t *testing.T) {
	t.Parallel()
	f := newLiveFleet(t)
	type object = map[string]any
	f.rules()
	w := f.deploy("document_review")["id"]
	f.deploy("order")
	f.ask("breaker.workflow.get", object{"workflow_id": "document_review", "version": 1})
	f.ask("breaker.workflow.list", object{"limit": 1})
	f.ask("breaker.workflow.validate", object{"definition": object{"name": "Bad Name"}})
	f.ask("breaker.workflow.streams", object{"workflow_id": w})

	data := object{"title": "Proposal", "note": nil, "tags": []any{nil, object{"a": nil, "b": 1}}}
	token := f.ask("breaker.token.create", object{"workflow_id": w, "data": data, "metadata": object{"by": "mail"}, "triggered_by": "a", "request_id": "r1"})
	id := token["id"]
	f.ask("breaker.workflow.update", object{"workflow_id": w, "definition": json.RawMessage(f.sample("valid/definition/document_review.json")), "expected_version": 1})
	f.ask("breaker.token.update", object{"token_id": id, "data": object{"pages": 3, "title": "Proposal B"}, "expected_sequence": token["nats_sequence"]})
	f.ask("breaker.transition.available", object{"instance_id": id})
	f.guarded(id)
	f.ask("breaker.instance.suspend", object{"instance_id": id, "reason": "an audit"})
	f.ask("breaker.instance.resume", object{"instance_id": id})
	moved := f.ask("breaker.transition.fire", object{"token_id": id, "transition_id": "submit_for_review", "data": object{"pages": nil, "reviewer": "bob"}, "metadata": object{"channel": "web"}})
	arrived := moved["token"].(object)["arrival_sequence"]
	f.ask("breaker.instance.migrate", object{"instance_id": id, "version": 2})
	f.ask("breaker.transition.complete", object{
		"instance_id": id, "token_id": id, "arrival_sequence": arrived, "binding": "word_count", "kind": "function",
		"outcome": "success", "output": object{"words": 812}, "attempts": 1, "duration_ms": 3,
	})
	split := f.ask("breaker.transition.fire", object{"token_id": id, "transition_id": "check"})
	f.ask("breaker.token.inject", object{"workflow_id": w, "instance_id": id, "place": "legal", "data": object{"title": "Annex"}})
	child := split["tokens"].([]any)[0].(object)["id"]
	f.ask("breaker.token.get", object{"token_id": child, "history": true})
	f.ask("breaker.token.history", object{"token_id": child, "limit": 2})
	f.ask("breaker.instance.get", object{"instance_id": id, "as_of": arrived})
	cancelled := f.ask("breaker.token.cancel", object{"token_id": child, "reason": "entered twice"})
	f.ask("breaker.token.list", object{"workflow_id": w, "min_sequence": cancelled["nats_sequence"]})
	f.ask("breaker.token.find", object{"workflow_id": w, "where": "has(token.data.title)"})
	f.ask("breaker.instance.list", object{"workflow_id": w, "status": "active"})
	f.automatic(w)
	f.ask("breaker.analytics.places", object{"workflow_id": w})
	f.ask("breaker.analytics.transitions", object{"workflow_id": w})
	f.ask("breaker.token.cancel", object{"instance_id": id})
	f.ask("breaker.workflow.archive", object{"workflow_id": "order"})

	last := f.ask("breaker.instance.get", object{"instance_id": id})
	f.ask("breaker.token.list", object{"workflow_id": w, "min_sequence": last["nats_sequence"]})
	for _, violation := range f.seen.Stop() {
		t.Errorf("contract: %s", violation)
	}
	f.covered(func(service string) bool { return service != runner })
}

// guarded asks everything about the rule that stands before submit_for_review, whose
// instance has nobody to review it yet.
func (f *liveFleet) guarded(id any) {
	f.t.Helper()
	type object = map[string]any
	fire := object{"token_id": id, "transition_id": "submit_for_review"}
	details := f.refused("rule_rejected", "breaker.transition.fire", fire)
	results, _ := details["rule_results"].([]any)
	if len(results) != 1 || details["transition_id"] != "submit_for_review" || results[0].(object)["rule_id"] != "has_reviewer" {
		f.t.Errorf("the refusal says %v", details)
	}
	if details := f.refused("rule_in_use", "breaker.rule.delete", object{"id": "has_reviewer"}); len(details["workflows"].([]any)) != 1 {
		f.t.Errorf("the rule in use says %v", details)
	}

	f.ask("breaker.rule.update", object{"id": "has_reviewer", "condition": json.RawMessage(f.sample("valid/condition/short.json")), "expected_version": 1})
	f.ask("breaker.rule.update", object{"id": "has_reviewer", "condition": "token.field_exists('data.reviewer')", "tags": []string{"people"}, "triggered_by": "a", "request_id": "r2"})
	f.ask("breaker.rule.get", object{"id": "has_reviewer", "version": 1})
	f.ask("breaker.rule.list", object{"tag": "people", "limit": 1})
	if versions := f.ask("breaker.rule.history", object{"id": "has_reviewer"})["versions"].([]any); len(versions) != 3 {
		f.t.Errorf("the rule has the versions %v", versions)
	}

	now := f.ask("breaker.rule.evaluate", object{"rule_id": "has_reviewer", "token_id": id})
	f.ask("breaker.rule.evaluate", object{"condition": json.RawMessage(f.sample("valid/condition/tree.json")), "token_id": id, "as_of": now["nats_sequence"]})
	for _, name := range []string{"what_if", "imagined"} {
		var request object
		if err := json.Unmarshal(f.sample("valid/rule_evaluate_request/"+name+".json"), &request); err != nil {
			f.t.Fatal(err)
		}
		if said := f.ask("breaker.rule.evaluate", request); said["passed"] != true {
			f.t.Errorf("%s: %v", name, said)
		}
	}

	instance := f.ask("breaker.instance.get", object{"instance_id": id})
	instance["births"] = 1 // What a state has beside an instance.
	firing := object{"transition_id": "submit_for_review", "consumed": []any{id}}
	outcomes := f.ask("breaker.rule.guard", object{"instance": instance, "firings": []any{firing}})["outcomes"].([]any)
	firing["data"] = object{"reviewer": "bob"}
	outcomes = append(outcomes, f.ask("breaker.rule.guard", object{"instance": instance, "firings": []any{firing}, "explain": true})["outcomes"].([]any)...)
	if outcomes[0].(object)["passed"] != false || outcomes[1].(object)["passed"] != true {
		f.t.Errorf("the guards say %v", outcomes)
	}

	f.ask("breaker.rule.create", object{"id": "passing", "condition": "true"})
	f.ask("breaker.rule.delete", object{"id": "passing", "expected_version": 1, "triggered_by": "a", "request_id": "r3"})
}

// automatic brings an instance to conclude, which fires by itself, and waits until it has.
func (f *liveFleet) automatic(workflow any) {
	f.t.Helper()
	type object = map[string]any
	id := f.ask("breaker.token.create", object{"workflow_id": workflow, "data": object{"title": "Report", "reviewer": "bob"}})["id"]
	for _, transition := range []string{"submit_for_review", "check", "clear_legal", "clear_finance"} {
		f.ask("breaker.transition.fire", object{"instance_id": id, "transition_id": transition})
	}
	servicetest.Eventually(f.t, "conclude fires by itself", func() bool {
		return f.ask("breaker.instance.get", object{"instance_id": id})["status"] == "completed"
	})
}

// TestDataRules: what README.md says of data.
func TestDataRules(t *testing.T) {
	t.Parallel()
	f := newLiveFleet(t)
	f.deploy("smallest")
	reply := f.send("breaker.token.create", []byte(`{"workflow_id":"two_steps","data":{"z":10.50,"big":123456789012345678901234567890.10,"none":null,"in":{"none":null,"list":[null,1e2]}}}`))
	if want := `"data":{"big":123456789012345678901234567890.10,"in":{"list":[null,1e2]},"z":10.50}`; !bytes.Contains(reply.Data, []byte(want)) {
		t.Errorf("got %s, want it to hold %s", reply.Data, want)
	}
	deep := strings.Repeat(`{"a":`, 64) + `{}` + strings.Repeat(`}`, 64)
	if reply := f.send("breaker.token.create", []byte(`{"workflow_id":"two_steps","data":`+deep+`}`)); !bytes.Contains(reply.Data, []byte("limit_exceeded")) {
		t.Errorf("65 levels: got %s", reply.Data)
	}
}

// The examples run against a fleet that is watched, so they keep the contract as well.

func TestShellExample(t *testing.T) {
	t.Parallel()
	f := newLiveFleet(t)
	f.run("bash", "shell", "bash", "run.sh", "NATS_CLI="+natsCLI(t))
}

func TestNodeExample(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("!!! Node or npm is missing: the Node example is LEFT OUT")
	}
	f := newLiveFleet(t)
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(filepath.Join(f.c.Root, "examples", "node"))); err != nil {
		t.Fatal(err)
	}
	install := exec.Command("npm", "ci", "--no-audit", "--no-fund")
	install.Dir = folder
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	f.run("Node", folder, "node", "run.js")
}

// run runs an example: its folder, its program and one argument, and what it adds to the
// environment.
func (f *liveFleet) run(what, folder, program, argument string, environ ...string) {
	f.t.Helper()
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(f.c.Root, "examples", folder)
	}
	cmd := exec.CommandContext(f.t.Context(), program, argument)
	cmd.Dir = folder
	cmd.Env = append(append(os.Environ(), "NATS_URL="+f.url), environ...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		f.t.Fatalf("the %s example: %v\n%s", what, err, out)
	}
	if !bytes.Contains(out, []byte("nothing is left behind")) {
		f.t.Errorf("the %s example ended early:\n%s", what, out)
	}
	js, err := f.nc.JetStream()
	if err != nil {
		f.t.Fatal(err)
	}
	for name := range js.StreamNames() {
		if strings.HasPrefix(name, "WORKFLOW_") {
			f.t.Errorf("the %s example left %s behind", what, name)
		}
	}
}

// natsCLI is the pinned nats command line, built into bin/ where it is missing.
func natsCLI(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "bin", "nats")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return path
	}
	build := exec.Command("go", "build", "-o", path, "github.com/nats-io/natscli/nats")
	build.Dir = filepath.Join(root, "deploy", "tools")
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the nats command line: %v\n%s", err, out)
	}
	return path
}
