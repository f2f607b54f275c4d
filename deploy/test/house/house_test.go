package house

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	top      = "../../.."
	module   = "github.com/seed-42b4788c/circuit-breaker/"
	frontage = "services/breaker" // The front door: it alone knows the other services.
)

// goPackage is what go list says of a package.
type goPackage struct {
	ImportPath, Name, Doc              string
	GoFiles                            []string
	Imports, TestImports, XTestImports []string
}

// path is the package's folder from the top.
func (p goPackage) path() string { return strings.TrimPrefix(p.ImportPath, module) }

// ours are imports from this repository, as folders from the top.
func ours(imports []string) []string {
	var found []string
	for _, i := range imports {
		if folder, ok := strings.CutPrefix(i, module); ok {
			found = append(found, folder)
		}
	}
	return found
}

func newTestPackages(t *testing.T) []goPackage {
	t.Helper()
	args := []string{"list", "-json=ImportPath,Name,Doc,GoFiles,Imports,TestImports,XTestImports"}
	for _, m := range modules(t) {
		args = append(args, "./"+m+"/...")
	}
	list := exec.Command("go", args...)
	list.Dir = top
	out, err := list.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) == 0 {
		t.Fatal("go list found nothing")
	}
	return packages
}

// modules are the folders of go.work.
func modules(t *testing.T) []string {
	t.Helper()
	edit := exec.Command("go", "work", "edit", "-json")
	edit.Dir = top
	out, err := edit.Output()
	if err != nil {
		t.Fatal(err)
	}
	var work struct{ Use []struct{ DiskPath string } }
	if err := json.Unmarshal(out, &work); err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, u := range work.Use {
		folders = append(folders, strings.TrimPrefix(u.DiskPath, "./"))
	}
	return folders
}

// layers are the floors of the house; imports only point downward. The longest prefix
// counts. natstest and servicetest stand outside: see TestTheServerStaysInTests.
var layers = map[string]int{
	"pkg/jsonscan":    -1,
	"pkg/wire":        0,
	"pkg/fault":       0,
	"pkg/env":         0,
	"pkg/petri":       1,
	"pkg/secret":      1,
	"pkg/render":      1,
	"pkg/telemetry":   2,
	"pkg/condition":   2,
	"pkg/bus":         3,
	"pkg/audit":       4,
	"pkg/catalog":     4,
	"pkg/service":     4,
	"pkg/client":      4,
	"deploy/examples": 4,
	"pkg/work":        5,
	"services":        6,
	frontage:          7,
	"deploy/test":     8,
	"deploy/tools":    8,
	"pkg/natstest":    8,
	"pkg/servicetest": 9,
}

func layer(folder string) (int, bool) {
	for at := folder; at != "."; at = filepath.ToSlash(filepath.Dir(at)) {
		if l, ok := layers[at]; ok {
			return l, true
		}
	}
	return 0, false
}

// home is the unit within which packages may import one another: a service, or a package
// with what lies under it.
func home(folder string) string {
	parts := strings.Split(folder, "/")
	return strings.Join(parts[:min(2, len(parts))], "/")
}

func TestImportsPointDownward(t *testing.T) {
	t.Parallel()
	for _, p := range newTestPackages(t) {
		mine, ok := layer(p.path())
		if !ok {
			t.Errorf("%s has no layer: give it one here", p.path())
			continue
		}
		for _, i := range ours(p.Imports) {
			if home(i) == home(p.path()) {
				continue
			}
			if its, ok := layer(i); !ok || its >= mine {
				t.Errorf("%s (layer %d) imports %s (layer %d)", p.path(), mine, i, its)
			}
		}
	}
}

func TestPetriSeesOnlyWireAndTheStandardLibrary(t *testing.T) {
	t.Parallel()
	for _, p := range newTestPackages(t) {
		if p.path() != "pkg/petri" {
			continue
		}
		if len(p.Imports) == 0 {
			t.Fatal("pkg/petri imports nothing at all")
		}
		for _, i := range p.Imports {
			first, _, _ := strings.Cut(i, "/")
			if strings.Contains(first, ".") && i != module+"pkg/wire" {
				t.Errorf("pkg/petri imports %s", i)
			}
			if slices.Contains([]string{"os", "net", "math/rand", "math/rand/v2", "crypto/rand", "net/http"}, i) {
				t.Errorf("pkg/petri imports %s: it has no I/O and no randomness", i)
			}
		}
		return
	}
	t.Fatal("pkg/petri was not found")
}

// TestServicesKeepToThemselves holds for tests too: what two services do together is
// tested in deploy/test.
func TestServicesKeepToThemselves(t *testing.T) {
	t.Parallel()
	for _, p := range newTestPackages(t) {
		for _, i := range ours(slices.Concat(p.Imports, p.TestImports, p.XTestImports)) {
			inService := strings.HasPrefix(i, "services/")
			switch mine := home(p.path()); {
			case !inService, mine == home(i), mine == frontage, strings.HasPrefix(mine, "deploy/"):
			default:
				t.Errorf("%s imports %s", p.path(), i)
			}
		}
	}
}

