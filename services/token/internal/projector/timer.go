package projector

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/petri"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// newPolicy reads what a definition says about time; keep is how long a finished instance
// is kept where the definition does not say.
func newPolicy(net *petri.Net, keep time.Duration) *policy {
	definition := net.Definition()
	p := &policy{completed: keep, cancelled: keep}
	for i := range definition.Places {
		if t := definition.Places[i].Timeout; t != nil {
			if p.timeouts == nil {
				p.timeouts = timeouts{}
			}
			p.timeouts[definition.Places[i].ID] = *t
		}
	}
	if r := definition.Retention; r != nil {
		if r.Completed != nil {
			p.completed = time.Duration(*r.Completed)
		}
		if r.Cancelled != nil {
			p.cancelled = time.Duration(*r.Cancelled)
		}
	}
	return p
}

// timers are set on arrival, set again when the instance is resumed or migrated, and
// cancelled on departure. A finished instance gets one for its purge.
func (c *changeSet) timers() error {
	i := &c.event.instance
	migrated, resumed := c.kind == wire.LifecycleMigrated, c.kind == wire.LifecycleResumed
	if len(c.policy.timeouts) > 0 || migrated {
		for k := range i.tokens {
			t := &i.tokens[k]
			arrived := t.arrival == 0
			timeout, timed := c.policy.timeouts[t.place]
			switch {
			case timed && (arrived || resumed || migrated):
				if err := c.setTimeout(t, timeout); err != nil {
					return err
				}
			case migrated:
				// Whether the version before had a time-out there, only TIMERS can tell.
				c.cancelTimeout(t.id)
			case arrived:
				if _, timed := c.policy.timeouts[c.from(t.id)]; timed {
					c.cancelTimeout(t.id)
				}
			}
		}
		for _, consumed := range c.event.consumed {
			if _, timed := c.policy.timeouts[consumed.Place]; timed && !c.standing(consumed.TokenID) {
				c.cancelTimeout(consumed.TokenID)
			}
		}
	}
	keep := c.policy.completed
	if i.status == wire.StatusCancelled {
		keep = c.policy.cancelled
	}
	if i.status.Finished() && keep > 0 {
		return c.setPurge(keep)
	}
	return nil
}

func (c *changeSet) setTimeout(t *token, timeout wire.Timeout) error {
	arrival := t.arrival
	if arrival == 0 {
		arrival = c.message.Sequence
	}
	since, err := time.Parse(time.RFC3339, t.arrivedAt)
	if err != nil {
		return fmt.Errorf("token %s: when it arrived: %w", t.id, err)
	}
	return c.setTimer(timeoutItem, wire.Timer{
		Kind: wire.TimerTimeout, WorkflowID: t.workflow, InstanceID: t.instance, TokenID: t.id,
		Place: t.place, ArrivalSequence: arrival, TransitionID: timeout.Transition,
		DueAt: since.Add(time.Duration(timeout.After)).UTC(),
	})
}

func (c *changeSet) setPurge(keep time.Duration) error {
	i := &c.event.instance
	return c.setTimer(purgeItem, wire.Timer{
		Kind: wire.TimerPurge, WorkflowID: i.workflow, InstanceID: i.id, TokenID: i.id,
		DueAt: c.message.Time.Add(keep).UTC(),
	})
}

func (c *changeSet) setTimer(k kind, timer wire.Timer) error {
	payload, err := json.Marshal(timer)
	if err != nil {
		return fmt.Errorf("timer of %s: %w", timer.TokenID, err)
	}
	c.add(k, timer.TokenID, change{
		subject: wire.TimerSetSubject(timer.Kind, timer.WorkflowID, timer.InstanceID, timer.TokenID), payload: payload,
		target: wire.TimerDueSubject(timer.Kind, timer.WorkflowID, timer.InstanceID, timer.TokenID), due: timer.DueAt,
	})
	return nil
}

func (c *changeSet) cancelTimeout(token string) {
	i := &c.event.instance
	c.add(timeoutItem, token, change{left: []string{wire.TimerSetSubject(wire.TimerTimeout, i.workflow, i.id, token)}})
}
