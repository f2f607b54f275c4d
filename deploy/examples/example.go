package examples

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

//go:embed */workflow.yaml */samples/*.json rules/*.yaml functions/*.yaml
var files embed.FS

// Example is a workflow and the documents that go through it.
type Example struct {
	// Folder is where the example lies, such as document-review.
	Folder string
	// Definition is the workflow, parsed; it has no problems.
	Definition *wire.Definition
	// Rules are those that the definition names: they must be there before it is deployed.
	Rules []wire.RuleCreateRequest
	// Functions are those that its places name, with their chains: likewise.
	Functions []wire.FunctionCreateRequest
	Samples   []Sample
}

// Sample is a document with its way through the net.
type Sample struct {
	// Name is the file's, without its ending.
	Name        string          `json:"-"`
	Description string          `json:"description"`
	TriggeredBy string          `json:"triggered_by,omitempty"`
	Data        json.RawMessage `json:"data"`
	Metadata    json.RawMessage `json:"metadata,omitempty"`
	Steps       []Step          `json:"steps"`
	// Runs is how often each function runs, those that fire nothing included.
	Runs map[string]Runs `json:"runs,omitempty"`
	Ends Ends            `json:"ends"`
}

// Step is one firing, or Times of them in a row. At most one of ByTimeout, Automatic, ByFunction
// and Refused is given.
type Step struct {
	Transition  string          `json:"transition"`
	Place       string          `json:"place,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
	Metadata    json.RawMessage `json:"metadata,omitempty"`
	TriggeredBy string          `json:"triggered_by,omitempty"`
	// Times is how often the transition is fired; absent means once.
	Times int `json:"times,omitempty"`
	// ByTimeout says that the engine fires the transition by itself, when its time has come.
	ByTimeout bool `json:"by_timeout,omitempty"`
	// Automatic says that the rules service fires the transition by itself.
	Automatic bool `json:"automatic,omitempty"`
	// ByFunction says that the transition fires by itself, because a function of the token's place
	// has ended.
	ByFunction bool `json:"by_function,omitempty"`
	// After is a function whose result on a token is waited for before the step: one that fires
	// nothing, such as the end of a chain.
	After string `json:"after,omitempty"`
	// Refused says that the firing must be refused, with this code.
	Refused fault.Code `json:"refused,omitempty"`
}

// Ends is where an instance stands after the last step: its status and the places of its
// tokens, in the order of birth.
type Ends struct {
	Status wire.Status `json:"status"`
	Places []string    `json:"places"`
	// Data are members that the data of the last token must have, such as what functions put there.
	Data map[string]any `json:"data,omitempty"`
}

// Waits reports whether one of the sample's steps is a time-out.
func (s Sample) Waits() bool {
	for _, step := range s.Steps {
		if step.ByTimeout {
			return true
		}
	}
	return false
}

// Firings is how often the sample's steps fire each transition, those that come by themselves
// included.
func (s Sample) Firings() map[string]int {
	fired := map[string]int{}
	for _, step := range s.Steps {
		if step.Refused == "" {
			fired[step.Transition] += max(step.Times, 1)
		}
	}
	return fired
}

// All reads the embedded examples, in the order of their folders.
func All() ([]Example, error) {
	definitions, err := fs.Glob(files, "*/workflow.yaml")
	if err != nil {
		return nil, err
	}
	var all []Example
	for _, name := range definitions {
		folder := path.Dir(name)
		e, err := read(folder)
		if err != nil {
			return nil, fmt.Errorf("example %s: %w", folder, err)
		}
		all = append(all, e)
	}
	return all, nil
}

func read(folder string) (Example, error) {
	text, err := fs.ReadFile(files, path.Join(folder, "workflow.yaml"))
	if err != nil {
		return Example{}, err
	}
	def, err := parse(text)
	if err != nil {
		return Example{}, err
	}
	e := Example{Folder: folder, Definition: def}
	if e.Rules, err = Rules(def); err != nil {
		return Example{}, err
	}
	if e.Functions, err = Functions(def); err != nil {
		return Example{}, err
	}
	names, err := fs.Glob(files, path.Join(folder, "samples", "*.json"))
	if err != nil {
		return Example{}, err
	}
	for _, name := range names {
		s, err := readSample(name)
		if err != nil {
			return Example{}, err
		}
		e.Samples = append(e.Samples, s)
	}
	return e, nil
}

func parse(text []byte) (*wire.Definition, error) {
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, err
	}
	def, problems := petri.ParseDefinition(raw)
	if len(problems) == 0 {
		_, problems = petri.Compile(def)
	}
	if len(problems) > 0 {
		lines := make([]string, len(problems))
		for i, p := range problems {
			lines[i] = p.Path + ": " + p.Message
		}
		return nil, fmt.Errorf("invalid workflow.yaml: %s", strings.Join(lines, "; "))
	}
	return def, nil
}

func readSample(name string) (Sample, error) {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return Sample{}, err
	}
	s := Sample{Name: strings.TrimSuffix(path.Base(name), ".json")}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		return Sample{}, fmt.Errorf("sample %s: %w", s.Name, err)
	}
	return s, nil
}

// Hurried is a copy of the example under another name, in which each time-out that a
// sample waits for comes after the given time. Its samples are those that wait.
func (e Example) Hurried(name string, after time.Duration) Example {
	awaited := map[string]bool{}
	var samples []Sample
	for _, s := range e.Samples {
		if !s.Waits() {
			continue
		}
		samples = append(samples, s)
		for _, step := range s.Steps {
			if step.ByTimeout {
				awaited[step.Transition] = true
			}
		}
	}
	def := *e.Definition
	def.Name = name
	def.Places = append([]wire.Place(nil), e.Definition.Places...)
	for i, place := range def.Places {
		if place.Timeout != nil && awaited[place.Timeout.Transition] {
			def.Places[i].Timeout = &wire.Timeout{After: wire.Duration(after), Transition: place.Timeout.Transition}
		}
	}
	return Example{Folder: e.Folder, Definition: &def, Rules: e.Rules, Functions: e.Functions, Samples: samples}
}
