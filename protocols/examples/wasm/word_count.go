// word_count is a function of kind wasm: it counts the words of its input's text.
//
// A function is a command of WASI: the input is JSON on standard input, the output is JSON on
// standard output, and exit code 0 says that it went well. What it writes to standard error is
// kept in the record of the run. It needs nothing of ours.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// rejected is the exit code for work that nobody need try again (EX_DATAERR).
const rejected = 65

func main() {
	var input struct {
		Text *string `json:"text"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&input); err != nil || input.Text == nil {
		fmt.Fprintln(os.Stderr, `the input is no {"text": "..."}`)
		os.Exit(rejected)
	}
	output := map[string]int{"words": len(strings.Fields(*input.Text))}
	if err := json.NewEncoder(os.Stdout).Encode(output); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
