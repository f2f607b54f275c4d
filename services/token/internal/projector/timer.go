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
	i := c.event.Instance
	migrated, resumed := c.kind == wire.LifecycleMigrated, c.kind == wire.LifecycleResumed
	if len(c.policy.timeouts) > 0 || migrated {
		for k := range i.Tokens {
			t := &i.Tokens[k]
			arrived := t.ArrivalSequence == 0
			timeout, timed := c.policy.timeouts[t.Place]
			var err error
			switch {
			case timed && (arrived || resumed || migrated):
				err = c.setTimeout(t, timeout)
			case arrived && !migrated:
				if from := c.from(t.ID); from != "" {
					if _, timed := c.policy.timeouts[from]; timed {
						c.cancelTimeout(t.ID)
					}
				}
			case migrated:
				// Whether the version before had a time-out there, only TIMERS can tell.
				c.cancelTimeout(t.ID)
			}
			if err != nil {
				return err
			}
		}
		for _, consumed := range c.event.Consumed {
			if _, timed := c.policy.timeouts[consumed.Place]; timed && c.standing(consumed.TokenID) == nil {
				c.cancelTimeout(consumed.TokenID)
			}
		}
	}
	keep := c.policy.completed
	if i.Status == wire.StatusCancelled {
		keep = c.policy.cancelled
	}
	if i.Status.Finished() && keep > 0 {
		return c.setPurge(keep)
	}
	return nil
}

func (c *changeSet) setTimeout(t *wire.Token, timeout wire.Timeout) error {
	arrival := t.ArrivalSequence
	if arrival == 0 {
		arrival = c.message.Sequence
	}
	timer := wire.Timer{
		Kind: wire.TimerTimeout, WorkflowID: t.WorkflowID, InstanceID: t.InstanceID, TokenID: t.ID,
		Place: t.Place, ArrivalSequence: arrival, TransitionID: timeout.Transition,
		DueAt: t.ArrivedAt.Add(time.Duration(timeout.After)).UTC(),
	}
	return c.setTimer(timeoutItem, timer)
}

func (c *changeSet) setPurge(keep time.Duration) error {
	i := c.event.Instance
	return c.setTimer(purgeItem, wire.Timer{
		Kind: wire.TimerPurge, WorkflowID: i.WorkflowID, InstanceID: i.ID, TokenID: i.ID,
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
	i := c.event.Instance
	c.add(timeoutItem, token, change{left: []string{wire.TimerSetSubject(wire.TimerTimeout, i.WorkflowID, i.ID, token)}})
}
