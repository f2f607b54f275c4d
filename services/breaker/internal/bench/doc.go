// Package bench measures a fleet against the server that it stands on.
//
// Each figure of a firing stands beside the same figure of the raw optimistic publish: the
// least that a durable, fenced change costs on the same server, in the same run, with
// messages of the same size, on a stream with the same settings, with as many in flight.
// The ratio of the two is what the engine costs, and it means something on any machine;
// the absolute figures only on the machine they were taken on.
//
//	bench process                      fleet process
//	callers ──request-reply──▶ nats-server ◀──▶ services
//	publishers ──optimistic publish──▶ nats-server
//
// The fleet runs in a process of its own, so that its memory is its own and its work is
// not hidden among the callers'. Callers are as thin as can be: requests are made in
// advance and replies are checked, not decoded.
//
// Four phases, each on a fresh fleet: throughput (both sync settings, the view live and
// the projector paused), guards (guarded firings beside unguarded ones), pipeline (instances
// that five functions bring to their end, beside direct requests and bare firings), and sizes
// (the cost of a firing with 1,000 to 1,000,000 instances in one workflow, and the memory when
// 100,000 are live).
//
// In the pipeline phase the bench is the program behind the functions as well:
//
//	bench process                              fleet process
//	creators ──breaker.token.create──▶ nats-server ◀──▶ services
//	programs ◀──────functions.step*─── nats-server ◀── function-runner
//	creators ◀──events of the last step, from the stream
//
// What it does not measure: several nodes, and a network between them.
package bench
