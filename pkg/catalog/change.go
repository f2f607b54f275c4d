package catalog

import (
	"context"
	"errors"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Create stores the first version of a definition, or the next one of a deleted one. The
// caller fills in its id, description, tags and own fields, Create the rest of the head;
// check then refuses what cannot be stored, and may bring it into canonical form.
//
// A repeat of a request, known by its request_id and bus.Digest, returns what the first made.
// It fails with fault.InvalidField, Exists of Config, fault.RequestIDReused,
// fault.WorkflowFull, fault.Unavailable, or as check does.
func (c *Catalog[T, P]) Create(ctx context.Context, definition T, origin wire.Origin, digest string, check func(context.Context, *T) error) (*Entry[T, P], error) {
	h := c.cfg.Head(&definition)
	c.sign(h, origin, digest)
	*h.CreatedAt = *h.UpdatedAt
	if err := c.check(ctx, &definition, check); err != nil {
		return nil, err
	}
	id := *h.ID
	for {
		last, err := c.Current(ctx, id)
		if err != nil {
			return nil, err
		}
		var revision uint64
		*h.Version = 1
		if last != nil {
			if first, err := c.made(ctx, id, origin.RequestID, digest); err != nil || first != nil {
				return first, err
			}
			version := *c.cfg.Head(&last.Definition).Version
			if !last.Deleted {
				return nil, fault.New(c.cfg.Exists, "there is %s %q already, in version %d; update it", c.cfg.one(), id, version).
					With(c.cfg.idKey(), id).With("version", version)
			}
			revision, *h.Version = last.Revision, version+1
		}
		stored, err := c.put(ctx, &definition, revision)
		if !errors.Is(err, bus.ErrWrongSequence) {
			return stored, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// Update stores the next version of a definition, after expectedVersion if that is not 0.
// change gets a copy of the newest version, and sets what is to change; slices and maps that
// it finds there are shared, so it replaces them. check is that of Create. Both are called
// again when somebody else was faster.
//
// It fails as Create does, except for Exists, and with NotFound of Config and
// fault.VersionMismatch.
func (c *Catalog[T, P]) Update(
	ctx context.Context, id string, expectedVersion int, origin wire.Origin, digest string, change func(*T), check func(context.Context, *T) error,
) (*Entry[T, P], error) {
	if err := c.ValidID("id", id); err != nil {
		return nil, err
	}
	for {
		if first, err := c.made(ctx, id, origin.RequestID, digest); err != nil || first != nil {
			return first, err
		}
		last, err := c.Existing(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := c.expected(expectedVersion, last); err != nil {
			return nil, err
		}
		next := last.Definition
		h := c.cfg.Head(&next)
		*h.Version++
		c.sign(h, origin, digest)
		change(&next)
		if err := c.check(ctx, &next, check); err != nil {
			return nil, err
		}
		stored, err := c.put(ctx, &next, last.Revision)
		if !errors.Is(err, bus.ErrWrongSequence) {
			return stored, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
}

// Delete ends a definition, at expectedVersion if that is not 0, and returns its last
// version; all versions stay readable. unused refuses the deletion of one that is needed,
// and may be nil. A repeat returns what the first returned.
//
// It fails as Update does, or as unused does.
func (c *Catalog[T, P]) Delete(
	ctx context.Context, id string, expectedVersion int, origin wire.Origin, digest string, unused func(context.Context) error,
) (*Entry[T, P], error) {
	if err := c.ValidID("id", id); err != nil {
		return nil, err
	}
	if err := ValidOrigin(origin); err != nil {
		return nil, err
	}
	for {
		last, err := c.Current(ctx, id)
		if err != nil {
			return nil, err
		}
		if last == nil {
			return nil, c.notFound(id)
		}
		first, err := c.made(ctx, id, origin.RequestID, digest)
		switch {
		case err != nil:
			return nil, err
		case first != nil: // A repeat; it may have been made anew since.
			return c.Version(ctx, "id", id, *c.cfg.Head(&first.Definition).Version)
		case last.Deleted:
			return nil, c.notFound(id)
		}
		if err := c.expected(expectedVersion, last); err != nil {
			return nil, err
		}
		if unused != nil {
			if err := unused(ctx); err != nil {
				return nil, err
			}
		}
		switch err = c.drop(ctx, last, origin, digest); {
		case err == nil:
			return last, nil
		case !errors.Is(err, bus.ErrWrongSequence):
			return nil, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
	}
}

// sign says who makes a version, when, and by which request.
func (c *Catalog[T, P]) sign(h Head, origin wire.Origin, digest string) {
	*h.UpdatedAt = time.Now().UTC()
	*h.Author, *h.RequestID, *h.RequestDigest = origin.TriggeredBy, origin.RequestID, digest
}

func (c *Catalog[T, P]) expected(version int, last *Entry[T, P]) error {
	actual := *c.cfg.Head(&last.Definition).Version
	if version == 0 || version == actual {
		return nil
	}
	return fault.New(fault.VersionMismatch, "the %s is at version %d, not %d: look at it and try again", c.cfg.Noun, actual, version).
		With("expected", version).With("actual", actual)
}

func (c *Catalog[T, P]) notFound(id string) error {
	return fault.New(c.cfg.NotFound, "there is no %s %q", c.cfg.Noun, id).With(c.cfg.idKey(), id)
}
