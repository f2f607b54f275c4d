package petri

import (
	"encoding/json"
	"time"
)

// Command is what somebody wants of an instance: one of Create, Inject, Update, Fire,
// Complete, Cancel, Suspend, Resume and Migrate, as values.
type Command interface{ command() }

// Meta is what goes with any command.
type Meta struct {
	// Time is the time of the event.
	Time time.Time
	// RequestID makes the command idempotent: the state remembers it, with Digest. At most
	// 256 bytes; may be empty.
	RequestID string
	// Digest identifies the content of the command.
	Digest string
	// TriggeredBy says who asks; at most 1,024 bytes.
	TriggeredBy string
}

// Create starts an instance with its root token. It is the one command without a state.
type Create struct {
	WorkflowID string
	// WorkflowVersion is the version of the net; 0 means 1.
	WorkflowVersion int
	// InstanceID is a fresh id of wire.NewInstanceID.
	InstanceID string
	// Place is where the root token begins; empty means the initial place.
	Place          string
	Data, Metadata json.RawMessage
}

// Inject puts one more token into a place of a running instance. It belongs to no split.
type Inject struct {
	Place          string
	Data, Metadata json.RawMessage
}

// Update changes a token where it stands, also while the instance is suspended. Data and
// Metadata are merge patches; at least one is needed.
type Update struct {
	TokenID        string
	Data, Metadata json.RawMessage
	// ExpectedSequence, unless 0, is the revision that the instance must have.
	ExpectedSequence uint64
	// ArrivalSequence, unless 0, is the revision at which the token must have arrived.
	ArrivalSequence uint64
}

// Fire fires a transition. With TokenID that token is among those it takes; without, the
// engine chooses those that arrived first.
type Fire struct {
	TokenID      string
	TransitionID string
	// FromPlace, unless empty, picks one of several inputs; ToPlace must be an output.
	FromPlace, ToPlace string
	// Data and Metadata are merge patches for every token produced. Metadata is also kept
	// in the event, as the context of the firing.
	Data, Metadata   json.RawMessage
	ExpectedSequence uint64
	// ArrivalSequence fences TokenID, as in Update; it needs TokenID.
	ArrivalSequence uint64
	// Guards is what the event says of the rules that were asked, under GuardsMember.
	Guards json.RawMessage
	// Automatic: the transition must be auto, and the firing counts in the state's chain.
	Automatic bool
}

// Complete records what a function or an agent did for a token and, with TransitionID,
// fires that transition for the token in the same event.
type Complete struct {
	TokenID string
	// ArrivalSequence is required: the result counts only while the token still stands
	// where it stood when the work began.
	ArrivalSequence uint64
	// Binding is the id of the function or agent; Kind and Outcome are wire's constants.
	Binding, Kind, Outcome string
	// Output and Error are any JSON, kept under metadata.function_outputs.{Binding} or
	// metadata.agent_outputs.{Binding}, in the place of an earlier result.
	Output, Error json.RawMessage
	TransitionID  string
	// Data is a merge patch for the data.
	Data       json.RawMessage
	Attempts   int
	DurationMS int64
	// Guards is what the event says of the rules that were asked, when it fires.
	Guards json.RawMessage
}

// GuardsMember is the member of a firing event's metadata that holds Guards; what a request
// puts there itself is replaced.
const GuardsMember = "rules"

// Cancel ends one token, or without TokenID every token and so the instance.
type Cancel struct {
	TokenID string
	// Reason is at most 4,096 bytes.
	Reason string
}

// Suspend stops an instance: nothing in it moves until it is resumed.
type Suspend struct {
	// Reason is at most 4,096 bytes.
	Reason string
}

// Resume lets a suspended instance go on.
type Resume struct{}

// Migrate moves an instance to another version of its workflow.
type Migrate struct {
	// Net is that version.
	Net     *Net
	Version int
	// Places maps old places to new ones; a place that is not named keeps its id.
	Places map[string]string
}

func (Create) command()   {}
func (Inject) command()   {}
func (Update) command()   {}
func (Fire) command()     {}
func (Complete) command() {}
func (Cancel) command()   {}
func (Suspend) command()  {}
func (Resume) command()   {}
func (Migrate) command()  {}
