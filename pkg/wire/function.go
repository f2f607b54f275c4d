package wire

import (
	"encoding/json"
	"time"
)

// Kinds of functions.
const (
	// FunctionNATS asks functions.{id} by request-reply: any program that answers there.
	FunctionNATS = "nats"
	// FunctionHTTP calls a server.
	FunctionHTTP = "http"
	// FunctionExec runs a program, with JSON on its standard input and output.
	FunctionExec = "exec"
	// FunctionWASM runs a WASI module, likewise.
	FunctionWASM = "wasm"
	// FunctionExpression evaluates an expression.
	FunctionExpression = "expression"
)

// FunctionKinds lists every kind of function.
func FunctionKinds() []string {
	return []string{FunctionNATS, FunctionHTTP, FunctionExec, FunctionWASM, FunctionExpression}
}

// Function is one version of a function: the value in the functions bucket, and the reply of
// the breaker.function endpoints.
type Function struct {
	ID string `json:"id"`
	// Version counts from 1, also on after the function was deleted and created anew.
	Version int `json:"version"`
	FunctionSpec
	// Author is who made this version.
	Author string `json:"author,omitempty"`
	// CreatedAt is when the function was created, UpdatedAt when this version was.
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	RequestID string    `json:"request_id,omitempty"`
	// RequestDigest identifies the request that made this version.
	RequestDigest string `json:"request_digest,omitempty"`
	// Circuits are the circuit breakers of copies that are not closed; replies alone have them.
	Circuits []Circuit `json:"circuits,omitempty"`
}

// FunctionSpec is what the author of a function says of it.
type FunctionSpec struct {
	Description string `json:"description,omitempty"`
	// Kind is what runs it: nats, http, exec, wasm or expression. The member of that name says
	// more; nats needs none.
	Kind string        `json:"kind,omitempty"`
	HTTP *HTTPFunction `json:"http,omitempty"`
	Exec *ExecFunction `json:"exec,omitempty"`
	WASM *WASMFunction `json:"wasm,omitempty"`
	// Expression is CEL that makes the output of the input.
	Expression string `json:"expression,omitempty"`
	// Input is a mapping that makes the function's input: JSON in which every text that begins
	// with = is an expression, such as {"amount": "=token.data.amount"}. Absent is the token's
	// data, or what the function was invoked with. A binding's or chain's own mapping goes first.
	Input json.RawMessage `json:"input,omitempty"`
	// InputSchema is a JSON Schema for what the mapping makes.
	InputSchema json.RawMessage `json:"input_schema,omitempty"`
	// OutputSchema is a JSON Schema for what the function gives; no output counts as null.
	OutputSchema json.RawMessage `json:"output_schema,omitempty"`
	// Timeout bounds one attempt; absent is 30s, and 24h is the most. Progress of a function of
	// kind nats begins it anew.
	Timeout Duration     `json:"timeout,omitempty"`
	Retry   *RetryPolicy `json:"retry,omitempty"`
	// Concurrency is how many runs the whole fleet has at once; absent leaves it to the copies.
	Concurrency int            `json:"concurrency,omitempty"`
	RateLimit   *RateLimit     `json:"rate_limit,omitempty"`
	Circuit     *CircuitPolicy `json:"circuit_breaker,omitempty"`
	// Enabled is true unless it is said otherwise. The jobs of a disabled function wait, and
	// events do not trigger it.
	Enabled  *bool     `json:"enabled,omitempty"`
	Triggers []Trigger `json:"triggers,omitempty"`
	Chains   []Chain   `json:"chains,omitempty"`
	Tags     []string  `json:"tags,omitempty"`
}

// IsEnabled reports whether the function runs.
func (s *FunctionSpec) IsEnabled() bool { return s.Enabled == nil || *s.Enabled }

