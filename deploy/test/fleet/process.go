// Package fleet runs the real binaries against one another on loopback: breaker up, single
// services, nats-server alone and as a cluster. Tests kill, stop and wake them by pid.
package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// repository is the top of the checkout, seen from this package's folder.
const repository = "../../.."

const startTimeout = 60 * time.Second

// binaries are built once for a run of the tests, into a folder that Main removes.
type binaries struct {
	mu    sync.Mutex
	dir   string
	built map[string]string
}

var shared = binaries{built: map[string]string{}}

// Main runs the tests of a package that uses binaries, and removes them.
func Main(m *testing.M) int {
	code := m.Run()
	if shared.dir != "" {
		os.RemoveAll(shared.dir) //nolint:errcheck // a temporary folder
	}
	return code
}

// sources says where each binary is built, and from what.
var sources = map[string]struct{ module, pkg string }{
	"breaker":         {"services/breaker", "./cmd/breaker"},
	"token":           {"services/token", "./cmd/token"},
	"rules":           {"services/rules", "./cmd/rules"},
	"transition":      {"services/transition", "./cmd/transition"},
	"function-runner": {"services/function-runner", "./cmd/function-runner"},
	"nats-server":     {"services/breaker", "github.com/nats-io/nats-server/v2"},
}

// Binary builds a program and returns its path.
func Binary(t testing.TB, name string) string {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if path, ok := shared.built[name]; ok {
		return path
	}
	if shared.dir == "" {
		dir, err := os.MkdirTemp("", "breaker-binaries-")
		if err != nil {
			t.Fatal(err)
		}
		shared.dir = dir
	}
	source, ok := sources[name]
	if !ok {
		t.Fatalf("no program %q", name)
	}
	path := filepath.Join(shared.dir, name)
	build := exec.Command("go", "build", "-o", path, source.pkg)
	build.Dir = filepath.Join(repository, source.module)
	build.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", name, err, out)
	}
	shared.built[name] = path
	return path
}

// Process is a program that a test started.
type Process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error

	mu   sync.Mutex
	head []string
	tail []string
}

// How much of a program's output is kept: the beginning names it, the end tells why.
const (
	headKept = 20
	tailKept = 60
)

// Run starts a program with additions to the environment. line gets every line it prints,
// may be nil. The program is killed when the test ends.
func Run(t testing.TB, name string, environ, args []string, line func(string)) *Process {
	t.Helper()
	p := &Process{t: t, name: name, cmd: exec.Command(Binary(t, name), args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), environ...)
	// A program must not outlive the test, whatever becomes of it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	w.Close()
	go func() {
		defer close(p.done)
		scanner := bufio.NewScanner(r)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			p.keep(scanner.Text())
			if line != nil {
				line(scanner.Text())
			}
		}
		r.Close()
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("last lines of %s:\n%s", name, strings.Join(p.lines(), "\n"))
		}
	})
	return p
}

func (p *Process) keep(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.head) < headKept {
		p.head = append(p.head, line)
		return
	}
	p.tail = append(p.tail, line)
	if len(p.tail) > tailKept {
		p.tail = p.tail[1:]
	}
}

func (p *Process) lines() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append(append([]string(nil), p.head...), p.tail...)
}

// Signal sends a signal to the program.
func (p *Process) Signal(sig syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("signalling %s: %v", p.name, err)
	}
}

// Kill ends the program as kill -9 does, and waits.
func (p *Process) Kill() {
	p.cmd.Process.Kill() //nolint:errcheck // it may have ended
	<-p.done
}

// Terminate asks the program to end, and returns how it did.
func (p *Process) Terminate() error {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.err
	case <-time.After(startTimeout):
		p.Kill()
		return fmt.Errorf("%s did not end within %s of SIGTERM", p.name, startTimeout)
	}
}

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.done }

// FreePort is a loopback port that nobody listens on now.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Connect opens a connection that is closed when the test ends.
func Connect(t testing.TB, url string, options ...nats.Option) *nats.Conn {
	t.Helper()
	var nc *nats.Conn
	Eventually(t, "a connection to "+url, func() (err error) {
		nc, err = nats.Connect(url, append([]nats.Option{
			nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond), nats.ReconnectBufSize(-1),
		}, options...)...)
		return err
	})
	t.Cleanup(nc.Close)
	return nc
}

// Eventually waits until try succeeds.
func Eventually(t testing.TB, what string, try func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("waited %s for %s: %v", startTimeout, what, err)
		case <-tick.C:
		}
	}
}
