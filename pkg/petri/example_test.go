package petri_test

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const article = `{
  "name": "article", "initial_place": "draft",
  "places": [{"id": "draft"}, {"id": "text"}, {"id": "picture"}, {"id": "text_ok"}, {"id": "picture_ok"}, {"id": "printed"}],
  "transitions": [
    {"id": "hand_in", "inputs": ["draft"], "outputs": ["text", "picture"]},
    {"id": "edit", "from": "text", "to": "text_ok"},
    {"id": "crop", "from": "picture", "to": "picture_ok"},
    {"id": "print", "inputs": ["text_ok", "picture_ok"], "outputs": ["printed"]}
  ]}`

// An article is handed in, its text and its picture are worked on at once, and it is
// printed when both are ready.
func Example() {
	definition, problems := petri.ParseDefinition([]byte(article))
	if len(problems) > 0 {
		fmt.Println(problems)
		return
	}
	net, problems := petri.Compile(definition)
	if len(problems) > 0 {
		fmt.Println(problems)
		return
	}

	const workflow = "0b5e2c7a-0e6b-4a52-9d3b-3f6c1f1f2a10"
	id, err := wire.NewInstanceID(workflow, 1772355600000, 7)
	if err != nil {
		fmt.Println(err)
		return
	}
	commands := []petri.Command{
		petri.Create{WorkflowID: workflow, InstanceID: id, Data: json.RawMessage(`{"title": "Nets"}`)},
		petri.Fire{TransitionID: "hand_in"},
		petri.Fire{TransitionID: "edit", Data: json.RawMessage(`{"words": 812}`)},
		petri.Fire{TransitionID: "print"},
		petri.Fire{TransitionID: "crop", Data: json.RawMessage(`{"width": 640}`)},
		petri.Fire{TransitionID: "print"},
	}

	var state *wire.State
	limits := petri.DefaultLimits(4 << 20)
	for i, command := range commands {
		meta := petri.Meta{Time: time.Unix(1772355600+int64(i), 0)}
		event, err := petri.Decide(net, state, command, meta, limits)
		if err != nil {
			fmt.Println("refused:", err)
			continue
		}
		// Here the commit loop publishes the event to petri.Subject(event); the stream
		// gives it a sequence.
		if state, err = petri.Apply(state, event, uint64(i+1)); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Print(event.EventType)
		for _, token := range state.Tokens {
			fmt.Printf(" %s%s", token.Place, token.Data)
		}
		fmt.Println("", state.Status)
	}
	// Output:
	// token_created draft{"title":"Nets"} active
	// token_transitioned text{"title":"Nets"} picture{"title":"Nets"} active
	// token_transitioned text_ok{"title":"Nets","words":812} picture{"title":"Nets"} active
	// refused: print needs 1 token in picture_ok, where none stands
	// token_transitioned text_ok{"title":"Nets","words":812} picture_ok{"title":"Nets","width":640} active
	// token_transitioned printed{"title":"Nets","width":640,"words":812} completed
}
