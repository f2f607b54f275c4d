package catalog

import (
	"testing"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

// What was read or written in a bucket that has gone since must not stand above the next
// bucket, which counts from one.
func TestWhatIsLateFromALostBucketIsNotRemembered(t *testing.T) {
	t.Parallel()
	type thing struct{ ID string }
	c := New(nil, telemetry.Discard(), Config[thing, struct{}]{Noun: "thing"})
	old := c.now()
	c.remember("x", &Entry[thing, struct{}]{Revision: 7}, old)
	c.replaced()
	c.remember("x", &Entry[thing, struct{}]{Revision: 8}, old)
	c.remember("late", &Entry[thing, struct{}]{Revision: 9}, old)
	if c.Known("late") != nil || c.Known("x").Revision != 0 {
		t.Errorf("remembered are %+v and %+v", c.Known("late"), c.Known("x"))
	}
	c.remember("x", &Entry[thing, struct{}]{Revision: 1}, c.now())
	c.keep(map[string]bool{"x": true}, 1)
	if c.Known("x").Revision != 1 {
		t.Errorf("of the new bucket %+v is known", c.Known("x"))
	}
}

// Before anybody has noticed that there is another bucket, its message at a known revision
// is not taken for the one that is known.
func TestARevisionAloneIsNoVersion(t *testing.T) {
	t.Parallel()
	type thing struct{ Text string }
	c := New(nil, telemetry.Discard(), Config[thing, struct{}]{Noun: "thing"})
	meet := func(text string, stored time.Time) *Entry[thing, struct{}] {
		t.Helper()
		e, err := c.meet("x", &bus.Message{Sequence: 7, Time: stored, Data: []byte(`{"Text":"` + text + `"}`)}, c.now())
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	then := time.Now()
	first := meet("old", then)
	if again := meet("old", then); again != first {
		t.Errorf("the same version was met as %+v", again)
	}
	if other := meet("new", then.Add(1)); other.Definition.Text != "new" || c.Known("x") != first {
		t.Errorf("met was %+v", other)
	}
}
