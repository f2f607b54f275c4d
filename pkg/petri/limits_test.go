package petri

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	list := func(n int) string {
		return `{"order": {"items": [` + strings.TrimSuffix(strings.Repeat("1,", n), ",") + `]}}`
	}
	nested := func(n int) string { return strings.Repeat(`{"a":`, n) + `1` + strings.Repeat(`}`, n) }
	big := func(n int) string { return fmt.Sprintf(`{"x": %q}`, strings.Repeat("a", n)) }
	for name, c := range map[string]struct {
		limit   string
		prepare func(*engine)
		ok, bad Command
	}{
		"live tokens": {
			limit: "tokens",
			prepare: func(e *engine) {
				e.create("new", list(257))
				e.do(Inject{Place: "new", Data: json.RawMessage(list(255))})
			},
			ok:  Fire{TransitionID: "spread", TokenID: "1"},
			bad: Fire{TransitionID: "spread", TokenID: "0"},
		},
		"births": {
			limit:   "births",
			prepare: func(e *engine) { e.limits.MaxBirths = 3; e.create("new", list(1)) },
			ok:      Inject{Place: "new"},
			bad:     Inject{Place: "new"},
		},
		"depth of data": {
			limit:   "depth",
			prepare: func(e *engine) { e.create("new", `{}`) },
			ok:      Update{TokenID: "0", Data: json.RawMessage(nested(64))},
			bad:     Update{TokenID: "0", Data: json.RawMessage(nested(65))},
		},
		"bytes": {
			limit:   "state_bytes",
			prepare: func(e *engine) { e.limits.MaxStateBytes = 4000; e.create("new", big(1000)) },
			ok:      Update{TokenID: "0", Metadata: json.RawMessage(big(2000))},
			bad:     Update{TokenID: "0", Metadata: json.RawMessage(big(2900))},
		},
		"bytes of the change": {
			limit:   "event_bytes",
			prepare: func(e *engine) { e.limits.MaxStateBytes = 5000; e.create("rest", `{}`) },
			ok:      Update{TokenID: "0", Data: json.RawMessage(`{}`)},
			bad:     Fire{TransitionID: "finish", Metadata: json.RawMessage(big(3000))},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newTestEngine(t, itemsNet)
			c.prepare(e)
			if name == "births" {
				e.do(Inject{Place: "new"})
			}
			e.do(named(e, c.ok))
			d := e.refused("limit_exceeded", named(e, c.bad))
			if d["limit"] != c.limit {
				t.Fatalf("details are %v", d)
			}
			if d["actual"].(int) <= d["max"].(int) {
				t.Errorf("actual is not above max: %v", d)
			}
		})
	}
}

// named puts the id of the token with a birth number in the place of the number.
func named(e *engine, cmd Command) Command {
	id := func(s string) string {
		var birth int
		if _, err := fmt.Sscan(s, &birth); err != nil {
			return s
		}
		return e.token(birth)
	}
	switch c := cmd.(type) {
	case Fire:
		c.TokenID = id(c.TokenID)
		return c
	case Update:
		c.TokenID = id(c.TokenID)
		return c
	}
	return cmd
}

func TestOutputsAreAsDeepAsTheMetadataAllows(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.create("", `{}`)
	done := Complete{TokenID: e.root(), ArrivalSequence: e.seq, Binding: "f", Kind: "function", Outcome: "success"}
	done.Output = json.RawMessage(strings.Repeat(`[`, 61) + strings.Repeat(`]`, 61))
	e.do(done)
	if got := depth(e.state.Tokens[0].Metadata); got != 64 {
		t.Fatalf("the metadata is %d deep", got)
	}
	done.Output = json.RawMessage(strings.Repeat(`[`, 62) + strings.Repeat(`]`, 62))
	if d := e.refused("limit_exceeded", done); d["field"] != "output" {
		t.Errorf("details are %v", d)
	}
}

func TestWhatTheStateRemembersIsBounded(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.create("", `{}`)
	e.refused("invalid_field", Cancel{Reason: strings.Repeat("r", maxReason+1)})
	e.refused("invalid_field", Suspend{Reason: strings.Repeat("r", maxReason+1)})
	e.meta = Meta{RequestID: strings.Repeat("r", maxRequestID+1)}
	e.refused("invalid_field", Suspend{})
	e.meta = Meta{TriggeredBy: strings.Repeat("r", maxTriggeredBy+1)}
	e.refused("invalid_field", Suspend{})
}

// A limit that was lowered must not lock what exceeds it already.
func TestWhatLeavesFewerTokensIsAlwaysPossible(t *testing.T) {
	t.Parallel()
	e := newTestEngine(t, reviewNet)
	e.create("legal_ok", `{}`)
	e.do(Inject{Place: "finance_ok"})
	e.do(Inject{Place: "review"})
	e.do(Inject{Place: "review"})
	e.limits.MaxTokens = 2
	e.refused("limit_exceeded", Fire{TransitionID: "check"})
	e.do(Fire{TransitionID: "conclude"})
	e.at(map[int]string{2: "review", 3: "review", 4: "approved"})
}
