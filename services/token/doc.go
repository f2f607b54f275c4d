// Package token is the service that owns tokens and instances: it creates, changes and
// reads them, keeps the view of the marking (PLACES), sets their timers, and removes
// finished instances when their retention is over.
//
// An instance's life:
//
//	            inject, update, fire
//	              ┌──────┐
//	              ▼      │
//	create ──► active ───┘──── every token in a terminal place ──► completed ─┐
//	            │   ▲   └───── cancel ──────────────────────────► cancelled ─┤
//	   suspend  ▼   │ resume                                                  │ retention
//	         suspended ──────── cancel ──────────────────────────► cancelled ─┤
//	                                                                          ▼
//	                                                                       purged
//
// Every change goes through the commit loop of pkg/bus, so an acknowledged one is stored
// and has taken effect exactly once. Reads of one token or instance come from the stream's
// leader and see every acknowledged change. Lists come from the view, which is behind by
// moments: min_sequence waits until it contains a revision.
//
// What is not guaranteed: that a list is one consistent cut. A token that moves while the
// pages are read can appear in two places, or, seldom, in none.
package token
