package petri

import (
	"fmt"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Codes of the problems of a definition.
const (
	problemMalformed         = "malformed"
	problemTooLarge          = "too_large"
	problemTooMany           = "too_many"
	problemUnknownKey        = "unknown_key"
	problemDuplicateKey      = "duplicate_key"
	problemWrongType         = "wrong_type"
	problemMissing           = "missing"
	problemInvalidID         = "invalid_id"
	problemDuplicateID       = "duplicate_id"
	problemUnknownPlace      = "unknown_place"
	problemUnknownTransition = "unknown_transition"
	problemUnreachablePlace  = "unreachable_place"
	problemDeadTransition    = "dead_transition"
	problemNoTerminalPlace   = "no_terminal_place"
	problemBothArcForms      = "both_arc_forms"
	problemNoArcs            = "no_arcs"
	problemDuplicateArc      = "duplicate_arc"
	problemInvalidCount      = "invalid_count"
	problemInvalidEach       = "invalid_each"
	problemInvalidDuration   = "invalid_duration"
	problemTimeoutNoFiring   = "timeout_without_transition"
	problemTimeoutElsewhere  = "timeout_not_from_place"
	problemBindingTransition = "binding_transition"
	problemInvalidOutput     = "invalid_output"
)

// problems collects what is wrong with a definition.
type problems []wire.Problem

func (p *problems) add(path, code, format string, args ...any) {
	*p = append(*p, wire.Problem{Path: path, Code: code, Message: fmt.Sprintf(format, args...)})
}

// at is the path of an element of a list.
func at(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
