package contract

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// maxStored bounds what is read of one stream.
const maxStored = 2000

// readStreams holds what the streams hold to the contract: also what the server itself
// put there, which nobody can listen to.
func (w *Watcher) readStreams(ctx context.Context) error {
	js, err := jetstream.New(w.nc)
	if err != nil {
		return err
	}
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		if !ours(name) {
			continue
		}
		if err := w.readStream(ctx, js, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return err
		}
	}
	return names.Err()
}

func ours(stream string) bool {
	return strings.HasPrefix(stream, "WORKFLOW_") || slices.Contains([]string{
		"PLACES", "TIMERS", "JOBS", "EXECUTIONS", "DEAD_LETTERS", "KV_workflows", "KV_rules", "KV_functions", "KV_targets", "KV_leases",
	}, stream)
}

// readStream reads message by message, which a work queue allows beside its consumers.
func (w *Watcher) readStream(ctx context.Context, js jetstream.JetStream, name string) error {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return err
	}
	next := uint64(1)
	for range maxStored {
		m, err := stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		w.published(name, m.Subject, m.Header, m.Data)
		next = m.Sequence + 1
	}
	return nil
}
