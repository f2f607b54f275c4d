package execkind

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	maxFileSize  = 64 << 20
	maxOpenFiles = 256
	// firstToGo makes the kernel choose the program, and not the runner, when memory ends.
	firstToGo = "1000"
)

// sealed is RLIMIT_LOCKS, which means nothing since Linux 2.5. So its value is free to be a seal:
// it goes to everybody whom a program starts, and stays with zombies, whatever they do to their
// environment, session and parent.
const sealed = 10

// child is a program that has begun.
type child struct {
	process *os.Process
	// exited is closed when it has ended. It is a zombie then, and its numbers are still its own.
	exited chan struct{}
}

// start begins the program. One goroutine keeps a thread until the program has ended, and takes
// the thread with it: the kernel ties to the thread that starts a program who may trace it, and
// whose death kills it; and the thread has given up privileges for good.
func (s *system) start(p *program, files []*os.File) (*child, error) {
	c := &child{exited: make(chan struct{})}
	began := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // And never unlocked.
		var err error
		c.process, err = s.launch(p, files)
		began <- err
		if err != nil {
			return
		}
		wait(c.process.Pid, unix.WEXITED)
		close(c.exited)
	}()
	return c, <-began
}

// launch starts the program on this thread and sets its limits: before its first instruction,
// because a program that is traced stops when it is loaded. Where tracing is refused, the limits
// come a moment late, and what the program starts in that moment is not bounded by them.
func (s *system) launch(p *program, files []*os.File) (*os.Process, error) {
	// Programs that would become another user could not be traced, looked at or killed.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("giving up privileges: %w", err)
	}
	held := !s.untraced.Load()
	process, err := spawn(p, files, held)
	if held && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS)) {
		held = false
		if process, err = spawn(p, files, held); err == nil {
			s.untraced.Store(true)
		}
	}
	if err != nil {
		return nil, err
	}
	err = release(process.Pid, held, func() error { return bound(process.Pid, p) })
	if err != nil {
		_ = process.Kill()
		_, _ = process.Wait()
		return nil, err
	}
	return process, nil
}

func spawn(p *program, files []*os.File, held bool) (*os.Process, error) {
	return os.StartProcess(p.path, append([]string{p.path}, p.args...), &os.ProcAttr{
		Dir: p.folder, Env: p.env, Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, Ptrace: held},
	})
}

// release lets a held program run, after before was done.
func release(pid int, held bool, before func() error) error {
	if !held {
		return before()
	}
	if !wait(pid, unix.WEXITED|unix.WSTOPPED) {
		return nil // Somebody has killed it already: the rest sees that.
	}
	if err := before(); err != nil {
		return err
	}
	if err := unix.PtraceDetach(pid); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("letting it run: %w", err)
	}
	return nil
}

// wait waits until a child has ended or stopped, and leaves it as it is. It reports whether it
// has stopped.
func wait(pid, options int) (stopped bool) {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, pid, &info, options|unix.WNOWAIT, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return err == nil && (info.Code == cldTrapped || info.Code == cldStopped)
	}
}

// From <bits/siginfo-consts.h>.
const (
	cldTrapped = 4
	cldStopped = 5
)

// bound sets the limits of a process, which whatever it starts inherits.
func bound(pid int, p *program) error {
	for _, limit := range []struct {
		resource   int
		soft, hard uint64
	}{
		{unix.RLIMIT_DATA, p.memory, p.memory},
		// SIGXCPU at the soft limit; SIGKILL at the hard one, for those that do not mind.
		{unix.RLIMIT_CPU, p.seconds, p.seconds + 1},
		{unix.RLIMIT_FSIZE, maxFileSize, maxFileSize},
		{unix.RLIMIT_NOFILE, maxOpenFiles, maxOpenFiles},
		{unix.RLIMIT_CORE, 0, 0},
		{sealed, p.seal, p.seal},
	} {
		var old unix.Rlimit
		if err := unix.Prlimit(pid, limit.resource, nil, &old); err != nil {
			return fmt.Errorf("reading its limits: %w", err)
		}
		// A limit that is lower already stays so: nobody but root could raise it.
		hard := min(limit.hard, old.Max)
		if err := unix.Prlimit(pid, limit.resource, &unix.Rlimit{Cur: min(limit.soft, hard), Max: hard}, nil); err != nil {
			return fmt.Errorf("setting its limits: %w", err)
		}
	}
	// A kernel without it has other ways.
	_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte(firstToGo), 0)
	return nil
}
