// Package functionrunner is the service that owns functions and runs them, and that keeps the
// work of functions and agents: JOBS, EXECUTIONS and DEAD_LETTERS.
//
// From an event to a result:
//
//	event ──► job ──► a copy takes it ──► token there? ──► mapping, schema ──► turn, circuit ──► run
//	           ▲           ▲                  │no               │no                 │not yet       │
//	           │           │                  ▼                 │                   ▼              │
//	           │           │               dropped              │               schedule           │
//	           │           └────────────────────────────────────┼───────────────────┘              │
//	           │                            schedule ◄──────────┼──── attempts left ◄── failed ◄───┤
//	           │                                                ▼                        │none     ▼
//	           │                       dead letter ◄──────── result stored ◄─────────────┴─────────┘
//	           │                            │                   │
//	           └── jobs of the chain ◄──────┴──► transition.complete: result and firing, one event
//
// A job is one piece of work of one function, for one arrival of a token, and its id follows
// from that: the same event gives the same job, however often it is delivered. Where more follows
// from a result than its token is told, it is stored before, so whoever gets the job of a copy
// that has died goes on from there. See package work for the steps.
//
// What is guaranteed: each job has its effect on the token exactly once, and its chain goes on
// exactly once, whatever dies. What is not: that a function runs only once. It gets the same
// Idempotency-Key each time, and that says so.
//
// Also not guaranteed: the order of jobs. A rate limit is kept as well as the copies' clocks
// agree. A circuit breaker belongs to one copy, so a target that is ill is found out by each.
package functionrunner
