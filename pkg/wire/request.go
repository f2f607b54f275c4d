package wire

import (
	"encoding/json"
	"time"
)

// Subjects of the services' endpoints.
const (
	SubjectWorkflowCreate   = "breaker.workflow.create"
	SubjectWorkflowUpdate   = "breaker.workflow.update"
	SubjectWorkflowGet      = "breaker.workflow.get"
	SubjectWorkflowList     = "breaker.workflow.list"
	SubjectWorkflowArchive  = "breaker.workflow.archive"
	SubjectWorkflowDelete   = "breaker.workflow.delete"
	SubjectWorkflowValidate = "breaker.workflow.validate"
	SubjectWorkflowStreams  = "breaker.workflow.streams"

	SubjectTransitionFire      = "breaker.transition.fire"
	SubjectTransitionComplete  = "breaker.transition.complete"
	SubjectTransitionAvailable = "breaker.transition.available"

	SubjectRuleCreate   = "breaker.rule.create"
	SubjectRuleUpdate   = "breaker.rule.update"
	SubjectRuleGet      = "breaker.rule.get"
	SubjectRuleList     = "breaker.rule.list"
	SubjectRuleDelete   = "breaker.rule.delete"
	SubjectRuleHistory  = "breaker.rule.history"
	SubjectRuleEvaluate = "breaker.rule.evaluate"
	SubjectRuleGuard    = "breaker.rule.guard"

	SubjectFunctionCreate  = "breaker.function.create"
	SubjectFunctionUpdate  = "breaker.function.update"
	SubjectFunctionGet     = "breaker.function.get"
	SubjectFunctionList    = "breaker.function.list"
	SubjectFunctionDelete  = "breaker.function.delete"
	SubjectFunctionInvoke  = "breaker.function.invoke"
	SubjectFunctionTrigger = "breaker.function.trigger"

	SubjectExecutionGet     = "breaker.execution.get"
	SubjectExecutionList    = "breaker.execution.list"
	SubjectExecutionRedrive = "breaker.execution.redrive"
	SubjectExecutionDiscard = "breaker.execution.discard"

	SubjectTokenCreate  = "breaker.token.create"
	SubjectTokenInject  = "breaker.token.inject"
	SubjectTokenGet     = "breaker.token.get"
	SubjectTokenList    = "breaker.token.list"
	SubjectTokenFind    = "breaker.token.find"
	SubjectTokenHistory = "breaker.token.history"
	SubjectTokenUpdate  = "breaker.token.update"
	SubjectTokenCancel  = "breaker.token.cancel"

	SubjectInstanceGet     = "breaker.instance.get"
	SubjectInstanceList    = "breaker.instance.list"
	SubjectInstanceSuspend = "breaker.instance.suspend"
	SubjectInstanceResume  = "breaker.instance.resume"
	SubjectInstanceMigrate = "breaker.instance.migrate"

	SubjectAnalyticsPlaces      = "breaker.analytics.places"
	SubjectAnalyticsTransitions = "breaker.analytics.transitions"
)

// Sizes of pages.
const (
	DefaultPage = 100
	MaxPage     = 1000
	// MaxPageBytes also ends a page.
	MaxPageBytes = 256 << 10
)

// Origin says who asks for a change, and makes the change idempotent. Every mutating
// request carries it.
type Origin struct {
	TriggeredBy string `json:"triggered_by,omitempty"`
	RequestID   string `json:"request_id,omitempty"`
}

// Page asks for a part of a list.
type Page struct {
	// Limit is 1 to MaxPage; absent means DefaultPage.
	Limit int `json:"limit,omitempty"`
	// Cursor is the next_cursor of the page before; opaque.
	Cursor string `json:"cursor,omitempty"`
}

// AsOf is a point in an instance's past: a stream sequence (a JSON number) or a time (an
// RFC 3339 string).
type AsOf struct {
	Sequence uint64
	Time     time.Time
}

// Set reports whether a point was given.
func (a AsOf) Set() bool { return a.Sequence != 0 || !a.Time.IsZero() }

// IsZero reports whether no point was given; encoding/json's omitzero asks it.
func (a AsOf) IsZero() bool { return !a.Set() }

