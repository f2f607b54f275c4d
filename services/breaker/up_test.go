package breaker_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker"
)

// up is a running "breaker up".
type up struct {
	NATS string `json:"nats_url"`
	HTTP string `json:"http_url"`
	Dir  string `json:"dir"`
	PID  int    `json:"pid"`

	stop func() int
}

// start runs "breaker up" on free ports until the test ends, and has later commands speak
// to it.
func (c *cli) start(t *testing.T, args ...string) *up {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	var errs bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		args := append([]string{
			"up", "--json", "--dir", filepath.Join(c.dir, "data"), "--nats-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0",
		}, args...)
		code := breaker.Run(ctx, args, c.environ, strings.NewReader(""), writer, &errs)
		writer.Close()
		ended <- code
	}()
	u := &up{}
	u.stop = func() int {
		cancel()
		select {
		case code := <-ended:
			ended <- code
			return code
		case <-time.After(limit):
			t.Fatal("breaker up did not stop")
			return -1
		}
	}
	t.Cleanup(func() {
		if code := u.stop(); code != 0 {
			t.Errorf("breaker up ended with %d: %s", code, errs.String())
		}
	})
	ready := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(reader).ReadString('\n')
		ready <- line
		_, _ = io.Copy(io.Discard, reader)
	}()
	select {
	case line := <-ready:
		if line == "" {
			t.Fatalf("breaker up did not start: %s", errs.String())
		}
		decode(t, line, u)
	case <-time.After(limit):
		t.Fatalf("breaker up was not ready in %s", limit)
	}
	c.environ = append(c.environ, "NATS_URL="+u.NATS)
	return u
}

// eventually waits until check is true.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !check(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come about in %s", what, limit)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestUpRefusesAFolderInUse(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	u := c.start(t)
	got := c.run(t, "up", "--dir", u.Dir, "--nats-listen", "127.0.0.1:0", "--http-listen", "off")
	if got.code != 1 || !strings.Contains(got.err, "in use") || !strings.Contains(got.err, fmt.Sprint(u.PID)) {
		t.Errorf("ended with %d: %s", got.code, got.err)
	}
	if code := u.stop(); code != 0 {
		t.Fatalf("up ended with %d", code)
	}
	// What was given back can be taken again.
	c.start(t)
}

func TestUpServesHealthAndMetrics(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	u := c.start(t)
	for path, want := range map[string]string{
		"/healthz": "ok", "/readyz": `"ready":true`, "/metrics": "go_goroutines",
	} {
		if status, body := fetch(t, u.HTTP+path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s answers %d: %.200s", path, status, body)
		}
	}
}

func TestUpKeepsWhatItWasTold(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	u := c.start(t, "--sync", "interval")
	c.ok(t, "deploy", c.file(t, "review.yaml", reviewYAML))
	var token wire.Token
	c.json(t, &token, "token", "create", "review", "--data", `{"title":"kept"}`)
	if code := u.stop(); code != 0 {
		t.Fatalf("up ended with %d", code)
	}
	c.start(t)
	var again wire.Token
	c.json(t, &again, "token", "get", token.ID)
	// The server's time of the event is known exactly only to who reads it.
	token.NatsTimestamp, again.NatsTimestamp = time.Time{}, time.Time{}
	if diff := cmp.Diff(token, again); diff != "" {
		t.Errorf("after a restart (-before +after):\n%s", diff)
	}
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
