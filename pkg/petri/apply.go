package petri

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Apply folds an event into the state before it and gives the state after it, filled in as
// of the event's stream sequence. Only a created event, whose state before is nil, is read
// by its snapshot; of every other event the snapshot is ignored, so that folding an
// instance's events proves their snapshots right. The state before is left as it was, and
// shares what did not change with the state after.
//
// An error means that the event does not follow from the state: a gap in the events, or a
// writer that breaks the rules.
func Apply(state *wire.State, ev *wire.Event, sequence uint64) (*wire.State, error) {
	if ev.EventType == wire.EventType(wire.LifecycleCreated) {
		return beginning(state, ev, sequence)
	}
	if state == nil {
		return nil, fmt.Errorf("event %s of instance %s comes before its creation", ev.EventType, ev.InstanceID)
	}
	if ev.InstanceID != state.ID {
		return nil, fmt.Errorf("event of instance %s does not belong to instance %s", ev.InstanceID, state.ID)
	}
	next, err := advance(state, ev)
	if err != nil {
		return nil, fmt.Errorf("event %s of instance %s: %w", ev.EventType, ev.InstanceID, err)
	}
	settle(next, ev)
	next.Fill(sequence)
	return next, nil
}

func beginning(state *wire.State, ev *wire.Event, sequence uint64) (*wire.State, error) {
	if state != nil {
		return nil, fmt.Errorf("instance %s was created a second time", ev.InstanceID)
	}
	if ev.Instance == nil {
		return nil, fmt.Errorf("the created event of instance %s has no snapshot", ev.InstanceID)
	}
	first := *ev.Instance
	first.Tokens = slices.Clone(first.Tokens)
	first.Requests = slices.Clone(first.Requests)
	first.Fill(sequence)
	return &first, nil
}

// advance is the state after an event except for its status; what arrived with the event
// has no sequence yet. Decide and Apply both go through here: there is one semantics.
func advance(state *wire.State, ev *wire.Event) (*wire.State, error) {
	next := *state
	next.NatsSequence = 0
	next.WorkflowVersion = ev.WorkflowVersion
	next.UpdatedAt = ev.Timestamp
	next.AutomaticChains = chains(state, ev)
	if ev.EventType == wire.EventType(wire.LifecycleMigrated) {
		next.Migrations++
	}

	tokens, born, err := marking(state, ev)
	if err != nil {
		return nil, err
	}
	if err := patch(tokens, ev); err != nil {
		return nil, err
	}
	if len(tokens) == 0 {
		tokens = nil
	}
	next.Tokens = tokens
	next.Births += born

	if len(ev.Produced) > 0 && ev.EventType != wire.EventType(wire.LifecycleMigrated) {
		next.Visits = maps.Clone(state.Visits)
		if next.Visits == nil {
			next.Visits = make(map[string]int, len(ev.Produced))
		}
		for i := range ev.Produced {
			next.Visits[ev.Produced[i].Place]++
		}
	}
	next.Requests = remember(state.Requests, ev)
	return &next, nil
}

// chains counts, for each token, the automatic firings in a row that brought it where it
// stands. A firing takes over the longest chain that it consumes; whatever else happens to a
// token ends its chain, and resuming or migrating the instance ends all of them.
func chains(state *wire.State, ev *wire.Event) map[string]int {
	before := state.AutomaticChains
	switch {
	case ev.EventType == wire.EventType(wire.LifecycleResumed), ev.EventType == wire.EventType(wire.LifecycleMigrated):
		return nil
	case len(before) == 0 && !ev.Automatic, ev.EventType == wire.EventType(wire.LifecycleSuspended):
		return before
	}
	after := maps.Clone(before)
	if after == nil {
		after = map[string]int{}
	}
	longest := 0
	for _, c := range ev.Consumed {
		longest = max(longest, before[wire.ChainKey(c.TokenID)])
		delete(after, wire.ChainKey(c.TokenID))
	}
	if ev.Automatic {
		for _, p := range ev.Produced {
			after[wire.ChainKey(p.TokenID)] = longest + 1
		}
	} else {
		for id := range ev.Patches {
			delete(after, wire.ChainKey(id))
		}
	}
	if len(after) == 0 {
		return nil
	}
	return after
}

func remember(before []wire.RememberedRequest, ev *wire.Event) []wire.RememberedRequest {
	if ev.RequestID == "" {
		return before
	}
	kept := before[max(0, len(before)-(wire.MaxRememberedRequests-1)):]
	after := make([]wire.RememberedRequest, 0, len(kept)+1)
	after = append(after, kept...)
	return append(after, wire.RememberedRequest{ID: ev.RequestID, Digest: ev.RequestDigest, Time: ev.Timestamp.Unix()})
}

