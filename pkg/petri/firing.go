package petri

import (
	"encoding/json"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// bind finds the transition and the tokens of a firing.
func (d *decision) bind(c Fire) (*chooser, []*wire.Token, error) {
	t, ok := d.net.transitions[c.TransitionID]
	if !ok {
		return nil, nil, reject(codeTransitionNotFound, "the workflow has no transition %q", c.TransitionID).
			with("transition_id", c.TransitionID)
	}
	if err := d.current(c.ExpectedSequence); err != nil {
		return nil, nil, err
	}
	ch := &chooser{net: d.net, state: d.state, t: t}
	if c.TokenID != "" {
		token, err := d.token(c.TokenID, c.ArrivalSequence)
		if err != nil {
			return nil, nil, err
		}
		ch.token = token
	} else if c.ArrivalSequence != 0 {
		return nil, nil, invalidField("arrival_sequence", "needs a token_id")
	}
	consumed, err := ch.choose(c.FromPlace, c.ToPlace)
	return ch, consumed, err
}

func (d *decision) fire(c Fire) (*wire.Event, error) {
	ch, consumed, err := d.bind(c)
	if err != nil {
		return nil, err
	}
	edit, err := d.change(c.Data, c.Metadata)
	if err != nil {
		return nil, err
	}
	if c.Automatic && !ch.t.Auto {
		return nil, invalidField("automatic", "%s is no automatic transition", ch.t.ID)
	}
	ev := d.event(wire.EventTransitioned)
	ev.Automatic = c.Automatic
	if ev.Metadata, err = d.context(c.Metadata, c.Guards); err != nil {
		return nil, err
	}
	return d.transition(ev, ch, consumed, edit)
}

// context is the metadata of a firing's event: what the request says, and what the guards
// say, which nobody else can.
func (d *decision) context(metadata, guards json.RawMessage) (json.RawMessage, error) {
	said, err := decodeObject("metadata", metadata, d.limits.MaxDepth)
	if err != nil {
		return nil, err
	}
	delete(said, GuardsMember)
	if len(guards) > 0 {
		v, err := decode(guards)
		if err != nil {
			return nil, inField(GuardsMember, err)
		}
		if said == nil {
			said = object{}
		}
		said[GuardsMember] = v
	}
	if pruned, ok := prune(said).(object); ok && len(pruned) > 0 {
		return encode(pruned)
	}
	return nil, nil
}

// transition fills an event with a firing and finishes it.
func (d *decision) transition(ev *wire.Event, ch *chooser, consumed []*wire.Token, edit change) (*wire.Event, error) {
	ev.TransitionID = ch.t.ID
	ev.Consumed = make([]wire.Consumed, len(consumed))
	for i, t := range consumed {
		ev.Consumed[i] = wire.Consumed{TokenID: t.ID, Place: t.Place}
	}
	var docs documents
	var err error
	if ch.t.spreads || edit.result != nil {
		if docs.rawData, docs.rawMetadata, err = mergedDocuments(consumed); err != nil {
			return nil, err
		}
	}
	if ch.t.moves {
		ev.Produced = []wire.Produced{{TokenID: consumed[0].ID, Place: ch.t.outputs[0].Place}}
		if !edit.empty() {
			p, err := docs.patch(edit, nil)
			if err != nil {
				return nil, err
			}
			ev.Patches = map[string]wire.Patch{consumed[0].ID: p}
		}
	} else if err := d.bringForth(ev, ch, consumed, edit, &docs); err != nil {
		return nil, err
	}
	nameFirst(ev)
	return d.finish(ev)
}

// bringForth adds the new tokens of a firing that is no move.
func (d *decision) bringForth(ev *wire.Event, ch *chooser, consumed []*wire.Token, edit change, docs *documents) error {
	lists := make([][]any, len(ch.t.outputs))
	paths := make([][]string, len(ch.t.outputs))
	born := 0
	for i, arc := range ch.t.outputs {
		if arc.Each == "" {
			born += arc.Count
			continue
		}
		var err error
		if lists[i], paths[i], err = docs.elements(ch.t, arc); err != nil {
			return err
		}
		born += len(lists[i])
	}
	if err := d.limits.room(d.state, len(consumed), born); err != nil {
		return err
	}

	parents := make([]string, len(consumed))
	for i, t := range consumed {
		parents[i] = t.ID
	}
	lineage := ch.descent(consumed)
	// A list of one is a split of one: without it, an input that takes all of the split
	// would wait for the siblings of the token before.
	if born > 1 || ch.t.spreads {
		lineage = append(lineage[:len(lineage):len(lineage)], d.state.Births)
	}
	if len(lineage) == 0 {
		lineage = nil
	}
	add := func(place string, each *child) error {
		id := wire.TokenID(d.state.ID, uint16(d.state.Births+len(ev.Produced)))
		ev.Produced = append(ev.Produced, wire.Produced{TokenID: id, Place: place, Parents: parents, Lineage: lineage})
		if edit.empty() && each == nil {
			return nil
		}
		p, err := docs.patch(edit, each)
		if err != nil {
			return err
		}
		if ev.Patches == nil {
			ev.Patches = make(map[string]wire.Patch, born)
		}
		ev.Patches[id] = p
		return nil
	}
	for i, arc := range ch.t.outputs {
		if arc.Each == "" {
			for range arc.Count {
				if err := add(arc.Place, nil); err != nil {
					return err
				}
			}
			continue
		}
		for k, item := range lists[i] {
			if err := add(arc.Place, &child{path: paths[i], item: item, index: k}); err != nil {
				return err
			}
		}
	}
	return nil
}

// completable checks what a result says of itself, and its fence.
func (d *decision) completable(c Complete) error {
	if c.ArrivalSequence == 0 {
		return invalidField("arrival_sequence", "is needed: the sequence at which the token arrived when the work began")
	}
	if !wire.ValidName(c.Binding) {
		return invalidField("binding", "must be the id of a function or an agent")
	}
	if c.Kind != wire.KindFunction && c.Kind != wire.KindAgent {
		return invalidField("kind", "must be %s or %s", wire.KindFunction, wire.KindAgent)
	}
	if c.Outcome != wire.OutcomeSuccess && c.Outcome != wire.OutcomeFailure {
		return invalidField("outcome", "must be %s or %s", wire.OutcomeSuccess, wire.OutcomeFailure)
	}
	if c.Attempts < 0 {
		return invalidField("attempts", "must not be negative")
	}
	if c.DurationMS < 0 {
		return invalidField("duration_ms", "must not be negative")
	}
	_, err := d.token(c.TokenID, c.ArrivalSequence)
	return err
}

func (d *decision) complete(c Complete) (*wire.Event, error) {
	edit, err := d.resultOf(c)
	if err != nil {
		return nil, err
	}
	work := &wire.Work{
		Binding: c.Binding, Kind: c.Kind, Outcome: c.Outcome, Attempts: c.Attempts, DurationMS: c.DurationMS,
	}
	if c.TransitionID != "" {
		ch, consumed, err := d.bind(c.firing())
		if err != nil {
			return nil, err
		}
		ev := d.event(wire.EventTransitioned)
		ev.Work = work
		if ev.Metadata, err = d.context(nil, c.Guards); err != nil {
			return nil, err
		}
		return d.transition(ev, ch, consumed, edit)
	}
	t, err := d.token(c.TokenID, c.ArrivalSequence)
	if err != nil {
		return nil, err
	}
	ev := d.about(lifecycleOf(c), t)
	ev.Work = work
	docs := documents{rawData: t.Data, rawMetadata: t.Metadata}
	p, err := docs.patch(edit, nil)
	if err != nil {
		return nil, err
	}
	ev.Patches = map[string]wire.Patch{t.ID: p}
	return d.finish(ev)
}

// firing is the firing that follows the result.
func (c Complete) firing() Fire {
	return Fire{TokenID: c.TokenID, TransitionID: c.TransitionID, ArrivalSequence: c.ArrivalSequence}
}

func lifecycleOf(c Complete) string {
	failed := c.Outcome == wire.OutcomeFailure
	switch {
	case c.Kind == wire.KindAgent && failed:
		return wire.LifecycleAgentFailed
	case c.Kind == wire.KindAgent:
		return wire.LifecycleAgentProcessed
	case failed:
		return wire.LifecycleFunctionFailed
	}
	return wire.LifecycleFunctionExecuted
}

// Depth of metadata.{kind}_outputs.{binding}.output above the output itself.
const depthAboveOutput = 3

func (d *decision) resultOf(c Complete) (change, error) {
	edit, err := d.change(c.Data, nil)
	if err != nil {
		return change{}, err
	}
	value := object{"success": c.Outcome == wire.OutcomeSuccess}
	for _, part := range []struct {
		field string
		raw   json.RawMessage
	}{{"output", c.Output}, {"error", c.Error}} {
		if absent(part.raw) {
			continue
		}
		maxDepth := d.limits.MaxDepth
		if maxDepth > 0 {
			maxDepth = max(1, maxDepth-depthAboveOutput)
		}
		v, err := decodeBounded(part.raw, maxDepth)
		if err != nil {
			return change{}, inField(part.field, err)
		}
		value[part.field] = prune(v)
	}
	if c.Attempts > 0 {
		value["attempts"] = number(c.Attempts)
	}
	if c.DurationMS > 0 {
		value["duration_ms"] = number(int(c.DurationMS))
	}
	edit.result = &result{path: []string{c.Kind + "_outputs", c.Binding}, value: value}
	return edit, nil
}
