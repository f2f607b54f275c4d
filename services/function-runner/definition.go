package functionrunner

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func (s *Service) create(ctx context.Context, req wire.FunctionCreateRequest) (wire.Function, error) {
	digest, err := bus.Digest(wire.SubjectFunctionCreate, req.Origin, req)
	if err != nil {
		return wire.Function{}, err
	}
	e, err := s.store.Create(ctx, wire.Function{ID: req.ID, FunctionSpec: req.FunctionSpec}, req.Origin, digest, s.check)
	return e.Shown(), err
}

func (s *Service) update(ctx context.Context, req wire.FunctionUpdateRequest) (wire.Function, error) {
	digest, err := bus.Digest(wire.SubjectFunctionUpdate, req.Origin, req)
	if err != nil {
		return wire.Function{}, err
	}
	for i, name := range req.Reset {
		if !specMembers[name] {
			field := "reset[" + sequence(uint64(i)) + "]"
			return wire.Function{}, fault.New(fault.InvalidField, "%s is %q, which is no member of a function that could be left out; those are %s", field, name,
				strings.Join(slices.Sorted(maps.Keys(specMembers)), ", ")).With("field", field)
		}
	}
	if len(req.Reset) == 0 && reflect.ValueOf(req.FunctionSpec).IsZero() {
		return wire.Function{}, fault.New(fault.InvalidField, "give what is to change").With("field", "description")
	}
	var faulty error
	e, err := s.store.Update(ctx, req.ID, req.ExpectedVersion, req.Origin, digest, func(fn *wire.Function) {
		fn.FunctionSpec, faulty = merged(fn.FunctionSpec, req.FunctionSpec, req.Reset)
	}, func(ctx context.Context, fn *wire.Function) error {
		if faulty != nil {
			return faulty
		}
		return s.check(ctx, fn)
	})
	return e.Shown(), err
}

// specMembers are the members of a definition.
var specMembers = func() map[string]bool {
	names := map[string]bool{}
	spec := reflect.TypeFor[wire.FunctionSpec]()
	for i := range spec.NumField() {
		name, _, _ := strings.Cut(spec.Field(i).Tag.Get("json"), ",")
		names[name] = true
	}
	return names
}()

// merged is a definition with other members in the place of its own, and without some. Another
// kind takes away what belongs to the kind before.
func merged(have, change wire.FunctionSpec, reset []string) (wire.FunctionSpec, error) {
	if change.Kind != "" && change.Kind != have.Kind {
		have.HTTP, have.Exec, have.WASM, have.Expression = nil, nil, nil, ""
	}
	members := map[string]json.RawMessage{}
	for _, spec := range []wire.FunctionSpec{have, change} {
		text, err := json.Marshal(spec)
		if err != nil {
			return have, err
		}
		if err := json.Unmarshal(text, &members); err != nil {
			return have, err
		}
	}
	// Lists that were given empty are left out when they are written.
	for name, emptied := range map[string]bool{
		"triggers": change.Triggers != nil && len(change.Triggers) == 0,
		"chains":   change.Chains != nil && len(change.Chains) == 0,
		"tags":     change.Tags != nil && len(change.Tags) == 0,
	} {
		if emptied {
			delete(members, name)
		}
	}
	for _, name := range reset {
		delete(members, name)
	}
	text, err := json.Marshal(members)
	if err != nil {
		return have, err
	}
	var spec wire.FunctionSpec
	return spec, json.Unmarshal(text, &spec)
}

func (s *Service) get(ctx context.Context, req wire.FunctionGetRequest) (wire.Function, error) {
	e, err := s.store.Version(ctx, "id", req.ID, req.Version)
	if err != nil {
		return wire.Function{}, err
	}
	fn := e.Shown()
	fn.Circuits, err = s.queue.Circuits(ctx, wire.KindFunction, req.ID)
	return fn, err
}

func (s *Service) list(_ context.Context, req wire.FunctionListRequest) (wire.FunctionListReply, error) {
	if req.Kind != "" && !slices.Contains(wire.FunctionKinds(), req.Kind) {
		return wire.FunctionListReply{}, oneOf("kind", req.Kind, wire.FunctionKinds())
	}
	functions, next, err := s.store.List(func(f *wire.Function) bool {
		return strings.Contains(f.ID, req.NameContains) && (req.Tag == "" || slices.Contains(f.Tags, req.Tag)) && (req.Kind == "" || f.Kind == req.Kind)
	}, req.Page)
	if functions == nil {
		functions = []wire.Function{}
	}
	return wire.FunctionListReply{Functions: functions, NextCursor: next}, err
}

func (s *Service) remove(ctx context.Context, req wire.FunctionDeleteRequest) (wire.Function, error) {
	digest, err := bus.Digest(wire.SubjectFunctionDelete, req.Origin, req)
	if err != nil {
		return wire.Function{}, err
	}
	until, err := s.queue.Newest(ctx)
	if err != nil {
		return wire.Function{}, err
	}
	e, err := s.store.Delete(ctx, req.ID, req.ExpectedVersion, req.Origin, digest, func(ctx context.Context) error { return s.unused(ctx, req.ID) })
	if err != nil {
		return wire.Function{}, err
	}
	// A repeat may come when there is another function of this id, with jobs of its own.
	now, err := s.store.Current(ctx, req.ID)
	if err != nil || now != nil && !now.Deleted {
		return e.Shown(), err
	}
	return e.Shown(), s.queue.Forget(ctx, wire.KindFunction, req.ID, until)
}

// unused refuses the deletion of a function that a workflow or another function uses.
func (s *Service) unused(ctx context.Context, id string) error {
	chained := []string{}
	for _, e := range s.store.All() {
		if e.Definition.ID != id && slices.ContainsFunc(e.Definition.Chains, func(c wire.Chain) bool { return c.Function == id }) {
			chained = append(chained, e.Definition.ID)
		}
	}
	slices.Sort(chained)
	users, err := s.bus.Users(ctx, s.registry, func(w *wire.Workflow) bool {
		return slices.ContainsFunc(w.Places, func(p wire.Place) bool {
			return slices.ContainsFunc(p.Functions, func(b wire.FunctionBinding) bool { return b.Function == id })
		})
	})
	if err != nil || len(users)+len(chained) == 0 {
		return err
	}
	return fault.New(fault.FunctionInUse, "function %q is used by %s; let nothing use it first, and running instances end", id, strings.Join(slices.Concat(users, chained), ", ")).
		With("function_id", id).With("workflows", users).With("functions", chained)
}
