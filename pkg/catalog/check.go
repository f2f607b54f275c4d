package catalog

import (
	"context"
	"strconv"
	"unicode/utf8"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Bounds of a head. MaxDescription and MaxTag are in characters, MaxTriggeredBy and
// MaxRequestID in bytes.
const (
	MaxDescription = 4096
	MaxTag         = 64
	MaxTags        = 32
	MaxTriggeredBy = 1024
	MaxRequestID   = 256
)

// ValidID refuses what cannot be an id, with fault.InvalidField of the field.
func (c *Catalog[T, P]) ValidID(field, id string) error {
	why, reserved := c.cfg.Reserved[id]
	switch {
	case id == "":
		return fault.New(fault.InvalidField, "%s is missing", field).With("field", field)
	case !wire.ValidName(id):
		return fault.New(fault.InvalidField, "%s must be 1 to 64 characters of a-z, 0-9, _ and -, and begin with a letter or digit", field).With("field", field)
	case reserved:
		return fault.New(fault.InvalidField, "%s cannot be %q: %s", field, id, why).With("field", field)
	}
	return nil
}

// ValidOrigin refuses an origin that is too long to keep, with fault.InvalidField.
func ValidOrigin(o wire.Origin) error {
	for _, f := range []struct {
		name, value string
		most        int
	}{{"triggered_by", o.TriggeredBy, MaxTriggeredBy}, {"request_id", o.RequestID, MaxRequestID}} {
		if len(f.value) > f.most {
			return fault.New(fault.InvalidField, "%s is %d bytes long; at most %d are possible", f.name, len(f.value), f.most).With("field", f.name)
		}
	}
	return nil
}

// check refuses what cannot be stored: first the head, then what the owner refuses.
func (c *Catalog[T, P]) check(ctx context.Context, definition *T, own func(context.Context, *T) error) error {
	h := c.cfg.Head(definition)
	if err := c.ValidID("id", *h.ID); err != nil {
		return err
	}
	if err := validHead(h); err != nil {
		return err
	}
	if own == nil {
		return nil
	}
	return own(ctx, definition)
}

func validHead(h Head) error {
	bad := func(field, format string, args ...any) error {
		return fault.New(fault.InvalidField, field+" "+format, args...).With("field", field)
	}
	if n := utf8.RuneCountInString(*h.Description); n > MaxDescription {
		return bad("description", "has %d characters; at most %d are possible", n, MaxDescription)
	}
	if n := len(*h.Tags); n > MaxTags {
		return bad("tags", "has %d elements; at most %d are possible", n, MaxTags)
	}
	if err := ValidOrigin(wire.Origin{TriggeredBy: *h.Author, RequestID: *h.RequestID}); err != nil {
		return err
	}
	for i, tag := range *h.Tags {
		if n := utf8.RuneCountInString(tag); n == 0 || n > MaxTag {
			return bad("tags["+strconv.Itoa(i)+"]", "must have 1 to %d characters", MaxTag)
		}
	}
	return nil
}
