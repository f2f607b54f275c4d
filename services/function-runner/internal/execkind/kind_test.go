//go:build linux

package execkind

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// TestMain makes the tests inherit orphans, as PID 1 does, so that it sees whether one is left:
// alive, or a zombie that nobody has reaped.
func TestMain(m *testing.M) {
	if os.Getenv(asRunner) != "" {
		runUntilKilled()
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); !errors.Is(err, unix.ECHILD) {
			fmt.Printf("a process is left of the runs (%d is a zombie, 0 alive): %v\n", pid, err)
			code = 1
		}
		os.Exit(code)
	}))
}

// asRunner makes the test program a runner, for a test that kills one. It runs a program that
// writes its process number to the file that the variable names.
const asRunner = "EXECKIND_TEST_RUNNER"

func runUntilKilled() {
	k := New(Config{Allow: map[string]string{"sh": "/bin/sh"}}, keeper{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	fn := shell(`echo $$ >"$FILE"; exec sleep 20`)
	fn.Exec.Env = map[string]string{"FILE": os.Getenv(asRunner)}
	k.Run(ctx, fn, attempt(`1`))
	cancel()
	os.Exit(1)
}

// awaitNumber waits until a program has written a process number to a file.
func awaitNumber(t *testing.T, path string) int {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		text, err := os.ReadFile(path)
		if err != nil || !strings.HasSuffix(string(text), "\n") {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	t.Fatal("the program did not begin")
	return 0
}

// keeper keeps secrets in a map.
type keeper map[string]string

func (k keeper) Value(text string) (string, error) {
	name, ok := strings.CutPrefix(text, "secret:")
	if !ok {
		return text, nil
	}
	value, ok := k[name]
	if !ok {
		return "", fmt.Errorf("there is no secret %s", name)
	}
	return value, nil
}

func (k keeper) Redact(text string) string {
	for name, value := range k {
		text = strings.ReplaceAll(text, value, "["+name+"]")
	}
	return text
}

func (k keeper) RedactJSON(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return nil
	}
	return json.RawMessage(k.Redact(string(raw)))
}

const (
	password = "correct-horse-battery-staple"
	// patience is for what should take no time.
	patience = 60 * time.Second
)

func newTestKind(t *testing.T, change ...func(*Config)) *Kind {
	t.Helper()
	// What the runs work in is removed: this folder must be empty in the end.
	t.Setenv("TMPDIR", t.TempDir())
	allow, err := ParseAllow("/bin/sh,/bin/cat")
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Allow: allow}
	for _, c := range change {
		c(&cfg)
	}
	k := New(cfg, keeper{"PASSWORD": password})
	t.Cleanup(func() {
		k.Close()
		left, err := os.ReadDir(os.Getenv("TMPDIR"))
		if err != nil || len(left) > 0 {
			t.Errorf("the runs left %v behind (%v)", left, err)
		}
	})
	return k
}

func shell(script string) *wire.Function {
	return &wire.Function{ID: "f", FunctionSpec: wire.FunctionSpec{
		Kind: wire.FunctionExec, Exec: &wire.ExecFunction{Command: "sh", Args: []string{"-c", script}},
	}}
}

func attempt(input string) *work.Attempt {
	return &work.Attempt{Input: json.RawMessage(input), Job: &wire.Job{
		ID: "e1", Attempt: 2, WorkflowID: "w1", InstanceID: "i1", TokenID: "t1",
	}}
}

// run runs with enough time.
func run(t *testing.T, k *Kind, fn *wire.Function, input string) (work.Result, *work.Failure) {
	t.Helper()
	return runFor(t, k, fn, input, patience)
}

func runFor(t *testing.T, k *Kind, fn *wire.Function, input string, timeout time.Duration) (work.Result, *work.Failure) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return k.Run(ctx, fn, attempt(input))
}

func succeeds(t *testing.T, k *Kind, fn *wire.Function, input, want string) work.Result {
	t.Helper()
	result, failure := run(t, k, fn, input)
	if failure != nil {
		t.Fatalf("it failed: %v (stderr %q)", failure, failure.Stderr)
	}
	if string(result.Output) != want {
		t.Errorf("the output is %s, want %s", result.Output, want)
	}
	return result
}

// fails wants a code, and texts in the message.
func fails(t *testing.T, failure *work.Failure, code string, texts ...string) {
	t.Helper()
	if failure == nil {
		t.Fatalf("it did not fail with %s", code)
	}
	if failure.Code != code {
		t.Errorf("it failed with %v, want %s (stderr %q)", failure, code, failure.Stderr)
	}
	for _, text := range texts {
		if !strings.Contains(failure.Message, text) {
			t.Errorf("the message %q does not contain %q", failure.Message, text)
		}
	}
}

// gone wants that none of the processes lives whose numbers a program wrote to standard error.
// What shells write there besides does not matter.
func gone(t *testing.T, stderr string, want int) {
	t.Helper()
	found := 0
	for _, text := range strings.Fields(stderr) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			continue
		}
		found++
		if row, ok := readProcess(pid, make([]byte, 4096)); ok && !row.dead {
			t.Errorf("process %d lives", pid)
		}
	}
	if found < want {
		t.Errorf("the program wrote %q, want %d numbers of processes", stderr, want)
	}
}