// HTTPFunction calls a server. Its texts are Go templates over input, token and execution, such
// as {{ .input.id }}; {{ secret "NAME" }} and a text that is secret:NAME name a secret.
type HTTPFunction struct {
	URL string `json:"url"`
	// Method of the request, POST unless it is said otherwise.
	Method  string            `json:"method,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	// Body is a template; absent sends the input as JSON, where the method has a body.
	Body string `json:"body,omitempty"`
	// Success are the statuses of success, such as 200 or 2xx, which is also the default.
	Success []string `json:"success,omitempty"`
	// RetryOn are the statuses of failures that may pass: 408, 425, 429 and 5xx by default.
	RetryOn []string  `json:"retry_on,omitempty"`
	HMAC    *HTTPHMAC `json:"hmac,omitempty"`
}

// HTTPHMAC signs the body of a request.
type HTTPHMAC struct {
	// Secret signs, as secret:NAME.
	Secret string `json:"secret"`
	// Header gets algorithm=hex; absent is X-Signature-256.
	Header string `json:"header,omitempty"`
	// Algorithm of the signature; absent is sha256.
	Algorithm string `json:"algorithm,omitempty"`
}

// ExecFunction runs a program that the operator allows.
type ExecFunction struct {
	// Command is a name in the operator's list.
	Command string   `json:"command"`
	Args    []string `json:"args,omitempty"`
	// Env is the program's environment, beside what the runner sets; a value may be secret:NAME.
	Env map[string]string `json:"env,omitempty"`
	// MemoryMB bounds the memory of each process; absent is 256.
	MemoryMB int `json:"memory_mb,omitempty"`
	// CPUSeconds bounds the processor time of each process; absent is the time-out.
	CPUSeconds int `json:"cpu_seconds,omitempty"`
}

// WASMFunction runs a WASI module without files and network.
type WASMFunction struct {
	// Module is the name of an object in the object store modules.
	Module string   `json:"module"`
	Args   []string `json:"args,omitempty"`
	// Env is all of its environment; a value may be secret:NAME.
	Env map[string]string `json:"env,omitempty"`
	// MemoryMB bounds its memory; absent is 64.
	MemoryMB int `json:"memory_mb,omitempty"`
}

// Kinds of back-off.
const (
	BackoffFixed       = "fixed"
	BackoffLinear      = "linear"
	BackoffExponential = "exponential"
)

// RetryPolicy says what follows a failed attempt.
type RetryPolicy struct {
	// Attempts is how many there are in all; absent is 3.
	Attempts int `json:"attempts,omitempty"`
	// Backoff is how the pauses grow; absent is exponential.
	Backoff string `json:"backoff,omitempty"`
	// Initial is the first pause; absent is 1s.
	Initial Duration `json:"initial,omitempty"`
	// Max is the longest pause; absent is 5m.
	Max Duration `json:"max,omitempty"`
	// Jitter is the part of a pause that is drawn at random, 0 to 1; absent is 0.2.
	Jitter *float64 `json:"jitter,omitempty"`
	// Errors are the codes that are tried again; absent are those that may pass.
	Errors []string `json:"errors,omitempty"`
}

// RateLimit is how many runs may begin in a time, in the whole fleet. At most Count of them
// begin at once.
type RateLimit struct {
	Count int      `json:"count"`
	Per   Duration `json:"per"`
}

// CircuitPolicy says when jobs wait because their target is ill.
type CircuitPolicy struct {
	// Failures in a row open the circuit of a copy; absent is 5.
	Failures int `json:"failures,omitempty"`
	// Cooldown is how long it then is open before one job tries again; absent is 30s.
	Cooldown Duration `json:"cooldown,omitempty"`
	// Off has no circuit breaker at all.
	Off bool `json:"off,omitempty"`
}

// Circuit is the circuit breaker of one copy, where it is not closed.
type Circuit struct {
	Copy string `json:"copy"`
	// State is open, or half_open: one job tries.
	State string `json:"state"`
	// Since is when it opened.
	Since time.Time `json:"since"`
	// Until is when the next attempt is made.
	Until time.Time `json:"until,omitzero"`
	// Reason is the failure that opened it.
	Reason string `json:"reason,omitempty"`
}

// Events that trigger functions.
const (
	TriggerCreated           = "created"
	TriggerInjected          = "injected"
	TriggerTransitioned      = "transitioned"
	TriggerUpdated           = "updated"
	TriggerCompleted         = "completed"
	TriggerFunctionCompleted = "function_completed"
	TriggerCustom            = "custom"
)

// TriggerEvents lists the events that trigger functions.
func TriggerEvents() []string {
	return []string{
		TriggerCreated, TriggerInjected, TriggerTransitioned, TriggerUpdated, TriggerCompleted, TriggerFunctionCompleted, TriggerCustom,
	}
}

// Trigger runs a function when something has happened.
type Trigger struct {
	// Event is what happens: a token was created, injected, transitioned or updated, an instance
	// completed, another function's run has ended, or somebody said so (custom).
	Event string `json:"event"`
	// Workflow is the UUID or the name of the only workflow whose events count; absent is all.
	Workflow string `json:"workflow,omitempty"`
	// Place is where the token came to, or was updated.
	Place string `json:"place,omitempty"`
	// From is a place that transitioned takes from.
	From string `json:"from,omitempty"`
	// To is a place that transitioned leads to.
	To string `json:"to,omitempty"`
	// Transition is the one that transitioned is about.
	Transition string `json:"transition,omitempty"`
	// Function is the one that function_completed is about.
	Function string `json:"function,omitempty"`
	// Outcome is how that one must have ended; absent is either way.
	Outcome string `json:"outcome,omitempty"`
	// Name is that of a custom event.
	Name string `json:"name,omitempty"`
	// When is a condition in CEL over token, instance and event; and of function_completed
	// over input, output and error too.
	When string `json:"when,omitempty"`
	// Input is a mapping that goes before the function's own.
	Input json.RawMessage `json:"input,omitempty"`
}

// When a chain goes on.
const (
	ChainAlways  = "always"
	ChainSuccess = "success"
	ChainFailure = "failure"
)

// Chain runs another function after this one.
type Chain struct {
	Function string `json:"function"`
	// On is the end after which it goes on; absent is success.
	On string `json:"on,omitempty"`
	// When is a condition in CEL over input, output, error, token and instance.
	When string `json:"when,omitempty"`
	// Input is a mapping over the same; absent is the output.
	Input json.RawMessage `json:"input,omitempty"`
	// Delay is how long to wait before.
	Delay Duration `json:"delay,omitempty"`
}

// FunctionCreateRequest makes a function.
type FunctionCreateRequest struct {
	ID string `json:"id"`
	FunctionSpec
	Origin
}

// FunctionUpdateRequest makes the next version of a function. What is absent stays as it is;
// Reset names members that go back to what they are by default.
type FunctionUpdateRequest struct {
	ID string `json:"id"`
	FunctionSpec
	Reset           []string `json:"reset,omitempty"`
	ExpectedVersion int      `json:"expected_version,omitempty"`
	Origin
}

// FunctionGetRequest reads a function; Version 0 is the newest.
type FunctionGetRequest struct {
	ID      string `json:"id"`
	Version int    `json:"version,omitempty"`
}

// FunctionListRequest lists functions, each in its newest version.
type FunctionListRequest struct {
	// NameContains filters by the function's id.
	NameContains string `json:"name_contains,omitempty"`
	Tag          string `json:"tag,omitempty"`
	Kind         string `json:"kind,omitempty"`
	Page
}

// FunctionListReply is a page of functions, by id.
type FunctionListReply struct {
	Functions  []Function `json:"functions"`
	NextCursor string     `json:"next_cursor,omitempty"`
}

// FunctionDeleteRequest removes a function that no workflow and no other function uses, with
// the jobs that wait for it.
type FunctionDeleteRequest struct {
	ID              string `json:"id"`
	ExpectedVersion int    `json:"expected_version,omitempty"`
	Origin
}

// FunctionInvokeRequest runs a function once, for nobody's sake: the result is only in its
// execution.
type FunctionInvokeRequest struct {
	ID string `json:"id"`
	// Input is any JSON. Without it the input is made as for TokenID's token.
	Input   json.RawMessage `json:"input,omitempty"`
	TokenID string          `json:"token_id,omitempty"`
	// Async answers at once. Otherwise the reply waits for the end, or until the request has
	// taken too long, and then tells how far it is.
	Async bool `json:"async,omitempty"`
	Origin
}

// FunctionTriggerRequest says that something has happened, and runs the functions that are
// triggered by it.
type FunctionTriggerRequest struct {
	// Event is the name of a custom event.
	Event string `json:"event"`
	// Data is any JSON: the input of the functions, and event.data in mappings.
	Data json.RawMessage `json:"data,omitempty"`
	// TokenID is the token that the event is about, if any.
	TokenID string `json:"token_id,omitempty"`
	Origin
}

// FunctionTriggerReply lists what was begun.
type FunctionTriggerReply struct {
	Executions []TriggeredExecution `json:"executions"`
}

// TriggeredExecution is a run that was queued.
type TriggeredExecution struct {
	ID     string `json:"id"`
	Target string `json:"target"`
}
