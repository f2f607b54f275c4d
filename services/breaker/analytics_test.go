package breaker_test

import (
	"strings"
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

func TestAnalyticsCountWhatHappened(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	c.start(t)
	c.ok(t, "deploy", c.file(t, "review.yaml", reviewYAML))
	var token wire.Token
	for range 3 {
		c.json(t, &token, "token", "create", "review")
		c.ok(t, "fire", token.ID, "submit")
	}
	c.ok(t, "fire", token.ID, "approve")

	var transitions wire.AnalyticsTransitionsReply
	c.json(t, &transitions, "analytics", "transitions", "review", "--last", "1h")
	firings := map[string]int{}
	for _, f := range transitions.Transitions {
		firings[f.TransitionID] = f.Firings
	}
	if firings["submit"] != 3 || firings["approve"] != 1 || transitions.Created != 3 || transitions.Completed != 1 {
		t.Errorf("analytics say %+v", transitions)
	}
	eventually(t, "two tokens in review", func() bool {
		var places wire.AnalyticsPlacesReply
		c.json(t, &places, "analytics", "places", "review")
		for _, p := range places.Places {
			if p.Place == "review" {
				return p.Tokens == 2
			}
		}
		return false
	})
	for _, what := range []string{"places", "transitions"} {
		if out := c.ok(t, "analytics", what, "review"); !strings.Contains(out, "P99") {
			t.Errorf("analytics %s says:\n%s", what, out)
		}
	}
}
