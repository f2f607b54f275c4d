package execkind

import (
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/seed-42b4788c/circuit-breaker/pkg/work"
)

// capture keeps what is written up to a limit, and drops the rest.
type capture struct {
	limit int64
	text  []byte
	// full is closed when there was more than the limit.
	full chan struct{}
	once sync.Once
}

func newCapture(limit int64) *capture { return &capture{limit: limit, full: make(chan struct{})} }

func (c *capture) Write(b []byte) (int, error) {
	if room := c.limit - int64(len(c.text)); int64(len(b)) > room {
		c.text = append(c.text, b[:room]...)
		c.once.Do(func() { close(c.full) })
	} else {
		c.text = append(c.text, b...)
	}
	return len(b), nil
}

func (c *capture) overflown() bool {
	select {
	case <-c.full:
		return true
	default:
		return false
	}
}

// keptStderr is more than is shown, see Kind.stderr.
const keptStderr = 2 * work.MaxStderr

// tail keeps the last bytes that are written.
type tail struct {
	text []byte
}

func (t *tail) Write(b []byte) (int, error) {
	n := len(b)
	b = b[max(0, n-keptStderr):]
	if over := len(t.text) + len(b) - keptStderr; over > 0 {
		t.text = t.text[:copy(t.text, t.text[over:])]
	}
	t.text = append(t.text, b...)
	return n, nil
}

// lastBytes is the end of a text, at most limit bytes and whole characters.
func lastBytes(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	at := max(0, len(text)-limit)
	for at < len(text) && !utf8.RuneStart(text[at]) {
		at++
	}
	return text[at:]
}

// firstBytes is the beginning of a text, likewise.
func firstBytes(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
