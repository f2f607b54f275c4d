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
	decodedData          any
	decodedMetadata      any
}

func (d *documents) data() (any, error) { return decodeOnce(&d.decodedData, d.rawData) }

func (d *documents) metadata() (any, error) { return decodeOnce(&d.decodedMetadata, d.rawMetadata) }

func decodeOnce(known *any, raw json.RawMessage) (any, error) {
	if *known != nil {
		return *known, nil
	}
	v, err := decodeStored(raw)
	*known = v
	return v, err
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
func (d *documents) patch(c change, each *child) (p wire.Patch, err error) {
	if p.Data, err = d.dataPatch(c, each); err != nil {
		return wire.Patch{}, err
	}
	p.Metadata, err = d.metadataPatch(c, each)
	return p, err
}

func (d *documents) dataPatch(c change, each *child) (json.RawMessage, error) {
	if each == nil {
		return c.data, nil
	}
	base, err := d.data()
	if err != nil {
		return nil, err
	}
	target := base
	if each.path[0] == "data" {
		target = without(target, each.path[1:])
	}
	target = put(target, []string{memberItem}, each.item)
	target = put(target, []string{memberIndex}, number(each.index))
	merged, err := mergeDecoded(target, c.data)
	if err != nil {
		return nil, err
	}
	return encodePatch(diff(base, merged))
}

func (d *documents) metadataPatch(c change, each *child) (json.RawMessage, error) {
	loses := each != nil && each.path[0] == "metadata"
	if !loses && c.result == nil {
		return c.metadata, nil
	}
	base, err := d.metadata()
	if err != nil {
		return nil, err
	}
	target := base
	if loses {
		target = without(target, each.path[1:])
	}
	if target, err = mergeDecoded(target, c.metadata); err != nil {
		return nil, err
	}
	if c.result != nil {
		target = put(target, c.result.path, c.result.value)
	}
	return encodePatch(diff(base, target))
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
	path := strings.Split(arc.Each, ".")
	read := d.data
	if path[0] == "metadata" {
		read = d.metadata
	}
	root, err := read()
	if err != nil {
		return nil, nil, err
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