// MarshalJSON writes the sequence or the time.
func (a AsOf) MarshalJSON() ([]byte, error) {
	if a.Sequence != 0 {
		return json.Marshal(a.Sequence)
	}
	return json.Marshal(a.Time)
}

// UnmarshalJSON reads a sequence or a time.
func (a *AsOf) UnmarshalJSON(b []byte) error {
	*a = AsOf{}
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &a.Time)
	}
	return json.Unmarshal(b, &a.Sequence)
}

// WorkflowCreateRequest deploys a new workflow.
type WorkflowCreateRequest struct {
	// Definition is a definition as an object.
	Definition json.RawMessage `json:"definition"`
	Origin
}

// WorkflowUpdateRequest deploys the next version of a workflow.
type WorkflowUpdateRequest struct {
	WorkflowID      string          `json:"workflow_id"`
	Definition      json.RawMessage `json:"definition"`
	ExpectedVersion int             `json:"expected_version,omitempty"`
	Origin
}

// WorkflowGetRequest reads a workflow; Version 0 is the newest.
type WorkflowGetRequest struct {
	WorkflowID string `json:"workflow_id"`
	Version    int    `json:"version,omitempty"`
}

// WorkflowArchiveRequest ends a workflow: no new instances, running ones go on, the name
// is free again.
type WorkflowArchiveRequest struct {
	WorkflowID string `json:"workflow_id"`
	Origin
}

// WorkflowDeleteRequest removes a workflow and all its instances; Confirm repeats its name.
type WorkflowDeleteRequest struct {
	WorkflowID string `json:"workflow_id"`
	Confirm    string `json:"confirm"`
	Origin
}

// WorkflowListRequest lists workflows.
type WorkflowListRequest struct {
	NameContains string         `json:"name_contains,omitempty"`
	Status       WorkflowStatus `json:"status,omitempty"`
	Page
}

// WorkflowListReply is a page of workflows.
type WorkflowListReply struct {
	Workflows  []WorkflowRecord `json:"workflows"`
	NextCursor string           `json:"next_cursor,omitempty"`
}

// WorkflowValidateRequest checks a definition without deploying it.
type WorkflowValidateRequest struct {
	Definition json.RawMessage `json:"definition"`
}

// WorkflowValidateReply lists everything that is wrong with a definition.
type WorkflowValidateReply struct {
	Valid    bool      `json:"valid"`
	Problems []Problem `json:"problems"`
}

// WorkflowStreamsRequest asks what a workflow keeps on the server.
type WorkflowStreamsRequest struct {
	WorkflowID string `json:"workflow_id"`
}

// WorkflowStreamsReply lists the streams of a workflow.
type WorkflowStreamsReply struct {
	Streams []StreamInfo `json:"streams"`
}

// StreamInfo describes one stream of a workflow.
type StreamInfo struct {
	Name         string    `json:"name"`
	Subject      string    `json:"subject"`
	MessageCount uint64    `json:"message_count"`
	ByteSize     uint64    `json:"byte_size"`
	LastActivity time.Time `json:"last_activity,omitzero"`
}

