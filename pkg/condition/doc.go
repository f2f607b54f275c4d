// Package condition is the one language in which conditions over tokens are written and
// judged: rules, the inline guards of transitions, and what breaker.token.find looks for. The
// same language makes JSON out of JSON: see Mappings below.
//
// # Two forms, one language
//
// A condition is an expression in CEL (cel.dev) that gives true or false:
//
//	token.place == "review" && token.data.amount > 1000
//	token.arrived_at < timestamp("2026-03-01T00:00:00Z") && has(token.data.reviewer)
//	token.data.items.exists(i, i.sku.startsWith("A-")) && token.visits("draft") < 3
//
// or a tree in JSON, which is turned into such an expression before anything is judged:
//
//	{"and": [
//	  {"field_greater_than": {"field": "data.amount", "value": 1000}},
//	  {"or": [{"field_exists": {"field": "data.reviewer"}}, {"expression": "token.age() > duration(\"48h\")"}]},
//	  {"not": {"in": {"field": "data.status", "values": ["draft", "parked"]}}}
//	]}
//
// The kinds of a tree are field_exists, field_equals, field_greater_than, field_less_than,
// field_contains (each with value), field_matches (with pattern), in (with values), and, or,
// not and expression. Also read are {"field_exists": "data.x"}, value in place of pattern and
// values, and the tagged form {"type": "and", "conditions": […]}; Program.Canonical gives
// the form above.
//
// # What can be asked
//
//	token     id, place, instance_id, workflow_id, data, metadata, created_at, updated_at,
//	          arrived_at, arrival_sequence
//	tokens    those that a firing would consume
//	instance  id, workflow_id, workflow_version, status, tokens (the whole marking), visits
//	          (arrivals by place), created_at, updated_at; empty where there is no instance
//
// A token has functions of its own:
//
//	field_exists(path)  field(path)  field_equals(path, x)  field_greater_than(path, x)
//	field_less_than(path, x)  field_contains(path, x)  field_matches(path, pattern)
//	field_in(path, [x, …])
//	has_transitioned_from(place)  visits(place)  age()  time_in_place()
//	agent_output(id)  agent_output_exists(id)  agent_succeeded(id), and the same for function_
//
// A path is data or metadata, then .name, [3] or ["odd name"]; it is written out, not
// computed. A bare number in it (data.items.0) is an index where it meets a list and a name
// where it meets an object.
//
// Numbers of a document that are written without a point and an exponent are ints, others
// doubles; the two compare as numbers, but arithmetic does not mix them. The operators compare
// an int with a double as doubles, which from 2^53 on takes neighbours for the same; the field_
// functions, and so the trees, compare them exactly. A whole number beyond 2^63 is a double
// wherever it stands, so ids that long should be texts.
//
// # What is missing
//
// A condition that cannot be answered does not pass: a member that is not there, a text
// where a number was meant, an answer that is neither true nor false. So
// token.data.x == 1 and token.data.x != 1 both reject a token without x, and so does
// !(token.data.x == 1); has() asks. The field_ functions, and so the trees, are kinder: a
// field that is missing makes them false, and their not true. They too cannot say whether a
// text is greater than a number.
//
// Explain says in a sentence which of these it was, with the values that decided it.
//
// # Limits
//
// Conditions come from outside, so each of these is bounded: an expression has at most 4 KB
// and 64 levels, a tree 16 KB, 32 levels and 256 conditions; loops nest twice, and those in a
// chain count; the types of the lists and maps that are built have a bound together; a path
// has at most 256 bytes and 32 steps; a regular expression 512 bytes and 500 instructions, and
// one match a number of steps; one evaluation has limits of work, memory and one second.
// Beyond the bounds the caller is told, since "does not pass" would be a guess.
//
// # Mappings
//
// CompileExpression reads an expression that gives any value, and CompileMapping a JSON value
// in which every text that begins with = is one; a text that begins with == stands for the one
// with a = less, and all else for itself:
//
//	{"order": "=input.id", "lines": "=input.items.map(i, {'sku': i.sku})", "note": "=token.place + '!'", "rate": 1.0}
//
// These, and the conditions of CompileWorkCondition, know besides what is asked about above:
//
//	input   what a function was given     error   code and message, or null
//	output  what it gave                  event   type, transition_id, from_place, to_place, data
//
// One that the caller has not given is no null but an error: "input is not known here".
//
// What is passed through keeps its text: token.data and input.items as they stand, and so the
// numbers and texts that a path leads to, alone or as parts of a list, a map or a conditional
// that is written out. What is computed, or is a number that a loop has gone through, is
// written anew: names sorted, ints as such, doubles with a point or an exponent, so that they
// are doubles to whoever reads them with this language; times as RFC 3339, durations as 1h30m0s,
// bytes as base64. A token is written as wire.Token, an instance as wire.Instance.
//
// Where an expression has no value (a member is missing, kinds do not go together, a map has
// names that are no texts, a double is no number), the whole mapping has none: an
// EvaluationError names the path of the expression and says why.
//
// The limits are those above, and more: a mapping has at most 64 KB, 64 levels and 256
// expressions, which have the bound of types together; a result has at most 1 MB and 64
// levels. The expressions of one mapping share the time and the work of one evaluation; memory
// is counted for each.
//
// # How it is fast
//
// An Input decodes nothing before it is asked, and then one level of a document at a time,
// however many conditions ask about it. Nothing here does I/O or reads a clock: the caller
// brings the time.
package condition
