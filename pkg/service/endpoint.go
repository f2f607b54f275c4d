package service

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"unicode"
)

// subjectPrefix starts the subject of every endpoint.
const subjectPrefix = "breaker."

// Endpoint is a subject and what answers there; Handle makes one.
type Endpoint struct {
	// Subject takes the requests.
	Subject string
	// Request and Reply name the schemas of the messages, as in protocols/schema.
	Request, Reply string

	serve func(ctx context.Context, data []byte) ([]byte, error)
}

// Handle makes an endpoint of a typed handler. The context that the handler gets carries
// the caller's trace and ends at the request's deadline. Its error goes to the caller if it
// has a code of pkg/fault; any other is logged and becomes 500 with no detail.
func Handle[Req, Rep any](subject string, handler func(context.Context, Req) (Rep, error)) Endpoint {
	decoder := newDecoder[Req]()
	return Endpoint{
		Subject: subject,
		Request: schemaName(reflect.TypeFor[Req]()),
		Reply:   schemaName(reflect.TypeFor[Rep]()),
		serve: func(ctx context.Context, data []byte) ([]byte, error) {
			req, err := decoder.decode(data)
			if err != nil {
				return nil, err
			}
			reply, err := handler(ctx, req)
			if err != nil {
				return nil, err
			}
			return encode(&reply)
		},
	}
}

// encode writes a reply; one that is asked for often writes itself.
func encode[Rep any](reply *Rep) ([]byte, error) {
	if fast, ok := any(reply).(interface{ AppendJSON([]byte) []byte }); ok {
		return fast.AppendJSON(make([]byte, 0, replyCapacity)), nil
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(reply); err != nil {
		return nil, fmt.Errorf("encoding the reply: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// replyCapacity holds a reply with a document of 2 KB.
const replyCapacity = 4 << 10

// name is how discovery calls the endpoint: token-create for breaker.token.create.
func (e Endpoint) name() string {
	return strings.ReplaceAll(strings.TrimPrefix(e.Subject, subjectPrefix), ".", "-")
}

// schemaName is a type's name as the files in protocols/schema are called.
func schemaName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var b strings.Builder
	for i, r := range t.Name() {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