// marking is who stands where after the event, and how many were born with it.
func marking(state *wire.State, ev *wire.Event) (after []wire.Token, born int, err error) {
	taken := make(map[string]*wire.Token, len(ev.Consumed))
	for i := range ev.Consumed {
		c := &ev.Consumed[i]
		t := state.Token(c.TokenID)
		switch {
		case t == nil:
			return nil, 0, fmt.Errorf("token %s was consumed but stands nowhere", c.TokenID)
		case t.Place != c.Place:
			return nil, 0, fmt.Errorf("token %s was consumed from %s but stands in %s", c.TokenID, c.Place, t.Place)
		case taken[c.TokenID] != nil:
			return nil, 0, fmt.Errorf("token %s was consumed twice", c.TokenID)
		}
		taken[c.TokenID] = t
	}

	moved := make(map[string]string, 1)
	for i := range ev.Produced {
		p := &ev.Produced[i]
		if taken[p.TokenID] == nil {
			continue
		}
		if moved[p.TokenID] != "" {
			return nil, 0, fmt.Errorf("token %s was moved twice", p.TokenID)
		}
		moved[p.TokenID] = p.Place
	}

	after = make([]wire.Token, 0, len(state.Tokens)+len(ev.Produced)-len(moved))
	for i := range state.Tokens {
		t := &state.Tokens[i]
		if taken[t.ID] == nil {
			after = append(after, *t)
			continue
		}
		if place := moved[t.ID]; place != "" {
			after = append(after, *t)
			arrive(&after[len(after)-1], place, ev)
		}
	}

	if len(ev.Produced) == len(moved) {
		return after, 0, nil
	}
	parents := make([]*wire.Token, len(ev.Consumed))
	for i := range ev.Consumed {
		parents[i] = taken[ev.Consumed[i].TokenID]
	}
	data, metadata, err := mergedDocuments(parents)
	if err != nil {
		return nil, 0, err
	}
	for i := range ev.Produced {
		p := &ev.Produced[i]
		if taken[p.TokenID] != nil {
			continue
		}
		if next := state.Births + born; next >= numberedBirths || p.TokenID != wire.TokenID(state.ID, uint16(next)) {
			return nil, 0, fmt.Errorf("token %s was born out of turn, after %d births", p.TokenID, next)
		}
		born++
		t := wire.Token{
			ID: p.TokenID, WorkflowID: state.WorkflowID, InstanceID: state.ID,
			Data: data, Metadata: metadata, CreatedAt: ev.Timestamp, Lineage: p.Lineage,
		}
		arrive(&t, p.Place, ev)
		after = append(after, t)
	}
	return after, born, nil
}

func arrive(t *wire.Token, place string, ev *wire.Event) {
	t.Place = place
	t.ArrivedAt, t.UpdatedAt = ev.Timestamp, ev.Timestamp
	t.ArrivalSequence = 0
}

// mergedDocuments is what a new token inherits: the documents of the consumed tokens,
// merged in the order in which the event lists them.
func mergedDocuments(consumed []*wire.Token) (data, metadata json.RawMessage, err error) {
	data = emptyObject
	for i, t := range consumed {
		if i == 0 {
			data, metadata = t.Data, t.Metadata
			continue
		}
		if data, err = inherit(data, t.Data); err != nil {
			return nil, nil, err
		}
		if metadata, err = inherit(metadata, t.Metadata); err != nil {
			return nil, nil, err
		}
	}
	return data, metadata, nil
}

// inherit merges two whole documents. Tokens of one split often still say the same, and
// then nothing is decoded.
func inherit(base, over json.RawMessage) (json.RawMessage, error) {
	switch {
	case len(over) == 0 || bytes.Equal(base, over):
		return base, nil
	case len(base) == 0:
		return over, nil
	}
	return mergeStored(base, over)
}

// patch applies the event's patches to the tokens that it left standing.
func patch(tokens []wire.Token, ev *wire.Event) error {
	if len(ev.Patches) == 0 {
		return nil
	}
	var data, metadata patcher
	found := 0
	for i := range tokens {
		t := &tokens[i]
		p, ok := ev.Patches[t.ID]
		if !ok {
			continue
		}
		found++
		t.UpdatedAt = ev.Timestamp
		var err error
		if t.Data, err = data.apply(t.Data, p.Data); err != nil {
			return fmt.Errorf("data of token %s: %w", t.ID, err)
		}
		if t.Metadata, err = metadata.apply(t.Metadata, p.Metadata); err != nil {
			return fmt.Errorf("metadata of token %s: %w", t.ID, err)
		}
		if bytes.Equal(t.Metadata, emptyObject) {
			t.Metadata = nil
		}
	}
	if found != len(ev.Patches) {
		return fmt.Errorf("a token that does not stand anywhere was patched")
	}
	return nil
}

// patcher applies patches to documents that are often the same, since the tokens of a
// split begin as copies.
type patcher struct{ base, patch, result json.RawMessage }

func (m *patcher) apply(base, patch json.RawMessage) (json.RawMessage, error) {
	if len(patch) == 0 {
		return base, nil
	}
	if len(base) == 0 {
		base = emptyObject
	}
	if m.result != nil && bytes.Equal(m.patch, patch) && bytes.Equal(m.base, base) {
		return m.result, nil
	}
	result, err := mergeStored(base, patch)
	if err != nil {
		return nil, err
	}
	m.base, m.patch, m.result = base, patch, result
	return result, nil
}

// settle sets the status, and the reason for it, after an event.
func settle(next *wire.State, ev *wire.Event) {
	switch {
	case ev.Completes:
		next.Status, next.Reason = wire.StatusCompleted, ""
	case ev.EventType == wire.EventType(wire.LifecycleCancelled):
		if len(next.Tokens) == 0 {
			next.Status, next.Reason = wire.StatusCancelled, ev.Reason
		}
	case ev.EventType == wire.EventType(wire.LifecycleSuspended):
		next.Status, next.Reason = wire.StatusSuspended, ev.Reason
	case ev.EventType == wire.EventType(wire.LifecycleResumed):
		next.Status, next.Reason = wire.StatusActive, ""
	}
}
