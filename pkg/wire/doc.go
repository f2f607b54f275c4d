// Package wire holds every message that travels over NATS: definitions, tokens,
// instances, events, and the requests and replies of the services. It is data and
// spelling only: no I/O, no policy. The same types are described for other languages
// by the JSON Schemas in protocols/schema, which a test compares with this package.
//
// Three files carry the rules that a reader must know:
//
//   - subject.go: how subjects and streams are spelled;
//   - id.go: how an instance or token id routes itself to its workflow;
//   - event.go: what an event says, and what its absent fields mean.
package wire
