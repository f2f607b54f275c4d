package bus

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// filtersHash is what a durable's name ends with.
var filtersHash = regexp.MustCompile(`^[0-9a-f]{8}$`)

// beginning is where the durable of a version begins that is not there yet, and which ones it
// takes the place of: those of the same service, with other filters.
func (r *Reactor) beginning(ctx context.Context, stream string, version int, v *reactingVersion) (from uint64, since time.Time, before []string, err error) {
	if r.cfg.Since.IsZero() {
		return v.sequence, since, nil, nil
	}
	s, err := r.bus.JS.Stream(ctx, stream)
	if err != nil {
		return 0, since, nil, err
	}
	prefix := fmt.Sprintf("%s-v%d-", r.cfg.Service, version)
	names := s.ConsumerNames(ctx)
	for name := range names.Name() {
		if len(name) > len(prefix) && name[:len(prefix)] == prefix && filtersHash.MatchString(name[len(prefix):]) && name != r.durable(version, v) {
			before = append(before, name)
		}
	}
	if err := names.Err(); err != nil {
		return 0, since, nil, err
	}
	// An event that was dispatched under the old filters may come again.
	for _, name := range before {
		consumer, err := s.Consumer(ctx, name)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			continue
		}
		if err != nil {
			return 0, since, nil, err
		}
		if floor := consumer.CachedInfo().AckFloor.Stream + 1; from == 0 || floor < from {
			from = floor
		}
	}
	switch {
	case from > v.sequence:
		return from, since, before, nil
	case v.deployed.After(r.cfg.Since):
		return v.sequence, since, before, nil
	}
	return v.sequence, r.cfg.Since, before, nil
}

// forget deletes durables that are not used any more.
func (r *Reactor) forget(ctx context.Context, stream string, durables []string) error {
	var faults []error
	for _, name := range durables {
		if err := r.bus.JS.DeleteConsumer(ctx, stream, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// Retire is Stop for a service that asks for nothing any more: its durables are deleted. Copies
// that still react to them make them again, so each retires.
func (r *Reactor) Retire(ctx context.Context) error {
	type durables struct {
		stream string
		names  []string
	}
	var all []durables
	r.mu.Lock()
	for _, w := range r.workflows {
		d := durables{stream: w.record.Stream}
		for version, v := range w.versions {
			d.names = append(d.names, r.durable(version, v))
		}
		all = append(all, d)
	}
	r.mu.Unlock()
	faults := []error{r.Stop(ctx)}
	for _, d := range all {
		if d.stream != "" {
			faults = append(faults, r.forget(ctx, d.stream, d.names))
		}
	}
	return errors.Join(faults...)
}
