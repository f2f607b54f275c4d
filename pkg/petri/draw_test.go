package petri

import (
	"encoding/json"
	"fmt"

	"pgregory.net/rapid"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const maxDrawnPlaces = 6

func drawNet(t *rapid.T) *Net {
	n := rapid.IntRange(2, maxDrawnPlaces).Draw(t, "places")
	def := &wire.Definition{Name: "drawn", InitialPlace: "p0"}
	for i := range n {
		def.Places = append(def.Places, wire.Place{ID: fmt.Sprint("p", i)})
	}
	place := rapid.Custom(func(t *rapid.T) string { return fmt.Sprint("p", rapid.IntRange(0, n-1).Draw(t, "i")) })
	some := rapid.SliceOfNDistinct(place, 1, 3, rapid.ID[string])
	for i := range rapid.IntRange(1, 6).Draw(t, "transitions") {
		tr := wire.Transition{ID: fmt.Sprint("t", i), Auto: rapid.Bool().Draw(t, "auto")}
		if rapid.IntRange(0, 3).Draw(t, "form") == 0 {
			tr.From, tr.To = some.Draw(t, "from"), place.Draw(t, "to")
		} else {
			for _, p := range some.Draw(t, "inputs") {
				counts := []int{0, 1, 1, 1, 2, wire.CountAll, wire.CountAll}
				tr.Inputs = append(tr.Inputs, wire.InputArc{Place: p, Count: rapid.SampledFrom(counts).Draw(t, "count")})
			}
			for _, p := range some.Draw(t, "outputs") {
				arc := wire.OutputArc{Place: p, Count: rapid.SampledFrom([]int{0, 1, 1, 2, 3}).Draw(t, "count")}
				if rapid.IntRange(0, 3).Draw(t, "spread") == 0 {
					arc.Count, arc.Each = 1, rapid.SampledFrom([]string{"data.items", "data.item", "data.a.items", "metadata.items"}).Draw(t, "each")
				}
				tr.Outputs = append(tr.Outputs, arc)
			}
		}
		def.Transitions = append(def.Transitions, tr)
	}
	return newNet(def)
}

func (w *walk) place(label string) string {
	return rapid.SampledFrom([]string{"p0", "p1", "p1", "p2", "p3", "p4", "p5", "nowhere", ""}).Draw(w.T, label)
}

// someToken is mostly one that stands somewhere.
func (w *walk) someToken() string {
	if len(w.state.Tokens) > 0 && rapid.IntRange(0, 5).Draw(w.T, "stranger") > 0 {
		return w.state.Tokens[rapid.IntRange(0, len(w.state.Tokens)-1).Draw(w.T, "token")].ID
	}
	births := []int{0, 1, w.state.Births - 1, w.state.Births, 65535}
	return rapid.SampledFrom([]string{wire.TokenID(w.root(), uint16(rapid.SampledFrom(births).Draw(w.T, "birth"))), "x", testWorkflow}).
		Draw(w.T, "stranger's id")
}

func (w *walk) arrival(id string) uint64 {
	if t := w.state.Token(id); t != nil && rapid.IntRange(0, 4).Draw(w.T, "late") > 0 {
		return t.ArrivalSequence
	}
	return uint64(rapid.IntRange(0, int(w.seq)).Draw(w.T, "arrival"))
}

// documents are mostly sound; one in ten is no object.
func (w *walk) document(label string) json.RawMessage {
	switch rapid.IntRange(0, 9).Draw(w.T, label) {
	case 0:
		return rapid.SampledFrom([]json.RawMessage{json.RawMessage(`[]`), json.RawMessage(`{`), json.RawMessage(`null`)}).Draw(w.T, label)
	case 1, 2, 3:
		return nil
	case 4:
		return json.RawMessage(`{"items": [1, {"items": [2, null], "a": null}, "x"], "a": {"items": [[1]]}}`)
	}
	return drawObject(w.T, label)
}

func (w *walk) rarely(label, value string) string {
	if rapid.IntRange(0, 5).Draw(w.T, label) == 0 {
		return value
	}
	return ""
}

func (w *walk) transitionID() string {
	return fmt.Sprint("t", rapid.IntRange(0, len(w.net.Definition().Transitions)).Draw(w.T, "transition"))
}

func (w *walk) command() Command {
	switch rapid.IntRange(0, 18).Draw(w.T, "command") {
	case 0, 1:
		return Inject{Place: w.place("place"), Data: w.document("data"), Metadata: w.document("metadata")}
	case 2:
		id := w.someToken()
		return Update{TokenID: id, Data: w.document("data"), Metadata: w.document("metadata"), ArrivalSequence: w.arrival(id)}
	case 3, 4:
		id := w.someToken()
		c := Complete{
			TokenID: id, ArrivalSequence: w.arrival(id), Binding: rapid.SampledFrom([]string{"a", "b", "A"}).Draw(w.T, "binding"),
			Kind: rapid.SampledFrom([]string{"function", "agent"}).Draw(w.T, "kind"), Outcome: "success",
			Output: w.document("output"), Data: w.document("data"), Attempts: 1,
		}
		if rapid.Bool().Draw(w.T, "fires") {
			c.TransitionID = w.transitionID()
		}
		return c
	case 5:
		return Cancel{TokenID: w.someToken(), Reason: "r"}
	case 6:
		if rapid.IntRange(0, 3).Draw(w.T, "all") == 0 {
			return Cancel{}
		}
		return Resume{}
	case 7:
		return Suspend{Reason: "s"}
	case 8:
		return Resume{}
	case 9:
		m := Migrate{Net: drawNet(w.T), Version: w.state.WorkflowVersion + rapid.IntRange(0, 1).Draw(w.T, "next")}
		for i := range maxDrawnPlaces {
			if rapid.Bool().Draw(w.T, "mapped") {
				if m.Places == nil {
					m.Places = map[string]string{}
				}
				m.Places[fmt.Sprint("p", i)] = fmt.Sprint("p", rapid.IntRange(0, 2).Draw(w.T, "new place"))
			}
		}
		return m
	case 10:
		return Create{WorkflowID: testWorkflow, InstanceID: w.root()}
	}
	f := Fire{
		TransitionID: w.transitionID(), Data: w.document("data"), Metadata: w.document("metadata"),
		FromPlace: w.rarely("from", w.place("from_place")), ToPlace: w.rarely("to", w.place("to_place")),
	}
	if rapid.IntRange(0, 2).Draw(w.T, "named") == 0 {
		f.TokenID = w.someToken()
		if rapid.IntRange(0, 3).Draw(w.T, "fenced") == 0 {
			f.ArrivalSequence = w.arrival(f.TokenID)
		}
	}
	if t, ok := w.net.Transition(f.TransitionID); ok && t.Auto {
		f.Automatic = rapid.Bool().Draw(w.T, "automatic")
	}
	if rapid.IntRange(0, 9).Draw(w.T, "expects") == 0 {
		f.ExpectedSequence = w.state.NatsSequence
	}
	return f
}
