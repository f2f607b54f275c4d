package functionrunner

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/condition"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// kind runs the functions of one kind.
type kind interface {
	// Check refuses what such a function cannot be, with fault.InvalidField.
	Check(fn *wire.FunctionSpec) error
	Run(ctx context.Context, fn *wire.Function, a *work.Attempt) (work.Result, *work.Failure)
}

// function is one version of a function, ready to run. It never changes.
type function struct {
	service *Service
	wire.Function
	policy       *work.Policy
	runs         kind
	input        *condition.Mapping
	inputSchema  *jsonschema.Schema
	outputSchema *jsonschema.Schema
	triggers     []trigger
	chains       []chain
	// unusable says why a stored version cannot be run: it was stored by a program that knew
	// more.
	unusable error
}

// trigger and chain are those of the definition, compiled.
type trigger struct {
	wire.Trigger
	when *condition.Program
}

type chain struct {
	wire.Chain
	when *condition.Program
}

func (s *Service) prepare(fn *wire.Function) *function {
	f, err := s.compile(fn)
	if err != nil {
		f = &function{service: s, Function: *fn, unusable: err}
	}
	f.policy = policyOf(fn)
	return f
}

func policyOf(fn *wire.Function) *work.Policy {
	p := work.Policy{
		Version: fn.Version, Timeout: time.Duration(fn.Timeout), Concurrency: fn.Concurrency, RateLimit: fn.RateLimit,
	}
	if fn.Retry != nil {
		p.Retry = *fn.Retry
	}
	if fn.Circuit != nil {
		p.Circuit = *fn.Circuit
	}
	if fn.Kind == wire.FunctionNATS {
		// There the time-out is how long it may be silent, which its kind looks after.
		p.Timeout = work.MaxTimeout
	}
	p = p.Complete()
	return &p
}

// compile makes a definition ready to run. It fails with fault.InvalidField.
func (s *Service) compile(fn *wire.Function) (*function, error) {
	f := &function{service: s, Function: *fn, runs: s.kinds[fn.Kind]}
	var err error
	if len(fn.Input) > 0 {
		if f.input, err = s.mapping("input", fn.Input); err != nil {
			return nil, err
		}
	}
	if f.inputSchema, err = schema("input_schema", fn.InputSchema); err != nil {
		return nil, err
	}
	if f.outputSchema, err = schema("output_schema", fn.OutputSchema); err != nil {
		return nil, err
	}
	if fn.Kind == wire.FunctionExpression {
		if f.runs, err = s.newExpression(fn); err != nil {
			return nil, err
		}
	}
	for i := range fn.Triggers {
		t := trigger{Trigger: fn.Triggers[i]}
		if t.when, err = s.when(at("triggers", i, "when"), t.When); err != nil {
			return nil, err
		}
		if len(t.Input) > 0 {
			if _, err = s.mapping(at("triggers", i, "input"), t.Input); err != nil {
				return nil, err
			}
		}
		f.triggers = append(f.triggers, t)
	}
	for i := range fn.Chains {
		c := chain{Chain: fn.Chains[i]}
		if c.when, err = s.when(at("chains", i, "when"), c.When); err != nil {
			return nil, err
		}
		if len(c.Input) > 0 {
			if _, err = s.mapping(at("chains", i, "input"), c.Input); err != nil {
				return nil, err
			}
		}
		f.chains = append(f.chains, c)
	}
	return f, nil
}

func (s *Service) mapping(field string, raw json.RawMessage) (*condition.Mapping, error) {
	m, err := s.language.CompileMapping(field, raw)
	if err == nil && m.NeedsHistory() {
		return nil, noHistory(field)
	}
	return m, err
}

func (s *Service) when(field, text string) (*condition.Program, error) {
	if text == "" {
		return nil, nil
	}
	p, err := s.language.CompileWorkCondition(field, text)
	if err == nil && p.NeedsHistory() {
		return nil, noHistory(field)
	}
	return p, err
}

func noHistory(field string) error {
	return fault.New(fault.InvalidField, "%s asks for the token's history, which is not read for functions", field).With("field", field)
}

func schema(field string, raw json.RawMessage) (*jsonschema.Schema, error) {
	compiled, problem := bus.CompileSchema(raw)
	if problem != nil {
		return nil, fault.New(fault.InvalidField, "%s is %s", field, problem.Message).With("field", field)
	}
	return compiled, nil
}

// Policy is how the function's jobs are run.
func (f *function) Policy() *work.Policy { return f.policy }

