package catalog

import (
	"cmp"
	"context"
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Existing reads the newest version of a definition from the bucket's leader. It fails with
// fault.InvalidField, NotFound of Config, and fault.Unavailable.
func (c *Catalog[T, P]) Existing(ctx context.Context, id string) (*Entry[T, P], error) {
	return c.existing(ctx, "id", id)
}

func (c *Catalog[T, P]) existing(ctx context.Context, field, id string) (*Entry[T, P], error) {
	if err := c.ValidID(field, id); err != nil {
		return nil, err
	}
	last, err := c.Current(ctx, id)
	if err != nil {
		return nil, err
	}
	if last == nil || last.Deleted {
		return nil, c.notFound(id)
	}
	return last, nil
}

// Version reads one version of a definition, prepared; 0 is the newest. Old ones are found
// also when the definition was deleted. field is what the request calls the id. It fails as
// Existing does, and with fault.VersionNotFound.
func (c *Catalog[T, P]) Version(ctx context.Context, field, id string, version int) (*Entry[T, P], error) {
	if version == 0 {
		return c.existing(ctx, field, id)
	}
	if err := c.ValidID(field, id); err != nil {
		return nil, err
	}
	if version < 0 {
		return nil, fault.New(fault.InvalidField, "version counts from 1").With("field", "version")
	}
	var found *Entry[T, P]
	newest := 0
	err := c.Versions(ctx, id, func(e *Entry[T, P]) bool {
		if !e.Deleted {
			newest = *c.cfg.Head(&e.Definition).Version
			if newest == version {
				found = e
			}
		}
		return found == nil
	})
	switch {
	case err != nil:
		return nil, err
	case found != nil:
		c.prepare(found)
		return found, nil
	case newest == 0:
		return nil, c.notFound(id)
	}
	return nil, fault.New(fault.VersionNotFound, "%s %q has no version %d; the newest is %d", c.cfg.Noun, id, version, newest).With("version", version)
}

// List is a page of the definitions that this copy knows and that match, by id, and the
// cursor of the next page. It fails with fault.InvalidField.
func (c *Catalog[T, P]) List(matches func(*T) bool, page wire.Page) ([]T, string, error) {
	return c.Page(page, func() ([]*Entry[T, P], error) {
		return slices.DeleteFunc(c.All(), func(e *Entry[T, P]) bool { return !matches(&e.Definition) }), nil
	})
}

// Page is a page of what is listed, by id and each only once, and the cursor of the next. It
// fails with fault.InvalidField, then as listed does.
func (c *Catalog[T, P]) Page(page wire.Page, listed func() ([]*Entry[T, P], error)) ([]T, string, error) {
	limit, err := bus.PageSize(page.Limit)
	if err != nil {
		return nil, "", err
	}
	after, err := hex.DecodeString(page.Cursor)
	if err != nil {
		return nil, "", fault.New(fault.InvalidField, "cursor is not one that this list returned").With("field", "cursor")
	}
	all, err := listed()
	if err != nil {
		return nil, "", err
	}
	id := func(e *Entry[T, P]) string { return *c.cfg.Head(&e.Definition).ID }
	slices.SortFunc(all, func(a, b *Entry[T, P]) int { return cmp.Compare(id(a), id(b)) })
	all = slices.CompactFunc(all, func(a, b *Entry[T, P]) bool { return id(a) == id(b) })
	part := pageOf[T]{limit: limit, size: c.cfg.Size, found: []T{}}
	for _, e := range all {
		if id(e) > string(after) && !part.take(&e.Definition) {
			return part.found, hex.EncodeToString([]byte(*c.cfg.Head(part.last()).ID)), nil
		}
	}
	return part.found, "", nil
}

// History is a page of the versions of a definition, oldest first, also of a deleted one,
// and the cursor of the next page. It fails with fault.InvalidField, NotFound of Config, and
// fault.Unavailable.
func (c *Catalog[T, P]) History(ctx context.Context, id string, page wire.Page) ([]T, string, error) {
	limit, err := bus.PageSize(page.Limit)
	if err != nil {
		return nil, "", err
	}
	if err := c.ValidID("id", id); err != nil {
		return nil, "", err
	}
	after := 0
	if page.Cursor != "" {
		if after, err = strconv.Atoi(page.Cursor); err != nil || after < 0 {
			return nil, "", fault.New(fault.InvalidField, "cursor is not one that a history returned").With("field", "cursor")
		}
	}
	part := pageOf[T]{limit: limit, size: c.cfg.Size, found: []T{}}
	next, ever := "", false
	err = c.Versions(ctx, id, func(e *Entry[T, P]) bool {
		ever = true
		if e.Deleted || *c.cfg.Head(&e.Definition).Version <= after || part.take(&e.Definition) {
			return true
		}
		next = strconv.Itoa(*c.cfg.Head(part.last()).Version)
		return false
	})
	switch {
	case err != nil:
		return nil, "", err
	case !ever:
		return nil, "", c.notFound(id)
	}
	return part.found, next, nil
}

// pageOf fills a page, which always takes one definition, however large.
type pageOf[T any] struct {
	limit, bytes int
	size         func(*T) int
	found        []T
}

// take adds a definition; it reports false when the page is full.
func (p *pageOf[T]) take(definition *T) bool {
	p.bytes += p.size(definition)
	if len(p.found) == p.limit || p.bytes > wire.MaxPageBytes && len(p.found) > 0 {
		return false
	}
	p.found = append(p.found, *definition)
	return true
}

func (p *pageOf[T]) last() *T { return &p.found[len(p.found)-1] }
