// Package demo shows a fleet at work: it starts one in a temporary folder, deploys the
// examples, takes a few hundred sample documents through them at once, shows the marking
// as it changes, and then proves from the event log that nothing was lost or doubled.
//
//	start a fleet ─▶ rules, functions ─▶ deploy ─▶ drive the samples ─▶ summary ─▶ histories ─▶ verify
//	                         │                        │        ▲
//	                         │                marking (PLACES) │ time-outs, automatic transitions,
//	                         │                                 │ ends of functions
//	                         └─ functions.{id}: those of kind nats are answered here
//
// On a terminal the marking is a block that is drawn anew a few times a second; elsewhere
// it is a few lines, so that a log stays readable. The proof has three parts: the audit of
// every workflow's log (folding the events gives the states, the view equals the truth),
// the books: by instance and transition, the log holds exactly the firings that the demo
// saw acknowledged, and those that the samples say come by themselves, which nobody asked
// for; and the runs of functions: each record of one has one result in the log and each
// arrival one run, the dead letters are those that failed, and all are as many as the samples
// say. What a rule rejected must not be there. Any difference is an error.
package demo
