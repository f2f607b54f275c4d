package petri

import (
	"encoding/json"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Binding is what a firing would take and carry on: its guards are asked about it.
type Binding struct {
	// Consumed are the tokens that the firing takes, in the order of the input arcs. They
	// belong to the state and must not be changed.
	Consumed []*wire.Token
	// Data and Metadata are the documents of the consumed tokens, merged in that order, with
	// the command's patches or result: what the produced tokens begin with, before an output
	// with each gives them their elements.
	Data, Metadata json.RawMessage
}

// Bind says what a Fire, or a Complete with a transition, would take, or with Decide's own
// rejection why it is not enabled.
func Bind(net *Net, state *wire.State, cmd Command, limits Limits) (*Binding, error) {
	if state == nil {
		return nil, reject(codeInstanceNotFound, "there is no such instance")
	}
	d := &decision{net: net, state: state, limits: limits}
	if err := d.fenced(cmd); err != nil {
		return nil, err
	}
	if err := d.running(cmd); err != nil {
		return nil, err
	}
	var edit change
	var fire Fire
	var err error
	switch c := cmd.(type) {
	case Fire:
		fire = c
	case Complete:
		fire = c.firing()
		if edit, err = d.resultOf(c); err != nil {
			return nil, err
		}
	default:
		return nil, invalidField("transition_id", "only a firing takes tokens")
	}
	_, consumed, err := d.bind(fire)
	if err != nil {
		return nil, err
	}
	if c, ok := cmd.(Fire); ok {
		if edit, err = d.change(c.Data, c.Metadata); err != nil {
			return nil, err
		}
	}
	b := &Binding{Consumed: consumed}
	if b.Data, b.Metadata, err = mergedDocuments(consumed); err != nil {
		return nil, err
	}
	docs := documents{rawData: b.Data, rawMetadata: b.Metadata}
	patch, err := docs.patch(edit, nil)
	if err != nil {
		return nil, err
	}
	var p patcher
	if b.Data, err = p.apply(b.Data, patch.Data); err != nil {
		return nil, err
	}
	p = patcher{}
	b.Metadata, err = p.apply(b.Metadata, patch.Metadata)
	return b, err
}
