package petri

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// chooser finds the tokens that a firing takes.
type chooser struct {
	net   *Net
	state *wire.State
	t     *transition
	// token, unless nil, must be among them.
	token *wire.Token
}

// choose lists the tokens to consume: by input arc in the order of the definition, and
// within an arc by arrival, then id.
func (c *chooser) choose(fromPlace, toPlace string) ([]*wire.Token, error) {
	if err := c.agrees(fromPlace, toPlace); err != nil {
		return nil, err
	}
	switch {
	case c.t.alternatives:
		return c.anyOne(fromPlace)
	case c.t.gathers:
		return c.gather()
	}
	return c.allOf(c.affinity())
}

// agrees checks what the caller says about the places against the net and the token.
func (c *chooser) agrees(fromPlace, toPlace string) error {
	t := c.t
	if toPlace != "" && !t.putsInto(toPlace) {
		return reject(codePlaceMismatch, "%s does not lead to %s; it leads to %s",
			t.ID, toPlace, strings.Join(t.outputPlaces(), " and ")).
			with("to_place", toPlace).with("outputs", t.outputPlaces())
	}
	if fromPlace != "" && !t.takesFrom(fromPlace) {
		return reject(codePlaceMismatch, "%s does not lead from %s; it leads from %s", t.ID, fromPlace, t.leadsFrom()).
			with("from_place", fromPlace).with("inputs", t.inputPlaces())
	}
	if c.token == nil {
		return nil
	}
	if !t.takesFrom(c.token.Place) {
		return c.notEnabled("the token stands in %s; %s leads from %s", c.token.Place, t.ID, t.leadsFrom()).
			with("place", c.token.Place)
	}
	if fromPlace != "" && fromPlace != c.token.Place {
		return reject(codePlaceMismatch, "the token stands in %s, not in %s", c.token.Place, fromPlace).
			with("from_place", fromPlace).with("place", c.token.Place)
	}
	return nil
}

func (c *chooser) notEnabled(format string, args ...any) *Rejection {
	return reject(codeTransitionNotEnabled, format, args...).
		with("transition_id", c.t.ID).with("inputs", c.t.inputPlaces())
}

// anyOne takes one token from any one of the inputs.
func (c *chooser) anyOne(fromPlace string) ([]*wire.Token, error) {
	if c.token != nil {
		return []*wire.Token{c.token}, nil
	}
	var first *wire.Token
	for i := range c.state.Tokens {
		t := &c.state.Tokens[i]
		if fromPlace != "" && t.Place != fromPlace || !c.t.takesFrom(t.Place) {
			continue
		}
		if first == nil || byArrival(t, first) < 0 {
			first = t
		}
	}
	if first == nil {
		places := c.t.leadsFrom()
		if fromPlace != "" {
			places = fromPlace
		}
		return nil, c.notEnabled("no token stands in %s", places)
	}
	return []*wire.Token{first}, nil
}

// preference ranks the tokens of a place: smaller is taken first, arrival decides between
// equals.
type preference func(*wire.Token) int

// affinity prefers those who share most of their splits with the token that was named, so
// that a join inside a split brings together what was split apart.
func (c *chooser) affinity() preference {
	if c.token == nil {
		return func(*wire.Token) int { return 0 }
	}
	return func(t *wire.Token) int { return -len(commonPrefix(c.token.Lineage, t.Lineage)) }
}

// allOf takes a fixed number of tokens from every input that asks for one; the inputs that
// take all of a split are left out.
func (c *chooser) allOf(prefer preference) ([]*wire.Token, error) {
	var chosen []*wire.Token
	for _, arc := range c.t.inputs {
		if arc.Count == wire.CountAll {
			continue
		}
		standing := c.standing(arc.Place)
		if len(standing) < arc.Count {
			return nil, c.notEnabled("%s needs %s in %s, where %s", c.t.ID,
				tokens(arc.Count), arc.Place, stand(len(standing))).with("place", arc.Place)
		}
		slices.SortStableFunc(standing, func(a, b *wire.Token) int {
			if a == c.token || b == c.token {
				return btoi(b == c.token) - btoi(a == c.token)
			}
			return cmp.Compare(prefer(a), prefer(b))
		})
		taken := standing[:arc.Count]
		slices.SortFunc(taken, byArrival)
		chosen = append(chosen, taken...)
	}
	return chosen, nil
}

// wholeInstance stands for the split of the tokens that come from none.
const wholeInstance = -1

