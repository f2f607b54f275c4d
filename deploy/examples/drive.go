package examples

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Driver takes samples through a fleet, whatever carries the requests.
type Driver struct {
	Create func(context.Context, wire.TokenCreateRequest) (wire.Token, error)
	Fire   func(context.Context, wire.FireRequest) (wire.FireReply, error)
	Get    func(context.Context, wire.InstanceGetRequest) (wire.Instance, error)
	// Await returns the instance once it has gone beyond the given revision; Poll makes one.
	Await func(ctx context.Context, instanceID string, revision uint64) (wire.Instance, error)
}

// Outcome is what became of a sample.
type Outcome struct {
	// Instance is the instance at its end, with its marking.
	Instance wire.Instance
	// Firings counts those that were asked for and those that came by time-outs.
	Firings  int
	Timeouts int
}

// Run creates an instance of the example's workflow for the sample, takes every step, and
// compares the end with what the sample promises. workflowID is the UUID or the name under
// which the workflow was deployed. The outcome tells how far it came even with an error.
func (d Driver) Run(ctx context.Context, workflowID string, s Sample) (Outcome, error) {
	token, err := d.Create(ctx, wire.TokenCreateRequest{
		WorkflowID: workflowID, Data: s.Data, Metadata: s.Metadata,
		Origin: wire.Origin{TriggeredBy: s.TriggeredBy},
	})
	if err != nil {
		return Outcome{}, fmt.Errorf("sample %s: create: %w", s.Name, err)
	}
	out := Outcome{Instance: wire.Instance{ID: token.InstanceID, NatsSequence: token.NatsSequence}}
	for _, step := range s.Steps {
		for range max(step.Times, 1) {
			if err := d.step(ctx, &out, s, step); err != nil {
				return out, fmt.Errorf("sample %s, instance %s: %s: %w", s.Name, out.Instance.ID, step.Transition, err)
			}
		}
	}
	end, err := d.Get(ctx, wire.InstanceGetRequest{InstanceID: out.Instance.ID})
	if err != nil {
		return out, fmt.Errorf("sample %s, instance %s: get: %w", s.Name, out.Instance.ID, err)
	}
	out.Instance = end
	if got := Where(end); end.Status != s.Ends.Status || !slices.Equal(got, s.Ends.Places) {
		return out, fmt.Errorf("sample %s, instance %s: ended %s in %v, not %s in %v",
			s.Name, end.ID, end.Status, got, s.Ends.Status, s.Ends.Places)
	}
	return out, nil
}

func (d Driver) step(ctx context.Context, out *Outcome, s Sample, step Step) error {
	if step.ByTimeout {
		instance, err := d.Await(ctx, out.Instance.ID, out.Instance.NatsSequence)
		if err != nil {
			return err
		}
		out.Instance = instance
		out.Firings++
		out.Timeouts++
		return nil
	}
	by := step.TriggeredBy
	if by == "" {
		by = s.TriggeredBy
	}
	reply, err := d.Fire(ctx, wire.FireRequest{
		InstanceID: out.Instance.ID, TransitionID: step.Transition, FromPlace: step.Place,
		Data: step.Data, Metadata: step.Metadata, Origin: wire.Origin{TriggeredBy: by},
	})
	if err != nil {
		return err
	}
	out.Instance = reply.Instance
	out.Firings++
	return nil
}

// Where lists the places of an instance's tokens, in the order of birth.
func Where(instance wire.Instance) []string {
	places := make([]string, len(instance.Tokens))
	for i, t := range instance.Tokens {
		places[i] = t.Place
	}
	return places
}

// Poll makes an Await that reads the instance at this interval until ctx ends.
func Poll(get func(context.Context, wire.InstanceGetRequest) (wire.Instance, error), every time.Duration) func(context.Context, string, uint64) (wire.Instance, error) {
	return func(ctx context.Context, instanceID string, revision uint64) (wire.Instance, error) {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			instance, err := get(ctx, wire.InstanceGetRequest{InstanceID: instanceID})
			if err != nil {
				return wire.Instance{}, err
			}
			if instance.NatsSequence > revision {
				return instance, nil
			}
			select {
			case <-ctx.Done():
				return wire.Instance{}, fmt.Errorf("the time-out did not fire: %w", ctx.Err())
			case <-ticker.C:
			}
		}
	}
}

// JSON is the example's definition as the services take it.
func (e Example) JSON() (json.RawMessage, error) { return json.Marshal(e.Definition) }
