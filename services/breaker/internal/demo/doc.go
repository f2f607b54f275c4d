// Package demo shows a fleet at work: it starts one in a temporary folder, deploys the
// examples, takes a few hundred sample documents through them at once, shows the marking
// as it changes, and then proves from the event log that nothing was lost or doubled.
//
//	start a fleet ─▶ rules ─▶ deploy ─▶ drive the samples ─▶ summary ─▶ one token's history ─▶ verify
//	                                      │        ▲
//	                              marking (PLACES) │ time-outs, and automatic transitions
//
// On a terminal the marking is a block that is drawn anew a few times a second; elsewhere
// it is a few lines, so that a log stays readable. The proof has two halves: the audit of
// every workflow's log (folding the events gives the states, the view equals the truth),
// and the books: by instance and transition, the log holds exactly the firings that the demo
// saw acknowledged, and those that the samples say come by themselves, which nobody asked
// for. What a rule rejected must not be there. Any difference is an error.
package demo
