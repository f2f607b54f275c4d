package audit

import "time"

// Options of a Verify; the zero value is usable.
type Options struct {
	// MaxDifferences bounds the list in the report; 0 is 100. All are counted.
	MaxDifferences int
	// Wait is how long the view may take to catch up with the events; 0 is 30 s.
	Wait time.Duration
	// CacheBytes bounds the states kept between events; 0 is 64 MB.
	CacheBytes int
	// MaxRequests bounds how many request ids are remembered to find doubled commands; 0 is
	// 4 million. Beyond it only the last 16 of each instance are compared.
	MaxRequests int
	// Progress is called now and then with what is being done, and how far it is.
	Progress func(stage Stage, done, total uint64)
}

// Stage is a part of the work.
type Stage string

// The stages, in their order.
const (
	StageEvents Stage = "events"
	StageWait   Stage = "wait"
	StageView   Stage = "view"
)

// Report is what a Verify found.
type Report struct {
	WorkflowID string `json:"workflow_id"`
	// Events were read, up to Sequence, of so many Instances.
	Events    uint64 `json:"events"`
	Sequence  uint64 `json:"sequence"`
	Instances int    `json:"instances"`
	Finished  int    `json:"finished"`
	// Firings are those events that moved tokens.
	Firings uint64 `json:"firings"`
	// Tokens stand in places, by the events; ViewTokens and ViewRecords were found in the view.
	Tokens      int `json:"tokens"`
	ViewTokens  int `json:"view_tokens"`
	ViewRecords int `json:"view_records"`
	// Moving instances changed while we looked, and so were not compared with the view.
	Moving int `json:"moving"`
	// Found counts all differences; Differences are the first of them.
	Found       int          `json:"found"`
	Differences []Difference `json:"differences,omitempty"`
}

// OK reports whether nothing was found.
func (r *Report) OK() bool { return r.Found == 0 }

// Kind is what is wrong.
type Kind string

// The kinds of differences.
const (
	// Malformed: a message in the stream is no event.
	Malformed Kind = "malformed"
	// BrokenChain: an event does not follow the one before it.
	BrokenChain Kind = "broken_chain"
	// Unfoldable: an event does not follow from the state before it; tokens were not conserved.
	Unfoldable Kind = "unfoldable"
	// WrongSnapshot: the snapshot in an event is not what folding gives.
	WrongSnapshot Kind = "wrong_snapshot"
	// Doubled: a request id took effect twice.
	Doubled Kind = "doubled"
	// ViewBehind: the view did not catch up in time, and was not compared.
	ViewBehind Kind = "view_behind"
	// ViewMissing: the view lacks what it should have.
	ViewMissing Kind = "view_missing"
	// ViewGhost: the view has what it should not have.
	ViewGhost Kind = "view_ghost"
	// ViewWrong: the view has it, but with another content.
	ViewWrong Kind = "view_wrong"
)

// Difference is one thing that is wrong.
type Difference struct {
	Kind       Kind   `json:"kind"`
	InstanceID string `json:"instance_id,omitempty"`
	TokenID    string `json:"token_id,omitempty"`
	Sequence   uint64 `json:"sequence,omitempty"`
	Subject    string `json:"subject,omitempty"`
	Message    string `json:"message"`
}

const (
	defaultDifferences = 100
	defaultWait        = 30 * time.Second
	defaultCache       = 64 << 20
	defaultRequests    = 4 << 20
)

func (o Options) withDefaults() Options {
	if o.MaxDifferences == 0 {
		o.MaxDifferences = defaultDifferences
	}
	if o.Wait == 0 {
		o.Wait = defaultWait
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = defaultCache
	}
	if o.MaxRequests == 0 {
		o.MaxRequests = defaultRequests
	}
	if o.Progress == nil {
		o.Progress = func(Stage, uint64, uint64) {}
	}
	return o
}