// TestTheServerStaysInTests: no binary but the front door carries nats-server.
func TestTheServerStaysInTests(t *testing.T) {
	t.Parallel()
	for _, p := range newTestPackages(t) {
		ofTests := []string{module + "pkg/natstest", module + "pkg/servicetest"}
		if home(p.path()) == frontage || strings.HasPrefix(p.path(), "deploy/test") || slices.Contains(ofTests, module+p.path()) {
			continue
		}
		for _, i := range p.Imports {
			if slices.Contains(ofTests, i) || strings.HasPrefix(i, "github.com/nats-io/nats-server/") {
				t.Errorf("%s imports %s outside its tests", p.path(), i)
			}
		}
	}
}

func TestPackagesHaveNamesAndDocs(t *testing.T) {
	t.Parallel()
	for _, p := range newTestPackages(t) {
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base"}, p.Name) {
			t.Errorf("%s: %q says nothing", p.path(), p.Name)
		}
		if p.Doc == "" && p.Name != "main" && len(p.GoFiles) > 0 { // A folder of tests alone may do without.
			t.Errorf("%s has no package comment", p.path())
		}
	}
}

func TestServicesHaveTheSameFiles(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(filepath.Join(top, "services"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		// The front door answers no requests: it starts the services and speaks to them.
		if !e.IsDir() || "services/"+e.Name() == frontage {
			continue
		}
		for _, file := range []string{"doc.go", "config.go", "service.go", "handler.go", "cmd/" + e.Name() + "/main.go"} {
			if _, err := os.Stat(filepath.Join(top, "services", e.Name(), file)); err != nil {
				t.Errorf("services/%s lacks %s", e.Name(), file)
			}
		}
	}
}

func TestTopIsTidy(t *testing.T) {
	t.Parallel()
	allowed := []string{
		"services", "pkg", "deploy", "protocols", "docker-compose.yml", "go.work", "go.work.sum",
		"Makefile", "README.md", "LICENSE", "bin", // bin is built and ignored by git.
	}
	entries, err := os.ReadDir(top)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s does not belong at the top", e.Name())
		}
	}
}

func TestFilesAreSmall(t *testing.T) {
	t.Parallel()
	const most, mostReadme = 600, 80
	examples := filepath.Join(top, "protocols", "examples") + string(filepath.Separator)
	files := 0
	for _, folder := range []string{"services", "pkg", "deploy", "protocols"} {
		err := filepath.WalkDir(filepath.Join(top, folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				if d != nil && (d.Name() == "node_modules" || d.Name() == "testdata") {
					return fs.SkipDir
				}
				return err
			}
			ext := filepath.Ext(path)
			if !slices.Contains([]string{".go", ".js", ".sh", ".md"}, ext) {
				return nil
			}
			if folder == "protocols" && ext == ".go" && !strings.HasPrefix(path, examples) {
				t.Errorf("%s: protocols/ is data, no Go but that of the examples", path)
			}
			files++
			n, err := lines(path)
			if err != nil {
				return err
			}
			limit := most
			if folder == "services" && d.Name() == "README.md" {
				limit = mostReadme
			}
			if n > limit {
				t.Errorf("%s has %d lines, at most %d", path, n, limit)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files == 0 {
		t.Fatal("no file was found")
	}
}

func lines(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n := 0
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		n++
	}
	return n, s.Err()
}

// TestModulesAgree: one Go version, every module of ours resolved by a relative replace,
// so that each builds without the workspace.
func TestModulesAgree(t *testing.T) {
	t.Parallel()
	versions := map[string][]string{}
	for _, folder := range modules(t) {
		edit := exec.Command("go", "mod", "edit", "-json")
		edit.Dir = filepath.Join(top, folder)
		out, err := edit.Output()
		if err != nil {
			t.Fatal(err)
		}
		var mod struct {
			Module  struct{ Path string }
			Go      string
			Require []struct{ Path string }
			Replace []struct{ Old, New struct{ Path string } }
		}
		if err := json.Unmarshal(out, &mod); err != nil {
			t.Fatal(err)
		}
		versions[mod.Go] = append(versions[mod.Go], folder)
		if want := module + folder; mod.Module.Path != want {
			t.Errorf("%s: the module is %s, want %s", folder, mod.Module.Path, want)
		}
		replaced := map[string]bool{}
		for _, r := range mod.Replace {
			replaced[r.Old.Path] = strings.HasPrefix(r.New.Path, ".")
		}
		for _, r := range mod.Require {
			if strings.HasPrefix(r.Path, module) && !replaced[r.Path] {
				t.Errorf("%s requires %s without a relative replace", folder, r.Path)
			}
		}
	}
	if len(versions) != 1 {
		t.Errorf("more than one Go version: %v", versions)
	}
}
