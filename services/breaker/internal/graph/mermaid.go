package graph

import (
	"fmt"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Mermaid draws def as a Mermaid flowchart.
func Mermaid(def *wire.Definition) string {
	n := build(def)
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	initial := ""
	for _, p := range n.places {
		label := p.id
		if p.initial {
			label = "● " + label
			initial = mermaidPlace(p.id)
		}
		if p.terminal {
			fmt.Fprintf(&b, "  %s(((\"%s\")))\n", mermaidPlace(p.id), mermaidText(label))
			continue
		}
		fmt.Fprintf(&b, "  %s((\"%s\"))\n", mermaidPlace(p.id), mermaidText(label))
	}
	for _, t := range n.boxes {
		lines := []string{mermaidText(t.id)}
		for _, note := range t.notes {
			lines = append(lines, mermaidText(note))
		}
		fmt.Fprintf(&b, "  %s[\"%s\"]\n", mermaidBox(t.key()), strings.Join(lines, "<br/>"))
	}
	for _, a := range n.arcs {
		from, to := mermaidPlace(a.place), mermaidBox(a.box)
		if a.outward {
			from, to = to, from
		}
		line := "-->"
		if a.timeout {
			line = "-.->"
		}
		if a.label != "" {
			line += `|"` + mermaidText(a.label) + `"|`
		}
		fmt.Fprintf(&b, "  %s %s %s\n", from, line, to)
	}
	if initial != "" {
		fmt.Fprintf(&b, "  classDef initial stroke-width:3px\n  class %s initial\n", initial)
	}
	return b.String()
}

// mermaidPlace and mermaidBox make identifiers that cannot clash with one another or with
// Mermaid's own words (a place may be called "end"). Names have no upper-case letters, so
// H for the hyphen and D for the dot are free.
func mermaidPlace(id string) string { return "p_" + mermaidName(id) }
func mermaidBox(key string) string  { return "t_" + mermaidName(key) }

func mermaidName(s string) string { return strings.NewReplacer("-", "H", ".", "D").Replace(s) }

// mermaidText writes what Mermaid would read as markup as entity codes.
func mermaidText(s string) string {
	return strings.NewReplacer(
		"#", "#35;", `"`, "#quot;", "<", "#lt;", ">", "#gt;", "&", "#amp;", "`", "#96;", "\n", " ", "\r", " ",
	).Replace(s)
}
