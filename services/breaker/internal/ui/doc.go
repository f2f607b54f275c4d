// Package ui is how the breaker program speaks: JSON for machines, tables for people,
// colours and progress bars only where a person is looking.
//
// A Console is made once from the program's streams and environment and passed on; nothing
// in here is global. Results go to Out, everything about how the work goes to Err, so that
// a pipe gets results and nothing else.
package ui
