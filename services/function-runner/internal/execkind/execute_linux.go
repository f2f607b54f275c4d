package execkind

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// lookEvery is how often the processes of a run are counted.
	lookEvery = 50 * time.Millisecond
	// threadsPerProcess bounds the threads of a run: the runtimes of Go and Node have a dozen.
	threadsPerProcess = 16
	// drainFor is how long the pipes are read on after the kill, if somebody still holds them.
	drainFor = time.Second
	// dieFor is how long a killed program may take to die, which is long only in the kernel.
	dieFor = 10 * time.Second
)

// system is what the runs of a kind share.
type system struct {
	table table
	// untraced: programs cannot be held before they begin, see launch.
	untraced atomic.Bool
}

// execute runs the program and whatever it starts to the end. The error is why it did not begin.
func (k *Kind) execute(ctx context.Context, p *program) (ending, error) {
	// This also shows whether processes can be watched at all, before there is one.
	if _, err := k.system.table.since(time.Now()); err != nil {
		return ending{}, fmt.Errorf("its processes could not be watched: %w", err)
	}
	pipes, err := newPipes(p)
	if err != nil {
		return ending{}, err
	}
	defer pipes.close()
	c, err := k.system.start(p, pipes.theirs[:])
	pipes.closeTheirs()
	if err != nil {
		return ending{}, err
	}
	pipes.pump(p.input)

	pack := newPack(&k.system.table, c.process.Pid, p)
	e := ending{killed: watch(ctx, p, c, pack, pipes)}
	pack.hunt()
	died := time.NewTimer(dieFor)
	defer died.Stop()
	select {
	case <-c.exited:
		c.reap(p, &e)
	case <-died.C:
		// It hangs in the kernel. It is reaped when it comes out.
		go func() {
			<-c.exited
			_, _ = c.process.Wait()
		}()
	}
	pipes.finish()
	e.stdout, e.overflown, e.stderr = pipes.stdout.text, pipes.stdout.overflown(), pipes.stderr.text
	return e, nil
}

// watch waits until the program has ended, or has to be killed.
func watch(ctx context.Context, p *program, c *child, pack *pack, pipes *pipes) reason {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-c.exited:
			return notKilled
		case <-ctx.Done():
			return byContext
		case <-pipes.stdout.full:
			return byOutput
		case <-look.C:
			if why := pack.excess(p); why != notKilled {
				return why
			}
		}
	}
}

// reap takes the exit status. Nobody may be left then, for the program's number, and that of
// its group and session, becomes free.
func (c *child) reap(p *program, e *ending) {
	state, err := c.process.Wait()
	if err != nil {
		e.signal = "something unknown"
		return
	}
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		e.peak = uint64(usage.Maxrss) << 10
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		e.code = state.ExitCode()
		return
	}
	e.signal = signalName(status.Signal())
	spent := state.SystemTime() + state.UserTime()
	switch {
	case status.Signal() == syscall.SIGXFSZ:
		e.limit = "size of a file"
	case status.Signal() == syscall.SIGXCPU,
		// It ignored SIGXCPU, and the kernel killed it a second later.
		status.Signal() == syscall.SIGKILL && spent >= time.Duration(p.seconds)*time.Second:
		e.limit = "processor time"
	}
}

func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return "signal " + strconv.Itoa(int(s)) // Real-time signals have no name.
}

// pipes are the standard streams of a program.
type pipes struct {
	ours, theirs [3]*os.File
	stdout       *capture
	stderr       tail
	pumps        sync.WaitGroup
}

func newPipes(p *program) (*pipes, error) {
	s := &pipes{stdout: newCapture(p.maxOutput)}
	for i := range s.ours {
		r, w, err := os.Pipe()
		if err != nil {
			s.closeTheirs()
			s.close()
			return nil, err
		}
		if i == 0 {
			r, w = w, r
		}
		s.ours[i], s.theirs[i] = r, w
	}
	return s, nil
}

// pump begins to write and to read. A program that does not read is no fault.
func (s *pipes) pump(input []byte) {
	if len(input) == 0 {
		input = []byte("null")
	}
	s.pumps.Go(func() {
		if _, err := s.ours[0].Write(input); err == nil {
			_, _ = s.ours[0].Write([]byte{'\n'})
		}
		_ = s.ours[0].Close()
	})
	s.pumps.Go(func() { drain(s.stdout, s.ours[1]) })
	s.pumps.Go(func() { drain(&s.stderr, s.ours[2]) })
}

// finish waits for what is still in the pipes, and for not much longer: somebody who escaped
// may hold them.
func (s *pipes) finish() {
	now := time.Now()
	_ = s.ours[0].SetDeadline(now)
	_ = s.ours[1].SetReadDeadline(now.Add(drainFor))
	_ = s.ours[2].SetReadDeadline(now.Add(drainFor))
	s.pumps.Wait()
}

func (s *pipes) closeTheirs() { closeAll(s.theirs[:]) }

func (s *pipes) close() { closeAll(s.ours[:]) }

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}

// drain reads until the end, into a writer that takes everything.
func drain(to io.Writer, from *os.File) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		_, _ = to.Write(buffer[:n])
		if err != nil {
			return
		}
	}
}
