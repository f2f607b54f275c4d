package wire

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/jsonscan"
)

// Rule is one version of a named predicate over a token: the value in the rules bucket, and
// the reply of the breaker.rule endpoints.
type Rule struct {
	ID string `json:"id"`
	// Version counts from 1, also on after the rule was deleted and created anew.
	Version     int    `json:"version"`
	Description string `json:"description,omitempty"`
	// WorkflowID is the UUID or the name of the only workflow whose transitions may use the
	// rule, as its author gave it; absent means every workflow.
	WorkflowID string `json:"workflow_id,omitempty"`
	// Condition is a tree or an expression, see package condition.
	Condition json.RawMessage `json:"condition"`
	Tags      []string        `json:"tags,omitempty"`
	// Author is who made this version.
	Author string `json:"author,omitempty"`
	// CreatedAt is when the rule was created, UpdatedAt when this version was.
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	RequestID string    `json:"request_id,omitempty"`
	// RequestDigest identifies the request that made this version.
	RequestDigest string `json:"request_digest,omitempty"`
}

// ReservedRuleID cannot name a rule: results call a transition's inline condition so.
const ReservedRuleID = "when"

// RuleCreateRequest makes a rule.
type RuleCreateRequest struct {
	ID          string `json:"id"`
	Description string `json:"description,omitempty"`
	// WorkflowID scopes the rule to one workflow; a name need not exist yet.
	WorkflowID string          `json:"workflow_id,omitempty"`
	Condition  json.RawMessage `json:"condition"`
	Tags       []string        `json:"tags,omitempty"`
	Origin
}

// RuleUpdateRequest makes the next version of a rule. What is absent stays as it is.
type RuleUpdateRequest struct {
	ID              string          `json:"id"`
	Description     *string         `json:"description,omitempty"`
	WorkflowID      *string         `json:"workflow_id,omitempty"`
	Condition       json.RawMessage `json:"condition,omitempty"`
	Tags            *[]string       `json:"tags,omitempty"`
	ExpectedVersion int             `json:"expected_version,omitempty"`
	Origin
}

// RuleGetRequest reads a rule; Version 0 is the newest.
type RuleGetRequest struct {
	ID      string `json:"id"`
	Version int    `json:"version,omitempty"`
}

// RuleListRequest lists rules, each in its newest version.
type RuleListRequest struct {
	// IDs asks for these alone; those that do not exist are left out.
	IDs []string `json:"ids,omitempty"`
	// NameContains filters by the rule's id.
	NameContains string `json:"name_contains,omitempty"`
	Tag          string `json:"tag,omitempty"`
	// WorkflowID asks for the rules that are scoped to this workflow, by UUID or name.
	WorkflowID string `json:"workflow_id,omitempty"`
	Page
}

