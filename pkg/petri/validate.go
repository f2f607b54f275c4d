package petri

import (
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Bounds of a definition.
const (
	maxPlaces      = 500
	maxTransitions = 1000
	// maxDescription is in characters.
	maxDescription = 4096
)

var eachPattern = regexp.MustCompile(`^(data|metadata)(\.[^.\s]+)+$`)

// validator checks one definition.
type validator struct {
	problems
	def         *wire.Definition
	places      map[string]int
	transitions map[string]int
	// left holds the places that a transition leads out of.
	left map[string]bool
}

// validate reports everything that is wrong with a definition, in the order of its text.
func validate(def *wire.Definition) []wire.Problem {
	v := &validator{def: def, places: map[string]int{}, transitions: map[string]int{}, left: map[string]bool{}}
	v.header()
	v.collect()
	for i := range def.Places {
		v.place(i)
	}
	for i := range def.Transitions {
		v.transition(i)
	}
	v.retention()
	v.wholeNet()
	return v.problems
}

func (v *validator) header() {
	switch {
	case v.def.Name == "":
		v.add("name", problemMissing, "the workflow needs a name")
	default:
		v.id("name", v.def.Name)
	}
	v.description("description", v.def.Description)
}

func (v *validator) id(path, id string) {
	if !wire.ValidName(id) {
		v.add(path, problemInvalidID, "%q must be 1 to 64 characters of a-z, 0-9, _ and -, and begin with a letter or digit", clip(id))
	}
}

// clip keeps a message short that quotes what the author wrote.
func clip(s string) string {
	const most = 80
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most]) + "…"
}

func (v *validator) description(path, text string) {
	if n := utf8.RuneCountInString(text); n > maxDescription {
		v.add(path, problemTooLarge, "is %d characters long; at most %d are possible", n, maxDescription)
	}
}

// collect learns the ids, so that everything else can refer to them.
func (v *validator) collect() {
	if n := len(v.def.Places); n > maxPlaces {
		v.add("places", problemTooMany, "there are %d places; at most %d are possible", n, maxPlaces)
	}
	if len(v.def.Places) == 0 {
		v.add("places", problemMissing, "the workflow needs at least one place")
	}
	for i := range v.def.Places {
		v.declare(at("places", i), "place", v.def.Places[i].ID, v.places, i)
	}
	if n := len(v.def.Transitions); n > maxTransitions {
		v.add("transitions", problemTooMany, "there are %d transitions; at most %d are possible", n, maxTransitions)
	}
	for i := range v.def.Transitions {
		t := &v.def.Transitions[i]
		v.declare(at("transitions", i), "transition", t.ID, v.transitions, i)
		for _, from := range t.From {
			v.left[from] = true
		}
		for _, arc := range t.Inputs {
			v.left[arc.Place] = true
		}
	}
	switch {
	case v.def.InitialPlace == "":
		v.add("initial_place", problemMissing, "say in which place an instance begins")
	default:
		v.refersToPlace("initial_place", v.def.InitialPlace)
	}
}

func (v *validator) declare(path, what, id string, known map[string]int, i int) {
	if id == "" {
		v.add(path+".id", problemMissing, "the %s needs an id", what)
		return
	}
	v.id(path+".id", id)
	if first, taken := known[id]; taken {
		v.add(path+".id", problemDuplicateID, "the %s %q stands at [%d] already", what, clip(id), first)
		return
	}
	known[id] = i
}

func (v *validator) refersToPlace(path, id string) {
	if _, ok := v.places[id]; ok {
		return
	}
	v.add(path, problemUnknownPlace, "there is no place %q%s", clip(id), didYouMean(id, v.places))
}

