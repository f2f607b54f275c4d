package graph

import (
	"fmt"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// DOT draws def in Graphviz' language.
func DOT(def *wire.Definition) string {
	n := build(def)
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n", dotText(def.Name))
	b.WriteString("  rankdir=LR;\n  node [fontname=\"Helvetica\"];\n  edge [fontname=\"Helvetica\"];\n")
	for _, p := range n.places {
		shape, label, more := "circle", p.id, ""
		if p.terminal {
			shape = "doublecircle"
		}
		if p.initial {
			label, more = "● "+label, ", penwidth=3"
		}
		fmt.Fprintf(&b, "  %s [shape=%s, label=%s%s];\n", dotText("p:"+p.id), shape, dotText(label), more)
	}
	for _, t := range n.boxes {
		label := strings.Join(append([]string{t.id}, t.notes...), "\n")
		fmt.Fprintf(&b, "  %s [shape=box, label=%s];\n", dotText("t:"+t.key()), dotText(label))
	}
	for _, a := range n.arcs {
		from, to := dotText("p:"+a.place), dotText("t:"+a.box)
		if a.outward {
			from, to = to, from
		}
		var attributes []string
		if a.label != "" {
			attributes = append(attributes, "label="+dotText(a.label))
		}
		if a.timeout {
			attributes = append(attributes, "style=dashed")
		}
		fmt.Fprintf(&b, "  %s -> %s", from, to)
		if len(attributes) > 0 {
			fmt.Fprintf(&b, " [%s]", strings.Join(attributes, ", "))
		}
		b.WriteString(";\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// dotText quotes s as a DOT string, in which a line feed is written \n.
func dotText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", " ").Replace(s) + `"`
}
