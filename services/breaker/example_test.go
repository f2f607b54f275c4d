package breaker_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/seed-42b4788c/circuit-breaker/services/breaker"
)

// A test calls the program as a shell does, with streams and an environment of its own.
func ExampleRun() {
	definition := `
name: review
initial_place: draft
places: [{ id: draft }, { id: done }]
transitions: [{ id: finish, from: draft, to: done }]
`
	code := breaker.Run(context.Background(), []string{"workflow", "graph", "-"}, nil, strings.NewReader(definition), os.Stdout, os.Stderr)
	fmt.Println("exit code", code)
	// Output:
	// flowchart LR
	//   p_draft(("● draft"))
	//   p_done((("done")))
	//   t_finish["finish"]
	//   p_draft --> t_finish
	//   t_finish --> p_done
	//   classDef initial stroke-width:3px
	//   class p_draft initial
	// exit code 0
}
