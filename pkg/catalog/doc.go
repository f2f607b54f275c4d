// Package catalog keeps named, versioned definitions (rules, functions) in a NATS bucket
// that keeps every version of each, for the service that owns the bucket.
//
// A definition's life, each arrow one message in the bucket:
//
//	create ──► version 1 ──► update: version n+1 ─┐        get, list, history: read
//	                ▲              ▲              │
//	                │              └──────────────┤
//	                │                             ▼
//	                └── create: version n+1 ── deleted, once it is unused
//
// Every message is stored after the very one that it was decided on, so rivals never make
// two versions of one number: who loses looks again, and tries again. A version's number is
// never given twice, also not after a deletion. A repeat of a request, known by its
// request_id and its digest, is answered with what the first has made, however late.
//
// How a copy knows what there is:
//
//	bucket ──follow──► remembered: Known, All, List        behind by moments
//	   └────leader───► read: Current, Existing, Version,   never behind, and remembered
//	                   Versions, History
//
// A bucket that was lost takes its definitions with it. What is remembered stays until there
// is another bucket, which the next copy makes that starts; then it vanishes.
//
// What is not guaranteed: that what Delete asked unused for still holds when the deletion is
// stored; that List shows at once what another copy has made; that a stored definition can be
// used, for which Prepare keeps the reason. Changed is told of an id, not of each version.
package catalog
