// Package view reads the marking that the projector keeps in PLACES.
//
// A page is a chain of single next-by-subject gets: each finds one message and disturbs
// nobody. The server's batch form would be one request, but it counts every matching subject
// first, under a lock that writers wait for.
//
// The view is behind the truth by moments. WaitFor waits until it contains a revision. A
// list is no consistent cut: what moves while pages are read may be seen twice or, seldom,
// not at all.
package view
