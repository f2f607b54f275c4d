// Package petri is the pure engine: it knows what a net allows and what a command does to
// an instance, and nothing of storage, clocks or chance.
package petri
