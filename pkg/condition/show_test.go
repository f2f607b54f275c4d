package condition

import (
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/common/types"
)

func TestShowReadsNoMoreThanItShows(t *testing.T) {
	t.Parallel()
	inner, err := document([]byte(` {"list":[` + strings.Repeat(`"ab",`, 10_000) + `1],"object":{` + strings.Repeat(`"name":1,`, 10_000) + `"last":2}}`))
	if err != nil {
		t.Fatal(err)
	}
	l, o := inner.get(0).(*list), inner.get(1).(*object)
	for _, shown := range []string{show(l), show(o), show(inner), show(types.Bytes(strings.Repeat("a", 10_000)))} {
		if len(shown) > maxValue+len("…") || !strings.HasSuffix(shown, "…") {
			t.Errorf("shown as %q", shown)
		}
	}
	if l.whole != nil || o.members != nil {
		t.Error("all of a value was read to show its beginning")
	}
	null, err := document([]byte(` null`))
	if err != nil || show(null) != "{}" {
		t.Errorf("null is shown as %q, %v", show(null), err)
	}
}

func TestDurationsAreShownInSeconds(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		2*time.Hour + 3*time.Minute + 4*time.Second + 567891234: "2h3m5s", -90*time.Minute - 1: "-1h30m0s", 250 * time.Millisecond: "250ms", 0: "0s",
	} {
		if got := show(types.Duration{Duration: d}); got != want {
			t.Errorf("%s is shown as %q, want %q", d, got, want)
		}
	}
}
