// Package graph draws a definition as a Petri net, in Mermaid or in DOT: places are
// circles, terminal ones double, the initial one with a dot; transitions are boxes.
//
// A transition "from any one of" several places is drawn as one box for each of them,
// since two arrows into one box would mean that it needs both.
package graph

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

type place struct {
	id       string
	initial  bool
	terminal bool
}

// box is one drawn transition.
type box struct {
	// key is unique among the boxes; number is 0 unless the transition has several boxes.
	id     string
	number int
	notes  []string
}

func (b box) key() string {
	if b.number == 0 {
		return b.id
	}
	return fmt.Sprintf("%s.%d", b.id, b.number)
}

// arc leads from a place to a box, or from a box to a place.
type arc struct {
	place   string
	box     string
	outward bool
	label   string
	// timeout says that the box also fires by itself, after the label's time.
	timeout bool
}

type net struct {
	places []place
	boxes  []box
	arcs   []arc
}

func build(def *wire.Definition) net {
	var n net
	timeouts := map[[2]string]string{}
	for _, p := range def.Places {
		if p.Timeout != nil {
			timeouts[[2]string{p.ID, p.Timeout.Transition}] = Duration(p.Timeout.After)
		}
	}
	input := func(from, box, transition, label string) {
		after := timeouts[[2]string{from, transition}]
		if after != "" {
			label = strings.TrimSpace(label + " after " + after)
		}
		n.arcs = append(n.arcs, arc{place: from, box: box, label: label, timeout: after != ""})
	}
	for i := range def.Transitions {
		t := &def.Transitions[i]
		notes := notes(t)
		if len(t.From) > 0 {
			for k, from := range t.From {
				b := box{id: t.ID, notes: notes}
				if len(t.From) > 1 {
					b.number = k + 1
				}
				n.boxes = append(n.boxes, b)
				input(from, b.key(), t.ID, "")
				n.arcs = append(n.arcs, arc{place: t.To, box: b.key(), outward: true})
			}
			continue
		}
		b := box{id: t.ID, notes: notes}
		n.boxes = append(n.boxes, b)
		for _, in := range t.Inputs {
			input(in.Place, b.key(), t.ID, count(in.Count))
		}
		for _, out := range t.Outputs {
			label := count(out.Count)
			if out.Each != "" {
				label = "each " + out.Each
			}
			n.arcs = append(n.arcs, arc{place: out.Place, box: b.key(), outward: true, label: label})
		}
	}
	for _, p := range def.Places {
		n.places = append(n.places, place{id: p.ID, initial: p.ID == def.InitialPlace, terminal: Terminal(def, p.ID)})
	}
	return n
}

func notes(t *wire.Transition) []string {
	var all []string
	if t.Auto {
		all = append(all, "auto")
	}
	if len(t.Rules) > 0 {
		all = append(all, "["+strings.Join(t.Rules, ", ")+"]")
	}
	if t.When != "" {
		all = append(all, "["+t.When+"]")
	}
	return all
}

func count(n int) string {
	switch {
	case n == wire.CountAll:
		return "all"
	case n > 1:
		return fmt.Sprint(n)
	}
	return ""
}

// Terminal reports whether no transition leads out of the place.
func Terminal(def *wire.Definition, place string) bool {
	for _, t := range def.Transitions {
		if slices.Contains(t.From, place) {
			return false
		}
		for _, in := range t.Inputs {
			if in.Place == place {
				return false
			}
		}
	}
	return true
}

// Duration is written as an author would: 48h, not 48h0m0s.
func Duration(d wire.Duration) string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
