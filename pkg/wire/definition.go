package wire

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Definition is a workflow's net as its author writes it, in YAML or JSON.
type Definition struct {
	Name         string            `json:"name"`
	Description  string            `json:"description,omitempty"`
	InitialPlace string            `json:"initial_place"`
	Places       []Place           `json:"places"`
	Transitions  []Transition      `json:"transitions"`
	Schema       json.RawMessage   `json:"schema,omitempty"`
	Retention    *Retention        `json:"retention,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
}

// Place holds tokens. A place that no transition leads out of is terminal.
type Place struct {
	ID          string            `json:"id"`
	Description string            `json:"description,omitempty"`
	Timeout     *Timeout          `json:"timeout,omitempty"`
	Agents      []AgentBinding    `json:"agents,omitempty"`
	Functions   []FunctionBinding `json:"functions,omitempty"`
}

// Timeout fires Transition when a token has stood in the place for After.
type Timeout struct {
	After      Duration `json:"after"`
	Transition string   `json:"transition"`
}

// FunctionBinding runs a function on every token that arrives in the place.
type FunctionBinding struct {
	Function  string          `json:"function"`
	Input     json.RawMessage `json:"input,omitempty"`
	Output    string          `json:"output,omitempty"`
	OnSuccess string          `json:"on_success,omitempty"`
	OnFailure string          `json:"on_failure,omitempty"`
}

// AgentBinding runs an agent on every token that arrives in the place.
type AgentBinding struct {
	Agent     string          `json:"agent"`
	Input     json.RawMessage `json:"input,omitempty"`
	Output    string          `json:"output,omitempty"`
	OnSuccess string          `json:"on_success,omitempty"`
	OnFailure string          `json:"on_failure,omitempty"`
	Decide    bool            `json:"decide,omitempty"`
}

// Transition moves tokens. It has either From and To (from any one of these places to one
// place), or Inputs and Outputs (Petri arcs: all inputs, all outputs).
type Transition struct {
	ID          string      `json:"id"`
	Description string      `json:"description,omitempty"`
	From        StringList  `json:"from,omitempty"`
	To          string      `json:"to,omitempty"`
	Inputs      []InputArc  `json:"inputs,omitempty"`
	Outputs     []OutputArc `json:"outputs,omitempty"`
	Rules       []string    `json:"rules,omitempty"`
	When        string      `json:"when,omitempty"`
	Auto        bool        `json:"auto,omitempty"`
	Priority    int         `json:"priority,omitempty"`
}

// Guarded reports whether a rule or condition has a say in the transition.
func (t *Transition) Guarded() bool { return len(t.Rules) > 0 || t.When != "" }

// Retention says how long a finished instance is kept before it is purged; 0 keeps it for good.
type Retention struct {
	Completed *Duration `json:"completed,omitempty"`
	Cancelled *Duration `json:"cancelled,omitempty"`
}

// StringList is a list that may be written as a single string.
type StringList []string

// UnmarshalJSON reads "a" or ["a", "b"].
func (l *StringList) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		*l = StringList{s}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return err
	}
	*l = many
	return nil
}

// MarshalJSON writes a list of one as a string.
func (l StringList) MarshalJSON() ([]byte, error) {
	if len(l) == 1 {
		return json.Marshal(l[0])
	}
	return json.Marshal([]string(l))
}

// CountAll is the Count of an input arc that takes every live token of a split.
const CountAll = -1

// InputArc takes Count tokens from Place. It is written as the place's id, or as
// {place, count} with a number or "all".
type InputArc struct {
	Place string
	// Count is at least 1, or CountAll.
	Count int
}

// OutputArc puts Count tokens into Place, or one for each element of the list at Each. It
// is written as the place's id, or as {place, count} or {place, each}.
type OutputArc struct {
	Place string
	Count int
	// Each is a dotted path to a list in the token, such as data.items.
	Each string
}

// UnmarshalJSON reads "place" or {"place": …, "count": n | "all"}.
func (a *InputArc) UnmarshalJSON(b []byte) error {
	a.Count = 1
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &a.Place)
	}
	var w struct {
		Place string          `json:"place"`
		Count json.RawMessage `json:"count"`
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	a.Place = w.Place
	switch string(w.Count) {
	case "", "null":
		return nil
	case `"all"`:
		a.Count = CountAll
		return nil
	}
	if err := json.Unmarshal(w.Count, &a.Count); err != nil || a.Count < 1 {
		return fmt.Errorf(`count must be a whole number from 1, or "all", not %s`, w.Count)
	}
	return nil
}

// MarshalJSON writes the shortest of the two forms.
func (a InputArc) MarshalJSON() ([]byte, error) {
	switch a.Count {
	case 0, 1:
		return json.Marshal(a.Place)
	case CountAll:
		return json.Marshal(map[string]any{"place": a.Place, "count": "all"})
	}
	return json.Marshal(map[string]any{"place": a.Place, "count": a.Count})
}

// UnmarshalJSON reads "place" or {"place": …, "count": n} or {"place": …, "each": "data.items"}.
func (a *OutputArc) UnmarshalJSON(b []byte) error {
	a.Count = 1
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &a.Place)
	}
	var w struct {
		Place string `json:"place"`
		Count *int   `json:"count"`
		Each  string `json:"each"`
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	a.Place, a.Each = w.Place, w.Each
	if w.Count != nil {
		if *w.Count < 1 {
			return fmt.Errorf("count must be a whole number from 1, not %d", *w.Count)
		}
		a.Count = *w.Count
	}
	return nil
}

// MarshalJSON writes the shortest of the forms.
func (a OutputArc) MarshalJSON() ([]byte, error) {
	switch {
	case a.Each != "":
		return json.Marshal(map[string]any{"place": a.Place, "each": a.Each})
	case a.Count > 1:
		return json.Marshal(map[string]any{"place": a.Place, "count": a.Count})
	}
	return json.Marshal(a.Place)
}

// Duration is written as Go writes it, such as 90s, 48h or 1h30m.
type Duration time.Duration

// UnmarshalJSON reads a string such as "48h".
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a duration is a string such as 90s or 48h, not %s", b)
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is no duration; write it as 90s, 15m or 48h", s)
	}
	*d = Duration(v)
	return nil
}

// MarshalJSON writes the duration as a string, without what is zero: 48h, not 48h0m0s.
func (d Duration) MarshalJSON() ([]byte, error) {
	s := time.Duration(d).String()
	if short, ok := strings.CutSuffix(s, "m0s"); ok {
		s = short + "m"
	}
	if short, ok := strings.CutSuffix(s, "h0m"); ok {
		s = short + "h"
	}
	return json.Marshal(s)
}

// Problem is one fault of a definition.
type Problem struct {
	// Path names the place of the fault, such as transitions[2].to.
	Path string `json:"path"`
	// Code identifies the kind of fault.
	Code string `json:"code"`
	// Message says what is wrong and what to do.
	Message string `json:"message"`
}

// WorkflowStatus is the status of a workflow, not of one of its instances.
type WorkflowStatus string

// The states of a workflow.
const (
	WorkflowActive   WorkflowStatus = "active"
	WorkflowArchived WorkflowStatus = "archived"
)

// Workflow is one version of a deployed definition: the message on the definition
// subject, and the reply of the breaker.workflow endpoints.
type Workflow struct {
	ID      string         `json:"id"`
	Version int            `json:"version"`
	Status  WorkflowStatus `json:"status"`
	Stream  string         `json:"stream"`
	Definition
	// Digest identifies the definition's content.
	Digest string `json:"digest"`
	// CreatedAt is when the workflow's first version was deployed, DeployedAt when this one was.
	CreatedAt  time.Time `json:"created_at"`
	DeployedAt time.Time `json:"deployed_at"`
	DeployedBy string    `json:"deployed_by,omitempty"`
	RequestID  string    `json:"request_id,omitempty"`
	// RequestDigest identifies the request that deployed this version.
	RequestDigest string `json:"request_digest,omitempty"`
}

// WorkflowRecord is what the workflows bucket says of a workflow, for discovery.
type WorkflowRecord struct {
	ID          string         `json:"id"`
	Name        string         `json:"name"`
	Description string         `json:"description,omitempty"`
	Version     int            `json:"version"`
	Status      WorkflowStatus `json:"status"`
	Stream      string         `json:"stream"`
	Places      []string       `json:"places"`
	Bindings    []Binding      `json:"bindings,omitempty"`
	CreatedAt   time.Time      `json:"created_at"`
	UpdatedAt   time.Time      `json:"updated_at"`
}

// Binding says which place asks for which function or agent.
type Binding struct {
	Place  string `json:"place"`
	Kind   string `json:"kind"`
	Target string `json:"target"`
}
