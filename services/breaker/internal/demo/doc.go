// Package demo shows a fleet at work: it starts one in a temporary folder, deploys the
// examples, takes a few hundred sample documents through them at once, shows the marking
// as it changes, and then proves from the event log that nothing was lost or doubled.
//
//	start a fleet ─▶ deploy ─▶ drive the samples ─▶ summary ─▶ one token's history ─▶ verify
//	                             │        ▲
//	                     marking (PLACES) │ time-outs that the engine fires
//
// On a terminal the marking is a block that is drawn anew a few times a second; elsewhere
// it is a few lines, so that a log stays readable. The proof has two halves: the audit of
// every workflow's log (folding the events gives the states, the view equals the truth),
// and the books: the log holds exactly as many instances and firings as the demo saw
// acknowledged. Any difference is an error.
package demo
