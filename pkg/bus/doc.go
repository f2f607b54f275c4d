// Package bus is how a service stands on NATS: one connection, the streams and buckets,
// reads with the consistency that the caller names, and the one loop through which every
// change of an instance is committed.
//
// # Committing
//
// An instance's last event is its state. A change is one message that carries the state
// after it, published with the expectation that the event before it is still the last:
//
//	        ┌────────────── queue of the instance (this process) ──────────────┐
//	        │                                                                  │
//	request │  load ──► remembered? ──yes──► render that event again ──► reply │
//	   ─────┼─► ▲           │no                                                │
//	        │   │           ▼                                                  │
//	        │   │     petri.Decide ──rejected──► state cached? ─no─► refuse    │
//	        │   │           │                         │yes                     │
//	        │   │◄──────────┼─────────────────────────┘ (read and decide anew) │
//	        │   │           ▼                                                  │
//	        │   │     publish, expecting the revision                          │
//	        │   │       │       │            │                                 │
//	        │   │    stored   conflict    no answer                            │
//	        │   │       │       │            ▼                                 │
//	        │   └───────┼───────┘      look at the event after the revision:   │
//	        │           ▼              ours ──► stored; somebody's ──► conflict│
//	        │         reply            none ──► publish the same message again │
//	        └──────────────────────────────────────────────────────────────────┘
//
// The cache of states may be stale; the commit never is, because the server checks the
// revision, and a refusal is only ever decided on a state that was read from the stream.
//
// What is not guaranteed: a command that ended with 503 or 504 may have taken effect, if
// its acknowledgement was lost and the stream stayed out of reach until the deadline. Then
// repeating it with the same request_id tells.
package bus
