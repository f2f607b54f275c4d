package breaker

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

// cellWidth is how much of a document a table shows.
const cellWidth = 60

// show writes a result: v as a document for machines, or what people does for people.
func (a *App) show(v any, people func()) error {
	if a.Console.JSON {
		return a.Console.Document(v)
	}
	people()
	return nil
}

// clock writes a moment for people, in UTC as in the logs and the messages.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05.000")
}

func number[N ~int | ~int64 | ~uint64](n N) ui.Cell {
	return ui.Cell{Text: fmt.Sprint(n), Right: true}
}

func status(s wire.Status) ui.Cell {
	styles := map[wire.Status]ui.Style{
		wire.StatusActive: ui.Good, wire.StatusSuspended: ui.Warning, wire.StatusCancelled: ui.Bad, wire.StatusCompleted: ui.Accent,
	}
	return ui.Cell{Text: string(s), Style: styles[s]}
}

func workflowStatus(s wire.WorkflowStatus) ui.Cell {
	if s == wire.WorkflowActive {
		return ui.Cell{Text: string(s), Style: ui.Good}
	}
	return ui.Cell{Text: string(s), Style: ui.Dim}
}

// compact writes a value as JSON on one line.
func compact(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(raw)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// tokens writes tokens for people.
func (a *App) tokens(tokens []wire.Token) {
	t := ui.NewTable("TOKEN", "PLACE", "SINCE", "REVISION", "DATA")
	for _, token := range tokens {
		t.Row(
			token.ID, ui.Cell{Text: token.Place, Style: ui.Accent}, clock(token.ArrivedAt), number(token.NatsSequence),
			ui.Shorten(ui.Clean(string(token.Data)), cellWidth),
		)
	}
	a.Console.Table(t, "no tokens")
}

// fields writes one thing as name and value lines, leaving empty values out.
func (a *App) fields(pairs ...any) {
	t := ui.NewTable()
	for i := 0; i+1 < len(pairs); i += 2 {
		cell, ok := pairs[i+1].(ui.Cell)
		if !ok {
			cell = ui.Cell{Text: fmt.Sprint(pairs[i+1])}
		}
		cell.Right = false
		if cell.Text != "" {
			t.Row(ui.Cell{Text: pairs[i].(string), Style: ui.Bold}, cell)
		}
	}
	a.Console.Table(t, "")
}

// yaml writes a document as people would, below its name.
func (a *App) yaml(name string, document json.RawMessage) {
	a.lines(name, yamlText(document))
}

// lines writes a text that came from elsewhere, below its name; an empty one is left out.
func (a *App) lines(name, text string) {
	if text == "" {
		return
	}
	a.Console.Printf("\n%s\n", a.Console.Paint(ui.Bold, name+":"))
	for line := range strings.Lines(text) {
		a.Console.Printf("  %s\n", ui.Clean(strings.TrimRight(line, "\r\n")))
	}
}

// yamlText is a document in YAML: JSON is YAML already, but for its style.
func yamlText(document json.RawMessage) string {
	var tree yaml.Node
	var text strings.Builder
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := yaml.Unmarshal(document, &tree); err != nil {
		return string(document)
	}
	plain(&tree)
	if err := encoder.Encode(&tree); err != nil {
		return string(document)
	}
	return text.String()
}

func plain(node *yaml.Node) {
	node.Style = 0
	for _, inside := range node.Content {
		plain(inside)
	}
}

func (a *App) instance(i *wire.Instance) {
	a.fields(
		"instance", i.ID,
		"workflow", i.WorkflowID+" version "+strconv.Itoa(i.WorkflowVersion),
		"status", status(i.Status),
		"reason", i.Reason,
		"created", clock(i.CreatedAt),
		"updated", clock(i.UpdatedAt),
		"revision", number(i.NatsSequence),
		"visits", visits(i.Visits),
	)
}

func visits(counts map[string]int) string {
	places := sortedKeys(counts)
	for i, place := range places {
		places[i] = fmt.Sprintf("%s %d", place, counts[place])
	}
	return strings.Join(places, ", ")
}

func (a *App) token(t *wire.Token) {
	a.fields(
		"token", t.ID,
		"instance", t.InstanceID,
		"place", ui.Cell{Text: t.Place, Style: ui.Accent},
		"created", clock(t.CreatedAt),
		"updated", clock(t.UpdatedAt),
		"arrived", clock(t.ArrivedAt),
		"arrival sequence", number(t.ArrivalSequence),
		"revision", number(t.NatsSequence),
		"data", string(t.Data),
		"metadata", string(t.Metadata),
	)
}

func (a *App) history(records []wire.TransitionRecord) {
	t := ui.NewTable("SEQUENCE", "TIME (UTC)", "TRANSITION", "FROM", "TO", "BY")
	for _, r := range records {
		from := r.FromPlace
		if r.TransitionID == "create" {
			from = ""
		}
		t.Row(number(r.NatsSequence), clock(r.Timestamp), ui.Cell{Text: r.TransitionID, Style: ui.Accent}, from, r.ToPlace, r.TriggeredBy)
	}
	a.Console.Table(t, "no steps")
}

// detailLines are the things in a list that a fault carries, one line each; nil when the
// detail is no such list.
func detailLines[T any](e *fault.Error, key string, line func(T) string) []string {
	body, err := json.Marshal(e.Details[key])
	if err != nil {
		return nil
	}
	var things []T
	if json.Unmarshal(body, &things) != nil {
		return nil
	}
	lines := make([]string, len(things))
	for i, thing := range things {
		lines[i] = line(thing)
	}
	return lines
}

// ruleName is a rule as results call it.
func ruleName(id string, version int) string {
	switch {
	case id == wire.ReservedRuleID:
		return "the inline condition"
	case id == "":
		return "the condition"
	case version == 0:
		return "rule " + id
	}
	return fmt.Sprintf("rule %s (version %d)", id, version)
}

// ruleLine is what one rule said of a firing.
func ruleLine(r wire.RuleResult) string {
	said := ruleName(r.RuleID, r.Version) + " did not pass"
	if r.Passed {
		said = ruleName(r.RuleID, r.Version) + " passed"
	}
	if r.Explanation != "" {
		said += ": " + r.Explanation
	}
	return said
}

func problemLine(p wire.Problem) string {
	if p.Path == "" {
		return fmt.Sprintf("%s (%s)", p.Message, p.Code)
	}
	return fmt.Sprintf("%s: %s (%s)", p.Path, p.Message, p.Code)
}

// bytesText writes a size for people.
func bytesText(n uint64) string {
	const step = 1024
	size, unit := float64(n), 0
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	for size >= step && unit < len(units)-1 {
		size /= step
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", size, units[unit])
}
