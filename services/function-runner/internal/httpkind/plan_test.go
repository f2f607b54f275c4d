package httpkind

import (
	"errors"
	"strings"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestWhatCanNeverWorkIsRefused(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for i := range maxHeaders + 1 {
		many["X-"+strings.Repeat("a", i)] = "x"
	}
	for name, test := range map[string]struct {
		change func(*wire.HTTPFunction)
		field  string
	}{
		"no URL":                    {func(h *wire.HTTPFunction) { h.URL = "" }, "http.url"},
		"a URL of another scheme":   {func(h *wire.HTTPFunction) { h.URL = "ftp://host/" }, "http.url"},
		"a template of another":     {func(h *wire.HTTPFunction) { h.URL = "gopher://{{ .input.host }}/" }, "http.url"},
		"a URL without a host":      {func(h *wire.HTTPFunction) { h.URL = "http:///x" }, "http.url"},
		"a URL with a user":         {func(h *wire.HTTPFunction) { h.URL = "https://me:hunter2@host/" }, "http.url"},
		"a template with a user":    {func(h *wire.HTTPFunction) { h.URL = `https://me:{{ secret "KEY" }}@host/` }, "http.url"},
		"a URL that is none":        {func(h *wire.HTTPFunction) { h.URL = "http://[hunter2" }, "http.url"},
		"a URL that is no template": {func(h *wire.HTTPFunction) { h.URL = "http://{{ .input" }, "http.url"},
		"an unknown method":         {func(h *wire.HTTPFunction) { h.Method = "CONNECT" }, "http.method"},
		"a small method":            {func(h *wire.HTTPFunction) { h.Method = "post" }, "http.method"},
		"our header":                {func(h *wire.HTTPFunction) { h.Headers = map[string]string{"host": "x"} }, "http.headers.host"},
		"the length":                {func(h *wire.HTTPFunction) { h.Headers = map[string]string{"Content-Length": "1"} }, "http.headers.Content-Length"},
		"the encoding":              {func(h *wire.HTTPFunction) { h.Headers = map[string]string{"Transfer-encoding": "x"} }, "http.headers.Transfer-encoding"},
		"the connection":            {func(h *wire.HTTPFunction) { h.Headers = map[string]string{"Connection": "x"} }, "http.headers.Connection"},
		"an upgrade":                {func(h *wire.HTTPFunction) { h.Headers = map[string]string{"UPGRADE": "x"} }, "http.headers.UPGRADE"},
		"the key":                   {func(h *wire.HTTPFunction) { h.Headers = map[string]string{"idempotency-key": "x"} }, "http.headers.idempotency-key"},
		"one of Breaker-":           {func(h *wire.HTTPFunction) { h.Headers = map[string]string{"breaker-x": "x"} }, "http.headers.breaker-x"},
		"a header with a space":     {func(h *wire.HTTPFunction) { h.Headers = map[string]string{"X A": "x"} }, "http.headers.X A"},
		"a header of lines":         {func(h *wire.HTTPFunction) { h.Headers = map[string]string{"X-A": "x\r\nX-B: y"} }, "http.headers.X-A"},
		"a header twice":            {func(h *wire.HTTPFunction) { h.Headers = map[string]string{"X-A": "x", "x-a": "y"} }, "http.headers.x-a"},
		"a header that is no ref":   {func(h *wire.HTTPFunction) { h.Headers = map[string]string{"X-A": "secret:hunter2"} }, "http.headers.X-A"},
		"a header with no template": {func(h *wire.HTTPFunction) { h.Headers = map[string]string{"X-A": "{{ foo }}"} }, "http.headers.X-A"},
		"many headers":              {func(h *wire.HTTPFunction) { h.Headers = many }, "http.headers"},
		"a body with GET":           {func(h *wire.HTTPFunction) { h.Method, h.Body = "GET", "x" }, "http.body"},
		"a body with no template":   {func(h *wire.HTTPFunction) { h.Body = "{{ if }}" }, "http.body"},
		"a secret with a bad name":  {func(h *wire.HTTPFunction) { h.Body = `{{ secret "hunter2" }}` }, "http.body"},
		"a secret of the input":     {func(h *wire.HTTPFunction) { h.Body = `{{ secret .input.name }}` }, "http.body"},
		"a status of words":         {func(h *wire.HTTPFunction) { h.Success = []string{"200", "ok"} }, "http.success[1]"},
		"a status of one x":         {func(h *wire.HTTPFunction) { h.Success = []string{"20x"} }, "http.success[0]"},
		"a status beyond":           {func(h *wire.HTTPFunction) { h.RetryOn = []string{"600"} }, "http.retry_on[0]"},
		"many statuses":             {func(h *wire.HTTPFunction) { h.RetryOn = make([]string, maxStatuses+1) }, "http.retry_on"},
		"a signature in the open":   {func(h *wire.HTTPFunction) { h.HMAC = &wire.HTTPHMAC{Secret: "hunter2"} }, "http.hmac.secret"},
		"a signature of md5":        {func(h *wire.HTTPFunction) { h.HMAC = &wire.HTTPHMAC{Secret: "secret:A", Algorithm: "md5"} }, "http.hmac.algorithm"},
		"a signature as our header": {func(h *wire.HTTPFunction) { h.HMAC = &wire.HTTPHMAC{Secret: "secret:A", Header: "Host"} }, "http.hmac.header"},
		"a signature set twice": {func(h *wire.HTTPFunction) {
			h.HMAC, h.Headers = &wire.HTTPHMAC{Secret: "secret:A"}, map[string]string{"x-signature-256": "x"}
		}, "http.hmac.header"},
	} {
		spec := &wire.FunctionSpec{HTTP: &wire.HTTPFunction{URL: "https://host/"}}
		test.change(spec.HTTP)
		kind := newTestKind(t, Config{})
		err := kind.Check(spec)
		var e *fault.Error
		if !errors.As(err, &e) || e.Code != fault.InvalidField || e.Details["field"] != test.field {
			t.Errorf("%s: want %s to be refused, have %v", name, test.field, err)
			continue
		}
		if strings.Contains(e.Message, "hunter2") || !strings.HasPrefix(e.Message, test.field) {
			t.Errorf("%s: the message is no good: %s", name, e.Message)
		}
		_, failure := kind.Run(t.Context(), &wire.Function{FunctionSpec: *spec}, nil)
		if failure == nil || failure.Code != wire.FailureMisconfigured {
			t.Errorf("%s: want it to be misconfigured, have %v", name, failure)
		}
	}
	if err := newTestKind(t, Config{}).Check(&wire.FunctionSpec{}); !errors.Is(err, fault.InvalidField) {
		t.Errorf("without http: have %v", err)
	}
}

func TestWhatMayWorkIsNotRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"https://host:8443/a?b=c@d", "{{ .input.url }}", "secret:WEBHOOK", "http://{{ .input.host }}:{{ .input.port }}/{{ .input.path }}",
		`http{{ if .input.tls }}s{{ end }}://host/`, "https://[2001:db8::1]/",
	} {
		spec := &wire.FunctionSpec{HTTP: &wire.HTTPFunction{
			URL: text, Method: "DELETE", Body: "{}", Success: []string{"2xx", "404"}, RetryOn: []string{"409"},
			Headers: map[string]string{"Accept": "text/plain", "Authorization": `Basic {{ secret "A" }}`, "X-Signature": "{{ if .input.x -}}\n x {{- end }}"},
			HMAC:    &wire.HTTPHMAC{Secret: "secret:A", Header: "x-hub-signature", Algorithm: "sha512"},
		}}
		if err := newTestKind(t, Config{}).Check(spec); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