// Prepare makes the input of an attempt: by the mapping of what asked for the work, else by
// the function's own, else it is what was given, else the token's data.
func (f *function) Prepare(ctx context.Context, a *work.Attempt) (reason string, failure *work.Failure) {
	if f.unusable != nil {
		return "", work.Failed(wire.FailureMisconfigured, "version %d of the function cannot be used: %v", f.Version, f.unusable)
	}
	in := f.seen(a, nil)
	if a.Job.When != "" {
		when, err := f.service.when("when", a.Job.When)
		if err != nil {
			return "", work.Failed(wire.FailureMisconfigured, "the condition of the trigger cannot be used: %v", err)
		}
		passed, err := when.Passes(ctx, in)
		if err != nil {
			return "", work.Failed(wire.FailureMisconfigured, "the condition of the trigger: %v", err)
		}
		if !passed {
			return "the condition of the trigger does not hold", nil
		}
	}
	var err error
	mapping := f.input
	if len(a.Job.Mapping) > 0 {
		if mapping, err = f.service.mapping("input", a.Job.Mapping); err != nil {
			return "", work.Failed(wire.FailureMisconfigured, "the mapping of the binding cannot be used: %v", err)
		}
	}
	switch {
	case a.Job.Mapped:
		a.Input = a.Job.Input
	case mapping != nil:
		if a.Input, err = mapping.Apply(ctx, in); err != nil {
			return "", work.Failed(wire.FailureInvalidInput, "the mapping of the input: %v", err)
		}
	case len(a.Job.Input) > 0:
		a.Input = a.Job.Input
	case len(a.Job.Previous) > 0:
		a.Input = leftBy(a.Job)
	case a.Token != nil && len(a.Token.Data) > 0:
		a.Input = a.Token.Data
	default:
		a.Input = json.RawMessage(`{}`)
	}
	if len(a.Input) == 0 {
		a.Input = json.RawMessage(`null`)
	}
	return "", fits(f.inputSchema, wire.FailureInvalidInput, "input", a.Input)
}

// seen is what expressions of a function can ask about.
func (f *function) seen(a *work.Attempt, e *wire.Execution) *condition.Input {
	subject := condition.Subject{Token: a.Token, Instance: a.Instance, Now: f.service.now(), Values: map[string]json.RawMessage{}}
	if len(a.Job.Event) > 0 {
		subject.Values["event"] = a.Job.Event
	}
	if e == nil {
		if len(a.Job.Input) > 0 {
			subject.Values["input"] = a.Job.Input
		}
		var before previous
		if len(a.Job.Previous) > 0 && json.Unmarshal(a.Job.Previous, &before) == nil {
			subject.Values["input"], subject.Values["output"], subject.Values["error"] = before.Input, before.Output, before.Error
		}
		return condition.NewInput(subject)
	}
	subject.Values["input"], subject.Values["output"], subject.Values["error"] = a.Input, e.Output, errorOf(e)
	return condition.NewInput(subject)
}

// fits checks a document against a schema, which may be nil.
func fits(schema *jsonschema.Schema, code, root string, document json.RawMessage) *work.Failure {
	if schema == nil {
		return nil
	}
	if len(document) == 0 {
		document = json.RawMessage(`null`)
	}
	violations, err := bus.Violations(schema, root, document)
	switch {
	case err != nil:
		return work.Failed(code, "the %s is no JSON", root)
	case len(violations) > 0:
		return work.Failed(code, "the %s does not fit its schema: %s: %s", root, violations[0]["path"], violations[0]["message"])
	}
	return nil
}

// Run makes one attempt.
func (f *function) Run(ctx context.Context, a *work.Attempt) (work.Result, *work.Failure) {
	result, failure := f.runs.Run(ctx, &f.Function, a)
	if most := f.service.maxOutput(); failure == nil && int64(len(result.Output)) > most {
		failure = work.Failed(wire.FailureLimit, "the output has %d bytes; at most %d are possible", len(result.Output), most)
	}
	if string(result.Output) == "null" {
		result.Output = nil
	}
	if failure == nil {
		failure = fits(f.outputSchema, wire.FailureInvalidOutput, "output", result.Output)
	}
	if failure != nil && failure.Stderr == "" {
		failure.Stderr = result.Stderr
	}
	return result, failure
}

// Follows reports whether the function has chains, or another one is triggered by ends.
func (f *function) Follows() bool { return len(f.chains) > 0 || f.service.triggers.onEnds.Load() }

// Next lists the jobs that follow: those of the function's chains, and of the functions that
// its end triggers.
func (f *function) Next(ctx context.Context, ended *work.Ended) ([]work.Next, error) {
	if f.unusable != nil {
		return nil, nil
	}
	var all []work.Next
	for i := range f.chains {
		c := &f.chains[i]
		if !goesOn(c.On, ended.Execution.Status) || !f.holds(ctx, c.when, ended) {
			continue
		}
		job, ok := f.following(ctx, ended, c.Function, c.Input, wire.CauseChain, contentOf(c.Chain))
		if ok {
			all = append(all, work.Next{Job: job, Delay: time.Duration(c.Delay)})
		}
	}
	for _, e := range f.service.store.All() {
		other := e.Prepared
		if !e.Definition.IsEnabled() || other == nil {
			continue
		}
		for i := range other.triggers {
			t := &other.triggers[i]
			if t.Event != wire.TriggerFunctionCompleted || !f.completes(t, ended.Execution) || !f.holds(ctx, t.when, ended) {
				continue
			}
			if job, ok := f.following(ctx, ended, other.ID, t.Input, wire.TriggerFunctionCompleted, contentOf(t.Trigger)); ok {
				all = append(all, work.Next{Job: job})
			}
		}
	}
	return f.shared(ctx, ended, all), nil
}

