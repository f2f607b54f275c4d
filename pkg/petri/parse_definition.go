package petri

import (
	"strconv"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// maxEntries bounds the lists inside a place or a transition.
const maxEntries = 500

func (r *definitionReader) definition(n *node) *wire.Definition {
	def := &wire.Definition{}
	f, ok := r.object(n, "", "name", "description", "initial_place", "places", "transitions", "schema", "retention", "labels")
	if !ok {
		return def
	}
	def.Name = r.str(f, "", "name")
	def.Description = r.str(f, "", "description")
	def.InitialPlace = r.str(f, "", "initial_place")
	def.Places = list(r, f, "", "places", maxPlaces, r.place)
	def.Transitions = list(r, f, "", "transitions", maxTransitions, r.transition)
	def.Schema = r.opaque(f, "", "schema", nodeObject, nodeBool)
	def.Retention = r.retention(f["retention"])
	def.Labels = r.labels(f["labels"])
	return def
}

func (r *definitionReader) retention(n *node) *wire.Retention {
	if n == nil {
		return nil
	}
	f, ok := r.object(n, "retention", "completed", "cancelled")
	if !ok {
		return nil
	}
	return &wire.Retention{
		Completed: r.duration(f, "retention", "completed"),
		Cancelled: r.duration(f, "retention", "cancelled"),
	}
}

func (r *definitionReader) labels(n *node) map[string]string {
	if n == nil {
		return nil
	}
	if n.kind != nodeObject {
		r.wrong("labels", n, "an object")
		return nil
	}
	labels := make(map[string]string, len(n.members))
	for _, m := range n.members {
		where := join("labels", m.key)
		if _, twice := labels[m.key]; twice {
			r.add(where, problemDuplicateKey, "is given twice")
			continue
		}
		labels[m.key] = r.text(m.value, where)
	}
	return labels
}

func (r *definitionReader) place(n *node, path string) wire.Place {
	f, ok := r.object(n, path, "id", "description", "timeout", "agents", "functions")
	if !ok {
		return wire.Place{}
	}
	return wire.Place{
		ID:          r.str(f, path, "id"),
		Description: r.str(f, path, "description"),
		Timeout:     r.timeout(f["timeout"], path+".timeout"),
		Agents:      list(r, f, path, "agents", maxEntries, r.agent),
		Functions:   list(r, f, path, "functions", maxEntries, r.function),
	}
}

func (r *definitionReader) timeout(n *node, path string) *wire.Timeout {
	if n == nil {
		return nil
	}
	f, ok := r.object(n, path, "after", "transition")
	if !ok {
		return nil
	}
	t := &wire.Timeout{Transition: r.str(f, path, "transition")}
	if after := r.duration(f, path, "after"); after != nil {
		t.After = *after
	}
	return t
}

func (r *definitionReader) agent(n *node, path string) wire.AgentBinding {
	f, ok := r.object(n, path, "agent", "input", "output", "on_success", "on_failure", "decide")
	if !ok {
		return wire.AgentBinding{}
	}
	return wire.AgentBinding{
		Agent:     r.str(f, path, "agent"),
		Input:     r.opaque(f, path, "input"),
		Output:    r.str(f, path, "output"),
		OnSuccess: r.str(f, path, "on_success"),
		OnFailure: r.str(f, path, "on_failure"),
		Decide:    r.boolean(f, path, "decide"),
	}
}

func (r *definitionReader) function(n *node, path string) wire.FunctionBinding {
	f, ok := r.object(n, path, "function", "input", "output", "on_success", "on_failure")
	if !ok {
		return wire.FunctionBinding{}
	}
	return wire.FunctionBinding{
		Function:  r.str(f, path, "function"),
		Input:     r.opaque(f, path, "input"),
		Output:    r.str(f, path, "output"),
		OnSuccess: r.str(f, path, "on_success"),
		OnFailure: r.str(f, path, "on_failure"),
	}
}

func (r *definitionReader) transition(n *node, path string) wire.Transition {
	f, ok := r.object(n, path, "id", "description", "from", "to", "inputs", "outputs", "rules", "when", "auto", "priority")
	if !ok {
		return wire.Transition{}
	}
	return wire.Transition{
		ID:          r.str(f, path, "id"),
		Description: r.str(f, path, "description"),
		From:        r.from(f, path),
		To:          r.str(f, path, "to"),
		Inputs:      list(r, f, path, "inputs", maxEntries, r.input),
		Outputs:     list(r, f, path, "outputs", maxEntries, r.output),
		Rules:       list(r, f, path, "rules", maxEntries, r.text),
		When:        r.str(f, path, "when"),
		Auto:        r.boolean(f, path, "auto"),
		Priority:    r.integer(f, path, "priority"),
	}
}

func (r *definitionReader) from(f fields, path string) wire.StringList {
	n := f["from"]
	switch {
	case n == nil:
		return nil
	case n.kind == nodeString:
		return wire.StringList{n.text}
	case n.kind == nodeList:
		return list(r, f, path, "from", maxEntries, r.text)
	}
	r.wrong(join(path, "from"), n, "a place or a list of places")
	return nil
}

func (r *definitionReader) input(n *node, path string) wire.InputArc {
	if n.kind == nodeString {
		return wire.InputArc{Place: n.text, Count: 1}
	}
	if n.kind != nodeObject {
		r.wrong(path, n, "a place, or an object with place and count")
		return wire.InputArc{}
	}
	f, _ := r.object(n, path, "place", "count")
	arc := wire.InputArc{Place: r.str(f, path, "place"), Count: 1}
	if c := f["count"]; c != nil && c.kind == nodeString && c.text == "all" {
		arc.Count = wire.CountAll
	} else if c != nil {
		arc.Count = r.count(c, path+".count", `, or "all"`)
	}
	return arc
}

func (r *definitionReader) output(n *node, path string) wire.OutputArc {
	if n.kind == nodeString {
		return wire.OutputArc{Place: n.text, Count: 1}
	}
	if n.kind != nodeObject {
		r.wrong(path, n, "a place, or an object with place and count or each")
		return wire.OutputArc{}
	}
	f, _ := r.object(n, path, "place", "count", "each")
	arc := wire.OutputArc{Place: r.str(f, path, "place"), Count: 1, Each: r.str(f, path, "each")}
	if c := f["count"]; c != nil {
		arc.Count = r.count(c, path+".count", "")
		if arc.Each != "" {
			r.add(path+".each", problemInvalidEach, "give either each or count: the list says how many tokens there are")
			arc.Count = 1
		}
	}
	if each := f["each"]; each != nil && each.kind == nodeString && each.text == "" {
		r.add(path+".each", problemInvalidEach, "must be a path to a list in the token, such as data.items")
	}
	return arc
}

func (r *definitionReader) count(n *node, path, orAll string) int {
	v, err := strconv.Atoi(n.text)
	if n.kind != nodeNumber || err != nil || v < 1 || v > maxLiveTokens {
		r.broken = append(r.broken, path)
		r.add(path, problemInvalidCount, "must be a whole number from 1 to %d%s", maxLiveTokens, orAll)
		return 1
	}
	return v
}
