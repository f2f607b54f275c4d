package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Settings of the streams, see DESIGN section 3.
const (
	duplicateWindow = 2 * time.Minute
	// leaseMarkerTTL is how long a watcher can still see that a lease has ended.
	leaseMarkerTTL = time.Minute
)

// What else the server says to the making of a stream (server/errors.json).
const (
	codeAccountExceeded = 10002
	codeNoPeers         = 10005
	codeTooManyStreams  = 10027
)

// EnsureShared creates what all workflows share: PLACES, TIMERS and the buckets. It is
// idempotent and safe when several services race.
func (b *Bus) EnsureShared(ctx context.Context) error {
	places := jetstream.StreamConfig{
		Name: wire.StreamPlaces, Subjects: wire.PlacesStreamSubjects(),
		Description: "The marking of every workflow: a view, rebuilt from the events at will",
		Storage:     b.cfg.storage(), Replicas: b.cfg.Replicas,
		Discard: jetstream.DiscardOld, MaxMsgsPerSubject: 1, AllowDirect: true, AllowMsgTTL: true,
		Duplicates: duplicateWindow,
	}
	if b.cfg.Replicas == 1 && !b.cfg.Memory {
		places.PersistMode = jetstream.AsyncPersistMode
	}
	timers := jetstream.StreamConfig{
		Name: wire.StreamTimers, Subjects: wire.TimersStreamSubjects(),
		Description: "Time-outs and retention: message schedules (ADR-51)",
		Storage:     b.cfg.storage(), Replicas: b.cfg.Replicas, Retention: jetstream.WorkQueuePolicy,
		Discard: jetstream.DiscardOld, AllowDirect: true, AllowMsgTTL: true, AllowMsgSchedules: true,
		Duplicates: duplicateWindow,
	}
	for _, cfg := range []jetstream.StreamConfig{places, timers} {
		if _, err := b.ensureStream(ctx, cfg); err != nil {
			return err
		}
	}
	buckets := []jetstream.KeyValueConfig{
		{Bucket: wire.BucketWorkflows, Description: "Discovery of workflows", History: 1},
		{Bucket: wire.BucketLeases, Description: "Who is alive", History: 1, LimitMarkerTTL: leaseMarkerTTL},
	}
	for _, cfg := range buckets {
		cfg.Storage, cfg.Replicas = b.cfg.storage(), b.cfg.Replicas
		if err := b.ensureBucket(ctx, cfg); err != nil {
			return err
		}
	}
	return nil
}

// EnsureWork creates what functions and agents share: JOBS, EXECUTIONS, DEAD_LETTERS and the
// bucket of what is known of their targets. Records of executions are kept for age; 0 is for
// good. It is idempotent.
func (b *Bus) EnsureWork(ctx context.Context, age time.Duration) error {
	stream := jetstream.StreamConfig{
		Storage: b.cfg.storage(), Replicas: b.cfg.Replicas, Discard: jetstream.DiscardOld,
		AllowDirect: true, AllowMsgTTL: true, Duplicates: duplicateWindow,
	}
	jobs, executions, letters := stream, stream, stream
	jobs.Name, jobs.Subjects, jobs.Description = wire.StreamJobs, wire.JobsStreamSubjects(), "Work that waits for functions and agents, and its schedules (ADR-51)"
	jobs.Retention, jobs.AllowMsgSchedules = jetstream.WorkQueuePolicy, true
	executions.Name, executions.Subjects, executions.Description = wire.StreamExecutions, []string{wire.ExecutionSubject("*", "*", "*", "*", "*")}, "A record of every run of a function or agent"
	executions.MaxMsgsPerSubject, executions.MaxAge = 1, age
	letters.Name, letters.Subjects, letters.Description = wire.StreamDeadLetters, []string{wire.DeadLetterSubject("*", "*", "*", "*", "*")}, "Runs that have failed for good, until somebody redrives or discards them"
	letters.MaxMsgsPerSubject = 1
	for _, cfg := range []jetstream.StreamConfig{jobs, executions, letters} {
		if _, err := b.ensureStream(ctx, cfg); err != nil {
			return err
		}
	}
	return b.ensureBucket(ctx, jetstream.KeyValueConfig{
		Bucket: wire.BucketTargets, Description: "Open circuits and rate limits of functions and agents", History: 1,
		LimitMarkerTTL: leaseMarkerTTL, Storage: b.cfg.storage(), Replicas: b.cfg.Replicas,
	})
}

