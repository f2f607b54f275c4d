package petri

import (
	"slices"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Net is a definition that has been checked and made ready to run. It never changes and
// may be used by many goroutines.
type Net struct {
	definition  *wire.Definition
	places      map[string]*place
	transitions map[string]*transition
}

type place struct {
	*wire.Place
	entering []*wire.Transition
	leaving  []*wire.Transition
}

// transition is a transition with its arcs in one form, whichever one its author wrote.
type transition struct {
	*wire.Transition
	// alternatives: one token from any one of the inputs, not from all of them.
	alternatives bool
	inputs       []wire.InputArc
	outputs      []wire.OutputArc
	// moves: one token in, one token out, so that it stays the same token.
	moves bool
	// gathers: an input takes all tokens of a split.
	gathers bool
	// spreads: an output puts a token for each element of a list.
	spreads bool
}

// Compile checks a definition and makes it ready to run. It reports every problem at once,
// each with its path; the net is nil when there is one. The definition belongs to the net
// from now on and must not be changed.
func Compile(definition *wire.Definition) (*Net, []wire.Problem) {
	if problems := validate(definition); len(problems) > 0 {
		return nil, problems
	}
	return newNet(definition), nil
}

// newNet makes a net of a definition that is known to be sound.
func newNet(definition *wire.Definition) *Net {
	n := &Net{
		definition:  definition,
		places:      make(map[string]*place, len(definition.Places)),
		transitions: make(map[string]*transition, len(definition.Transitions)),
	}
	for i := range definition.Places {
		n.places[definition.Places[i].ID] = &place{Place: &definition.Places[i]}
	}
	for i := range definition.Transitions {
		t := newTransition(&definition.Transitions[i])
		n.transitions[t.ID] = t
		for _, arc := range t.inputs {
			n.places[arc.Place].leaving = append(n.places[arc.Place].leaving, t.Transition)
		}
		for _, arc := range t.outputs {
			n.places[arc.Place].entering = append(n.places[arc.Place].entering, t.Transition)
		}
	}
	return n
}

func newTransition(t *wire.Transition) *transition {
	c := &transition{Transition: t, alternatives: len(t.From) > 0}
	for _, from := range t.From {
		c.inputs = append(c.inputs, wire.InputArc{Place: from, Count: 1})
	}
	if t.To != "" {
		c.outputs = append(c.outputs, wire.OutputArc{Place: t.To, Count: 1})
	}
	for _, arc := range t.Inputs {
		if arc.Count == 0 {
			arc.Count = 1
		}
		c.gathers = c.gathers || arc.Count == wire.CountAll
		c.inputs = append(c.inputs, arc)
	}
	for _, arc := range t.Outputs {
		if arc.Count == 0 {
			arc.Count = 1
		}
		c.spreads = c.spreads || arc.Each != ""
		c.outputs = append(c.outputs, arc)
	}
	one := c.alternatives || len(c.inputs) == 1 && c.inputs[0].Count == 1
	c.moves = one && len(c.outputs) == 1 && c.outputs[0].Count == 1 && !c.spreads
	return c
}

// Definition is what the net was made from; it must not be changed.
func (n *Net) Definition() *wire.Definition { return n.definition }

// Terminal reports whether a place is an end: no transition leads out of it. A place that
// the net does not have is none.
func (n *Net) Terminal(place string) bool {
	p, ok := n.places[place]
	return ok && len(p.leaving) == 0
}

// Place finds a place by its id.
func (n *Net) Place(id string) (*wire.Place, bool) {
	p, ok := n.places[id]
	if !ok {
		return nil, false
	}
	return p.Place, true
}

// Transition finds a transition by its id.
func (n *Net) Transition(id string) (*wire.Transition, bool) {
	t, ok := n.transitions[id]
	if !ok {
		return nil, false
	}
	return t.Transition, true
}

// Leaving lists the transitions that lead out of a place, in the order of the definition.
func (n *Net) Leaving(place string) []*wire.Transition {
	if p, ok := n.places[place]; ok {
		return slices.Clone(p.leaving)
	}
	return nil
}

// Entering lists the transitions that lead into a place, in the order of the definition.
func (n *Net) Entering(place string) []*wire.Transition {
	if p, ok := n.places[place]; ok {
		return slices.Clone(p.entering)
	}
	return nil
}

// Arcs are the inputs and outputs of a transition, whichever form it was written in.
// alternatives is true when it takes its token from any one of the inputs, and false when
// it needs all of them. All are empty for a transition that the net does not have.
func (n *Net) Arcs(id string) (inputs []wire.InputArc, outputs []wire.OutputArc, alternatives bool) {
	t, ok := n.transitions[id]
	if !ok {
		return nil, nil, false
	}
	return slices.Clone(t.inputs), slices.Clone(t.outputs), t.alternatives
}

func (t *transition) takesFrom(place string) bool {
	return slices.ContainsFunc(t.inputs, func(a wire.InputArc) bool { return a.Place == place })
}

func (t *transition) putsInto(place string) bool {
	return slices.ContainsFunc(t.outputs, func(a wire.OutputArc) bool { return a.Place == place })
}

func (t *transition) inputPlaces() []string {
	places := make([]string, len(t.inputs))
	for i, arc := range t.inputs {
		places[i] = arc.Place
	}
	return places
}

func (t *transition) outputPlaces() []string {
	places := make([]string, len(t.outputs))
	for i, arc := range t.outputs {
		places[i] = arc.Place
	}
	return places
}

// leadsFrom names the inputs in a sentence.
func (t *transition) leadsFrom() string {
	glue := " and "
	if t.alternatives {
		glue = " or "
	}
	return strings.Join(t.inputPlaces(), glue)
}
