// Package breaker is the front door: the program breaker, which runs the whole fleet in one
// process (up) and speaks to any fleet over NATS (everything else).
//
//	main ── Run ── the command tree ──┬── up ────── internal/fleet: nats-server and services
//	                                  ├── files ─── internal/definition, ruleset, functionset, graph
//	                                  └── others ── pkg/client, pkg/bus, pkg/audit
//
// A command is one constructor in a cmd_ file, listed in commands. It writes results to
// stdout, as a table or with --json as documents, and everything about how the work goes to
// stderr. Its error becomes the exit code in one place, exit.go.
//
// What it does not do: nothing here decides anything about an instance. The commands ask
// the services, so that they can do no more than any other client of the fleet; only watch,
// status and verify also read streams, functions upload writes into the bucket of modules, and
// rules test judges documents that are in no fleet.
package breaker
