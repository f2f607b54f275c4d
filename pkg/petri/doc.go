// Package petri is the pure engine.
package petri
