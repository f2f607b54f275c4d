// Package projector keeps the view: for every workflow that this copy owns it reads the
// events in order and writes where each token stands, each instance's short record and the
// timers.
//
//	             owner by lease                 fails, or loses a write
//	supervise ──────────────────► projection ────────────────────────────► pause, repair,
//	    ▲                          │   ▲                                   begin again at
//	    └── members, workflows     │   └── claim the checkpoint            the checkpoint
//	        change                 ▼
//	        event ─► changes ─► items (one a token, record or timer; in flight many, each
//	                              │       in its own order) ─► window ─► checkpoint
//	                              ▼
//	    idle ─► look? ─► put ─► clear what it left ─► done
//	              ▲       │          │
//	              └───────┴──────────┘ lost: look again
//
// Every write expects the last sequence over all places of its token (over all states of
// its instance), and carries the revision of the event behind it. So a write that was lost
// to another copy, or that a copy woken from a pause makes late, is refused; then the item
// looks: what has our revision or a later one is done, anything older than what we tried
// to replace means that another copy writes, and the projection ends. The checkpoint is
// written the same way, after everything that it covers has been acknowledged. Timers are
// covered by it too.
//
// Newer events for an item with a write on its way are put together: the view skips places
// that a token has already left again. The put comes before the tombstone of the old place,
// so that a token which moves is never missing, but for a moment in two places.
//
// What is guaranteed: after any crash, pause or takeover the view becomes what the events
// say. One write cannot be fenced, that of an item which was new to the writer, and which
// another copy has since put and removed, tombstone and all: the projection remembers those
// since its last checkpoint and takes them back when it ends (repair). A copy that writes
// one and dies before it can look leaves a ghost, which `breaker verify` finds and a
// rebuild removes.
//
// What is not: the view may be behind, and a list of it is no consistent cut. A timer may
// be delivered although it no longer applies, for example when its token left at that
// moment; its arrival sequence tells.
package projector
