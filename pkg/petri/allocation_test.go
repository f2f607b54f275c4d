package petri

import (
	"testing"
	"unsafe"
)

// Speed depends on it: a move shares the bytes of the document with the state before.
func TestAMoveDoesNotTouchTheDocument(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.create("", string(document2KB()))
	ev, err := Decide(e.net, e.state, Fire{TransitionID: "submit"}, Meta{Time: e.now}, e.limits)
	if err != nil {
		t.Fatal(err)
	}
	if unsafe.SliceData(ev.Instance.Tokens[0].Data) != unsafe.SliceData(e.state.Tokens[0].Data) {
		t.Fatal("the document was copied")
	}
}
