package examples

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Driver takes samples through a fleet, whatever carries the requests.
type Driver struct {
	Create  func(context.Context, wire.TokenCreateRequest) (wire.Token, error)
	Fire    func(context.Context, wire.FireRequest) (wire.FireReply, error)
	Get     func(context.Context, wire.InstanceGetRequest) (wire.Instance, error)
	History func(context.Context, wire.TokenHistoryRequest) (wire.TokenHistoryReply, error)
	// Await returns the instance once it has gone beyond the given revision; Poll makes one.
	Await func(ctx context.Context, instanceID string, revision uint64) (wire.Instance, error)
}

// Outcome is what became of a sample.
type Outcome struct {
	// Instance is the instance at its end, with its marking.
	Instance wire.Instance
	// Firings counts those that were asked for and those that came by themselves, by transition.
	Firings map[string]int
	// Timeouts, Automatic and Functions count those that came by themselves.
	Timeouts, Automatic, Functions int
	Refusals                       []Refusal

	// revision is that of the last step.
	revision uint64
}

// Refusal is a firing that was refused, as the sample wants it.
type Refusal struct {
	Transition string            `json:"transition"`
	Code       fault.Code        `json:"code"`
	Message    string            `json:"message"`
	Results    []wire.RuleResult `json:"rule_results,omitempty"`
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
	out := Outcome{Instance: wire.Instance{ID: token.InstanceID}, Firings: map[string]int{}, revision: token.NatsSequence}
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
	if err := s.Ends.compare(end); err != nil {
		return out, fmt.Errorf("sample %s, instance %s: %w", s.Name, end.ID, err)
	}
	return out, nil
}

// compare looks for the data that the last token must have.
func (e Ends) compare(end wire.Instance) error {
	if len(e.Data) == 0 {
		return nil
	}
	var have map[string]any
	if err := json.Unmarshal(end.Tokens[len(end.Tokens)-1].Data, &have); err != nil {
		return fmt.Errorf("its data cannot be read: %w", err)
	}
	for name, want := range e.Data {
		if !reflect.DeepEqual(have[name], want) {
			return fmt.Errorf("data.%s is %v, not %v", name, have[name], want)
		}
	}
	return nil
}

func (d Driver) step(ctx context.Context, out *Outcome, s Sample, step Step) error {
	if step.After != "" {
		if err := d.awaitResult(ctx, out.Instance.ID, step.After); err != nil {
			return err
		}
	}
	if step.ByTimeout || step.Automatic || step.ByFunction {
		return d.await(ctx, out, step)
	}
	by := step.TriggeredBy
	if by == "" {
		by = s.TriggeredBy
	}
	reply, err := d.Fire(ctx, wire.FireRequest{
		InstanceID: out.Instance.ID, TransitionID: step.Transition, FromPlace: step.Place,
		Data: step.Data, Metadata: step.Metadata, Origin: wire.Origin{TriggeredBy: by},
	})
	if step.Refused != "" {
		return out.refused(step, err)
	}
	if err != nil {
		return err
	}
	out.fired(step, reply.Instance.NatsSequence)
	return nil
}

func (o *Outcome) fired(step Step, revision uint64) {
	o.Firings[step.Transition]++
	o.revision = revision
}

// refused keeps a refusal that the sample wants; any other answer is an error.
func (o *Outcome) refused(step Step, err error) error {
	if err == nil {
		return fmt.Errorf("it fired, and was to be refused with %s", step.Refused)
	}
	if !errors.Is(err, step.Refused) {
		return fmt.Errorf("it was to be refused with %s: %w", step.Refused, err)
	}
	refusal := fault.From(err)
	kept := Refusal{Transition: step.Transition, Code: refusal.Code, Message: refusal.Message}
	// Details that came over the wire are plain JSON.
	results, err := json.Marshal(refusal.Details["rule_results"])
	if err == nil {
		err = json.Unmarshal(results, &kept.Results)
	}
	o.Refusals = append(o.Refusals, kept)
	return err
}

// automaticBy and functionsBy are who triggers what fires by itself.
const (
	automaticBy = "rules"
	functionsBy = "function-runner"
)

// await waits for the step that comes by itself, and sees that it is that very one: the
// instance may have gone on from there already, so the history says what came next.
func (d Driver) await(ctx context.Context, out *Outcome, step Step) error {
	next, err := d.nextFiring(ctx, out.Instance.ID, out.revision)
	if err != nil {
		return err
	}
	by := ""
	switch {
	case step.Automatic:
		by = automaticBy
	case step.ByFunction:
		by = functionsBy
	}
	switch {
	case next.TransitionID != step.Transition:
		return fmt.Errorf("%q fired instead, at revision %d", next.TransitionID, next.NatsSequence)
	case by != "" && next.TriggeredBy != by:
		return fmt.Errorf("it was fired by %q, not %q", next.TriggeredBy, by)
	case step.Automatic:
		out.Automatic++
	case step.ByFunction:
		out.Functions++
	default:
		out.Timeouts++
	}
	out.fired(step, next.NatsSequence)
	return nil
}

// nextFiring waits for the first firing beyond a revision. Changes that move no token, such as
// the result of a function that fires nothing, are passed over.
func (d Driver) nextFiring(ctx context.Context, instanceID string, revision uint64) (next wire.TransitionRecord, err error) {
	for seen := revision; next.NatsSequence == 0; {
		instance, err := d.Await(ctx, instanceID, seen)
		if err != nil {
			return next, err
		}
		seen = instance.NatsSequence
		for _, token := range instance.Tokens {
			reply, err := d.History(ctx, wire.TokenHistoryRequest{TokenID: token.ID, Page: wire.Page{Limit: wire.MaxPage}})
			if err != nil {
				return next, err
			}
			for _, r := range reply.Records {
				if r.NatsSequence > revision && (next.NatsSequence == 0 || r.NatsSequence < next.NatsSequence) {
					next = r
				}
			}
		}
	}
	return next, nil
}

// awaitResult waits until a function has left its result on a token.
func (d Driver) awaitResult(ctx context.Context, instanceID, function string) error {
	instance, err := d.Get(ctx, wire.InstanceGetRequest{InstanceID: instanceID})
	for err == nil && !hasResult(instance, function) {
		instance, err = d.Await(ctx, instanceID, instance.NatsSequence)
	}
	if err != nil {
		return fmt.Errorf("waiting for the result of %s: %w", function, err)
	}
	return nil
}

func hasResult(instance wire.Instance, function string) bool {
	for _, token := range instance.Tokens {
		var metadata struct {
			Outputs map[string]json.RawMessage `json:"function_outputs"`
		}
		if json.Unmarshal(token.Metadata, &metadata) == nil && metadata.Outputs[function] != nil {
			return true
		}
	}
	return false
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
				return wire.Instance{}, fmt.Errorf("nothing fired by itself: %w", ctx.Err())
			case <-ticker.C:
			}
		}
	}
}

// JSON is the example's definition as the services take it.
func (e Example) JSON() (json.RawMessage, error) { return json.Marshal(e.Definition) }