// gather takes every live token of one split, the first for which nobody is missing.
func (c *chooser) gather() ([]*wire.Token, error) {
	var waiting []*wire.Token
	for _, arc := range c.t.inputs {
		if arc.Count == wire.CountAll {
			waiting = append(waiting, c.standing(arc.Place)...)
		}
	}
	slices.SortFunc(waiting, byArrival)

	var why *Rejection
	tried := map[int]bool{}
	for _, t := range waiting {
		split := innermost(t.Lineage)
		if tried[split] {
			continue
		}
		tried[split] = true
		chosen, refusal := c.gatherSplit(split)
		if refusal == nil {
			return chosen, nil
		}
		if why == nil {
			why = refusal
		}
	}
	if why == nil {
		why = c.notEnabled("no token waits for %s in %s", c.t.ID, c.t.leadsFrom())
	}
	return nil, why
}

func (c *chooser) gatherSplit(split int) ([]*wire.Token, *Rejection) {
	others, err := c.allOf(func(t *wire.Token) int { return 1 - btoi(within(t.Lineage, split)) })
	if err != nil {
		return nil, asRejection(err)
	}
	chosen := make([]*wire.Token, 0, len(c.state.Tokens))
	for _, arc := range c.t.inputs {
		if arc.Count != wire.CountAll {
			chosen, others = append(chosen, others[:arc.Count]...), others[arc.Count:]
			continue
		}
		for _, t := range c.standing(arc.Place) {
			if within(t.Lineage, split) {
				chosen = append(chosen, t)
			}
		}
	}
	if c.token != nil && !slices.Contains(chosen, c.token) {
		return nil, c.notEnabled("the token belongs to another split than those that %s would take", c.t.ID)
	}
	missing := map[string]int{}
	for i := range c.state.Tokens {
		t := &c.state.Tokens[i]
		if !c.net.Terminal(t.Place) && within(t.Lineage, split) && !slices.Contains(chosen, t) {
			missing[t.Place]++
		}
	}
	if len(missing) > 0 {
		return nil, c.notEnabled("%s waits for %s of the same split", c.t.ID, whereabouts(missing)).with("missing", missing)
	}
	return chosen, nil
}

// standing lists the tokens in a place by arrival, then id.
func (c *chooser) standing(place string) []*wire.Token {
	var there []*wire.Token
	for i := range c.state.Tokens {
		if c.state.Tokens[i].Place == place {
			there = append(there, &c.state.Tokens[i])
		}
	}
	slices.SortFunc(there, byArrival)
	return there
}

func byArrival(a, b *wire.Token) int {
	return cmp.Or(cmp.Compare(a.ArrivalSequence, b.ArrivalSequence), cmp.Compare(a.ID, b.ID))
}

func innermost(lineage []int) int {
	if len(lineage) == 0 {
		return wholeInstance
	}
	return lineage[len(lineage)-1]
}

// within reports whether a token comes from a split.
func within(lineage []int, split int) bool {
	return split == wholeInstance || slices.Contains(lineage, split)
}

func commonPrefix(a, b []int) []int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n:n]
}

// descent is the lineage of what a firing brings forth, before a split of its own: what
// all consumed tokens share, without the splits of which nobody else is left.
func (c *chooser) descent(consumed []*wire.Token) []int {
	base := consumed[0].Lineage
	for _, t := range consumed[1:] {
		base = commonPrefix(base, t.Lineage)
	}
	for len(base) > 0 && !c.othersLive(innermost(base), consumed) {
		base = base[:len(base)-1]
	}
	return base
}

func (c *chooser) othersLive(split int, consumed []*wire.Token) bool {
	for i := range c.state.Tokens {
		t := &c.state.Tokens[i]
		if within(t.Lineage, split) && !c.net.Terminal(t.Place) && !slices.Contains(consumed, t) {
			return true
		}
	}
	return false
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func tokens(n int) string {
	if n == 1 {
		return "1 token"
	}
	return fmt.Sprintf("%d tokens", n)
}

func stand(n int) string {
	switch n {
	case 0:
		return "none stands"
	case 1:
		return "1 stands"
	}
	return fmt.Sprintf("%d stand", n)
}

func whereabouts(counts map[string]int) string {
	parts := make([]string, 0, len(counts))
	for place, n := range counts {
		parts = append(parts, fmt.Sprintf("%s in %s", tokens(n), place))
	}
	slices.Sort(parts)
	return strings.Join(parts, " and ")
}
