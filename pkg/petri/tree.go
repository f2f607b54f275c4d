package petri

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

type nodeKind int

const (
	nodeNull nodeKind = iota
	nodeBool
	nodeNumber
	nodeString
	nodeList
	nodeObject
)

func (k nodeKind) String() string {
	return [...]string{"nothing", "true or false", "a number", "a string", "a list", "an object"}[k]
}

// node is a JSON value that still knows what encoding/json forgets: the order of its
// members, and which of them were given twice.
type node struct {
	kind    nodeKind
	text    string // of a string or a number
	truth   bool
	raw     json.RawMessage
	items   []*node
	members []member
}

type member struct {
	key   string
	value *node
}

// treeReader builds nodes from a token stream.
type treeReader struct {
	source []byte
	dec    *json.Decoder
}

// maxDefinitionDepth bounds the recursion; schemas nest deepest.
const maxDefinitionDepth = 100

// parseTree reads valid JSON that is not nested too deep.
func parseTree(source []byte) (*node, error) {
	r := &treeReader{source: source, dec: json.NewDecoder(bytes.NewReader(source))}
	r.dec.UseNumber()
	return r.value()
}

var errUnbalanced = errors.New("a bracket has no partner")

func (r *treeReader) value() (*node, error) {
	before := r.dec.InputOffset()
	token, err := r.dec.Token()
	if err != nil {
		return nil, err
	}
	n := &node{}
	switch t := token.(type) {
	case nil:
		n.kind = nodeNull
	case bool:
		n.kind, n.truth = nodeBool, t
	case json.Number:
		n.kind, n.text = nodeNumber, t.String()
	case string:
		n.kind, n.text = nodeString, t
	case json.Delim:
		if err := r.inside(n, t); err != nil {
			return nil, err
		}
	}
	n.raw = bytes.TrimLeft(r.source[before:r.dec.InputOffset()], " \t\r\n:,")
	return n, nil
}

func (r *treeReader) inside(n *node, open json.Delim) error {
	switch open {
	case '[':
		n.kind = nodeList
		for r.dec.More() {
			item, err := r.value()
			if err != nil {
				return err
			}
			n.items = append(n.items, item)
		}
	case '{':
		n.kind = nodeObject
		for r.dec.More() {
			key, err := r.dec.Token()
			if err != nil {
				return err
			}
			value, err := r.value()
			if err != nil {
				return err
			}
			name, _ := key.(string)
			n.members = append(n.members, member{key: name, value: value})
		}
	default:
		return errUnbalanced
	}
	_, err := r.dec.Token()
	return err
}

// join makes the path of a member. A key that would confuse a reader is quoted.
func join(path, key string) string {
	if strings.ContainsAny(key, ".[] \t\r\n\"") || key == "" {
		quotedKey, _ := json.Marshal(clip(key))
		return path + "[" + string(quotedKey) + "]"
	}
	if path == "" {
		return clip(key)
	}
	return path + "." + clip(key)
}