func didYouMean(id string, known map[string]int) string {
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	if near := nearest(id, names); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

func (v *validator) place(i int) {
	p := &v.def.Places[i]
	path := at("places", i)
	v.description(path+".description", p.Description)
	if p.Timeout != nil {
		v.timeout(path+".timeout", p)
	}
	agents, functions := map[string]int{}, map[string]int{}
	for k := range p.Agents {
		b := &p.Agents[k]
		v.binding(at(path+".agents", k), "agent", b.Agent, b.Output, p.ID, b.OnSuccess, b.OnFailure)
		v.bindsOnce(at(path+".agents", k)+".agent", b.Agent, agents, k)
	}
	for k := range p.Functions {
		b := &p.Functions[k]
		v.binding(at(path+".functions", k), "function", b.Function, b.Output, p.ID, b.OnSuccess, b.OnFailure)
		v.bindsOnce(at(path+".functions", k)+".function", b.Function, functions, k)
	}
}

// bindsOnce refuses that a place asks twice for the same: their results would have one name.
func (v *validator) bindsOnce(path, target string, seen map[string]int, k int) {
	if first, twice := seen[target]; twice && target != "" {
		v.add(path, problemDuplicateID, "%s is asked for at [%d] already", clip(target), first)
		return
	}
	seen[target] = k
}

// outputPath reports whether a path leads to a member of the data: names with dots between.
func outputPath(path string) bool {
	for part := range strings.SplitSeq(path, ".") {
		if part == "" || strings.ContainsAny(part, " \t\r\n") {
			return false
		}
	}
	return true
}

func (v *validator) timeout(path string, p *wire.Place) {
	if p.Timeout.After <= 0 {
		v.add(path+".after", problemInvalidDuration, "must be longer than 0, such as 90s, 15m or 48h")
	}
	if p.Timeout.Transition == "" {
		v.add(path+".transition", problemTimeoutNoFiring, "say which transition the time-out fires")
		return
	}
	if t, ok := v.named(path+".transition", p.Timeout.Transition); ok && !leadsOutOf(t, p.ID) {
		v.add(path+".transition", problemTimeoutElsewhere, "%s does not lead out of %s", t.ID, p.ID)
	}
}

func (v *validator) binding(path, kind, target, output, place, onSuccess, onFailure string) {
	if output != "" && !outputPath(output) {
		v.add(path+".output", problemInvalidOutput, "must be a member of the data, such as summary or result.words")
	}
	if target == "" {
		v.add(path+"."+kind, problemMissing, "say which %s", kind)
	} else {
		v.id(path+"."+kind, target)
	}
	for _, follow := range []struct{ key, transition string }{{".on_success", onSuccess}, {".on_failure", onFailure}} {
		if follow.transition == "" {
			continue
		}
		i, ok := v.transitions[follow.transition]
		switch {
		case !ok:
			v.add(path+follow.key, problemBindingTransition, "there is no transition %q%s",
				clip(follow.transition), didYouMean(follow.transition, v.transitions))
		case !leadsOutOf(&v.def.Transitions[i], place):
			v.add(path+follow.key, problemBindingTransition, "%s does not lead out of %s", follow.transition, place)
		}
	}
}

func (v *validator) named(path, id string) (*wire.Transition, bool) {
	i, ok := v.transitions[id]
	if !ok {
		v.add(path, problemUnknownTransition, "there is no transition %q%s", clip(id), didYouMean(id, v.transitions))
		return nil, false
	}
	return &v.def.Transitions[i], true
}

func leadsOutOf(t *wire.Transition, place string) bool {
	return slices.Contains(t.From, place) ||
		slices.ContainsFunc(t.Inputs, func(a wire.InputArc) bool { return a.Place == place })
}

func (v *validator) transition(i int) {
	t := &v.def.Transitions[i]
	path := at("transitions", i)
	v.description(path+".description", t.Description)
	simple, petri := len(t.From) > 0 || t.To != "", len(t.Inputs) > 0 || len(t.Outputs) > 0
	switch {
	case simple && petri:
		v.add(path, problemBothArcForms, "write either from and to, or inputs and outputs, not both")
	case !simple && !petri:
		v.add(path, problemNoArcs, "say where it leads: from and to, or inputs and outputs")
	case simple && len(t.From) == 0:
		v.add(path+".from", problemNoArcs, "say where it leads from")
	case simple && t.To == "":
		v.add(path+".to", problemNoArcs, "say where it leads to")
	case petri && len(t.Inputs) == 0:
		v.add(path+".inputs", problemNoArcs, "it needs at least one input")
	case petri && len(t.Outputs) == 0:
		v.add(path+".outputs", problemNoArcs, "it needs at least one output")
	}
	v.arcs(path, t)
	for k, rule := range t.Rules {
		v.id(at(path+".rules", k), rule)
	}
}

func (v *validator) arcs(path string, t *wire.Transition) {
	from, inputs, outputs := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for k, place := range t.From {
		where := path + ".from"
		if len(t.From) > 1 {
			where = at(where, k)
		}
		v.refersToPlace(where, place)
		v.once(where, place, from)
	}
	if t.To != "" {
		v.refersToPlace(path+".to", t.To)
	}
	for k, arc := range t.Inputs {
		where := at(path+".inputs", k)
		v.arcPlace(where, arc.Place, inputs)
		if arc.Count != wire.CountAll && (arc.Count < 0 || arc.Count > maxLiveTokens) {
			v.add(where+".count", problemInvalidCount, `must be a whole number from 1 to %d, or "all"`, maxLiveTokens)
		}
	}
	for k, arc := range t.Outputs {
		where := at(path+".outputs", k)
		v.arcPlace(where, arc.Place, outputs)
		if arc.Count < 0 || arc.Count > maxLiveTokens {
			v.add(where+".count", problemInvalidCount, "must be a whole number from 1 to %d", maxLiveTokens)
		}
		if arc.Each == "" {
			continue
		}
		if !eachPattern.MatchString(arc.Each) {
			v.add(where+".each", problemInvalidEach, "%q must be a path to a list in the token, such as data.items", clip(arc.Each))
		}
		if arc.Count > 1 {
			v.add(where+".each", problemInvalidEach, "give either each or count: the list says how many tokens there are")
		}
	}
}

func (v *validator) arcPlace(path, place string, seen map[string]bool) {
	if place == "" {
		v.add(path+".place", problemMissing, "say which place")
		return
	}
	v.refersToPlace(path, place)
	v.once(path, place, seen)
}

func (v *validator) once(path, place string, seen map[string]bool) {
	if seen[place] {
		v.add(path, problemDuplicateArc, "%s is named twice; use count for more than one token", clip(place))
	}
	seen[place] = true
}

func (v *validator) retention() {
	r := v.def.Retention
	if r == nil {
		return
	}
	for _, f := range []struct {
		path  string
		value *wire.Duration
	}{{"retention.completed", r.Completed}, {"retention.cancelled", r.Cancelled}} {
		if f.value != nil && *f.value < 0 {
			v.add(f.path, problemInvalidDuration, "%s must not be negative; 0 keeps finished instances for good", time.Duration(*f.value))
		}
	}
}

// wholeNet checks what only the net as a whole shows: whether there is an end, and what
// can be reached from the beginning.
func (v *validator) wholeNet() {
	if len(v.places) > 0 && !slices.ContainsFunc(v.def.Places, func(p wire.Place) bool { return p.ID != "" && !v.left[p.ID] }) {
		v.add("places", problemNoTerminalPlace, "transitions lead out of every place, so no instance can ever complete")
	}
	if _, ok := v.places[v.def.InitialPlace]; !ok {
		return
	}
	reached, live := v.reach()
	for i := range v.def.Places {
		if id := v.def.Places[i].ID; id != "" && !reached[id] {
			v.add(at("places", i), problemUnreachablePlace, "no way leads from %s to %s", v.def.InitialPlace, clip(id))
		}
	}
	for i := range v.def.Transitions {
		t := &v.def.Transitions[i]
		if !live[i] && len(t.From)+len(t.Inputs) > 0 {
			v.add(at("transitions", i), problemDeadTransition, "%s can never be enabled: no token can reach what it takes from", clip(t.ID))
		}
	}
}

// reach finds the places that tokens can come to and the transitions that can fire,
// starting from the initial place, until nothing is added.
func (v *validator) reach() (places map[string]bool, live []bool) {
	places = map[string]bool{v.def.InitialPlace: true}
	live = make([]bool, len(v.def.Transitions))
	for grew := true; grew; {
		grew = false
		for i := range v.def.Transitions {
			t := &v.def.Transitions[i]
			if live[i] || !enabledBy(t, places) {
				continue
			}
			live[i], grew = true, true
			if t.To != "" {
				places[t.To] = true
			}
			for _, arc := range t.Outputs {
				places[arc.Place] = true
			}
		}
	}
	return places, live
}

func enabledBy(t *wire.Transition, places map[string]bool) bool {
	if slices.ContainsFunc(t.From, func(p string) bool { return places[p] }) {
		return true
	}
	return len(t.Inputs) > 0 &&
		!slices.ContainsFunc(t.Inputs, func(a wire.InputArc) bool { return !places[a.Place] })
}
