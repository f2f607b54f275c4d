package secret

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed-42b4788c/circuit-breaker/pkg/env"
)

// MaxBytes is how long a secret may be.
const MaxBytes = 64 << 10

// Error is why there is no value. It says nothing of the value, nor of a text that was
// perhaps meant as one.
type Error struct {
	// Name is empty where the reference itself is wrong.
	Name   string
	Reason string
}

// Error is a sentence without its full stop.
func (e *Error) Error() string {
	if e.Name == "" {
		return e.Reason
	}
	return "the secret " + e.Name + " " + e.Reason
}

// Store looks secrets up and remembers them for redaction. It is safe for concurrent use.
type Store struct {
	variables map[string]string
	folder    string

	mu sync.Mutex
	// given are the values that were given out, by name, the newest last.
	given    map[string][]string
	redactor atomic.Pointer[strings.Replacer]
}

// New reads the variables in environ (KEY=value, as os.Environ gives it), and in time the
// files in folder; an empty folder is none.
func New(environ []string, folder string) *Store {
	s := &Store{variables: map[string]string{}, folder: folder, given: map[string][]string{}}
	for _, pair := range environ {
		key, value, _ := strings.Cut(pair, "=")
		if name, ok := strings.CutPrefix(key, env.SecretPrefix); ok && IsName(name) {
			s.variables[name] = value
		}
	}
	return s
}

// Resolve is the value that secret:NAME names; its error is an *Error.
func (s *Store) Resolve(ref string) (string, error) {
	name, ok := strings.CutPrefix(ref, Prefix)
	if !ok {
		return "", &Error{Reason: "a reference to a secret is " + Prefix + "NAME"}
	}
	return s.Lookup(name)
}

// Value is what a text stands for: the secret where the whole text is a reference to one, else
// the text. Give it texts of a definition, never of an input: that must not choose secrets.
func (s *Store) Value(text string) (string, error) {
	if !IsReference(text) {
		return text, nil
	}
	return s.Resolve(text)
}

// Lookup is the value of the secret of that name; its error is an *Error.
func (s *Store) Lookup(name string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	value, found, err := s.file(name)
	if err != nil {
		return "", err
	}
	if !found {
		value, found = s.variables[name]
	}
	switch {
	case !found:
		return "", &Error{Name: name, Reason: "is missing: the operator sets " + env.SecretPrefix + name + " or puts a file of that name into the folder of secrets"}
	case value == "":
		return "", &Error{Name: name, Reason: "is empty"}
	case len(value) > MaxBytes:
		return "", &Error{Name: name, Reason: "has more than 64 KiB"}
	}
	s.remember(name, value)
	return value, nil
}

// file reads the secret from the folder. A file that is there and unreadable is an error: the
// variable may hold what was rotated away.
func (s *Store) file(name string) (value string, found bool, err error) {
	if s.folder == "" {
		return "", false, nil
	}
	unreadable := func(err error) (string, bool, error) {
		if errors.Is(err, fs.ErrNotExist) {
			return "", false, nil
		}
		return "", false, &Error{Name: name, Reason: "cannot be read: " + withoutPath(err)}
	}
	folder, err := os.OpenRoot(s.folder)
	if err != nil {
		return unreadable(err)
	}
	defer folder.Close()
	info, err := folder.Stat(name) // First, because to open a pipe waits for its writer.
	if err != nil {
		return unreadable(err)
	}
	if !info.Mode().IsRegular() {
		return "", false, &Error{Name: name, Reason: "is not a file"}
	}
	file, err := folder.Open(name)
	if err != nil {
		return unreadable(err)
	}
	defer file.Close()
	read, err := io.ReadAll(io.LimitReader(file, MaxBytes+int64(len("\r\n"))+1))
	if err != nil {
		return unreadable(err)
	}
	return withoutLineEnd(string(read)), true, nil
}

// withoutLineEnd drops the one that editors and echo add.
func withoutLineEnd(text string) string {
	if trimmed, ok := strings.CutSuffix(text, "\n"); ok {
		return strings.TrimSuffix(trimmed, "\r")
	}
	return text
}

// withoutPath leaves out where the operator keeps secrets.
func withoutPath(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}
