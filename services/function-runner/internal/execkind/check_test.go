package execkind

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestCheckNamesTheField(t *testing.T) {
	t.Parallel()
	k := New(Config{}, nil)
	defer k.Close()
	good := wire.ExecFunction{Command: "jq", Args: []string{"-c", "."}, Env: map[string]string{"_A1": "x", "KEY": "secret:KEY"}, MemoryMB: 64, CPUSeconds: 5}
	if err := k.Check(&wire.FunctionSpec{Exec: &good}); err != nil {
		t.Error(err)
	}
	for field, change := range map[string]func(*wire.ExecFunction){
		"exec.command":         func(e *wire.ExecFunction) { e.Command = "" },
		"exec.args":            func(e *wire.ExecFunction) { e.Args = make([]string, 1000) },
		"exec.args[1]":         func(e *wire.ExecFunction) { e.Args = []string{"", "\x00"} },
		"exec.env":             func(e *wire.ExecFunction) { e.Env = map[string]string{"A": strings.Repeat("x", 1<<20)} },
		"exec.env.A":           func(e *wire.ExecFunction) { e.Env = map[string]string{"A": "\x00"} },
		"exec.env.":            func(e *wire.ExecFunction) { e.Env = map[string]string{"": "x"} },
		"exec.env.1A":          func(e *wire.ExecFunction) { e.Env = map[string]string{"1A": "x"} },
		"exec.env.A=B":         func(e *wire.ExecFunction) { e.Env = map[string]string{"A=B": "x"} },
		"exec.env.PATH":        func(e *wire.ExecFunction) { e.Env = map[string]string{"PATH": "/tmp"} },
		"exec.env.LD_PRELOAD":  func(e *wire.ExecFunction) { e.Env = map[string]string{"LD_PRELOAD": "x"} },
		"exec.env.BREAKER_RUN": func(e *wire.ExecFunction) { e.Env = map[string]string{"BREAKER_RUN": "x"} },
		"exec.env.HOME":        func(e *wire.ExecFunction) { e.Env = map[string]string{"HOME": "x"} },
		"exec.memory_mb":       func(e *wire.ExecFunction) { e.MemoryMB = 1 },
		"exec.cpu_seconds":     func(e *wire.ExecFunction) { e.CPUSeconds = -1 },
		"exec":                 nil,
	} {
		spec := &wire.FunctionSpec{}
		if change != nil {
			bad := good
			change(&bad)
			spec.Exec = &bad
		}
		err := k.Check(spec)
		var f *fault.Error
		if !errors.Is(err, fault.InvalidField) || !errors.As(err, &f) || f.Details["field"] != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	for _, command := range []string{"/bin/sh", "../sh", "a b", "-x", ".", "a\n", strings.Repeat("x", 65)} {
		if err := k.Check(&wire.FunctionSpec{Exec: &wire.ExecFunction{Command: command}}); !errors.Is(err, fault.InvalidField) {
			t.Errorf("%q is a command: %v", command, err)
		}
	}
}

func TestParseAllow(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	program, text := filepath.Join(folder, "program"), filepath.Join(folder, "text")
	for path, mode := range map[string]os.FileMode{program: 0o700, text: 0o600} {
		if err := os.WriteFile(path, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(folder, "link")
	if err := os.Symlink(program, link); err != nil {
		t.Fatal(err)
	}
	allow, err := ParseAllow(" other=" + program + " ," + program + ",," + link + "," + program)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"other": program, "program": program, "link": link}, allow); diff != "" {
		t.Error(diff)
	}
	if allow, err := ParseAllow(" "); err != nil || len(allow) > 0 {
		t.Errorf("nothing allows %v, %v", allow, err)
	}
	_, err = ParseAllow("relative,a b=" + program + ",text=" + text + "," + folder + ",x=" + program + ",x=" + link + "," + filepath.Join(folder, "none") + ",y=")
	if err == nil {
		t.Fatal("it allows anything")
	}
	for _, want := range []string{"not an absolute path", `"a b" is no name`, "not executable", "not a regular file", "x is both", "no such file", "y: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}
