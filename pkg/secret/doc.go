// Package secret finds the secrets that functions and agents name, and keeps them out of
// whatever is written down afterwards.
//
// A definition never holds a secret, only its name: the text secret:NAME, or in a template
// {{ secret "NAME" }}. The value is looked up when the work is done, first in a file called
// NAME in the operator's folder, then in the variable BREAKER_SECRET_NAME:
//
//	secret:API_KEY ─► {folder}/API_KEY ─► BREAKER_SECRET_API_KEY ─► refused
//	                  read anew each time   as the process began
//
// So a rotated file counts from the next run on, and a mounted Kubernetes secret works as it
// is. An empty secret is refused, because signing with nothing is worse than not signing.
//
// # Redaction
//
// A server may echo what it was sent, and a program may print its environment. A Store
// remembers what it has given out (the last few values of each name), and Redact puts
// [secret:NAME] in its place, also where the value was escaped for JSON, HTML or a URL, or
// written in hexadecimal or base64, alone or inside something longer such as basic
// authentication. RedactJSON does so for a document and gives a document back.
//
// Not guaranteed: values of fewer than 6 characters are not looked for, since they would be
// found everywhere; nor are parts of a value, other encodings, or values that another process
// gave out. Redact before a text is cut, or half a secret stays.
package secret
