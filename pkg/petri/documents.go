package petri

import (
	"encoding/json"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// change is what a command does to the documents of the tokens that it leaves standing.
type change struct {
	// data and metadata are merge patches in normal form; nil says nothing.
	data, metadata json.RawMessage
	// result, unless nil, replaces the earlier result of a binding.
	result *result
}

// result is what a function or an agent said, and where in the metadata it goes.
type result struct {
	path  []string
	value object
}

// child is what sets one token of a multi-instance step apart from its siblings.
type child struct {
	path []string
	item any
	// index counts from 0.
	index int
}

// Members of the data that a multi-instance step gives each of its tokens.
const (
	memberItem  = "item"
	memberIndex = "item_index"
)

func (c change) empty() bool { return len(c.data) == 0 && len(c.metadata) == 0 && c.result == nil }

// documents are the data and metadata that produced tokens begin with, decoded only where
// somebody must look inside.
type documents struct {
	rawData, rawMetadata json.RawMessage
	data, metadata       any
}

func (d *documents) decode() error {
	if d.data != nil {
		return nil
	}
	data, err := decodeStored(d.rawData)
	if err != nil {
		return err
	}
	metadata, err := decodeStored(d.rawMetadata)
	if err != nil {
		return err
	}
	d.data, d.metadata = data, metadata
	return nil
}

func decodeStored(raw json.RawMessage) (any, error) {
	if len(raw) == 0 {
		return object{}, nil
	}
	v, err := decode(raw)
	if err != nil {
		return nil, err
	}
	return prune(v), nil
}

// patch says what one token needs to become what the change wants of it.
func (d *documents) patch(c change, each *child) (wire.Patch, error) {
	if each == nil && c.result == nil {
		return wire.Patch{Data: c.data, Metadata: c.metadata}, nil
	}
	if err := d.decode(); err != nil {
		return wire.Patch{}, err
	}
	data, metadata := d.data, d.metadata
	if each != nil {
		if each.path[0] == "data" {
			data = without(data, each.path[1:])
		} else {
			metadata = without(metadata, each.path[1:])
		}
		data = put(data, []string{memberItem}, each.item)
		data = put(data, []string{memberIndex}, number(each.index))
	}
	data, err := mergeDecoded(data, c.data)
	if err != nil {
		return wire.Patch{}, err
	}
	if metadata, err = mergeDecoded(metadata, c.metadata); err != nil {
		return wire.Patch{}, err
	}
	if c.result != nil {
		metadata = put(metadata, c.result.path, c.result.value)
	}
	var p wire.Patch
	if p.Data, err = encodePatch(diff(d.data, data)); err != nil {
		return wire.Patch{}, err
	}
	if p.Metadata, err = encodePatch(diff(d.metadata, metadata)); err != nil {
		return wire.Patch{}, err
	}
	return p, nil
}

func mergeDecoded(base any, patch json.RawMessage) (any, error) {
	if len(patch) == 0 {
		return base, nil
	}
	p, err := decode(patch)
	if err != nil {
		return nil, err
	}
	return merge(base, p), nil
}

// encodePatch leaves a patch that says nothing out.
func encodePatch(patch any) (json.RawMessage, error) {
	if o, ok := patch.(object); ok && len(o) == 0 {
		return nil, nil
	}
	return encode(patch)
}

// elements is the list that an output spreads over its place, one token for each element.
func (d *documents) elements(t *transition, arc wire.OutputArc) ([]any, []string, error) {
	if err := d.decode(); err != nil {
		return nil, nil, err
	}
	path := strings.Split(arc.Each, ".")
	root := d.data
	if path[0] == "metadata" {
		root = d.metadata
	}
	refuse := func(why string) error {
		return reject(codeTransitionNotEnabled, "%s makes a token for each element of %s, which %s", t.ID, arc.Each, why).
			with("transition_id", t.ID).with("path", arc.Each)
	}
	v, ok := lookup(root, path[1:])
	if !ok {
		return nil, nil, refuse("is missing")
	}
	list, ok := v.([]any)
	switch {
	case !ok:
		return nil, nil, refuse("is not a list")
	case len(list) == 0:
		return nil, nil, refuse("is empty")
	}
	return list, path, nil
}
