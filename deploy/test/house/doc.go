// Package house tests that the house is built as it was drawn: which package may import
// which, which files a service has, and what lies at the top. Its rules are few and
// mechanical; a rule that gets in the way of a better house is to be changed here, with its
// reason.
package house
