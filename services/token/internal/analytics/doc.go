// Package analytics works out how the places and transitions of a workflow were used over a
// window of time. Nothing is kept for it: every answer is one pass over the workflow's
// events in the window, oldest first, as the server stored them.
//
// The pass is bounded by a number of events, by the tokens it has to remember, and by the
// caller's deadline. When it is cut there, the window of the reply ends where the pass did,
// and says so: what is told is exact for that part, and says nothing of the rest.
//
// How long a token stood somewhere is known when the pass has seen an event of its
// instance before the token left, because every event carries the whole instance. A token
// that arrived before the window, and leaves with its instance's first event in it, counts
// as a departure and not as a duration; a window that begins earlier includes it. Counts
// are exact, durations are to within one percent, the longest is exact. They are
// differences of the services' clocks; a negative one counts as 0.
package analytics
