// Package work turns events into jobs, and jobs into results, for functions and agents alike:
// the dispatcher, the queue, and the pool of lanes that do the jobs of one kind of target.
//
// # A job's way
//
//	event ──Dispatch──► JOBS ──lane──► do
//	                     ▲              │ standing: the token is read again: gone ──► dropped
//	                     │              │                                suspended ──► until resumed
//	                     │              │ Prepare: mapping, schema: fails ──► finish
//	                     ├── schedule ◄─┤ admit: its turn comes later
//	                     ├── schedule ◄─┤ the circuit is open
//	                     │              ▼
//	                     ├── schedule ◄─ attempt failed, attempts are left
//	                     │              ▼
//	                     │            finish: a result from which more follows is stored
//	                     │              ▼
//	                     └── chain ◄── settle: dead letter, transition.complete, chain, record
//
// # Why each effect happens once
//
// A job's id follows from what it is about (ID), so an event that comes again makes the same
// job: within two minutes the server drops it by its message id while the first is still there;
// after that the record of its run does (step.go says how), the requests that the instance
// remembers, and, for what is old, the instance's events. Where more follows from a result than
// the token is told (a chain, a dead letter, an answer), it is stored before, so whoever takes
// over the job of a copy that has died either does the work again, when no result is there, or
// settles the one that is. Settling repeats safely: transition.complete is idempotent by its
// request id and fenced by the token's arrival, the jobs of a chain have ids that follow from the
// run's, and a dead letter has one subject.
//
// The code that does the work may run more than once; its idempotency key, which is the job's
// id, is the same each time.
//
// # Waiting
//
// Nothing waits in a lane. A retry, a turn within a rate limit that is more than a second away
// and an open circuit are message schedules (ADR-51), one for each run, which survive restarts
// of everything; the job that a schedule delivers carries the number of its attempt.
//
// # Bounds
//
// A copy makes so many attempts at once (PoolConfig.Concurrency), and fetches no more jobs than
// it has free slots, or few more while jobs are short, so that another copy gets the rest; what it
// fetched and cannot begin yet is kept alive. A target's own bound holds for the fleet: its durable has no more jobs in hand.
//
// What is not guaranteed: order. A rate limit is exact for one clock; copies whose clocks differ
// take turns that much early or late. Each copy has its own circuit for a target.
package work
