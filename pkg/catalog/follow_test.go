package catalog_test

import (
	"testing"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/catalog"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/telemetry"
)

func TestEveryCopyLearnsWhatChanged(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	writer := w.open()
	writer.must(writer.create(t.Context(), "early", "", "one"))
	reader := w.open()
	if heard := reader.heard("early"); len(heard) != 1 || heard[0] == nil || heard[0].Prepared != "ONE" {
		t.Errorf("of what was there the start told %+v", heard)
	}
	writer.must(writer.create(t.Context(), "late", "", "one"))
	writer.must(writer.update(t.Context(), "late", 0, "", "two"))
	writer.must(writer.remove(t.Context(), "late", 0, ""))
	eventually(t, "the other copy has heard of the end", func() bool { e := reader.Known("late"); return e != nil && e.Deleted })
	eventually(t, "and told of it", func() bool { h := reader.heard("late"); return len(h) == 3 && h[2].Deleted })
	heard := reader.heard("late")
	if heard[0].Definition.Version != 1 || heard[1].Prepared != "TWO" {
		t.Errorf("it told %+v, then %+v", heard[0], heard[1])
	}
	if own := writer.heard("late"); len(own) != 3 || own[1].Prepared != "TWO" || !own[2].Deleted {
		t.Errorf("the copy that wrote told %+v", own)
	}
	if all := reader.All(); len(all) != 1 || all[0].Definition.ID != "early" {
		t.Errorf("all are %+v", all)
	}
	if reader.Known("never") != nil {
		t.Error("something is known of what never was")
	}
}

// However a version is met, it is one and the same.
func TestAVersionIsRememberedOnce(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	writer, reader := w.open(), w.open()
	made := writer.must(writer.create(t.Context(), "one", "", "text"))
	m := w.last("one")
	if made != writer.Known("one") || made.Revision != m.Sequence || !made.Stored.Equal(m.Time) || made.Stored.IsZero() {
		t.Errorf("made at %d, %s; the message is of %d, %s", made.Revision, made.Stored, m.Sequence, m.Time)
	}
	eventually(t, "the other copy has heard", func() bool { return reader.Known("one") != nil })
	for name, c := range map[string]*copyOf{"writer": writer, "reader": reader} {
		known := c.Known("one")
		if current := c.must(c.Current(t.Context(), "one")); current != known || !known.Stored.Equal(m.Time) {
			t.Errorf("%s: read is %+v, known %+v", name, current, known)
		}
		err := c.Versions(t.Context(), "one", func(e *entry) bool {
			if e.Revision != known.Revision || !e.Stored.Equal(known.Stored) || e.Prepared != "" {
				t.Errorf("%s: among the versions is %+v", name, e)
			}
			return true
		})
		if err != nil {
			t.Error(err)
		}
	}
	// A marker that both follow: what the writer stored before has come back to it.
	w.publish("marker", `{"id":"marker"}`)
	for name, c := range map[string]*copyOf{"writer": writer, "reader": reader} {
		eventually(t, name+" has read on", func() bool { return c.Known("marker") != nil })
		if known := c.Known("one"); len(c.heard("one")) != 1 || c.heard("one")[0] != known {
			t.Errorf("%s: told was %+v, known is %+v", name, c.heard("one"), known)
		}
	}
}

func TestWhatIsNotUnderstoodLeavesTheVersionBefore(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	c := w.open()
	c.must(c.create(t.Context(), "garbled", "", "one"))
	w.publish("garbled", `{"id":7}`)
	w.publish("marker", `{"id":"marker"}`)
	eventually(t, "the catalog has read on", func() bool { return c.Known("marker") != nil })
	if e := c.Known("garbled"); e == nil || e.Prepared != "ONE" {
		t.Errorf("known is %+v", e)
	}
	for name, do := range map[string]func() (*entry, error){
		"read":    func() (*entry, error) { return c.Current(t.Context(), "garbled") },
		"created": func() (*entry, error) { return c.create(t.Context(), "garbled", "", "two") },
	} {
		if e, err := do(); err == nil || fault.From(err).Code != fault.Internal {
			t.Errorf("%s was %+v, %v", name, e, err)
		}
	}
}

func TestABucketThatWasLostTakesItsDefinitionsWithIt(t *testing.T) {
	t.Parallel()
	w := newTestWorld(t)
	c := w.open()
	c.must(c.create(t.Context(), "first", "", "one"))
	c.must(c.create(t.Context(), "again", "", "one"))
	old := c.must(c.update(t.Context(), "again", 0, "", "two"))
	w.lose()
	c.refused(fault.Unavailable)(c.Existing(t.Context(), "first"))
	c.refused(fault.Unavailable)(c.create(t.Context(), "new", "", "one"))
	if e := c.Known("first"); e == nil || e.Prepared != "ONE" {
		t.Errorf("without a bucket known is %+v", e)
	}

	// Another copy makes a bucket, and fills it at once: the same revisions, other texts.
	maker := w.open()
	maker.must(maker.create(t.Context(), "again", "", "other"))
	maker.must(maker.update(t.Context(), "again", 1, "", "other two"))
	if e := maker.must(maker.update(t.Context(), "again", 2, "", "other three")); e.Revision != old.Revision {
		t.Errorf("the new bucket is at %d, the old was at %d", e.Revision, old.Revision)
	}
	if e := c.must(c.Existing(t.Context(), "again")); e.Prepared != "OTHER THREE" || e.Definition.Version != 3 {
		t.Errorf("read is %+v", e)
	}
	c.refused(planNotFound)(c.Existing(t.Context(), "first"))
	eventually(t, "the copy forgot what was lost", func() bool { return c.Known("first") == nil && len(c.All()) == 1 })
	eventually(t, "and told of it", func() bool { h := c.heard("first"); return len(h) == 2 && h[1] == nil })
	eventually(t, "and knows what is there", func() bool { return c.Known("again").Prepared == "OTHER THREE" })
	if e := c.must(c.create(t.Context(), "first", "", "one")); e.Definition.Version != 1 || e.Revision != 4 {
		t.Errorf("made anew is %+v", e)
	}
}

func TestStopWorksWithoutStart(t *testing.T) {
	t.Parallel()
	b, err := bus.Connect(t.Context(), func() bus.Config { c := bus.DefaultConfig(); c.URLs = []string{newTestWorld(t).url}; return c }(), telemetry.Discard())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	c := catalog.New(b, telemetry.Discard(), catalog.Config[plan, string]{Bucket: bucket, Noun: "plan", Head: head})
	c.Stop()
	// Neither Prepare nor Changed must be there.
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e, err := c.Create(t.Context(), plan{ID: "bare"}, request(""), "", nil); err != nil || e.Definition.Version != 1 {
		t.Errorf("created %+v, %v", e, err)
	}
	c.Stop()
	c.Stop()
}
