// Package service is what every service stands in: its dependencies (Deps), the wrapper
// around its endpoints (Handle, Server), its health over HTTP (Health), and the program
// around it all (Run).
//
// A request takes this way:
//
//	subscription ──► slot free? ──no──► 429 overloaded
//	                     │yes: a goroutine of its own
//	                     ▼
//	    trace ─► deadline ─► decode ─► handler ─► encode ─► reply
//	               │           │          │         │
//	               504        400     its code,   422 when it
//	                                 500 on panic  does not fit
//
// Requests are decoded strictly: one JSON object whose members are all known, spelled
// exactly. An error always says which field, and a near miss which field was meant.
//
// # Stopping
//
//	idle ──Start──► serving ──Stop──► draining ──nothing in flight──► stopped
//
// A draining server has left its queue group, so that other copies take what comes; it
// still serves every request that had reached it, and Stop waits for them. What would come
// later yet is answered 503, never left in silence.
//
// # What is not guaranteed
//
// A handler that does not watch its context outlives its deadline; its caller then gets an
// answer late, or none after Stop's own deadline. A reply that is made while the connection
// is down is lost, so callers repeat mutating requests with the same request_id.
package service
