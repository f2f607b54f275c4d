// Package rules is the service that owns rules, judges guards, and lets automatic
// transitions fire.
//
// A rule's life, each arrow one message in the rules bucket, which keeps them all:
//
//	create ──► version 1 ──► update: version n+1 ─┐        guard, evaluate: read
//	                ▲              ▲              │
//	                │              └──────────────┤
//	                │                             ▼
//	                └── create: version n+1 ── deleted, once no workflow uses it
//
// What is asked of an automatic transition, for every event that brings a token into one of
// its inputs or changes one there:
//
//	event ──► its state ──► per token: enabled, in order of priority ──► guards pass?
//	            ▲  as of the event's revision                              │ first that does
//	            │                                                          ▼
//	            └──── the instance has changed meanwhile: read it ◄── transition.fire,
//	                  again, unless the token has gone                 expecting the revision
//
// So every automatic firing was decided on the very revision that it follows, with a
// request id made of that revision and the token: however often the event is delivered,
// and to however many copies, it fires once.
//
// A guard that cannot be judged does not pass, and neither does one whose rule is gone, as
// when it is deleted at the very moment at which a definition with it is deployed. A refusal
// is only ever decided on the newest version of each rule, read from the bucket; a rule that
// was just tightened may let a firing pass for the moments until every copy has heard of it.
//
// What is not guaranteed: time never makes an automatic transition fire, and neither does a
// change of a rule, nor a change of another token than those that stand in its inputs. Of
// the tokens that a guarded join could take, those are tried that the engine takes when one
// of them is named, not every combination of three or more. An automatic firing that is
// refused for good (a limit, a schema, a list that is none) is logged, and the next
// transition is tried: where there is none, the token waits for somebody.
package rules
