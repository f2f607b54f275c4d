package work

import (
	"context"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Target is a function or an agent as the pool runs it: one version of its definition, ready.
// It is safe for concurrent use.
type Target interface {
	// Policy is how its jobs are run; complete.
	Policy() *Policy
	// Prepare makes the attempt's input. A reason says that there is nothing to do, a failure
	// that it cannot be done; both are final.
	Prepare(ctx context.Context, a *Attempt) (reason string, failure *Failure)
	// Run does the work of one attempt, until ctx ends. Nobody looks at what it returns when ctx
	// was cancelled: then the job goes back to its stream.
	Run(ctx context.Context, a *Attempt) (Result, *Failure)
	// Follows reports whether any job may follow a run of the target.
	Follows() bool
	// Next lists the jobs that follow a run that has ended. It is asked again when it is not
	// sure that they were queued, and must give the same.
	Next(ctx context.Context, ended *Ended) ([]Next, error)
}

// Ended is a run that has ended, and what it left.
type Ended struct {
	*Attempt
	Execution *wire.Execution
}

// Next is a job that follows, and when.
type Next struct {
	Job   wire.Job
	Delay time.Duration
}

// Directory knows the targets of one kind. It is safe for concurrent use.
type Directory interface {
	// Enabled lists the ids of those whose jobs are to be done.
	Enabled() []string
	// Target is nil where there is none of this id, or it is disabled.
	Target(id string) Target
}
