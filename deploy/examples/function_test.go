package examples

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestReadyFunctionsAreDescribed(t *testing.T) {
	t.Parallel()
	library, err := FunctionLibrary()
	if err != nil {
		t.Fatal(err)
	}
	readme := newTestText(t, "functions/README.md")
	for _, f := range library {
		if f.Description == "" || len(f.Tags) == 0 || !wire.ValidName(f.ID) || !slices.Contains(wire.FunctionKinds(), f.Kind) {
			t.Errorf("%+v lacks something", f)
		}
		if !strings.Contains(readme, "`"+f.ID+"`") {
			t.Errorf("the README does not name %s", f.ID)
		}
		if _, err := files.Open("functions/" + f.ID + ".yaml"); err != nil {
			t.Errorf("%s lies in a file of another name", f.ID)
		}
		if program := Programs()[f.ID]; (program != nil) != (f.Kind == wire.FunctionNATS) {
			t.Errorf("%s is of kind %s; a program answers for it: %t", f.ID, f.Kind, program != nil)
		}
	}
}

func TestReadyFunctionsCompile(t *testing.T) {
	t.Parallel()
	library, err := FunctionLibrary()
	if err != nil {
		t.Fatal(err)
	}
	language := newTestLanguage(t)
	for _, f := range library {
		if f.Kind == wire.FunctionExpression {
			if _, err := language.CompileExpression("expression", f.Expression); err != nil {
				t.Errorf("%s: %v", f.ID, err)
			}
		}
		mappings := []json.RawMessage{f.Input}
		for _, c := range f.Chains {
			mappings = append(mappings, c.Input)
		}
		for _, mapping := range mappings {
			if len(mapping) == 0 {
				continue
			}
			if _, err := language.CompileMapping("input", mapping); err != nil {
				t.Errorf("%s: %v", f.ID, err)
			}
		}
	}
}

func TestFunctionsAreThoseOfThePlacesWithTheirChains(t *testing.T) {
	t.Parallel()
	def := &wire.Definition{Places: []wire.Place{{ID: "a", Functions: []wire.FunctionBinding{{Function: "receipt_check"}}}, {ID: "b"}}}
	functions, err := Functions(def)
	ids := make([]string, len(functions))
	for i, f := range functions {
		ids[i] = f.ID
	}
	if err != nil || !slices.Equal(ids, []string{"receipt_check", "return_note"}) {
		t.Errorf("got %v, %v", ids, err)
	}
	def.Places[1].Functions = []wire.FunctionBinding{{Function: "fly"}}
	if _, err := Functions(def); err == nil || !strings.Contains(err.Error(), "place b: there is no ready function fly") {
		t.Errorf("an unknown function gives %v", err)
	}
}

func TestReceiptsAreChecked(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		input         string
		attempt, code int
		want          string
	}{
		"none":               {`{"receipts": []}`, 1, 0, `{"receipts":0,"without_receipt":0,"amount":0}`},
		"to the cent":        {`{"receipts": [{"amount": 0.1}, {"amount": 0.2}]}`, 1, 0, `{"receipts":0,"without_receipt":2,"amount":0.3}`},
		"at the bound":       {`{"receipts": [{"text": "Tip", "amount": 15}]}`, 1, 0, `{"receipts":0,"without_receipt":1,"amount":15}`},
		"above it":           {`{"receipts": [{"text": "Tip", "amount": 15.01}]}`, 1, http.StatusUnprocessableEntity, "Tip, 15.01: above 15.00 there must be a receipt"},
		"nothing":            {`{"receipts": [{"text": "Tip"}]}`, 1, http.StatusUnprocessableEntity, "Tip: 0.00 is no amount"},
		"a wrong digit":      {`{"receipts": [{"text": "Taxi", "number": "R-12-4", "amount": 9}]}`, 1, http.StatusUnprocessableEntity, "Taxi: no receipt has the number R-12-4"},
		"no number":          {`{"receipts": [{"text": "Taxi", "number": "R-1x-1", "amount": 9}]}`, 1, http.StatusUnprocessableEntity, "Taxi: no receipt has the number R-1x-1"},
		"in the archive":     {`{"receipts": [{"number": "A-12-3", "amount": 9}]}`, 1, http.StatusServiceUnavailable, "receipt A-12-3 is being fetched from the archive"},
		"out of the archive": {`{"receipts": [{"number": "A-12-3", "amount": 9}]}`, 2, 0, `{"receipts":1,"without_receipt":0,"amount":9}`},
		"no report":          {`[]`, 1, http.StatusBadRequest, "the input is no object with receipts"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			output, refusal := Programs()["receipt_check"](json.RawMessage(tc.input), tc.attempt)
			got, code := string(output), 0
			if refusal != nil {
				got, code = refusal.Message, refusal.Code
			}
			if got != tc.want || code != tc.code {
				t.Errorf("got %d %s, want %d %s", code, got, tc.code, tc.want)
			}
		})
	}
}
