package catalog

import (
	"strings"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

// Head is what every definition has, where a wire type keeps it: pointers to its fields, so
// that the wire types stay plain and their JSON has the order that its readers know.
type Head struct {
	ID          *string
	Version     *int
	Description *string
	Tags        *[]string
	// Author is who made this version.
	Author *string
	// CreatedAt is when the definition was created, UpdatedAt when this version was.
	CreatedAt, UpdatedAt *time.Time
	// RequestID and RequestDigest identify the request that made this version.
	RequestID, RequestDigest *string
}

// Config says what a catalog holds. T is the definition as it is stored, P what is prepared
// from it for use.
type Config[T, P any] struct {
	// Bucket holds the definitions.
	Bucket string
	// Noun is what one is called, in lower case: messages, the detail with its id (rule_id)
	// and the header with a deleted one's version (Breaker-Rule-Version) follow from it.
	Noun string
	// NotFound and Exists are the codes of these refusals.
	NotFound, Exists fault.Code
	// Head finds the head of a definition.
	Head func(*T) Head
	// Prepare makes a definition ready for use, from any goroutine, when a version is met for
	// the first time; by two that meet it at once, twice, of which one stays. What can fail
	// keeps its reason in P: a stored definition may have been written by a program that knew
	// more. It may be nil.
	Prepare func(*T) P
	// Reserved are names that no definition can have, each with the reason that the refusal
	// gives.
	Reserved map[string]string
	// Size is about how many bytes a definition takes in a reply.
	Size func(*T) int
	// Changed is called, from any goroutine and without a lock, after something new was
	// learned of an id: what it is now, Known says. That is also when it has vanished with its
	// bucket, and for everything that is there when the catalog starts. Following waits for
	// it. It may be nil.
	Changed func(id string)
}

func (c *Config[T, P]) plural() string { return c.Noun + "s" }

func (c *Config[T, P]) title() string { return strings.ToUpper(c.Noun[:1]) + c.Noun[1:] }

// one is the noun with its article.
func (c *Config[T, P]) one() string {
	if strings.ContainsRune("aeiou", rune(c.Noun[0])) {
		return "an " + c.Noun
	}
	return "a " + c.Noun
}

func (c *Config[T, P]) idKey() string { return c.Noun + "_id" }
