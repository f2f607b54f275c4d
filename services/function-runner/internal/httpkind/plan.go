package httpkind

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/render"
	"github.com/seed-42b4788c/circuit-breaker/pkg/secret"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const (
	maxHeaders  = 64
	maxStatuses = 32

	defaultSignature = "X-Signature-256"
	sha256Algorithm  = "sha256"
	sha512Algorithm  = "sha512"
)

// plan is a function that was read: what Run fills in.
type plan struct {
	secrets *secret.Store
	method  string
	url     text
	headers []header
	// body is nil where the input is sent, or nothing.
	body           *text
	success, retry statuses
	hmac           *wire.HTTPHMAC
}

type header struct {
	name  string
	value text
}

// methods that are possible, and whether they have the input as their body by default.
var methods = map[string]bool{
	http.MethodPost: true, http.MethodPut: true, http.MethodPatch: true,
	http.MethodGet: false, http.MethodHead: false, http.MethodDelete: false, http.MethodOptions: false,
}

func invalid(field, format string, args ...any) error {
	return fault.New(fault.InvalidField, "%s %s", field, fmt.Sprintf(format, args...)).With("field", field)
}

func newPlan(fn *wire.FunctionSpec, secrets *secret.Store) (*plan, error) {
	if fn.HTTP == nil {
		return nil, invalid("http", "is missing: a function of kind http says what it calls")
	}
	p := &plan{method: http.MethodPost, secrets: secrets}
	if fn.HTTP.Method != "" {
		p.method = fn.HTTP.Method
	}
	if _, ok := methods[p.method]; !ok {
		return nil, invalid("http.method", "is one of %s", strings.Join(slices.Sorted(maps.Keys(methods)), ", "))
	}
	for _, read := range []func(*wire.HTTPFunction) error{p.readURL, p.readHeaders, p.readBody, p.readStatuses, p.readHMAC} {
		if err := read(fn.HTTP); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// action is a part of a template that is not its text.
var action = regexp.MustCompile(`(?s)\{\{.*?\}\}`)

func (p *plan) readURL(fn *wire.HTTPFunction) (err error) {
	const field = "http.url"
	if fn.URL == "" {
		return invalid(field, "is missing")
	}
	if p.url, err = p.newText(field, fn.URL); err != nil || p.url.reference != "" {
		return err
	}
	if p.url.template.Static() {
		if _, err := parseURL(fn.URL); err != nil {
			return invalid(field, "%s", err)
		}
		return nil
	}
	// What is wrong whatever is filled in is told at once. Run looks at what comes of it.
	if begin, _, _ := strings.Cut(fn.URL, "{{"); strings.Contains(begin, "://") {
		if _, err := parseURL(action.ReplaceAllString(fn.URL, "0")); err != nil && !errors.Is(err, errNoURL) {
			return invalid(field, "%s", err)
		}
	}
	return nil
}

var errNoURL = errors.New("is no URL")

// parseURL says what is wrong without repeating it: a URL may hold secrets.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errNoURL
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("begins with neither http:// nor https://")
	case u.Hostname() == "":
		return nil, errors.New("names no host")
	case u.User != nil:
		return nil, errors.New("has a user or a password: send them in the header Authorization")
	}
	return u, nil
}

func (p *plan) readHeaders(fn *wire.HTTPFunction) error {
	if len(fn.Headers) > maxHeaders {
		return invalid("http.headers", "are %d; at most %d are possible", len(fn.Headers), maxHeaders)
	}
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(fn.Headers)) {
		field := "http.headers." + name
		if err := checkHeader(field, name); err != nil {
			return err
		}
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		if seen[canonical] {
			return invalid(field, "is there twice, written in two ways")
		}
		seen[canonical] = true
		value := fn.Headers[name]
		if strings.HasPrefix(value, secret.Prefix) && !secret.IsReference(value) {
			return invalid(field, "begins as a reference to a secret does, and %s", secret.CheckName(""))
		}
		text, err := p.newText(field, value)
		if err != nil {
			return err
		}
		if text.template != nil && text.template.Static() && !isHeaderValue(value) {
			return invalid(field, "has a line break or another control character")
		}
		p.headers = append(p.headers, header{canonical, text})
	}
	return nil
}

var (
	headerName = regexp.MustCompile("^[0-9A-Za-z!#$%&'*+.^_`|~-]{1,128}$")
	// ours are headers that we send, or that net/http does.
	ours = []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", wire.HeaderIdempotencyKey}
)

const oursPrefix = "Breaker-"

func checkHeader(field, name string) error {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case !headerName.MatchString(name):
		return invalid(field, "is no name of a header")
	case slices.Contains(ours, canonical) || strings.HasPrefix(canonical, oursPrefix):
		return invalid(field, "cannot be set: it is sent by the runner")
	}
	return nil
}

// isHeaderValue reports whether a value stays within its line.
func isHeaderValue(value string) bool {
	return !strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f })
}

func (p *plan) readBody(fn *wire.HTTPFunction) error {
	if fn.Body == "" {
		return nil
	}
	if p.method == http.MethodGet || p.method == http.MethodHead {
		return invalid("http.body", "cannot be sent with %s", p.method)
	}
	body, err := p.newText("http.body", fn.Body)
	p.body = &body
	return err
}

func (p *plan) readStatuses(fn *wire.HTTPFunction) (err error) {
	if p.success, err = newStatuses("http.success", fn.Success, "2xx"); err != nil {
		return err
	}
	p.retry, err = newStatuses("http.retry_on", fn.RetryOn, "408", "425", "429", "5xx")
	return err
}

func (p *plan) readHMAC(fn *wire.HTTPFunction) error {
	if fn.HMAC == nil {
		return nil
	}
	signature := *fn.HMAC
	if signature.Header == "" {
		signature.Header = defaultSignature
	}
	if signature.Algorithm == "" {
		signature.Algorithm = sha256Algorithm
	}
	signature.Header = textproto.CanonicalMIMEHeaderKey(signature.Header)
	if !secret.IsReference(signature.Secret) {
		return invalid("http.hmac.secret", "is %sNAME, so that the definition does not hold the secret itself", secret.Prefix)
	}
	if err := checkHeader("http.hmac.header", signature.Header); err != nil {
		return err
	}
	if slices.ContainsFunc(p.headers, func(h header) bool { return h.name == signature.Header }) {
		return invalid("http.hmac.header", "is among http.headers too")
	}
	if signature.Algorithm != sha256Algorithm && signature.Algorithm != sha512Algorithm {
		return invalid("http.hmac.algorithm", "is %s or %s", sha256Algorithm, sha512Algorithm)
	}
	p.hmac = &signature
	return nil
}

// text is one that is filled in: a reference to a secret, or a template. Which of them is
// decided by the definition and never by an input.
type text struct {
	reference string
	template  *render.Template
}

func (p *plan) newText(field, source string) (text, error) {
	if secret.IsReference(source) {
		return text{reference: source}, nil
	}
	template, err := render.Compile(field, source, render.Function{Name: "secret", Call: p.secrets.Lookup, Check: secret.CheckName})
	return text{template: template}, err
}

func (p *plan) fill(t text, data any) (string, error) {
	if t.reference != "" {
		return p.secrets.Resolve(t.reference)
	}
	return t.template.Execute(data)
}
