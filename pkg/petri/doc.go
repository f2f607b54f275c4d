// Package petri is the pure engine: what a net allows, and what a command does to an
// instance. It has no storage, no clock and no chance in it; it sees the standard library
// and package wire. Everything else in the house is there to bring commands to it and to
// keep its events.
//
// # Two functions
//
//	definition ── ParseDefinition, Compile ──► Net
//
//	                  ┌─────────┐
//	   Command, Meta ─┤         │
//	             Net ─┤ Decide  ├─► Event, with the state after it   ─► published
//	  State (before) ─┤         │                                       at Subject(event)
//	                  └────┬────┘
//	                       └─► or a Rejection: nothing has changed
//
//	                  ┌─────────┐
//	  State (before) ─┤  Apply  ├─► State (after)
//	 Event, sequence ─┤         │
//	                  └─────────┘
//
// Decide builds the snapshot of its event with the code that Apply folds with, so that the
// events alone, read in order, give every state again. Neither function changes what it is
// given: states are shared between goroutines, and what did not change is shared between
// states, down to the bytes of the documents.
//
// # Places, tokens, transitions
//
// A transition consumes tokens from its inputs and produces tokens in its outputs, all or
// nothing. It is written in one of two forms:
//
//	from: draft            inputs:  [legal_ok, finance_ok]
//	to:   review           outputs: [approved]
//
//	(draft)──►▌──►(review)          (legal_ok)───►▌
//	                                               ▌──►(approved)
//	from: [draft, review]         (finance_ok)───►▌
//	to:   withdrawn
//
//	any ONE of from               ALL inputs, ALL outputs
//
// An arc has a count; an output may have each instead, and an input the count all:
//
//	                         ┌─►(item) ──► … ──►(item_done)─┐
//	(order)──►▌ each: items ─┼─►(item) ──► … ──►(item_done)─┼─ count: all ►▌──►(packed)
//	                         └─►(item) ──► … ──►(item_done)─┘
//
// A place that no transition leads out of is terminal.
//
// # Who is who
//
// A firing that takes one token and gives one (one arc of count 1 on each side, or from
// and to) moves that token: id, creation and lineage stay. In every other firing the
// consumed tokens end and new ones are born, numbered in their ids.
//
// A new token's documents are those of its parents, merged (RFC 7396) in the order of the
// input arcs and, within an arc, of arrival. A token made by each loses the list and gets
// item and item_index (from 0) in its data. Then the patches of the command apply, to
// every token produced.
//
// Which tokens a firing takes is never left to chance:
//
//   - the one that was named is among them, and must stand in an input;
//   - otherwise those that arrived first, then those with the smaller id;
//   - a join for a named token prefers, in its other inputs, the tokens that share most of
//     its splits.
//
// # Lineage
//
// Every firing that produces more than one token, and every firing of an output with each,
// is a split, named by the birth number of its first token. A token's lineage lists the
// splits it came from, outermost first:
//
//	0 [] ─┬─ 1 [1] ─┬─ 3 [1 3] ─┐
//	      │         └─ 4 [1 3] ─┴─ 5 [1] ─┐
//	      └─ 2 [1] ───────────────────────┴─ 6 []
//
// What is produced begins with the lineage that all consumed tokens share, less the
// innermost splits of which no other live token is left; live is a token that stands in no
// terminal place. So a join of only some tokens of a split stays within it.
//
// An input with count all takes the tokens of one split from its place. It is enabled for
// a split when the firing takes every live token of it, at least one of them from such an
// input; tokens of no split count the whole instance as their split. Of several splits
// that are complete, the one whose token arrived first is taken.
//
// # The life of an instance
//
//	            Suspend
//	  ┌────────┐───────►┌───────────┐
//	─►│ active │        │ suspended │
//	  └─┬────┬─┘◄───────└─┬───────┬─┘
//	    │    │   Resume   │       │
//	    │    │            │       │ Cancel, or Resume with
//	    │    │ Cancel     │       │ every token at its end
//	    │    └─────┬──────┘       │
//	    │          ▼              ▼
//	    │    ┌───────────┐  ┌───────────┐
//	    │    │ cancelled │  │ completed │
//	    │    └───────────┘  └───────────┘
//	    │ every token stands       ▲
//	    └─ in a terminal place ────┘
//
// Cancelling one token leaves the instance going, unless it was the last (cancelled) or
// all others are at their end (completed). A suspended instance can still be updated,
// migrated and cancelled, and work done for it is recorded, but nothing fires. Migration
// moves the tokens whose place is called otherwise in the other version; the rest have
// not arrived anew.
//
// # What is not here
//
// Rules, conditions and JSON Schemas are asked around the engine: Bind says about which
// tokens and documents. Functions, agents and time-outs are bound in a definition, and only their
// transitions are checked here. That a request was seen before is for the commit loop to
// find in State.Requests; the engine only remembers it.
package petri
