package integration

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/servicetest"
)

const (
	repository = "../../.."
	samples    = repository + "/protocols/examples"
)

// sampleProcess is a sample that runs as whoever reads it would run it.
type sampleProcess struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error

	mu     sync.Mutex
	output bytes.Buffer
}

// Write keeps what the program prints.
func (p *sampleProcess) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(b)
}

func (p *sampleProcess) printed() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// startSample starts a program on the fleet, and waits until it has printed that it is ready.
// It is killed when the test ends.
func (f *fleet) startSample(ready string, cmd *exec.Cmd) *sampleProcess {
	f.t.Helper()
	p := &sampleProcess{t: f.t, name: strings.Join(cmd.Args, " "), cmd: cmd, done: make(chan struct{})}
	cmd.Env = append(cmd.Environ(), "NATS_URL="+f.Server.URL())
	cmd.Stdout, cmd.Stderr = p, p
	// A program must not outlive the test, nor one of its own keep the test waiting.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		f.t.Fatalf("starting %s: %v", p.name, err)
	}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	f.t.Cleanup(func() {
		_ = cmd.Process.Kill() // It may have ended.
		<-p.done
		if f.t.Failed() {
			f.t.Logf("%s printed:\n%s", p.name, p.printed())
		}
	})
	p.prints(ready)
	return p
}

// prints waits until the program has printed something.
func (p *sampleProcess) prints(text string) {
	p.t.Helper()
	servicetest.Eventually(p.t, p.name+" prints "+text, func() bool {
		select {
		case <-p.done:
			if !strings.Contains(p.printed(), text) {
				p.t.Fatalf("%s ended before it printed %s: %v", p.name, text, p.err)
			}
		default:
		}
		return strings.Contains(p.printed(), text)
	})
}

// terminate asks the program to end.
func (p *sampleProcess) terminate() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// ends waits until the program has ended well.
func (p *sampleProcess) ends() {
	p.t.Helper()
	select {
	case <-p.done:
		if p.err != nil {
			p.t.Errorf("%s ended with %v", p.name, p.err)
		}
	case <-time.After(servicetest.Patience):
		p.t.Fatalf("%s did not end", p.name)
	}
}

// preparing is how long a sample's packages may take to come, and its program to be built.
const preparing = 3 * time.Minute

// prepare runs a command that makes a sample ready.
func prepare(t *testing.T, folder, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), preparing)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = folder
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
}

// natsCLI is the pinned nats command line, built into bin/ where it is missing.
func natsCLI(t *testing.T) string {
	t.Helper()
	bin, err := filepath.Abs(filepath.Join(repository, "bin"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(bin, "nats")
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		return path
	}
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	// Another package's tests may build it, or run it, right now: it comes whole.
	fresh, err := os.MkdirTemp(bin, "nats-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh) //nolint:errcheck // a temporary folder
	prepare(t, filepath.Join(repository, "deploy", "tools"),
		"env", "GOWORK=off", "go", "build", "-o", filepath.Join(fresh, "nats"), "github.com/nats-io/natscli/nats")
	if err := os.Rename(filepath.Join(fresh, "nats"), path); err != nil {
		t.Fatal(err)
	}
	return path
}
