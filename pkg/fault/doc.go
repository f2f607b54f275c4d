// Package fault is the one vocabulary of errors: every refusal that a caller can see has a
// code from this package, a status, a message that says what to do, and details that name
// the field or the rule. protocols/errors.json lists the same codes for other languages; a
// test compares the two.
//
// Make an error with New, match it with errors.Is against a Code, put it on the wire with
// Encode and take it back with Decode. An error without a code becomes Internal, and its
// text stays in the log of the service.
package fault
