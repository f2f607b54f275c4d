package main

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const top = "../../.."

func newTestFiles(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := generate(top)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestFilesAreUpToDate(t *testing.T) {
	t.Parallel()
	files := newTestFiles(t)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		have, err := os.ReadFile(filepath.Join(top, path))
		if err != nil {
			t.Errorf("%v; run `make generate`", err)
			continue
		}
		if !bytes.Equal(have, files[path]) {
			t.Errorf("%s differs from pkg/wire; run `make generate` and read what changed", path)
		}
	}
	stale, err := obsolete(top, files)
	if err != nil {
		t.Fatal(err)
	}
	if len(stale) > 0 {
		t.Errorf("no type stands behind %v; run `make generate`", stale)
	}
}

// TestEverythingIsDescribed reads pkg/wire as text, so that a new subject or message
// cannot be forgotten in messages.go.
func TestEverythingIsDescribed(t *testing.T) {
	t.Parallel()
	subjects, types := declared(t)
	described := map[string]bool{}
	for _, e := range endpoints {
		described[e.subject] = true
	}
	for _, s := range subjects {
		if !described[s] {
			t.Errorf("messages.go lacks the endpoint %s", s)
		}
	}
	if len(subjects) != len(endpoints) {
		t.Errorf("pkg/wire has %d subjects, messages.go %d endpoints", len(subjects), len(endpoints))
	}
	g := newGenerator(&comments{})
	own := map[string]bool{}
	for typ := range g.files {
		own[typ.Name()] = true
	}
	for _, name := range types {
		if !own[name] {
			t.Errorf("messages.go lacks %s", name)
		}
	}
}

func TestReferencesResolve(t *testing.T) {
	t.Parallel()
	files := newTestFiles(t)
	for path, content := range files {
		if filepath.Ext(path) != ".json" {
			continue
		}
		var v any
		if err := json.Unmarshal(content, &v); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, ref := range references(v) {
			file, pointer, _ := strings.Cut(ref, "#")
			target := v
			if file != "" {
				if err := json.Unmarshal(files[schemaFolder+"/"+file], &target); err != nil {
					t.Errorf("%s: no file for %s", path, ref)
					continue
				}
			}
			if pointer == "" {
				continue
			}
			for _, step := range strings.Split(pointer, "/")[1:] {
				members, _ := target.(map[string]any)
				if target = members[step]; target == nil {
					t.Errorf("%s: %s leads nowhere", path, ref)
					break
				}
			}
		}
	}
}

func TestGeneratorRefusesToGuess(t *testing.T) {
	t.Parallel()
	type nameless struct {
		Mystery string `json:"mystery"`
	}
	type raw struct {
		Body json.RawMessage `json:"body"`
	}
	for _, v := range []any{nameless{}, raw{}} {
		g := newGenerator(&comments{})
		if _, err := g.file(reflect.TypeOf(v)); err == nil || !strings.Contains(err.Error(), "fields.go") {
			t.Errorf("%T: got %v, want an error that names fields.go", v, err)
		}
	}
}

func TestRunWritesOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.CopyFS(filepath.Join(root, "pkg", "wire"), os.DirFS(filepath.Join(top, "pkg", "wire"))); err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	if err := run([]string{"-root", root}, &first); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(root, schemaFolder, "forgotten.json")
	if err := os.WriteFile(left, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"-root", root}, &second); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Count(first.String(), "wrote"), len(newTestFiles(t)); got != want {
		t.Errorf("the first run wrote %d files, want %d", got, want)
	}
	if got, want := second.String(), "removed "+schemaFolder+"/forgotten.json\n"; got != want {
		t.Errorf("the second run said %q, want %q", got, want)
	}
}

// declared lists the endpoint subjects and the request and reply types of pkg/wire.
func declared(t *testing.T) (subjects, types []string) {
	t.Helper()
	for _, name := range []string{"request.go", "rule.go", "function.go", "execution.go"} {
		before := len(types)
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(top, "pkg", "wire", name), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				if strings.HasPrefix(n.Names[0].Name, "Subject") {
					subjects = append(subjects, strings.Trim(n.Values[0].(*ast.BasicLit).Value, `"`))
				}
			case *ast.TypeSpec:
				if strings.HasSuffix(n.Name.Name, "Request") || strings.HasSuffix(n.Name.Name, "Reply") {
					types = append(types, n.Name.Name)
				}
			}
			return true
		})
		if len(types) == before {
			t.Fatalf("no request was found in pkg/wire/%s", name)
		}
	}
	if len(subjects) == 0 {
		t.Fatal("no subject was found in pkg/wire")
	}
	return subjects, types
}

// references collects every $ref in a document.
func references(v any) []string {
	var all []string
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if s, ok := e.(string); ok && k == "$ref" {
				all = append(all, s)
				continue
			}
			all = append(all, references(e)...)
		}
	case []any:
		for _, e := range v {
			all = append(all, references(e)...)
		}
	}
	return all
}
