package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Sync settings of the embedded server.
const (
	SyncInterval = "interval"
	SyncAlways   = "always"
)

// FleetOptions say how a fleet is started.
type FleetOptions struct {
	Sync            string
	ProjectorPaused bool
}

// Fleet is a running fleet. Stop ends it and removes its data; it must be called once.
type Fleet struct {
	NATSURL string
	PID     int
	Stop    func() error
}

// Launcher starts a fleet with empty storage.
type Launcher func(context.Context, FleetOptions) (*Fleet, error)

const (
	startWait = 30 * time.Second
	stopWait  = 30 * time.Second
)

// Child launches fleets as processes of the program at path, in folders under parent
// (empty: the system's folder for temporary files).
func Child(path, parent string) Launcher {
	return func(ctx context.Context, o FleetOptions) (*Fleet, error) {
		dir, err := os.MkdirTemp(parent, "breaker-bench-")
		if err != nil {
			return nil, err
		}
		fleet, err := spawn(ctx, path, dir, o)
		if err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
		return fleet, nil
	}
}

// ready is the line that up writes when it serves.
type ready struct {
	NATSURL string `json:"nats_url"`
	PID     int    `json:"pid"`
}

func spawn(ctx context.Context, path, dir string, o FleetOptions) (*Fleet, error) {
	args := []string{
		"up", "--dir", dir, "--nats-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0",
		"--sync", o.Sync, "--json", "--log-level", "error",
	}
	cmd := exec.Command(path, args...)
	cmd.Env = plain(os.Environ())
	if o.ProjectorPaused {
		cmd.Env = append(cmd.Env, "BREAKER_PROJECTOR_PAUSED=true")
	}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines, read := make(chan string, 1), make(chan struct{})
	go func() {
		// The first line is the announcement; the rest is read so that the child never
		// blocks. It ends with the child.
		defer close(read)
		scanner := bufio.NewScanner(stdout)
		if scanner.Scan() {
			lines <- scanner.Text()
		}
		close(lines)
		for scanner.Scan() {
			continue
		}
	}()
	end := func() error {
		err := end(cmd)
		<-read
		return err
	}
	select {
	case line, ok := <-lines:
		var r ready
		if ok && json.Unmarshal([]byte(line), &r) == nil && r.NATSURL != "" {
			stop := func() error { return errors.Join(end(), os.RemoveAll(dir)) }
			return &Fleet{NATSURL: r.NATSURL, PID: cmd.Process.Pid, Stop: stop}, nil
		}
		err := end()
		return nil, errors.Join(fmt.Errorf("the fleet did not start: %s%s", line, complaints.String()), err)
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), end())
	case <-time.After(startWait):
		return nil, errors.Join(errors.New("the fleet did not start in time"), end())
	}
}

// plain is the environment without settings of services: what is measured is the default.
func plain(environ []string) []string {
	return slices.DeleteFunc(environ, func(entry string) bool {
		return strings.HasPrefix(entry, "BREAKER_") || strings.HasPrefix(entry, "OTEL_")
	})
}

// end asks the process to stop, then makes it.
func end(cmd *exec.Cmd) error {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	killer := time.AfterFunc(stopWait, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !killer.Stop() {
		return errors.New("the fleet did not stop in time and was killed")
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("the fleet ended with %s", exit.ProcessState)
	}
	return err
}