// TokenCreateRequest starts a new instance with its root token.
type TokenCreateRequest struct {
	WorkflowID string          `json:"workflow_id"`
	Place      string          `json:"place,omitempty"`
	Data       json.RawMessage `json:"data,omitempty"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
	Origin
}

// TokenInjectRequest puts a new token into a place of a running instance.
type TokenInjectRequest struct {
	WorkflowID string          `json:"workflow_id"`
	InstanceID string          `json:"instance_id"`
	Place      string          `json:"place"`
	Data       json.RawMessage `json:"data,omitempty"`
	Metadata   json.RawMessage `json:"metadata,omitempty"`
	Origin
}

// TokenGetRequest reads a token, now or in the past.
type TokenGetRequest struct {
	TokenID    string `json:"token_id"`
	WorkflowID string `json:"workflow_id,omitempty"`
	// History adds the token's steps (the newest MaxPage of them).
	History bool `json:"history,omitempty"`
	AsOf    AsOf `json:"as_of,omitzero"`
	// Consistent false allows a replica to answer; absent means true.
	Consistent *bool `json:"consistent,omitempty"`
}

// TokenListRequest lists the tokens that stand in a place now.
type TokenListRequest struct {
	WorkflowID string `json:"workflow_id,omitempty"`
	Place      string `json:"place,omitempty"`
	// MinSequence waits, for a bounded time, until the view contains this revision; it
	// needs workflow_id.
	MinSequence uint64 `json:"min_sequence,omitempty"`
	Page
}

// TokenListReply is a page of tokens.
type TokenListReply struct {
	Tokens     []Token `json:"tokens"`
	NextCursor string  `json:"next_cursor,omitempty"`
}

// TokenFindRequest looks for tokens by a CEL condition over the variable token.
type TokenFindRequest struct {
	WorkflowID string `json:"workflow_id"`
	Where      string `json:"where"`
	Limit      int    `json:"limit,omitempty"`
}

// TokenFindReply lists the tokens found; Truncated says that the scan ended before the
// last token.
type TokenFindReply struct {
	Tokens    []Token `json:"tokens"`
	Truncated bool    `json:"truncated"`
}

// TokenHistoryRequest reads a token's steps.
type TokenHistoryRequest struct {
	TokenID string `json:"token_id"`
	Page
}

// TokenHistoryReply is a page of steps, oldest first.
type TokenHistoryReply struct {
	Records    []TransitionRecord `json:"records"`
	NextCursor string             `json:"next_cursor,omitempty"`
}

// TokenUpdateRequest changes a token where it stands: Data and Metadata are merge patches.
type TokenUpdateRequest struct {
	TokenID          string          `json:"token_id"`
	Data             json.RawMessage `json:"data,omitempty"`
	Metadata         json.RawMessage `json:"metadata,omitempty"`
	ExpectedSequence uint64          `json:"expected_sequence,omitempty"`
	ArrivalSequence  uint64          `json:"arrival_sequence,omitempty"`
	Origin
}

// TokenCancelRequest takes one token out of its instance, or cancels the whole instance.
type TokenCancelRequest struct {
	TokenID    string `json:"token_id,omitempty"`
	InstanceID string `json:"instance_id,omitempty"`
	Reason     string `json:"reason,omitempty"`
	Origin
}

// InstanceGetRequest reads an instance, now or in the past.
type InstanceGetRequest struct {
	InstanceID string `json:"instance_id"`
	AsOf       AsOf   `json:"as_of,omitzero"`
	Consistent *bool  `json:"consistent,omitempty"`
}

// InstanceListRequest lists instances.
type InstanceListRequest struct {
	WorkflowID string `json:"workflow_id,omitempty"`
	// NameContains filters by the workflow's name.
	NameContains string `json:"name_contains,omitempty"`
	Status       Status `json:"status,omitempty"`
	Page
}

// InstanceListReply is a page of instances.
type InstanceListReply struct {
	Instances  []Instance `json:"instances"`
	NextCursor string     `json:"next_cursor,omitempty"`
}

// InstanceSuspendRequest stops an instance: until it is resumed, nothing in it moves.
type InstanceSuspendRequest struct {
	InstanceID string `json:"instance_id"`
	Reason     string `json:"reason,omitempty"`
	Origin
}

// InstanceResumeRequest lets a suspended instance go on.
type InstanceResumeRequest struct {
	InstanceID string `json:"instance_id"`
	Origin
}

// InstanceMigrateRequest moves an instance to another version of its workflow; Places maps
// those places that have another id there.
type InstanceMigrateRequest struct {
	InstanceID string            `json:"instance_id"`
	Version    int               `json:"version"`
	Places     map[string]string `json:"places,omitempty"`
	Origin
}

// FireRequest fires a transition for a token, or for the tokens of an instance.
type FireRequest struct {
	TokenID      string `json:"token_id,omitempty"`
	InstanceID   string `json:"instance_id,omitempty"`
	TransitionID string `json:"transition_id"`
	// FromPlace chooses among several inputs; ToPlace must be one of the outputs.
	FromPlace string `json:"from_place,omitempty"`
	ToPlace   string `json:"to_place,omitempty"`
	// Data and Metadata are merge patches for every token produced.
	Data             json.RawMessage `json:"data,omitempty"`
	Metadata         json.RawMessage `json:"metadata,omitempty"`
	ExpectedSequence uint64          `json:"expected_sequence,omitempty"`
	ArrivalSequence  uint64          `json:"arrival_sequence,omitempty"`
	// Automatic says that nobody asks but the rules service, because the transition is auto
	// and enabled. Such firings in a row are counted, see State.AutomaticChains.
	Automatic bool `json:"automatic,omitempty"`
	Origin
}

// FireReply is the outcome of a firing.
type FireReply struct {
	Success bool   `json:"success"`
	Message string `json:"message"`
	// Token is the first token produced; Tokens are all of them, only after a split.
	Token  Token   `json:"token"`
	Tokens []Token `json:"tokens,omitempty"`
	// Instance is without its tokens.
	Instance Instance `json:"instance"`
}

// CompleteRequest records the result of a function or an agent and, with TransitionID,
// fires in the same event.
type CompleteRequest struct {
	InstanceID      string `json:"instance_id"`
	TokenID         string `json:"token_id"`
	ArrivalSequence uint64 `json:"arrival_sequence"`
	// Binding is the function's or agent's id.
	Binding      string          `json:"binding"`
	Kind         string          `json:"kind"`
	Outcome      string          `json:"outcome"`
	Output       json.RawMessage `json:"output,omitempty"`
	Error        json.RawMessage `json:"error,omitempty"`
	TransitionID string          `json:"transition_id,omitempty"`
	// Data is a merge patch for the token's data.
	Data       json.RawMessage `json:"data,omitempty"`
	Attempts   int             `json:"attempts,omitempty"`
	DurationMS int64           `json:"duration_ms,omitempty"`
	Origin
}

// AvailableRequest asks which transitions lead on.
type AvailableRequest struct {
	TokenID    string `json:"token_id,omitempty"`
	InstanceID string `json:"instance_id,omitempty"`
}

// AvailableReply lists the transitions out of the token's place, or out of the marking.
type AvailableReply struct {
	Transitions []AvailableTransition `json:"transitions"`
}

// AvailableTransition is a transition and whether it could fire now.
type AvailableTransition struct {
	TransitionID string       `json:"transition_id"`
	Description  string       `json:"description,omitempty"`
	Enabled      bool         `json:"enabled"`
	Explanation  string       `json:"explanation"`
	RuleResults  []RuleResult `json:"rule_results,omitempty"`
}

// AnalyticsRequest asks for figures of a workflow over a window of time.
type AnalyticsRequest struct {
	WorkflowID string `json:"workflow_id"`
	// From and To bound the window; absent means the last 24 hours.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
}

// Window is what a figure covers. Truncated says that the read was cut at its bound.
type Window struct {
	From      time.Time `json:"from"`
	To        time.Time `json:"to"`
	Events    int       `json:"events"`
	Truncated bool      `json:"truncated"`
}

// Quantiles are durations in milliseconds, from a sketch with one percent relative error.
type Quantiles struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

// AnalyticsPlacesReply says how places are used.
type AnalyticsPlacesReply struct {
	Places []PlaceFigures `json:"places"`
	Window Window         `json:"window"`
}

// PlaceFigures are the figures of one place. Tokens is the count now, the rest is over the window.
type PlaceFigures struct {
	Place       string    `json:"place"`
	Tokens      int       `json:"tokens"`
	Arrivals    int       `json:"arrivals"`
	Departures  int       `json:"departures"`
	TimeInPlace Quantiles `json:"time_in_place"`
}

// AnalyticsTransitionsReply says how transitions are used.
type AnalyticsTransitionsReply struct {
	Transitions []TransitionFigures `json:"transitions"`
	// Created, Completed and Cancelled count instances in the window.
	Created   int    `json:"created"`
	Completed int    `json:"completed"`
	Cancelled int    `json:"cancelled"`
	Window    Window `json:"window"`
}

// TransitionFigures are the figures of one transition: how often it fired, and how long
// its tokens had waited in the place before.
type TransitionFigures struct {
	TransitionID string    `json:"transition_id"`
	Firings      int       `json:"firings"`
	Waited       Quantiles `json:"waited"`
}
