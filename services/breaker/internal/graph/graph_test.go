package graph_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/definition"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/graph"
)

// newTestDefinition is a net with every kind of place, arc and guard.
func newTestDefinition(t *testing.T) *wire.Definition {
	t.Helper()
	language, err := condition.New()
	if err != nil {
		t.Fatal(err)
	}
	file, err := definition.Read(language, filepath.Join("testdata", "net.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(file.Problems) > 0 {
		t.Fatalf("the test's definition has problems: %v", file.Problems)
	}
	return file.Definition()
}

// golden compares with a file in testdata; UPDATE_GOLDEN=1 rewrites it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", name, diff)
	}
}

func TestMermaidDrawsTheNet(t *testing.T) {
	t.Parallel()
	golden(t, "net.mmd", graph.Mermaid(newTestDefinition(t)))
}

func TestDOTDrawsTheNet(t *testing.T) {
	t.Parallel()
	golden(t, "net.dot", graph.DOT(newTestDefinition(t)))
}

func TestNamesThatDifferInAHyphenStayApart(t *testing.T) {
	t.Parallel()
	def := &wire.Definition{
		Name: "x", InitialPlace: "a-b",
		Places:      []wire.Place{{ID: "a-b"}, {ID: "a_b"}},
		Transitions: []wire.Transition{{ID: "go", From: wire.StringList{"a-b"}, To: "a_b"}},
	}
	drawn := graph.Mermaid(def)
	for _, edge := range []string{"p_aHb --> t_go", "t_go --> p_a_b"} {
		if !strings.Contains(drawn, edge) {
			t.Errorf("no edge %q in:\n%s", edge, drawn)
		}
	}
}

func TestDurationsReadAsAnAuthorWritesThem(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"48h": 48 * time.Hour, "1h30m": 90 * time.Minute, "10m": 10 * time.Minute, "20s": 20 * time.Second,
		"1h0m5s": time.Hour + 5*time.Second, "500ms": 500 * time.Millisecond, "30m": 30 * time.Minute,
	} {
		if got := graph.Duration(wire.Duration(d)); got != want {
			t.Errorf("%s is written %q, want %q", d, got, want)
		}
	}
}
