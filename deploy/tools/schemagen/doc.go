// Command schemagen writes the machine-readable half of the contract from the Go types of
// pkg/wire, so that the two cannot drift apart:
//
//	protocols/schema/*.json    JSON Schema 2020-12, one file a message, and common.json
//	protocols/subjects.json    which message travels on which subject
//	protocols/asyncapi.yaml    the same as AsyncAPI 3.0
//
// Run it with `go run ./deploy/tools/schemagen` at the top of the repository; its test
// fails while the files differ from what it would write.
//
// Three sources make a schema: reflection gives the members and which of them are always
// there (no omitempty); the comments in pkg/wire give the descriptions; and fields.go says
// what a Go type cannot: patterns, bounds, enumerations, and the forms that a definition
// may be written in. A member about which none of the three knows enough is an error, never
// a guess. Conditions are no Go type: condition.go has their schema, and deploy/test/contract
// holds it against pkg/condition.
package main
