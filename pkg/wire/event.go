package wire

import (
	"encoding/json"
	"time"
)

// Headers of messages in a workflow's stream.
const (
	// HeaderCommit identifies one attempt to commit, so that a publish whose
	// acknowledgement was lost can be told from somebody else's.
	HeaderCommit = "Breaker-Commit"
	// HeaderRevision is on a message of the view: the revision of the event behind it.
	HeaderRevision = "Breaker-Revision"
)

// Event is one change of an instance, with the whole state after it; one message is one
// change, all or nothing.
type Event struct {
	EventType       string `json:"event_type"`
	WorkflowID      string `json:"workflow_id"`
	WorkflowVersion int    `json:"workflow_version"`
	InstanceID      string `json:"instance_id,omitempty"`
	// TokenID, FromPlace and ToPlace name the first token where there are several.
	TokenID      string     `json:"token_id,omitempty"`
	FromPlace    string     `json:"from_place,omitempty"`
	ToPlace      string     `json:"to_place,omitempty"`
	TransitionID string     `json:"transition_id,omitempty"`
	Consumed     []Consumed `json:"consumed,omitempty"`
	Produced     []Produced `json:"produced,omitempty"`
	// Patches are RFC 7396 merge patches, by token id. A created event carries none: its
	// snapshot is the beginning.
	Patches map[string]Patch `json:"patches,omitempty"`
	// Completes is true on the event that brings the instance to its end by itself.
	Completes   bool      `json:"completes"`
	Reason      string    `json:"reason,omitempty"`
	TriggeredBy string    `json:"triggered_by,omitempty"`
	Timestamp   time.Time `json:"timestamp"`
	RequestID   string    `json:"request_id,omitempty"`
	// RequestDigest identifies the content of the command, see RememberedRequest.
	RequestDigest string `json:"request_digest,omitempty"`
	// Metadata is the context of a firing: the request's metadata, and under rules the
	// version of every rule that let it pass.
	Metadata json.RawMessage `json:"metadata,omitempty"`
	Work     *Work           `json:"work,omitempty"`
	// Automatic is true on a firing that the rules service asked for by itself.
	Automatic bool   `json:"automatic,omitempty"`
	Instance  *State `json:"instance,omitempty"`
}

// Consumed is a token that the event took from a place.
type Consumed struct {
	TokenID string `json:"token_id"`
	Place   string `json:"place"`
}

// Produced is a token that the event put into a place. With the id of the one consumed
// token it is that token, moved; otherwise it is new, and Parents are the tokens that it
// came from.
type Produced struct {
	TokenID string   `json:"token_id"`
	Place   string   `json:"place"`
	Parents []string `json:"parents,omitempty"`
	Lineage []int    `json:"lineage,omitempty"`
}

// Patch is what an event changes in a token.
type Patch struct {
	Data     json.RawMessage `json:"data,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// Kinds of work and their outcomes.
const (
	KindFunction   = "function"
	KindAgent      = "agent"
	OutcomeSuccess = "success"
	OutcomeFailure = "failure"
)

// Work says what a function or an agent did.
type Work struct {
	Binding    string `json:"binding"`
	Kind       string `json:"kind"`
	Outcome    string `json:"outcome"`
	Attempts   int    `json:"attempts,omitempty"`
	DurationMS int64  `json:"duration_ms,omitempty"`
}

// EventType is the event_type of a lifecycle event.
func EventType(lifecycle string) string {
	switch lifecycle {
	case LifecycleCreated, LifecycleInjected, LifecycleUpdated:
		return "token_" + lifecycle
	case LifecycleSuspended, LifecycleResumed, LifecycleCancelled, LifecycleMigrated:
		return "instance_" + lifecycle
	case LifecycleDeployed, LifecycleArchived:
		return "workflow_" + lifecycle
	}
	return lifecycle
}

// EventTransitioned is the event_type of a firing.
const EventTransitioned = "token_transitioned"

// InstanceRecord is the short record of an instance in the view, written when its status
// changes.
type InstanceRecord struct {
	ID              string    `json:"id"`
	WorkflowID      string    `json:"workflow_id"`
	WorkflowVersion int       `json:"workflow_version"`
	Status          Status    `json:"status"`
	CreatedAt       time.Time `json:"created_at"`
	UpdatedAt       time.Time `json:"updated_at"`
	NatsSequence    uint64    `json:"nats_sequence"`
}

// Checkpoint is how far the projector has brought the view of a workflow.
type Checkpoint struct {
	WorkflowID string `json:"workflow_id"`
	// Sequence is the last event that the view contains, with all before it.
	Sequence  uint64    `json:"sequence"`
	Timestamp time.Time `json:"timestamp"`
	// Holder is the copy of the token service that wrote it.
	Holder string `json:"holder"`
	// Server is the run of the nats-server on which the view was last checked as a whole:
	// one that was killed may bring back what had left the view.
	Server string `json:"server,omitempty"`
}

// Timer is the message that a schedule delivers.
type Timer struct {
	Kind       string `json:"kind"`
	WorkflowID string `json:"workflow_id"`
	InstanceID string `json:"instance_id"`
	TokenID    string `json:"token_id"`
	// Place, ArrivalSequence and TransitionID are set on time-outs: the timer applies only
	// while the token is still in this place since this arrival.
	Place           string    `json:"place,omitempty"`
	ArrivalSequence uint64    `json:"arrival_sequence,omitempty"`
	TransitionID    string    `json:"transition_id,omitempty"`
	DueAt           time.Time `json:"due_at"`
}
