package definition_test

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/definition"
)

func newTestLanguage(t *testing.T) *condition.Language {
	t.Helper()
	language, err := condition.New()
	if err != nil {
		t.Fatal(err)
	}
	return language
}

func parse(t *testing.T, path string, raw []byte) *definition.File {
	t.Helper()
	return definition.Parse(newTestLanguage(t), path, raw)
}

func read(t *testing.T, path string, stdin io.Reader) (*definition.File, error) {
	t.Helper()
	return definition.Read(newTestLanguage(t), path, stdin)
}

const sound = `
name: review
initial_place: draft
places: [{ id: draft }, { id: done }]
transitions: [{ id: finish, from: draft, to: done }]
`

func TestYAMLAndJSONSayTheSame(t *testing.T) {
	t.Parallel()
	yaml := parse(t, "a.yaml", []byte(sound))
	if len(yaml.Problems) > 0 {
		t.Fatalf("problems: %v", yaml.Problems)
	}
	reordered := `{"transitions":[{"to":"done","from":["draft"],"id":"finish"}],"places":[{"id":"draft"},{"id":"done"}],
		"initial_place":"draft","name":"review"}`
	fromJSON := parse(t, "a.json", []byte(reordered))
	if len(fromJSON.Problems) > 0 {
		t.Fatalf("problems: %v", fromJSON.Problems)
	}
	if !definition.Same(yaml.Definition(), fromJSON.Definition()) {
		t.Error("the same definition in two forms counts as different")
	}
	other := parse(t, "b.yaml", []byte(strings.ReplaceAll(sound, "finish", "end")))
	if definition.Same(yaml.Definition(), other.Definition()) {
		t.Error("different definitions count as the same")
	}
	if !json.Valid(yaml.JSON) {
		t.Errorf("no JSON: %s", yaml.JSON)
	}
}

func TestSchemasDifferOnlyByWhatTheySay(t *testing.T) {
	t.Parallel()
	with := func(schema string) *definition.File {
		return parse(t, "x.yaml", []byte(sound+"schema: "+schema+"\n"))
	}
	a, b := with(`{"type": "object", "maxProperties": 10}`), with("\n  maxProperties: 10\n  type: object")
	if len(a.Problems)+len(b.Problems) > 0 {
		t.Fatalf("problems: %v %v", a.Problems, b.Problems)
	}
	if !definition.Same(a.Definition(), b.Definition()) {
		t.Error("the order of a schema's members counts as a difference")
	}
	if c := with(`{"type": "object", "maxProperties": 11}`); definition.Same(a.Definition(), c.Definition()) {
		t.Error("another schema counts as the same")
	}
}

func TestEveryProblemIsReportedAtOnce(t *testing.T) {
	t.Parallel()
	file := parse(t, "bad.yaml", []byte(`
name: Review
initial_place: nowhere
places: [{ id: draft }, { id: draft }]
transitions: [{ id: finish, from: draft, to: lost }]
`))
	codes := map[string]bool{}
	for _, p := range file.Problems {
		codes[p.Code] = true
	}
	for _, code := range []string{"invalid_id", "duplicate_id", "unknown_place"} {
		if !codes[code] {
			t.Errorf("no %s among %v", code, file.Problems)
		}
	}
	if file.Net != nil {
		t.Error("a definition with problems was compiled")
	}
}

func TestInlineConditionsAreChecked(t *testing.T) {
	t.Parallel()
	file := parse(t, "x.yaml", []byte(strings.Replace(sound, "to: done", `to: done, when: "token.dat.amount > 1"`, 1)))
	if len(file.Problems) != 1 || file.Problems[0].Path != "transitions[0].when" || file.Problems[0].Code != condition.InvalidCondition {
		t.Errorf("problems are %v", file.Problems)
	}
	file = parse(t, "x.yaml", []byte(strings.Replace(sound, "to: done", `to: done, when: "token.data.amount > 1"`, 1)))
	if len(file.Problems) != 0 || file.Net == nil {
		t.Errorf("problems are %v", file.Problems)
	}
}

func TestWhatIsNoDefinitionIsOneProblem(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"empty": "", "text": "hello", "list": "- a\n- b\n", "tab": "\tname: x", "broken": `{"name": "x"`,
		"duplicate": sound + "name: again\n", "two documents": sound + "---\nname: other\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if file := parse(t, "x", []byte(raw)); len(file.Problems) == 0 {
				t.Errorf("%q passed", raw)
			}
		})
	}
}

func TestASecondEmptyDocumentIsHarmless(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"---" + sound, sound + "---\n", sound + "...\n"} {
		if file := parse(t, "x", []byte(raw)); len(file.Problems) > 0 {
			t.Errorf("%q: %v", raw, file.Problems)
		}
	}
}

func TestReadTakesStandardInputAndRefusesHugeFiles(t *testing.T) {
	t.Parallel()
	file, err := read(t, "-", strings.NewReader(sound))
	if err != nil || len(file.Problems) > 0 {
		t.Fatalf("standard input: %v %v", err, file.Problems)
	}
	huge := filepath.Join(t.TempDir(), "huge.yaml")
	if err := os.WriteFile(huge, make([]byte, 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(t, huge, nil); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("a huge file: %v", err)
	}
	if _, err := read(t, filepath.Join(t.TempDir(), "none.yaml"), nil); err == nil {
		t.Error("a file that does not exist was read")
	}
}
