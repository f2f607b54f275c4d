package functionset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// maxDocument bounds what aliases make of a file, maxDepth how deep it nests.
	maxDocument = 8 << 20
	maxDepth    = 100
)

// document is the one document of a file as JSON: JSON as it is, YAML with the text of its
// numbers and with members that are given twice. As in YAML 1.2, on and off and y are texts:
// a chain has a member on, and mappings have y.
func document(raw []byte) (json.RawMessage, error) {
	if trimmed := bytes.TrimSpace(raw); bytes.HasPrefix(trimmed, []byte("{")) && json.Valid(trimmed) {
		return trimmed, nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	var root, more yaml.Node
	if err := decoder.Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		return nil, noYAML(err)
	}
	switch err := decoder.Decode(&more); {
	case err == nil:
		return nil, errors.New("more than one YAML document; write one per file")
	case !errors.Is(err, io.EOF):
		return nil, noYAML(err)
	}
	var c converter
	if err := c.node(&root, 0); err != nil {
		return nil, err
	}
	return c.text.Bytes(), nil
}

func noYAML(err error) error {
	return fmt.Errorf("neither YAML nor JSON: %s", strings.TrimPrefix(err.Error(), "yaml: "))
}

type converter struct{ text bytes.Buffer }

func (c *converter) node(n *yaml.Node, depth int) error {
	if depth > maxDepth || c.text.Len() > maxDocument {
		return fmt.Errorf("line %d: nested too deeply, or too much once its aliases are written out", n.Line)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return c.node(n.Content[0], depth)
	case yaml.AliasNode:
		return c.node(n.Alias, depth+1)
	case yaml.SequenceNode:
		return c.list("[]", n.Content, func(_ int, one *yaml.Node) error { return c.node(one, depth+1) })
	case yaml.MappingNode:
		return c.list("{}", n.Content, func(i int, one *yaml.Node) error {
			if i%2 == 1 {
				return c.node(one, depth+1)
			}
			if one.Kind != yaml.ScalarNode || one.ShortTag() == "!!merge" {
				return fmt.Errorf("line %d: the name of a member must be a text, and << is not read", one.Line)
			}
			return c.write(one.Value)
		})
	case yaml.ScalarNode:
		return c.scalar(n)
	}
	return c.write(nil) // An empty file.
}

// list writes what stands between these brackets; of a mapping, names and values by turns.
func (c *converter) list(brackets string, all []*yaml.Node, write func(int, *yaml.Node) error) error {
	c.text.WriteByte(brackets[0])
	for i, one := range all {
		switch {
		case i%2 == 1 && brackets == "{}":
			c.text.WriteByte(':')
		case i > 0:
			c.text.WriteByte(',')
		}
		if err := write(i, one); err != nil {
			return err
		}
	}
	c.text.WriteByte(brackets[1])
	return nil
}

// scalar keeps the text of a number where JSON would write it so too: 1.0 is not 1 to an
// expression.
func (c *converter) scalar(n *yaml.Node) error {
	switch n.ShortTag() {
	case "!!null":
		return c.write(nil)
	case "!!bool", "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			c.text.WriteString(n.Value)
			return nil
		}
		var v any
		if err := n.Decode(&v); err != nil {
			return fmt.Errorf("line %d: %s", n.Line, strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if c.write(v) != nil {
			return fmt.Errorf("line %d: %s is nothing that JSON has", n.Line, n.Value)
		}
		return nil
	}
	return c.write(n.Value)
}

func (c *converter) write(v any) error {
	text, err := json.Marshal(v)
	c.text.Write(text)
	return err
}
