package functionrunner

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/env"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newTestService is a service that was made and not started.
func newTestService(t testing.TB) *Service {
	t.Helper()
	cfg := bus.DefaultConfig()
	cfg.URLs = []string{natstest.Start(t).URL()}
	b, err := bus.Connect(t.Context(), cfg, telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	s, err := New(service.Deps{Bus: b, Tel: telemetry.Discard()}, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil { // Also without Start.
			t.Error(err)
		}
	})
	return s
}

func TestEveryFaultOfTheConfigurationIsReported(t *testing.T) {
	t.Parallel()
	var e Environment
	err := env.Load([]string{
		"BREAKER_HTTP_ALLOW=10.0.0.0/8,nonsense", "BREAKER_EXEC_ALLOW=relative/path", "BREAKER_SECRET_KEY=x", "BREAKER_JOB_CONCURENCY=3",
	}, &e)
	if err == nil || !strings.Contains(err.Error(), "BREAKER_JOB_CONCURRENCY") {
		t.Fatalf("a misspelt name gives %v", err)
	}
	err = env.Load([]string{"BREAKER_HTTP_ALLOW=10.0.0.0/8,nonsense", "BREAKER_EXEC_ALLOW=relative/path", "BREAKER_SECRET_KEY=x"}, &e)
	if err == nil || !strings.Contains(err.Error(), `"nonsense"`) || !strings.Contains(err.Error(), "BREAKER_EXEC_ALLOW") {
		t.Errorf("got %v", err)
	}
	if err := (Config{AckWait: time.Millisecond, ExecutionAge: -1}).Validate(); err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("five faults are reported as %v", err)
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestAnUpdateIsMergedByMembers(t *testing.T) {
	t.Parallel()
	read := func(text string) (spec wire.FunctionSpec) {
		if err := json.Unmarshal([]byte(text), &spec); err != nil {
			t.Fatal(err)
		}
		return spec
	}
	for name, c := range map[string]struct {
		have, change string
		reset        []string
		want         string
	}{
		"nothing else changes":         {`{"kind":"nats","timeout":"1s","tags":["a"]}`, `{"timeout":"2s"}`, nil, `{"kind":"nats","timeout":"2s","tags":["a"]}`},
		"a member is replaced whole":   {`{"kind":"nats","retry":{"attempts":3,"backoff":"fixed"}}`, `{"retry":{"attempts":5}}`, nil, `{"kind":"nats","retry":{"attempts":5}}`},
		"an empty list is a list":      {`{"kind":"nats","tags":["a"],"chains":[{"function":"b"}]}`, `{"tags":[]}`, nil, `{"kind":"nats","chains":[{"function":"b"}]}`},
		"what is reset goes":           {`{"kind":"nats","concurrency":3,"enabled":false}`, `{}`, []string{"concurrency", "enabled"}, `{"kind":"nats"}`},
		"another kind leaves the last": {`{"kind":"expression","expression":"1"}`, `{"kind":"exec","exec":{"command":"a"}}`, nil, `{"kind":"exec","exec":{"command":"a"}}`},
		"and keeps what is too much":   {`{"kind":"nats"}`, `{"kind":"expression","expression":"1","wasm":{"module":"m"}}`, nil, `{"kind":"expression","expression":"1","wasm":{"module":"m"}}`},
	} {
		got, err := merged(read(c.have), read(c.change), c.reset)
		if diff := cmp.Diff(read(c.want), got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestTriggersAskForTheirEventsOnly(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	w := &wire.Workflow{ID: "11111111-1111-4111-8111-111111111111", Definition: wire.Definition{
		Name: "net", InitialPlace: "a", Places: []wire.Place{{ID: "a"}, {ID: "b"}, {ID: "c"}},
		Transitions: []wire.Transition{
			{ID: "go", From: wire.StringList{"a"}, To: "b"}, {ID: "back", From: wire.StringList{"b"}, To: "a"}, {ID: "end", From: wire.StringList{"a", "b"}, To: "c"},
		},
	}}
	for triggers, want := range map[string]string{
		`[{"event":"created"}]`:                               "lifecycle.created",
		`[{"event":"transitioned","from":"b"}]`:               "transitions.back transitions.end",
		`[{"event":"transitioned","from":"b","to":"a"}]`:      "transitions.back",
		`[{"event":"transitioned","transition":"go"}]`:        "transitions.go",
		`[{"event":"transitioned","place":"b"}]`:              "transitions.go",
		`[{"event":"completed"}]`:                             "lifecycle.cancelled lifecycle.created lifecycle.resumed transitions.end",
		`[{"event":"updated"},{"event":"injected"}]`:          "lifecycle.injected lifecycle.updated",
		`[{"event":"created","workflow":"other"}]`:            "",
		`[{"event":"created","workflow":"net"}]`:              "lifecycle.created",
		`[{"event":"custom","name":"x"}]`:                     "",
		`[{"event":"function_completed","function":"other"}]`: "",
	} {
		fn := wire.Function{ID: "f", FunctionSpec: wire.FunctionSpec{Kind: wire.FunctionNATS}}
		if err := json.Unmarshal([]byte(triggers), &fn.Triggers); err != nil {
			t.Fatal(err)
		}
		f, err := s.compile(&fn)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, subject := range filters(w, f.triggers) {
			parts := strings.Split(subject, ".")
			got = append(got, parts[3]+"."+parts[5])
		}
		if have := strings.Join(got, " "); have != want {
			t.Errorf("%s asks for %q, want %q", triggers, have, want)
		}
	}
}

// TestStartMakesWhatTheWorkNeeds looks at the server itself.
func TestStartMakesWhatTheWorkNeeds(t *testing.T) {
	t.Parallel()
	s := newTestService(t)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"JOBS", "EXECUTIONS", "DEAD_LETTERS", "KV_functions", "KV_targets", "OBJ_modules"} {
		if _, err := s.bus.JS.Stream(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	reply, err := s.bus.NC.Request("$SRV.INFO."+Name, nil, time.Second)
	if err != nil || !strings.Contains(string(reply.Data), wire.SubjectExecutionRedrive) {
		t.Errorf("discovery says %v, %v", reply, err)
	}
}
