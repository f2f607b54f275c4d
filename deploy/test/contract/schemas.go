package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Contract is protocols/, ready to check messages.
type Contract struct {
	// Root is the folder protocols.
	Root      string
	Endpoints []Endpoint
	Messages  []Message
	Errors    map[string]ErrorKind

	errorSchema string
	asWritten   *jsonschema.Compiler
	closed      *jsonschema.Compiler
	files       []string
}

// Endpoint is an endpoint of subjects.json. Schemas are paths from protocols/.
type Endpoint struct {
	Subject string `json:"subject"`
	Service string `json:"service"`
	Mutates bool   `json:"mutates"`
	Request string `json:"request"`
	Reply   string `json:"reply"`
}

// Message is a published message of subjects.json; its subject has parameters in braces.
type Message struct {
	Subject   string `json:"subject"`
	Stream    string `json:"stream"`
	Publisher string `json:"publisher"`
	Payload   string `json:"payload"`
}

// ErrorKind is an entry of errors.json.
type ErrorKind struct {
	Code     string `json:"code"`
	Status   int    `json:"status"`
	Meaning  string `json:"meaning"`
	WhatToDo string `json:"what_to_do"`
}

// Load reads protocols/ of the repository that the test runs in.
func Load(t testing.TB) *Contract {
	t.Helper()
	root, err := find()
	if err != nil {
		t.Fatal(err)
	}
	c, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func find() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return filepath.Join(dir, "protocols"), nil
		}
		if filepath.Dir(dir) == dir {
			return "", errors.New("no go.work above the working directory: where is protocols/?")
		}
		dir = filepath.Dir(dir)
	}
}

func load(root string) (*Contract, error) {
	c := &Contract{Root: root, Errors: map[string]ErrorKind{}, asWritten: jsonschema.NewCompiler(), closed: jsonschema.NewCompiler()}
	var subjects struct {
		Error     string     `json:"error"`
		Endpoints []Endpoint `json:"endpoints"`
		Messages  []Message  `json:"messages"`
	}
	if err := c.read("subjects.json", &subjects); err != nil {
		return nil, err
	}
	c.Endpoints, c.Messages, c.errorSchema = subjects.Endpoints, subjects.Messages, subjects.Error
	var vocabulary struct {
		Errors []ErrorKind `json:"errors"`
	}
	if err := c.read("errors.json", &vocabulary); err != nil {
		return nil, err
	}
	for _, e := range vocabulary.Errors {
		c.Errors[e.Code] = e
	}
	return c, c.loadSchemas()
}

func (c *Contract) read(name string, into any) error {
	raw, err := os.ReadFile(filepath.Join(c.Root, name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

func (c *Contract) loadSchemas() error {
	paths, err := filepath.Glob(filepath.Join(c.Root, "schema", "*.json"))
	if err != nil {
		return err
	}
	for _, compiler := range []*jsonschema.Compiler{c.asWritten, c.closed} {
		compiler.AssertFormat()
	}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name := "schema/" + filepath.Base(path)
		c.files = append(c.files, name)
		for _, compiler := range []*jsonschema.Compiler{c.asWritten, c.closed} {
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if compiler == c.closed {
				closeObjects(doc)
			}
			if err := compiler.AddResource(location(name), doc); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	for _, name := range c.files {
		for _, compiler := range []*jsonschema.Compiler{c.asWritten, c.closed} {
			if _, err := compiler.Compile(location(name)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// location is where a schema seems to lie, so that references between files resolve
// without touching the disk again.
func location(name string) string { return "protocols:///" + name }

// closeObjects refuses members that a schema does not name, wherever it does not say so.
func closeObjects(node any) {
	switch node := node.(type) {
	case map[string]any:
		_, names := node["properties"]
		_, says := node["additionalProperties"]
		if names && !says && node["type"] == "object" {
			node["additionalProperties"] = false
		}
		for _, child := range node {
			closeObjects(child)
		}
	case []any:
		for _, child := range node {
			closeObjects(child)
		}
	}
}

// Check holds a message to a schema (a path such as schema/token.json), as readers should.
func (c *Contract) Check(schema string, payload []byte) error {
	return check(c.asWritten, schema, payload)
}

// CheckClosed is Check, and refuses members that the schema does not name.
func (c *Contract) CheckClosed(schema string, payload []byte) error {
	return check(c.closed, schema, payload)
}

func check(compiler *jsonschema.Compiler, schema string, payload []byte) error {
	compiled, err := compiler.Compile(location(schema))
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(payload))
	if err != nil {
		return fmt.Errorf("no JSON: %w", err)
	}
	if err := compiled.Validate(v); err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), "protocols:///", ""))
	}
	return nil
}
