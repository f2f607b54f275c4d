// Package find decides whether a token meets a condition that a caller wrote in CEL over
// the variable token:
//
//	token.place == "review" && token.data.amount > 1000
//	token.arrived_at < timestamp("2026-03-01T00:00:00Z") && has(token.data.reviewer)
//	token.data.items.exists(i, i.sku.startsWith("A-"))
//
// The variable has id, place, data, metadata, created_at, updated_at, arrived_at,
// arrival_sequence, instance_id and workflow_id. Numbers of data and metadata that are
// written without a point and an exponent are ints, others doubles; the two compare as
// numbers, but arithmetic does not mix them.
//
// A condition that cannot be answered for a token (a member that it lacks, a string where a
// number was meant, an answer that is neither true nor false) does not match it. So
// token.data.x == 1 and token.data.x != 1 both pass over a token without x; has() asks.
//
// Conditions come from outside, so each of these is bounded: the length and nesting of the
// text, the nesting of its loops, the size of regular expressions and what one match may
// cost, and the work, memory and time of one evaluation. Beyond the bounds the caller is
// told, since "does not match" would be a guess.
package find
