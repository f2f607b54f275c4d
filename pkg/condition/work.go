package condition

import (
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// The transitions of the records with which the history of a token begins, or of one that it
// came from: they put it into a place, and took it out of none.
const (
	created  = "create"
	injected = "inject"
)

// transitionedFrom reports whether some firing took the token out of a place.
func (t *tokenValue) transitionedFrom(place string) ref.Val {
	if !t.hasHistory() {
		return types.NewErr("only the variable %s has a history, not other tokens", tokenVariable)
	}
	for i := range t.in.subject.History {
		if record := &t.in.subject.History[i]; record.FromPlace == place && takesOut(record) {
			return types.True
		}
	}
	return types.False
}

// takesOut reports whether a record is more than the beginning of a token.
func takesOut(record *wire.TransitionRecord) bool {
	begins := record.TransitionID == created || record.TransitionID == injected
	return !begins || record.FromPlace != record.ToPlace
}

func (t *tokenValue) hasHistory() bool {
	own := t.in.subject.Token
	return t.token == own || t.token.ID != "" && t.token.ID == own.ID
}

// visits counts the arrivals in a place: of every token of the instance, or where there is
// no instance of this one.
func (t *tokenValue) visits(place string) ref.Val {
	if instance := t.in.subject.Instance; instance != nil {
		return types.Int(instance.Visits[place])
	}
	if !t.hasHistory() {
		return types.NewErr("only the variable %s has a history, not other tokens", tokenVariable)
	}
	count := 0
	for i := range t.in.subject.History {
		if t.in.subject.History[i].ToPlace == place {
			count++
		}
	}
	return types.Int(count)
}

func (t *tokenValue) age(string) ref.Val {
	return t.since(t.token.CreatedAt, "when the token was created")
}

func (t *tokenValue) timeInPlace(string) ref.Val {
	return t.since(t.token.ArrivedAt, "when the token arrived in its place")
}

func (t *tokenValue) since(begin time.Time, what string) ref.Val {
	switch {
	case begin.IsZero():
		return types.NewErr("it is not known %s", what)
	case t.in.subject.Now.IsZero():
		return types.NewErr("it is not known what time it is")
	}
	return types.Duration{Duration: t.in.subject.Now.Sub(begin)}
}

// results is where the results of one kind of work lie in a token's metadata.
type results struct{ member, worker string }

var (
	agents = results{member: "agent_outputs", worker: "agent"}
	works  = results{member: "function_outputs", worker: "function"}
)

// record is what lies under an id: nil for nothing, an error where metadata is no object.
func (r results) record(t *tokenValue, id string) ref.Val {
	metadata := t.document(metadataField)
	document, ok := metadata.(*object)
	if !ok {
		return metadata
	}
	all, _ := document.member(r.member)
	if records, ok := all.(*object); ok {
		if found, ok := records.member(id); ok {
			return found
		}
	}
	return nil
}

// outputOf is the output in a record. The engine writes its records with a boolean success;
// anything else is an output that somebody put there.
func outputOf(record ref.Val) ref.Val {
	result, ok := record.(*object)
	if !ok {
		return record
	}
	if success, _ := result.member("success"); success == types.True || success == types.False {
		output, _ := result.member("output")
		return output
	}
	return record
}

func (r results) exists(t *tokenValue, id string) ref.Val {
	record := r.record(t, id)
	if record == nil || types.IsError(record) {
		return orFalse(record)
	}
	return types.Bool(outputOf(record) != nil)
}

func (r results) output(t *tokenValue, id string) ref.Val {
	record := r.record(t, id)
	if record != nil && types.IsError(record) {
		return record
	}
	if record != nil {
		if output := outputOf(record); output != nil {
			return output
		}
	}
	return types.NewErr("the %s %q has left no output", r.worker, id)
}

func (r results) succeeded(t *tokenValue, id string) ref.Val {
	record := r.record(t, id)
	result, ok := record.(*object)
	if !ok {
		if record != nil && types.IsError(record) {
			return record
		}
		return types.False
	}
	success, _ := result.member("success")
	return types.Bool(success == types.True)
}

func orFalse(value ref.Val) ref.Val {
	if value == nil {
		return types.False
	}
	return value
}
