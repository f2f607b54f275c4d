package find

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// variableOf is a token as conditions see it.
func variableOf(t *wire.Token) (map[string]any, error) {
	data, err := document(t.Data)
	if err != nil {
		return nil, fmt.Errorf("data of %s: %w", t.ID, err)
	}
	metadata, err := document(t.Metadata)
	if err != nil {
		return nil, fmt.Errorf("metadata of %s: %w", t.ID, err)
	}
	return map[string]any{
		"id": t.ID, "place": t.Place, "instance_id": t.InstanceID, "workflow_id": t.WorkflowID,
		"data": data, "metadata": metadata,
		"created_at": t.CreatedAt, "updated_at": t.UpdatedAt, "arrived_at": t.ArrivedAt,
		"arrival_sequence": int64(t.ArrivalSequence),
	}, nil
}

// document decodes an object. An absent one is empty, so that has() can ask below it.
func document(raw json.RawMessage) (map[string]any, error) {
	object := map[string]any{}
	if len(raw) == 0 {
		return object, nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&object); err != nil {
		return nil, err
	}
	for name, value := range object {
		object[name] = numbered(value)
	}
	return object, nil
}

// numbered gives every number of a document its type, in place.
func numbered(value any) any {
	switch v := value.(type) {
	case json.Number:
		return number(v)
	case map[string]any:
		for name := range v {
			v[name] = numbered(v[name])
		}
	case []any:
		for i := range v {
			v[i] = numbered(v[i])
		}
	}
	return value
}

// number is an int64 where the text says a whole number that fits, else a float64. A
// number that not even a float64 can hold becomes an infinity, so that it still compares.
func number(text json.Number) any {
	if !strings.ContainsAny(text.String(), ".eE") {
		if whole, err := text.Int64(); err == nil {
			return whole
		}
	}
	decimal, _ := text.Float64()
	return decimal
}