// EnsureVersioned creates a bucket that keeps every change of every key, for the service
// that owns it. It is idempotent.
func (b *Bus) EnsureVersioned(ctx context.Context, bucket, description string) error {
	// As the client makes the stream of a bucket, except that it would keep 64 changes at
	// most. It also takes a stream without a limit for no bucket.
	const every = 1 << 40
	_, err := b.ensureStream(ctx, jetstream.StreamConfig{
		Name: BucketStream(bucket), Subjects: []string{BucketSubject(bucket, ">")}, Description: description,
		Storage: b.cfg.storage(), Replicas: b.cfg.Replicas, Discard: jetstream.DiscardNew,
		MaxMsgsPerSubject: every, MaxMsgs: -1, MaxBytes: -1, MaxMsgSize: -1, MaxConsumers: -1,
		AllowDirect: true, AllowRollup: true, DenyDelete: true, Duplicates: duplicateWindow,
	})
	return err
}

// EnsureWorkflowStream creates the stream of a workflow, or brings an existing one to the
// configured settings, never at the price of a message. It reports whether it created it,
// and fails with fault.StreamMismatch when an existing stream cannot be brought there, with
// fault.WorkflowFull when the server has no room for one more, and with fault.Unavailable.
func (b *Bus) EnsureWorkflowStream(ctx context.Context, workflowID string) (created bool, err error) {
	unlimited := func(n int64) int64 {
		if n == 0 {
			return -1
		}
		return n
	}
	return b.ensureStream(ctx, jetstream.StreamConfig{
		Name: wire.StreamName(workflowID), Subjects: wire.WorkflowStreamSubjects(workflowID),
		Storage: b.cfg.storage(), Replicas: b.cfg.Replicas,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		MaxMsgs: unlimited(b.cfg.MaxMessages), MaxBytes: unlimited(b.cfg.MaxBytes),
		Duplicates: duplicateWindow, AllowDirect: true, AllowMsgTTL: true,
	})
}

func (b *Bus) ensureStream(ctx context.Context, want jetstream.StreamConfig) (created bool, err error) {
	// The server answers a create of an existing stream with success when the settings are
	// the same, so only the lookup before tells who created it.
	existing, err := b.JS.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = b.JS.CreateStream(ctx, want)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return false, streamError(fmt.Errorf("creating stream %s: %w", want.Name, err))
		}
		existing, err = b.JS.Stream(ctx, want.Name)
	}
	if err != nil {
		return false, streamError(fmt.Errorf("looking up stream %s: %w", want.Name, err))
	}
	info := existing.CachedInfo()
	update, changed, err := reconcile(info.Config, want, info.State)
	if err != nil || !changed {
		return false, err
	}
	if _, err := b.JS.UpdateStream(ctx, update); err != nil {
		err = streamError(fmt.Errorf("updating stream %s: %w", want.Name, err))
		var coded *fault.Error
		if errors.As(err, &coded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return false, err
		}
		return false, fault.New(fault.StreamMismatch, "stream %s has other settings, and the server refused to change them", want.Name).Because(err)
	}
	b.tel.Log.Info().Str("stream", want.Name).Msg("stream settings were updated")
	return false, nil
}

