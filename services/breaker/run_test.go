package breaker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/services/breaker"
)

// limit bounds everything that a test waits for.
const limit = 30 * time.Second

// outcome is what a command came to.
type outcome struct {
	code     int
	out, err string
}

// cli runs commands in an environment of its own.
type cli struct {
	environ []string
	dir     string
}

func newTestCLI(t *testing.T) *cli {
	t.Helper()
	dir := t.TempDir()
	return &cli{dir: dir, environ: []string{"XDG_CONFIG_HOME=" + dir, "HOME=" + dir}}
}

// run calls the program and returns what it came to.
func (c *cli) run(t *testing.T, args ...string) outcome {
	t.Helper()
	return c.feed(t, "", args...)
}

// feed calls the program with a standard input.
func (c *cli) feed(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var out, errs bytes.Buffer
	code := breaker.Run(ctx, args, c.environ, strings.NewReader(stdin), &out, &errs)
	return outcome{code, out.String(), errs.String()}
}

// ok calls the program and fails the test unless it worked.
func (c *cli) ok(t *testing.T, args ...string) string {
	t.Helper()
	got := c.run(t, args...)
	if got.code != 0 {
		t.Fatalf("breaker %s ended with %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), got.code, got.out, got.err)
	}
	return got.out
}

// json calls the program with --json and reads its answer.
func (c *cli) json(t *testing.T, into any, args ...string) {
	t.Helper()
	out := c.ok(t, append(args, "--json")...)
	decode(t, out, into)
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("no JSON: %v\n%s", err, text)
	}
}

// file writes a file that commands can name.
func (c *cli) file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
