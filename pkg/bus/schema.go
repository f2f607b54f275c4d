package bus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const schemaURL = "definition:schema"

// noLoader refuses every reference out of the schema itself: a definition comes from
// outside, and must not make a service read files or call servers.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("a reference may only point into the schema itself, not to %s", url)
}

// CompileSchema prepares a definition's JSON Schema (draft 2020-12 unless it says
// otherwise); nil for none.
func CompileSchema(raw json.RawMessage) (*jsonschema.Schema, *wire.Problem) {
	trimmed := bytes.TrimSpace(raw)
	if len(trimmed) == 0 || string(trimmed) == "{}" || string(trimmed) == "true" {
		return nil, nil
	}
	problem := func(err error) *wire.Problem {
		return &wire.Problem{Path: "schema", Code: "invalid_schema", Message: "not a usable JSON Schema: " + strings.Join(strings.Fields(err.Error()), " ")}
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(trimmed))
	if err != nil {
		return nil, problem(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(schemaURL, doc); err != nil {
		return nil, problem(err)
	}
	schema, err := compiler.Compile(schemaURL)
	if err != nil {
		return nil, problem(err)
	}
	return schema, nil
}

// checkData applies the schema to the data of every token that the event put somewhere or
// changed.
func (v *Version) checkData(ev *wire.Event) error {
	if v.Schema == nil {
		return nil
	}
	touched := make(map[string]bool, len(ev.Produced)+len(ev.Patches))
	for _, p := range ev.Produced {
		touched[p.TokenID] = true
	}
	for id := range ev.Patches {
		touched[id] = true
	}
	for i := range ev.Instance.Tokens {
		token := &ev.Instance.Tokens[i]
		if touched[token.ID] {
			if err := v.checkToken(token); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *Version) checkToken(token *wire.Token) error {
	violations, err := Violations(v.Schema, "data", token.Data)
	if err != nil || len(violations) == 0 {
		return err
	}
	return fault.New(fault.SchemaViolation, "the token's data does not fit the workflow's schema: %s: %s", violations[0]["path"], violations[0]["message"]).
		With("token_id", token.ID).With("violations", violations)
}

// Violations lists where a JSON document does not fit a schema, each with the path, which begins
// with root, and a message.
func Violations(schema *jsonschema.Schema, root string, document json.RawMessage) ([]map[string]string, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return nil, err
	}
	err = schema.Validate(doc)
	if err == nil {
		return nil, nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return nil, err
	}
	return leaves(root, invalid, nil), nil
}

const maxViolations = 20

func leaves(root string, e *jsonschema.ValidationError, found []map[string]string) []map[string]string {
	if len(e.Causes) == 0 {
		path := root
		for _, part := range e.InstanceLocation {
			path += "." + part
		}
		return append(found, map[string]string{
			"path": path, "message": e.ErrorKind.LocalizedString(message.NewPrinter(language.English)),
		})
	}
	for _, cause := range e.Causes {
		if len(found) >= maxViolations {
			break
		}
		found = leaves(root, cause, found)
	}
	return found
}
