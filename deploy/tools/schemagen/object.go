package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// object is a JSON object that keeps the order of its members, so that a reader meets the
// members of a message in the order that its Go type has.
type object struct {
	keys   []string
	values map[string]any
}

// obj makes an object of alternating keys and values.
func obj(pairs ...any) *object {
	o := &object{values: map[string]any{}}
	for i := 0; i < len(pairs); i += 2 {
		o.set(pairs[i].(string), pairs[i+1])
	}
	return o
}

func (o *object) set(key string, value any) *object {
	if _, there := o.values[key]; !there {
		o.keys = append(o.keys, key)
	}
	o.values[key] = value
	return o
}

func (o *object) has(key string) bool {
	_, there := o.values[key]
	return there
}

func (o *object) clone() *object {
	c := obj()
	for _, k := range o.keys {
		c.set(k, o.values[k])
	}
	return c
}

// MarshalJSON writes the members in their order.
func (o *object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, k := range o.keys {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := encode(k)
		if err != nil {
			return nil, err
		}
		value, err := encode(o.values[k])
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// encode is json.Marshal without the escapes for HTML, which only harm a reader here.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// pretty is the form of the files.
func pretty(v any) ([]byte, error) {
	raw, err := encode(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return nil, err
	}
	b.WriteByte('\n')
	return b.Bytes(), nil
}

// yaml writes an object as YAML. Strings are JSON strings unless they are plain words, and
// a JSON string is a YAML string.
func yaml(b *strings.Builder, v any, indent int) error {
	pad := strings.Repeat("  ", indent)
	switch v := v.(type) {
	case *object:
		if len(v.keys) == 0 {
			b.WriteString(" {}\n")
			return nil
		}
		b.WriteString("\n")
		for _, k := range v.keys {
			b.WriteString(pad + yamlString(k) + ":")
			if err := yaml(b, v.values[k], indent+1); err != nil {
				return err
			}
		}
	case []any:
		b.WriteString("\n")
		for _, e := range v {
			var item strings.Builder
			if err := yaml(&item, e, indent+1); err != nil {
				return err
			}
			// The first member of an object stands beside the dash.
			text := strings.TrimPrefix(item.String(), "\n"+pad+"  ")
			b.WriteString(pad + "- " + strings.TrimPrefix(text, " "))
		}
	case string:
		b.WriteString(" " + yamlString(v) + "\n")
	case nil:
		b.WriteString(" null\n")
	case bool, int:
		fmt.Fprintf(b, " %v\n", v)
	default:
		return fmt.Errorf("no YAML for %T", v)
	}
	return nil
}

func yamlString(s string) string {
	plain := s != "" && s != "null" && s != "true" && s != "false"
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') && (i == 0 || !strings.ContainsRune("_-.", c)) && c != '$' {
			plain = false
		}
	}
	if plain {
		return s
	}
	quoted, _ := encode(s)
	return string(quoted)
}
