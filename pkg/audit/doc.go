// Package audit compares what a workflow's stream, its view and its instances say, over
// NATS alone: it is how `breaker verify` and the tests know that nothing was lost or
// doubled.
//
//	events ──fold──► state ══ snapshot in the event     for every event
//	   │               │
//	   │               └────► tokens, records ══ PLACES   at the end
//	   └─ chain of revisions, request ids, conservation
//
// One pass reads the event log in order. Of every instance only its last revision and the
// fingerprints of what the view must hold are kept (about 120 bytes an instance and 60 a
// token); the state before an event comes from a bounded cache, else from the stream.
//
// The workflow may run on meanwhile. What was added after the pass began is not looked at,
// and an instance that changed since is counted as moving and not compared with the view.
// An instance that is purged while we look leaves no difference.
package audit