// shared divides what may come after a run among those that come next: chains that branch would
// make more jobs than anybody wants.
func (f *function) shared(ctx context.Context, ended *work.Ended, all []work.Next) []work.Next {
	budget := cmp.Or(ended.Job.Budget, work.MaxFollowers)
	if len(all) == 0 {
		return nil
	}
	if len(all) > budget {
		f.service.tel.Logger(ctx).Error().Str("execution_id", ended.Execution.ID).Int("followers", len(all)).Msg("chain was ended: too many runs come after one")
		ended.Execution.Reason = "nothing came after it: chains that branch have made too many runs"
		return nil
	}
	for i := range all {
		all[i].Job.Budget = max((budget-len(all))/len(all), -1)
		if all[i].Job.Budget == 0 {
			all[i].Job.Budget = -1 // None, where 0 would be the default.
		}
	}
	return all
}

// contentOf names a chain or trigger by what it says, so that a change of the list it stands in
// does not make it another.
func contentOf(entry any) string {
	text, _ := json.Marshal(entry) // It came as JSON.
	return work.ID(string(text))
}

// goesOn reports whether a chain goes on after such an end.
func goesOn(on string, status wire.ExecutionStatus) bool {
	switch on {
	case wire.ChainAlways:
		return true
	case wire.ChainFailure:
		return status == wire.ExecutionFailed
	}
	return status == wire.ExecutionSucceeded
}

func (f *function) completes(t *trigger, e *wire.Execution) bool {
	outcome := wire.OutcomeSuccess
	if e.Status == wire.ExecutionFailed {
		outcome = wire.OutcomeFailure
	}
	if t.Function != f.ID || t.Outcome != "" && t.Outcome != outcome {
		return false
	}
	return t.Workflow == "" || f.service.isWorkflow(t.Workflow, e.WorkflowID)
}

// holds evaluates a condition on what a run has left; one that cannot be evaluated does not
// hold.
func (f *function) holds(ctx context.Context, when *condition.Program, ended *work.Ended) bool {
	if when == nil {
		return true
	}
	passed, err := when.Passes(ctx, f.seen(ended.Attempt, ended.Execution))
	if err != nil {
		f.service.tel.Logger(ctx).Warn().Str("execution_id", ended.Execution.ID).Str("function_id", f.ID).Msg("condition of a chain could not be evaluated")
	}
	return err == nil && passed
}

// following is the job of a function that comes after this one; none where the chain is too
// long. Its token is the one that the result was told to, as it is after that.
func (f *function) following(ctx context.Context, ended *work.Ended, target string, mapping json.RawMessage, cause, content string) (wire.Job, bool) {
	e, parent := ended.Execution, ended.Job
	log := f.service.tel.Logger(ctx)
	if parent.Position >= work.MaxPosition {
		log.Error().Str("execution_id", e.ID).Str("function_id", target).Int("position", parent.Position).Msg("chain was ended: it is too long")
		return wire.Job{}, false
	}
	job := wire.Job{
		ID: work.ID(wire.KindFunction, target, e.ID, sequence(uint64(e.Redrives)), cause, content), Kind: wire.KindFunction, Target: target,
		Cause: cause, WorkflowID: e.WorkflowID, InstanceID: e.InstanceID, TokenID: parent.TokenID,
		Parent: e.ID, Position: parent.Position + 1, Attempt: 1, TriggeredBy: parent.TriggeredBy, Event: parent.Event, QueuedAt: e.FinishedAt,
	}
	if ended.Token != nil {
		job.TokenID, job.Place, job.ArrivalSequence = ended.Token.ID, ended.Token.Place, ended.Token.ArrivalSequence
	}
	var err error
	job.Mapping = mapping
	if job.Previous, err = json.Marshal(previous{Input: ended.Input, Output: e.Output, Error: errorOf(e)}); err != nil {
		log.Error().Err(err).Str("execution_id", e.ID).Str("function_id", target).Msg("chain was ended: its input is no JSON")
		return wire.Job{}, false
	}
	return job, true
}

// leftBy is what the run before has left: its output, or its error.
func leftBy(job *wire.Job) json.RawMessage {
	var before previous
	if json.Unmarshal(job.Previous, &before) == nil && len(before.Error) > 0 {
		return before.Error
	}
	return before.Output
}

// previous is what mappings of a chain can ask about.
type previous struct {
	Input  json.RawMessage `json:"input,omitempty"`
	Output json.RawMessage `json:"output,omitempty"`
	Error  json.RawMessage `json:"error,omitempty"`
}

// errorOf is the error of a run as JSON; nil where there is none.
func errorOf(e *wire.Execution) json.RawMessage {
	if e.Error == nil {
		return nil
	}
	text, _ := json.Marshal(e.Error) // Two texts.
	return text
}
