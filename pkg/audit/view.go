package audit

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

const viewPoll = 50 * time.Millisecond

// awaitView waits until the view has reached the last event that was read.
func (a *audit) awaitView(ctx context.Context) (bool, error) {
	deadline := time.Now().Add(a.options.Wait)
	for {
		var at wire.Checkpoint
		m, err := a.bus.Last(ctx, wire.StreamPlaces, wire.ProjectionSubject(a.workflow.ID), true)
		switch {
		case errors.Is(err, bus.ErrNoMessage):
		case err != nil:
			return false, err
		default:
			if err := json.Unmarshal(m.Data, &at); err != nil {
				return false, fmt.Errorf("the checkpoint: %w", err)
			}
		}
		a.options.Progress(StageWait, min(at.Sequence, a.lastEvent), a.lastEvent)
		if at.Sequence >= a.lastEvent {
			return true, nil
		}
		if time.Now().After(deadline) {
			a.found(Difference{
				Kind: ViewBehind, Sequence: at.Sequence, Subject: wire.ProjectionSubject(a.workflow.ID),
				Message: fmt.Sprintf("the view contains the events up to %d and did not reach %d in %s", at.Sequence, a.lastEvent, a.options.Wait),
			})
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(viewPoll):
		}
	}
}

// readView compares the view with the fingerprints, both ways.
func (a *audit) readView(ctx context.Context) error {
	total := uint64(len(a.tokens) + len(a.records))
	var done uint64
	advance := func() {
		if done++; done%progressEvery == 0 {
			a.options.Progress(StageView, min(done, total), total)
		}
	}
	_, err := a.bus.Scan(ctx, bus.TailConfig{Stream: wire.StreamPlaces, Subjects: []string{wire.PlaceSubject(a.workflow.ID, "*", "*")}}, func(m *bus.Message) error {
		if len(m.Data) > 0 {
			a.report.ViewTokens++
			a.viewToken(m)
			advance()
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = a.bus.Scan(ctx, bus.TailConfig{Stream: wire.StreamPlaces, Subjects: []string{wire.InstanceRecordSubject(a.workflow.ID, "*", "*")}}, func(m *bus.Message) error {
		if len(m.Data) > 0 {
			a.report.ViewRecords++
			a.viewRecord(m)
			advance()
		}
		return nil
	})
	if err != nil {
		return err
	}
	for key, print := range a.tokens {
		if print != seen {
			token := format(key)
			a.missing(wire.InstanceOf(token), token, wire.TokenPlaces(a.workflow.ID, token), print, tokenOf)
		}
	}
	for key, print := range a.records {
		if print != seen {
			a.missing(format(key), "", wire.InstanceRecordSubject(a.workflow.ID, "*", format(key)), print, recordOf)
		}
	}
	a.options.Progress(StageView, total, total)
	return nil
}

func (a *audit) viewToken(m *bus.Message) {
	_, _, token, ok := wire.ParsePlaceSubject(m.Subject)
	key, parsed := parse(token)
	if !ok || !parsed {
		a.found(Difference{Kind: ViewGhost, Sequence: m.Sequence, Subject: m.Subject, Message: "the subject is not that of a token"})
		return
	}
	a.compare(m, a.tokens, key, wire.InstanceOf(token), token, tokenOf)
}

func (a *audit) viewRecord(m *bus.Message) {
	instance := m.Subject[lastDot(m.Subject)+1:]
	key, parsed := parse(instance)
	if !parsed {
		a.found(Difference{Kind: ViewGhost, Sequence: m.Sequence, Subject: m.Subject, Message: "the subject is not that of an instance"})
		return
	}
	a.compare(m, a.records, key, instance, "", recordOf)
}

// compare looks for a message of the view among what it must hold. print gives the
// message's fingerprint, and 0 when it makes no sense.
func (a *audit) compare(m *bus.Message, expected map[id]uint64, key id, instance, token string, print func(*bus.Message) uint64) {
	want, known := expected[key]
	got := print(m)
	d := Difference{InstanceID: instance, TokenID: token, Sequence: m.Sequence, Subject: m.Subject}
	switch {
	case !known:
		d.Kind, d.Message = ViewGhost, "the view has it, the events have not"
	case want == seen:
		d.Kind, d.Message = ViewGhost, "the view has it a second time"
	case got != want:
		d.Kind, d.Message = ViewWrong, "the view has another content than the events"
	default:
		expected[key] = seen
		return
	}
	expected[key] = seen
	a.suspect(d, func(ctx context.Context) (bool, error) {
		now, err := a.bus.Last(ctx, wire.StreamPlaces, m.Subject, true)
		if errors.Is(err, bus.ErrNoMessage) {
			return d.Kind == ViewWrong, nil
		}
		if err != nil {
			return true, err
		}
		if d.Kind == ViewWrong {
			return print(now) != want, nil
		}
		return len(now.Data) > 0, nil
	})
}

func (a *audit) missing(instance, token, filter string, want uint64, print func(*bus.Message) uint64) {
	a.suspect(Difference{
		Kind: ViewMissing, InstanceID: instance, TokenID: token, Subject: filter, Message: "the events have it, the view has not",
	}, func(ctx context.Context) (bool, error) {
		now, err := a.bus.Last(ctx, wire.StreamPlaces, filter, true)
		if errors.Is(err, bus.ErrNoMessage) {
			return true, nil
		}
		return err != nil || print(now) != want, err
	})
}

// tokenOf and recordOf are the fingerprints of what a message of the view holds.
func tokenOf(m *bus.Message) uint64 {
	var t wire.Token
	if json.Unmarshal(m.Data, &t) != nil || t.NatsSubject != m.Subject || !revised(m, t.NatsSequence) {
		return seen
	}
	return tokenPrint(t)
}

func recordOf(m *bus.Message) uint64 {
	var r wire.InstanceRecord
	if json.Unmarshal(m.Data, &r) != nil || !revised(m, r.NatsSequence) ||
		wire.InstanceRecordSubject(r.WorkflowID, r.Status, r.ID) != m.Subject {
		return seen
	}
	return recordPrint(r)
}

func revised(m *bus.Message, revision uint64) bool {
	return m.Header.Get(wire.HeaderRevision) == strconv.FormatUint(revision, 10)
}

func lastDot(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '.' {
			return i
		}
	}
	return -1
}

func format(key id) string {
	h := hex.EncodeToString(key[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
