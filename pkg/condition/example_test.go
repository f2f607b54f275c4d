package condition_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func Example() {
	language, err := condition.New()
	if err != nil {
		panic(err)
	}
	rule, err := language.Compile("condition", json.RawMessage(`{"and": [
		{"field_exists": "data.reviewer"},
		{"expression": "token.data.amount > 1000"}
	]}`))
	if err != nil {
		panic(err)
	}
	in := condition.NewInput(condition.Subject{Token: &wire.Token{Data: json.RawMessage(`{"amount": 500}`)}})
	why, err := rule.Explain(context.Background(), in)
	if err != nil {
		panic(err)
	}
	fmt.Println(why.Passed, why.Text)
	for _, part := range why.Parts {
		fmt.Println("-", part.Passed, part.Text)
	}
	// Output:
	// false data.reviewer is missing; token.data.amount is 500, which is not > 1000
	// - false data.reviewer is missing
	// - false token.data.amount is 500, which is not > 1000
}

func ExampleLanguage_CompileMapping() {
	language, err := condition.New()
	if err != nil {
		panic(err)
	}
	mapping, err := language.CompileMapping("input", json.RawMessage(`{
		"customer": "=token.data.customer",
		"skus": "=token.data.items.map(i, i.sku)",
		"total": "=token.data.net + token.data.tax",
		"currency": "EUR",
		"note": "== stands for one"
	}`))
	if err != nil {
		panic(err)
	}
	token := &wire.Token{Data: json.RawMessage(`{"customer":{"rate":1.0},"items":[{"sku":"A-1"}],"net":100,"tax":19}`)}
	made, err := mapping.Apply(context.Background(), condition.NewInput(condition.Subject{Token: token}))
	fmt.Println(string(made), err)
	_, err = mapping.Apply(context.Background(), condition.NewInput(condition.Subject{Token: &wire.Token{Data: json.RawMessage(`{"customer":1}`)}}))
	fmt.Println(err)
	// Output:
	// {"customer":{"rate":1.0},"skus":["A-1"],"total":119,"currency":"EUR","note":"= stands for one"} <nil>
	// input.skus cannot be evaluated: token.data.items is missing
}

func ExampleLanguage_CompileText() {
	language, err := condition.New()
	if err != nil {
		panic(err)
	}
	_, err = language.CompileText("when", `token.plce == "review"`)
	fmt.Println(err)
	// Output: invalid_field: when is no usable condition: at line 1, column 6: undefined field 'plce'
}
