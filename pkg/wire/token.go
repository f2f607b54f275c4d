package wire

import (
	"encoding/json"
	"strconv"
	"time"
)

// Token is a JSON document that stands in one place of one instance.
//
// In an event's snapshot ArrivalSequence is absent when the token arrived with that very
// event, and the Nats fields are always absent: an event cannot know its own sequence, so
// readers fill them in (State.Fill).
type Token struct {
	ID         string `json:"id"`
	WorkflowID string `json:"workflow_id"`
	InstanceID string `json:"instance_id"`
	Place      string `json:"place"`
	// Data is an object without null members; its numbers keep their text.
	Data      json.RawMessage `json:"data"`
	Metadata  json.RawMessage `json:"metadata,omitempty"`
	CreatedAt time.Time       `json:"created_at"`
	UpdatedAt time.Time       `json:"updated_at"`
	ArrivedAt time.Time       `json:"arrived_at"`
	// ArrivalSequence is the revision at which the token entered its place.
	ArrivalSequence uint64 `json:"arrival_sequence,omitempty"`
	// Lineage names the splits that the token came from, outermost first, each by the birth
	// number of the first token which that split produced.
	Lineage []int `json:"lineage,omitempty"`
	// NatsSequence is the instance's revision.
	NatsSequence  uint64    `json:"nats_sequence,omitempty"`
	NatsTimestamp time.Time `json:"nats_timestamp,omitzero"`
	NatsSubject   string    `json:"nats_subject,omitempty"`

	History           []HistoryEvent     `json:"history,omitempty"`
	TransitionHistory []TransitionRecord `json:"transition_history,omitempty"`
}

// HistoryEvent is one step of a token with the data it had after it.
type HistoryEvent struct {
	Timestamp  time.Time       `json:"timestamp"`
	Transition string          `json:"transition"`
	From       string          `json:"from"`
	To         string          `json:"to"`
	Data       json.RawMessage `json:"data,omitempty"`
}

// TransitionRecord is one step of a token. The first is "create", from and to the place in
// which the token was created.
type TransitionRecord struct {
	FromPlace    string          `json:"from_place"`
	ToPlace      string          `json:"to_place"`
	TransitionID string          `json:"transition_id"`
	Timestamp    time.Time       `json:"timestamp"`
	TriggeredBy  string          `json:"triggered_by,omitempty"`
	NatsSequence uint64          `json:"nats_sequence,omitempty"`
	Metadata     json.RawMessage `json:"metadata,omitempty"`
}

// Status is the status of an instance.
type Status string

// The states of an instance. Completed and Cancelled are final.
const (
	StatusActive    Status = "active"
	StatusSuspended Status = "suspended"
	// StatusCompleted: every token stands in a terminal place.
	StatusCompleted Status = "completed"
	StatusCancelled Status = "cancelled"
)

// Statuses lists every status of an instance.
func Statuses() []Status {
	return []Status{StatusActive, StatusSuspended, StatusCompleted, StatusCancelled}
}

// Finished reports whether the instance refuses every further change.
func (s Status) Finished() bool { return s == StatusCompleted || s == StatusCancelled }

// Instance is one run of a workflow: its marking and where it stands.
type Instance struct {
	ID              string `json:"id"`
	WorkflowID      string `json:"workflow_id"`
	WorkflowVersion int    `json:"workflow_version"`
	Status          Status `json:"status"`
	// Tokens is the marking, in the order of birth. A reply to a firing leaves it out.
	Tokens []Token `json:"tokens,omitempty"`
	// Visits counts the arrivals in each place.
	Visits    map[string]int `json:"visits,omitempty"`
	CreatedAt time.Time      `json:"created_at"`
	UpdatedAt time.Time      `json:"updated_at"`
	// Reason is why the instance was suspended or cancelled.
	Reason string `json:"reason,omitempty"`
	// NatsSequence is the instance's revision: the stream sequence of its last event.
	NatsSequence uint64 `json:"nats_sequence,omitempty"`
}

// State is an instance with what the engine remembers to go on: the snapshot in an event.
type State struct {
	Instance
	// Births is how many tokens the instance has ever had.
	Births int `json:"births"`
	// AutomaticChains tells of the live tokens, by birth number, how many automatic firings in
	// a row have brought them where they stand, without any input from outside in between;
	// absent is none.
	AutomaticChains map[string]int `json:"automatic_chains,omitempty"`
	// Migrations is how often the instance has changed its version.
	Migrations int `json:"migrations,omitempty"`
	// Requests remembers the last commands, oldest first, for idempotency.
	Requests []RememberedRequest `json:"requests,omitempty"`
}

// AutomaticChain is the longest chain of automatic firings that any of these tokens has
// come by.
func (s *State) AutomaticChain(tokenIDs ...string) int {
	longest := 0
	for _, id := range tokenIDs {
		longest = max(longest, s.AutomaticChains[ChainKey(id)])
	}
	return longest
}

// ChainKey is a token's key in AutomaticChains.
func ChainKey(tokenID string) string { return strconv.Itoa(int(BirthOf(tokenID))) }

// MaxRememberedRequests is how many commands a state remembers.
const MaxRememberedRequests = 16

// RememberedRequest is a command that took effect.
type RememberedRequest struct {
	ID     string `json:"id"`
	Digest string `json:"digest"`
	// Sequence is the event that the command became; absent means this message.
	Sequence uint64 `json:"sequence,omitempty"`
	// Time is that of the event, in Unix seconds.
	Time int64 `json:"time,omitempty"`
}

// Fill completes a snapshot read from the message at this stream sequence: what an event
// could not know of itself. It changes the state in place.
func (s *State) Fill(sequence uint64) {
	s.NatsSequence = sequence
	for i := range s.Tokens {
		if s.Tokens[i].ArrivalSequence == 0 {
			s.Tokens[i].ArrivalSequence = sequence
		}
	}
	for i := range s.Requests {
		if s.Requests[i].Sequence == 0 {
			s.Requests[i].Sequence = sequence
		}
	}
}

// Token finds a token of the marking.
func (i *Instance) Token(id string) *Token {
	for k := range i.Tokens {
		if i.Tokens[k].ID == id {
			return &i.Tokens[k]
		}
	}
	return nil
}

// Positioned is the token as replies show it: with the revision it was read at, the time
// of that event on the server, and its subject in the view.
func (t Token) Positioned(sequence uint64, at time.Time) Token {
	t.NatsSequence, t.NatsTimestamp = sequence, at.UTC()
	t.NatsSubject = PlaceSubject(t.WorkflowID, t.Place, t.ID)
	if t.ArrivalSequence == 0 {
		t.ArrivalSequence = sequence
	}
	return t
}

// Positioned is the instance as replies show it.
func (i Instance) Positioned(sequence uint64, at time.Time) Instance {
	i.NatsSequence = sequence
	tokens := make([]Token, len(i.Tokens))
	for k, t := range i.Tokens {
		tokens[k] = t.Positioned(sequence, at)
	}
	i.Tokens = tokens
	return i
}
