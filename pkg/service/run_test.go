package service_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/env"
	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
)

type echoConfig struct {
	env.Base
	Suffix string `env:"BREAKER_ECHO_SUFFIX" envDefault:"!"`
}

func buildEcho(deps service.Deps, cfg echoConfig) (service.Part, error) {
	return service.NewServer(deps, service.ServerConfig{Name: "echo"},
		service.Handle(subject, func(_ context.Context, req echoRequest) (echoReply, error) {
			return echoReply{Text: req.Text + cfg.Suffix}, nil
		})), nil
}

// program is a running Run.
type program struct {
	t    *testing.T
	log  *bufio.Reader
	stop context.CancelFunc
	done chan error
}

func newTestProgram(t *testing.T, environ ...string) *program {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	read, write := io.Pipe()
	p := &program{t: t, log: bufio.NewReader(read), stop: stop, done: make(chan error, 1)}
	go func() {
		err := service.Run(ctx, "echo", nil, environ, write, buildEcho)
		_ = write.Close()
		p.done <- err
	}()
	t.Cleanup(stop)
	return p
}

// await reads the log up to a message.
func (p *program) await(message string) map[string]any {
	p.t.Helper()
	for {
		text, err := p.log.ReadBytes('\n')
		if err != nil {
			p.t.Fatalf("the log ended before %q", message)
		}
		var line map[string]any
		if err := json.Unmarshal(text, &line); err != nil {
			p.t.Fatalf("a log line is not JSON: %s", text)
		}
		if line["message"] == message {
			return line
		}
	}
}

// end tells the program to stop and waits for it, taking what it still logs.
func (p *program) end() error {
	p.stop()
	_, _ = io.Copy(io.Discard, p.log)
	return <-p.done
}

func TestRunServesUntilItIsToldToStop(t *testing.T) {
	t.Parallel()
	server := natstest.Start(t)
	p := newTestProgram(t, "NATS_URL="+server.URL(), "BREAKER_HTTP_LISTEN=127.0.0.1:0", "BREAKER_ECHO_SUFFIX=?")
	started := p.await("service started")
	caller := server.Connect()
	msg, err := caller.Request(subject, []byte(`{"text":"x"}`), patience)
	if err != nil || string(msg.Data) != `{"text":"x?"}` {
		t.Errorf("have %v, %v", msg, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]string{"/readyz": `"ready":true`, "/healthz": "ok", "/metrics": "breaker_requests_total"} {
		answer, err := client.Get("http://" + started["http"].(string) + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: want 200 and %q, have %d", path, want, answer.StatusCode)
		}
	}
	if err := p.end(); err != nil {
		t.Errorf("want an orderly end, have %v", err)
	}
	if _, err := caller.Request(subject, nil, patience); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("want nobody there, have %v", err)
	}
}

func TestRunStopsWhileNATSIsOutOfReach(t *testing.T) {
	t.Parallel()
	p := newTestProgram(t, "NATS_URL=nats://127.0.0.1:1", "BREAKER_HTTP_LISTEN=off")
	p.await("nats was out of reach, trying again")
	if err := p.end(); err != nil {
		t.Errorf("want an orderly end, have %v", err)
	}
}

func TestRunRefusesFaultyConfiguration(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args, environ []string
		want          string
	}{
		"all faults": {nil, []string{"BREAKER_REPLICAS=x", "BREAKER_ECHO_SUFIX=."}, "BREAKER_REPLICAS is not a whole number\nBREAKER_ECHO_SUFIX is unknown; did you mean BREAKER_ECHO_SUFFIX?"},
		"telemetry":  {nil, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=x"}, "must be a URL"},
		"arguments":  {[]string{"start"}, nil, "not from arguments"},
	} {
		err := service.Run(t.Context(), "echo", c.args, c.environ, io.Discard, buildEcho)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want %q, have %v", name, c.want, err)
		}
	}
}

func TestHelpListsEveryVariable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := service.Run(t.Context(), "echo", []string{"--help"}, nil, &out, buildEcho); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"BREAKER_ECHO_SUFFIX", "BREAKER_DEFAULT_MAX_AGE", "168h", "NATS_URL"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %s in the help text", want)
		}
	}
}
