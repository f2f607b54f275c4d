package secret

import "strings"

// Prefix begins a reference to a secret.
const Prefix = "secret:"

// MaxName is how long a name may be.
const MaxName = 64

// IsName reports whether a secret may be called so: a capital letter, then capital letters,
// digits and _.
func IsName(name string) bool {
	if name == "" || len(name) > MaxName {
		return false
	}
	for i, c := range []byte(name) {
		letter := c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return true
}

// CheckName says what is wrong with a name, without repeating it: it may be a secret that
// somebody has put in the wrong place.
func CheckName(name string) error {
	if IsName(name) {
		return nil
	}
	return &Error{Reason: "the name of a secret is a capital letter and then up to 63 capital letters, digits and _"}
}

// IsReference reports whether the whole text is secret:NAME.
func IsReference(text string) bool {
	name, ok := strings.CutPrefix(text, Prefix)
	return ok && IsName(name)
}