// reconcile is what an existing stream must be updated to. Settings that are not ours
// (description, placement, compression, mirrors of others) stay as they are. It refuses
// what the server cannot change, and what would delete messages.
func reconcile(have, want jetstream.StreamConfig, state jetstream.StreamState) (jetstream.StreamConfig, bool, error) {
	refuse := func(setting string, is, should any) error {
		return fault.New(fault.StreamMismatch,
			"stream %s exists with %s %v, and this fleet is configured for %v: change the configuration, or move the data", have.Name, setting, is, should)
	}
	switch {
	case have.Storage != want.Storage:
		return have, false, refuse("storage", have.Storage, want.Storage)
	case have.Retention != want.Retention:
		return have, false, refuse("retention", have.Retention, want.Retention)
	case have.PersistMode != want.PersistMode:
		return have, false, refuse("persist mode", have.PersistMode, want.PersistMode)
	case want.MaxMsgs > 0 && state.Msgs > uint64(want.MaxMsgs):
		return have, false, refuse("messages", state.Msgs, want.MaxMsgs)
	case want.MaxBytes > 0 && state.Bytes > uint64(want.MaxBytes):
		return have, false, refuse("bytes", state.Bytes, want.MaxBytes)
	case want.MaxMsgsPerSubject > 0 && have.MaxMsgsPerSubject <= 0 && state.Msgs > state.NumSubjects:
		return have, false, refuse("messages per subject", "unlimited", want.MaxMsgsPerSubject)
	case have.Sealed, have.Mirror != nil:
		return have, false, refuse("sealed or mirrored", true, false)
	}
	update, changed := have, false
	set := func(differs bool, apply func()) {
		if differs {
			apply()
			changed = true
		}
	}
	// A limit that the server spells -1 or 0 is the same: none.
	differ := func(a, b int64) bool { return max(a, 0) != max(b, 0) }
	set(!sameSubjects(have.Subjects, want.Subjects), func() { update.Subjects = want.Subjects })
	set(have.Discard != want.Discard, func() { update.Discard = want.Discard })
	set(have.MaxAge != want.MaxAge, func() { update.MaxAge = want.MaxAge })
	set(differ(have.MaxMsgs, want.MaxMsgs), func() { update.MaxMsgs = want.MaxMsgs })
	set(differ(have.MaxBytes, want.MaxBytes), func() { update.MaxBytes = want.MaxBytes })
	set(differ(have.MaxMsgsPerSubject, want.MaxMsgsPerSubject), func() { update.MaxMsgsPerSubject = want.MaxMsgsPerSubject })
	set(have.Duplicates != want.Duplicates, func() { update.Duplicates = want.Duplicates })
	set(have.AllowDirect != want.AllowDirect, func() { update.AllowDirect = want.AllowDirect })
	set(have.AllowMsgTTL != want.AllowMsgTTL, func() { update.AllowMsgTTL = want.AllowMsgTTL })
	set(have.AllowMsgSchedules != want.AllowMsgSchedules, func() { update.AllowMsgSchedules = want.AllowMsgSchedules })
	set(have.Replicas != want.Replicas, func() { update.Replicas = want.Replicas })
	return update, changed, nil
}

func sameSubjects(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func (b *Bus) ensureBucket(ctx context.Context, cfg jetstream.KeyValueConfig) error {
	_, err := b.JS.KeyValue(ctx, cfg.Bucket)
	if err == nil {
		return nil
	}
	if !errors.Is(err, jetstream.ErrBucketNotFound) {
		return fmt.Errorf("looking up bucket %s: %w", cfg.Bucket, err)
	}
	if _, err = b.JS.CreateKeyValue(ctx, cfg); err != nil && !errors.Is(err, jetstream.ErrBucketExists) {
		return fmt.Errorf("creating bucket %s: %w", cfg.Bucket, err)
	}
	return nil
}

// DeleteWorkflowStream removes a workflow's stream with everything in it; a stream that is
// already gone is no error.
func (b *Bus) DeleteWorkflowStream(ctx context.Context, stream string) error {
	if !strings.HasPrefix(stream, wire.StreamName("")) {
		return fmt.Errorf("%q is not the stream of a workflow", stream)
	}
	if err := b.JS.DeleteStream(ctx, stream); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return streamError(fmt.Errorf("deleting stream %s: %w", stream, err))
	}
	return nil
}

// streamError gives what the server says to the making of a stream a code: no room, or out
// of reach. Any other refusal stays as it is.
func streamError(err error) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return unavailable(err)
	}
	switch api.ErrorCode {
	case codeAccountExceeded, codeInsufficient, codeTooManyStreams, codeMemoryExceeded, codeStorageExceeded:
		return fault.New(fault.WorkflowFull, "the server has no room for the workflow's stream: free some, or configure smaller limits").Because(err)
	}
	if api.Code == 503 || api.ErrorCode == codeNoPeers {
		return unavailable(err)
	}
	return err
}
