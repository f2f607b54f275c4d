package condition

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// newTestOrder is about 4 KB of data such as a shop sends.
func newTestOrder() *wire.Token {
	var b strings.Builder
	b.WriteString(`{"order_id":"SO-2026-004711","status":"approved","amount":1499.9,"currency":"EUR","priority":3,"express":false,"items":[`)
	for i := range 12 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"sku":"A-%04d","name":"A part with quite a long name, number %d","quantity":%d,"price":%d.5,"tags":["metal","spare"]}`, i, i, i%3+1, i*10)
	}
	b.WriteString(`],"customer":{"id":"C-991","name":"Müller & Söhne GmbH","address":{"street":"Hauptstraße 1","city":"Köln","zip":"50667","country":"DE"},"rating":4.5,"vip":true}`)
	for i := range 50 {
		fmt.Fprintf(&b, `,"attribute_%02d":"value of attribute %d"`, i, i)
	}
	b.WriteString(`,"score":0.87}`)
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	return &wire.Token{
		ID: "019caa2d-6f00-8000-8000-0000000bc0de", InstanceID: "019caa2d-6f00-8000-8000-00000000c0de",
		WorkflowID: "0b5e2c7a-0e6b-4a52-9d3b-3f6c1f1f2a10", Place: "review", Data: json.RawMessage(b.String()),
		Metadata:  json.RawMessage(`{"source":"mail","function_outputs":{"check":{"success":true,"output":{"words":12}}}}`),
		CreatedAt: at.Add(-time.Hour), UpdatedAt: at, ArrivedAt: at, ArrivalSequence: 17,
	}
}

var tenRules = []string{
	`"token.data.amount > 1000.0 && token.data.currency == \"EUR\""`,
	`{"field_equals":{"field":"data.status","value":"approved"}}`,
	`{"and":[{"field_exists":"data.customer.id"},{"field_greater_than":{"field":"data.customer.rating","value":4}}]}`,
	`"token.data.items.exists(i, i.sku == \"A-0007\")"`,
	`{"field_matches":{"field":"data.order_id","pattern":"^SO-[0-9]{4}-"}}`,
	`{"in":{"field":"data.customer.address.country","values":["DE","AT","CH"]}}`,
	`"token.function_succeeded(\"check\") && token.function_output(\"check\").words > 10"`,
	`{"not":{"field_exists":"data.cancelled"}}`,
	`"has(token.data.score) && token.data.score >= 0.5"`,
	`"token.time_in_place() < duration(\"48h\") && token.place == \"review\""`,
}

func compileTen(b testing.TB) []*Program {
	l, err := New()
	if err != nil {
		b.Fatal(err)
	}
	programs := make([]*Program, len(tenRules))
	for i, rule := range tenRules {
		if programs[i], err = l.Compile("condition", json.RawMessage(rule)); err != nil {
			b.Fatal(err)
		}
	}
	return programs
}

func BenchmarkTenRules(b *testing.B) {
	programs, token := compileTen(b), newTestOrder()
	b.ReportAllocs()
	for b.Loop() {
		in := NewInput(Subject{Token: token, Now: token.ArrivedAt.Add(time.Hour)})
		for i, p := range programs {
			if passed, err := p.Passes(b.Context(), in); err != nil || !passed {
				b.Fatalf("%s: %v %v", tenRules[i], passed, err)
			}
		}
	}
}

func BenchmarkExplainTenRules(b *testing.B) {
	programs, token := compileTen(b), newTestOrder()
	b.ReportAllocs()
	for b.Loop() {
		in := NewInput(Subject{Token: token, Now: token.ArrivedAt.Add(time.Hour)})
		for i, p := range programs {
			if e, err := p.Explain(b.Context(), in); err != nil || !e.Passed {
				b.Fatalf("%s: %v %v", tenRules[i], e, err)
			}
		}
	}
}

func BenchmarkDocument(b *testing.B) {
	text := newTestOrder().Data
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := document(text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	l, err := New()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		l.programs.Purge()
		if _, err := l.Compile("condition", json.RawMessage(tenRules[2])); err != nil {
			b.Fatal(err)
		}
	}
}
