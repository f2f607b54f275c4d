// Package transition is the service that owns workflows and firings: it deploys
// definitions, fires transitions, records the results of functions and agents, and fires
// time-outs when they are due.
//
// A workflow's life, each arrow a step that can be repeated after a crash:
//
//	create ──► claim name ──► stream ──► definition v1 ──► record ──► events ──► active
//	                                                                              │  ▲
//	                                              update: definition v(n+1) ──────┘──┘
//	                                                                              │
//	                                   archive: name freed, no new instances ─────┤
//	                             delete: stream, view, timers, name, record gone ─┘
//
// It guarantees that an acknowledged firing is stored and has taken effect exactly once.
// It does not guarantee that a time-out fires at its very instant: it fires when it is due
// and the projector has set it, never before, and at most once for each arrival.
//
// The guards of a transition are asked of the rules service, in the very state that the
// firing is committed upon: whoever changes the instance in between has them asked again.
// It fails closed: while no rules service answers, a guarded firing is refused (503
// rules_unavailable), and so is the deployment of a definition that names rules. Firings
// without guards go on.
package transition
