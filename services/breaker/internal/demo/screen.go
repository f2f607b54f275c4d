package demo

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/rivo/uniseg"
	"golang.org/x/term"

	"github.com/seed-42b4788c/circuit-breaker/services/breaker/internal/ui"
)

const (
	redrawEvery = 150 * time.Millisecond
	linesEvery  = 2 * time.Second
	logWidth    = 110
	barWidth    = 30
)

// state is what the screen shows at one moment.
type state struct {
	done, total, firings int
	elapsed              time.Duration
	// markings are in the order of the workflows.
	markings []workflowMarking
}

type workflowMarking struct {
	name string
	// places in the order of the definition, those with tokens only.
	places []placeCount
}

type placeCount struct {
	place    string
	tokens   int
	terminal bool
}

// screen shows states: as a block that is drawn over itself on a terminal, as a few lines
// elsewhere, as nothing with --json.
type screen struct {
	console *ui.Console
	drawn   int
}

// run shows what look returns until ctx ends, and then the last state once more.
func (s *screen) run(ctx context.Context, look func() state) {
	every := redrawEvery
	if !s.console.ErrTerminal {
		every = linesEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			s.show(look())
			return
		case <-ticker.C:
			s.show(look())
		}
	}
}

func (s *screen) show(st state) {
	switch {
	case s.console.JSON:
	case s.console.ErrTerminal:
		s.block(st)
	default:
		s.console.Notef("%s", s.lines(st))
	}
}

// block draws the bar and one line for each workflow over what it drew before.
func (s *screen) block(st state) {
	lines := []string{s.bar(st)}
	width := s.width()
	for _, m := range st.markings {
		lines = append(lines, s.marking(m, width))
	}
	var b strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.drawn)
	}
	for _, line := range lines {
		b.WriteString("\r\x1b[2K" + line + "\n")
	}
	s.drawn = len(lines)
	s.console.Notef("%s", b.String())
}

func (s *screen) bar(st state) string {
	full := 0
	if st.total > 0 {
		full = barWidth * st.done / st.total
	}
	return fmt.Sprintf("  %s%s  %d of %d documents, %d firings, %.1f s",
		s.console.PaintErr(ui.Good, strings.Repeat("█", full)), s.console.PaintErr(ui.Dim, strings.Repeat("░", barWidth-full)),
		st.done, st.total, st.firings, st.elapsed.Seconds())
}

// nameWidth aligns the markings.
const nameWidth = 28

func (s *screen) marking(m workflowMarking, width int) string {
	text := fmt.Sprintf("  %-*s", nameWidth, m.name)
	used := uniseg.StringWidth(text)
	text = s.console.PaintErr(ui.Bold, text)
	for _, p := range m.places {
		part := fmt.Sprintf("  %s %d", p.place, p.tokens)
		// A line that wraps would spoil the next redraw.
		if used += uniseg.StringWidth(part); used >= width {
			return text + "…"
		}
		style := ui.Accent
		if p.terminal {
			style = ui.Dim
		}
		text += s.console.PaintErr(style, part)
	}
	return text
}

func (s *screen) width() int {
	if f, ok := s.console.Err.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width - 1
		}
	}
	return logWidth
}

// lines are a state in a log: how far it is, and where tokens are on their way.
func (s *screen) lines(st state) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %4.1f s: %d of %d documents, %d firings\n", st.elapsed.Seconds(), st.done, st.total, st.firings)
	for _, m := range st.markings {
		moving := workflowMarking{name: m.name}
		for _, p := range m.places {
			if !p.terminal {
				moving.places = append(moving.places, p)
			}
		}
		if len(moving.places) > 0 {
			b.WriteString("    " + s.marking(moving, logWidth) + "\n")
		}
	}
	return b.String()
}