// RuleListReply is a page of rules, by id.
type RuleListReply struct {
	Rules      []Rule `json:"rules"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// RuleDeleteRequest removes a rule that no workflow uses.
type RuleDeleteRequest struct {
	ID              string `json:"id"`
	ExpectedVersion int    `json:"expected_version,omitempty"`
	Origin
}

// RuleHistoryRequest reads every version of a rule, also of one that was deleted.
type RuleHistoryRequest struct {
	ID string `json:"id"`
	Page
}

// RuleHistoryReply is a page of versions, oldest first.
type RuleHistoryReply struct {
	Versions   []Rule `json:"versions"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// RuleEvaluateRequest asks what a rule, or a condition that is none yet, says of a token,
// and changes nothing.
type RuleEvaluateRequest struct {
	RuleID string `json:"rule_id,omitempty"`
	// Version is the version of the rule; 0 is the newest.
	Version   int             `json:"version,omitempty"`
	Condition json.RawMessage `json:"condition,omitempty"`
	// TokenID names a live token, AsOf a moment of its past.
	TokenID string `json:"token_id,omitempty"`
	AsOf    AsOf   `json:"as_of,omitzero"`
	// Token is a document that need not exist anywhere.
	Token *GivenToken `json:"token,omitempty"`
}

// GivenToken is a token as somebody imagines it; every member may be absent.
type GivenToken struct {
	ID                string             `json:"id,omitempty"`
	WorkflowID        string             `json:"workflow_id,omitempty"`
	InstanceID        string             `json:"instance_id,omitempty"`
	Place             string             `json:"place,omitempty"`
	Data              json.RawMessage    `json:"data,omitempty"`
	Metadata          json.RawMessage    `json:"metadata,omitempty"`
	CreatedAt         time.Time          `json:"created_at,omitzero"`
	UpdatedAt         time.Time          `json:"updated_at,omitzero"`
	ArrivedAt         time.Time          `json:"arrived_at,omitzero"`
	ArrivalSequence   uint64             `json:"arrival_sequence,omitempty"`
	TransitionHistory []TransitionRecord `json:"transition_history,omitempty"`

	// What else a token that was read has is taken, and no condition asks about it.
	Lineage       []int          `json:"lineage,omitempty"`
	NatsSequence  uint64         `json:"nats_sequence,omitempty"`
	NatsTimestamp time.Time      `json:"nats_timestamp,omitzero"`
	NatsSubject   string         `json:"nats_subject,omitempty"`
	History       []HistoryEvent `json:"history,omitempty"`
}

// RuleEvaluateReply is what the rule said. RuleID and Version are absent where a condition
// was given, NatsSequence where a document was.
type RuleEvaluateReply struct {
	RuleID      string      `json:"rule_id,omitempty"`
	Version     int         `json:"version,omitempty"`
	Passed      bool        `json:"passed"`
	Explanation string      `json:"explanation"`
	SubResults  []SubResult `json:"sub_results"`
	// NatsSequence is the revision of the instance that was judged.
	NatsSequence uint64 `json:"nats_sequence,omitempty"`
}

// SubResult is what one part of a condition said.
type SubResult struct {
	Passed      bool        `json:"passed"`
	Explanation string      `json:"explanation"`
	SubResults  []SubResult `json:"sub_results,omitempty"`
}

// RuleGuardRequest asks the guards of several firings of one instance at once, in the state
// that the caller would commit upon. The transition service asks it.
type RuleGuardRequest struct {
	Instance Snapshot      `json:"instance"`
	Firings  []GuardFiring `json:"firings"`
	// Explain asks for sentences also where everything passes.
	Explain bool `json:"explain,omitempty"`
}

// GuardFiring is a firing whose guards are asked.
type GuardFiring struct {
	TransitionID string `json:"transition_id"`
	// Consumed are the tokens that it would take, in the order of its arcs.
	Consumed []string `json:"consumed"`
	// Data and Metadata are the documents that it would carry on, where they differ from
	// those of the only token consumed.
	Data     json.RawMessage `json:"data,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// RuleGuardReply has one outcome for each firing, in the same order.
type RuleGuardReply struct {
	Outcomes []GuardOutcome `json:"outcomes"`
}

// GuardOutcome is what the guards of one firing said together.
type GuardOutcome struct {
	Passed      bool         `json:"passed"`
	RuleResults []RuleResult `json:"rule_results,omitempty"`
}

// RuleResult is what one rule said. An inline condition is called when, and has no version.
type RuleResult struct {
	RuleID  string `json:"rule_id"`
	Version int    `json:"version,omitempty"`
	Passed  bool   `json:"passed"`
	// Explanation is empty where everything passed and no sentences were asked for.
	Explanation string `json:"explanation"`
}

// Snapshot is a state as one service hands it to another.
type Snapshot struct{ State }

// MarshalJSON writes the state without reflection.
func (s *Snapshot) MarshalJSON() ([]byte, error) { return s.State.append(nil), nil }

// UnmarshalJSON reads the state without reflection.
func (s *Snapshot) UnmarshalJSON(text []byte) error {
	scanner := jsonscan.New(bytes.Clone(text))
	if err := s.State.scan(scanner); err != nil {
		return err
	}
	return scanner.End()
}
