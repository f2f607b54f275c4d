package secret_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/secret"
)

// newTestFolder is a folder with these files.
func newTestFolder(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, value := range files {
		write(t, filepath.Join(folder, name), value)
	}
	return folder
}

func write(t *testing.T, path, value string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustResolve(t *testing.T, s *secret.Store, ref, want string) {
	t.Helper()
	if got, err := s.Resolve(ref); err != nil || got != want {
		t.Errorf("%s: want %q, have %q, %v", ref, want, got, err)
	}
}

func TestTheFolderGoesBeforeVariables(t *testing.T) {
	t.Parallel()
	folder := newTestFolder(t, map[string]string{"BOTH": "from the file\n", "WINDOWS": "a\r\n", "TWO_LINES": "a\nb\n\n"})
	s := secret.New([]string{"BREAKER_SECRET_BOTH=from the variable", "BREAKER_SECRET_ALONE=a=b", "PATH=/bin"}, folder)
	mustResolve(t, s, "secret:BOTH", "from the file")
	mustResolve(t, s, "secret:ALONE", "a=b")
	mustResolve(t, s, "secret:WINDOWS", "a")
	mustResolve(t, s, "secret:TWO_LINES", "a\nb\n")
	mustResolve(t, secret.New([]string{"BREAKER_SECRET_ALONE=x"}, filepath.Join(folder, "missing")), "secret:ALONE", "x")
}

func TestFilesAreReadAnew(t *testing.T) {
	t.Parallel()
	folder := newTestFolder(t, map[string]string{"KEY": "first value"})
	s := secret.New(nil, folder)
	mustResolve(t, s, "secret:KEY", "first value")
	write(t, filepath.Join(folder, "KEY"), "second value")
	mustResolve(t, s, "secret:KEY", "second value")
	if got := s.Redact("first value, second value"); got != "[secret:KEY], [secret:KEY]" {
		t.Errorf("want both values redacted, have %q", got)
	}
}

// Kubernetes mounts links to a folder of links.
func TestLinksInsideTheFolderAreFollowedAndOthersNot(t *testing.T) {
	t.Parallel()
	outside := newTestFolder(t, map[string]string{"PASSWD": "outside"})
	folder := newTestFolder(t, nil)
	if err := errors.Join(
		os.Mkdir(filepath.Join(folder, "..2026"), 0o700),
		os.Symlink("..2026", filepath.Join(folder, "..data")),
		os.Symlink("..data/KEY", filepath.Join(folder, "KEY")),
		os.Symlink(filepath.Join(outside, "PASSWD"), filepath.Join(folder, "PASSWD")),
	); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "..2026", "KEY"), "mounted")
	s := secret.New(nil, folder)
	mustResolve(t, s, "secret:KEY", "mounted")
	if got, err := s.Resolve("secret:PASSWD"); err == nil {
		t.Errorf("read %q from outside the folder", got)
	}
}

func TestWhatCannotBeResolvedIsRefusedWithoutTheValue(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("hunter2", secret.MaxBytes/7+1)
	folder := newTestFolder(t, map[string]string{"EMPTY": "\n", "LONG": long})
	if err := os.Mkdir(filepath.Join(folder, "FOLDER"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := secret.New([]string{
		"BREAKER_SECRET_EMPTY=hunter2", "BREAKER_SECRET_NOTHING=", "BREAKER_SECRET_LONG_VARIABLE=" + long, "BREAKER_SECRET_lower=hunter2",
	}, folder)
	for ref, want := range map[string]string{
		"secret:MISSING":       "the secret MISSING is missing: the operator sets BREAKER_SECRET_MISSING or",
		"secret:EMPTY":         "the secret EMPTY is empty",
		"secret:NOTHING":       "the secret NOTHING is empty",
		"secret:LONG":          "the secret LONG has more than 64 KiB",
		"secret:LONG_VARIABLE": "has more than 64 KiB",
		"secret:FOLDER":        "the secret FOLDER is not a file",
		"secret:lower":         "the name of a secret is a capital letter",
		"secret:../hunter2":    "the name of a secret is",
		"secret:":              "the name of a secret is",
		"hunter2":              "a reference to a secret is secret:NAME",
	} {
		got, err := s.Resolve(ref)
		var refused *secret.Error
		if !errors.As(err, &refused) || got != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want %q, have %q, %v", ref, want, got, err)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), folder) {
			t.Errorf("%s: the error tells too much: %v", ref, err)
		}
	}
}

func TestALongestSecretFits(t *testing.T) {
	t.Parallel()
	value := strings.Repeat("x", secret.MaxBytes)
	s := secret.New(nil, newTestFolder(t, map[string]string{"KEY": value + "\r\n"}))
	mustResolve(t, s, "secret:KEY", value)
}

func TestOnlyWholeTextsAreReferences(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"secret:A": true, "secret:A_1": true, "secret:" + strings.Repeat("A", 64): true,
		"secret:" + strings.Repeat("A", 65): false, "secret:1": false, "secret:_A": false, "secret:Ä": false,
		" secret:A": false, "secret:A ": false, "secret:A\n": false, "Secret:A": false, "secret:": false, "A": false, "": false,
	} {
		if got := secret.IsReference(text); got != want {
			t.Errorf("%q: want %v", text, want)
		}
	}
	s := secret.New([]string{"BREAKER_SECRET_A=value"}, "")
	for text, want := range map[string]string{"secret:A": "value", "secret:a": "secret:a", "the secret:A": "the secret:A"} {
		if got, err := s.Value(text); err != nil || got != want {
			t.Errorf("%q: want %q, have %q, %v", text, want, got, err)
		}
	}
	if _, err := s.Value("secret:B"); err == nil {
		t.Error("want a missing secret to be an error")
	}
}
