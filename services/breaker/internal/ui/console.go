package ui

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Console is the program's side of the terminal.
type Console struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
	// JSON asks for one JSON document per result instead of tables.
	JSON bool
	// OutColour and ErrColour say whether the stream is a terminal that wants colours.
	OutColour bool
	ErrColour bool
	// ErrTerminal says whether a progress bar on Err would be seen by a person.
	ErrTerminal bool
}

// New looks at the streams and the environment (NO_COLOR, TERM=dumb) once.
func New(in io.Reader, out, errs io.Writer, getenv func(string) string) *Console {
	plain := getenv("NO_COLOR") != "" || getenv("TERM") == "dumb"
	errTerminal := isTerminal(errs)
	return &Console{
		In: in, Out: out, Err: errs,
		OutColour:   isTerminal(out) && !plain,
		ErrColour:   errTerminal && !plain,
		ErrTerminal: errTerminal && getenv("TERM") != "dumb",
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Document writes v as one indented JSON document.
func (c *Console) Document(v any) error {
	e := json.NewEncoder(c.Out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Line writes v as JSON on one line, for streams of results.
func (c *Console) Line(v any) error {
	e := json.NewEncoder(c.Out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// Printf writes to Out for a person.
func (c *Console) Printf(format string, args ...any) {
	fmt.Fprintf(c.Out, format, args...)
}

// Notef writes a remark to Err: how the work goes, never a result.
func (c *Console) Notef(format string, args ...any) {
	fmt.Fprintf(c.Err, format, args...)
}

// Style is a colour with a meaning.
type Style string

// The styles, as SGR parameters.
const (
	Plain   Style = ""
	Bold    Style = "1"
	Dim     Style = "2"
	Good    Style = "32"
	Warning Style = "33"
	Bad     Style = "31"
	Accent  Style = "36"
)

// Paint colours s for Out, if Out wants colours. s must be Clean.
func (c *Console) Paint(style Style, s string) string { return paint(c.OutColour, style, s) }

// PaintErr colours s for Err, if Err wants colours.
func (c *Console) PaintErr(style Style, s string) string { return paint(c.ErrColour, style, s) }

func paint(on bool, style Style, s string) string {
	if !on || style == Plain || s == "" {
		return s
	}
	return "\x1b[" + string(style) + "m" + s + "\x1b[0m"
}

// Clean makes text from elsewhere safe to show on a terminal: control characters, which
// could move the cursor or change colours, become spaces.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}

// Shorten cuts s to at most limit characters, with an ellipsis where it was cut.
func Shorten(s string, limit int) string {
	runes := []rune(s)
	if len(runes) <= limit {
		return s
	}
	return string(runes[:limit-1]) + "…"
}
