// Package httpkind runs functions of kind http: one request to a server is one attempt.
//
//	templates ─► request ─► dial, if the address may be ─► status ─► success    output
//	   │                          │                          │
//	   │ a member is missing      │ forbidden                ├ retry_on          failed
//	   ▼ invalid_input            │ nobody there             │   429, or 503 with
//	   secret is missing          ▼ unreachable              │   Retry-After     throttled
//	   misconfigured           deadline: timeout             └ others, 3xx       rejected
//
// # What may be reached
//
// Functions are written by people who may not reach all that this process can. So addresses
// that are not public (loopback, private networks, link-local with the metadata of clouds, and
// all ways to write those in IPv6) are refused unless the operator allows their network. The
// check is on the address that is dialled, after the name was resolved: a name that leads
// elsewhere the second time is no way around it. Redirects are never followed, and proxies of
// the environment not used.
//
// # What a server is told
//
// Idempotency-Key is the same in all attempts at one job, and Breaker-* say which attempt it
// is. The connection may break after a request was sent, so a server sees some of them twice;
// net/http repeats it by itself then, where nothing has come back on a connection in reuse.
//
// # What comes back
//
// JSON is the output as it is, another text becomes a JSON text, nothing becomes null. Outputs
// and errors pass the redaction of secrets (pkg/secret). No error holds a URL.
//
// Not guaranteed: that a server does each job once, or that an echo in an encoding which
// pkg/secret does not know is redacted.
package httpkind
