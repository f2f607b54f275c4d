package render_test

import (
	"encoding/json"
	"fmt"

	"github.com/seed-42b4788c/circuit-breaker/pkg/render"
)

func Example() {
	prompt, err := render.Compile("prompt", `Is {{ .input.name }} worth {{ .input.price }}?`)
	if err != nil {
		panic(err)
	}
	input, err := render.Decode(json.RawMessage(`{"name": "the house", "price": 1.50}`))
	if err != nil {
		panic(err)
	}
	fmt.Println(prompt.Execute(map[string]any{"input": input}))
	_, err = prompt.Execute(map[string]any{"input": map[string]any{"name": "it"}})
	fmt.Println(err)
	// Output:
	// Is the house worth 1.50? <nil>
	// prompt: line 1: .input.price is missing
}
