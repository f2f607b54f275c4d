package ui

import (
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// sparse is how often progress is written where no person watches it change.
const sparse = 5 * time.Second

// Progress shows how far a long piece of work is: a bar on a terminal, a line every few
// seconds elsewhere, nothing with --json. Its methods may be called from any goroutine.
type Progress struct {
	mu      sync.Mutex
	console *Console
	title   string
	total   int64
	done    int64
	bar     *progressbar.ProgressBar
	started time.Time
	written time.Time
	silent  bool
}

// Progress starts showing. A total of 0 or less means that it is not known.
func (c *Console) Progress(title string, total int64) *Progress {
	now := time.Now()
	p := &Progress{console: c, title: title, total: total, started: now, written: now, silent: c.JSON}
	if c.ErrTerminal && !c.JSON {
		if total <= 0 {
			total = -1
		}
		p.bar = progressbar.NewOptions64(
			total,
			progressbar.OptionSetWriter(c.Err),
			progressbar.OptionSetDescription(title),
			progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionEnableColorCodes(c.ErrColour),
		)
	}
	return p
}

// Total corrects how much there is to do.
func (p *Progress) Total(total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total = total
	if p.bar != nil && total > 0 {
		p.bar.ChangeMax64(total)
	}
}

// Stage renames what is being done.
func (p *Progress) Stage(title string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.title == title {
		return
	}
	p.title = title
	if p.bar != nil {
		p.bar.Describe(title)
	}
}

// Add reports n more pieces done.
func (p *Progress) Add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(p.done + n)
}

// Set reports that done pieces are done in all.
func (p *Progress) Set(done int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(done)
}

func (p *Progress) set(done int64) {
	p.done = done
	if p.bar != nil {
		_ = p.bar.Set64(done)
		return
	}
	if now := time.Now(); !p.silent && now.Sub(p.written) >= sparse {
		p.written = now
		p.line()
	}
}

// Finish takes the bar away; elsewhere it writes a last line if the work took long enough
// for lines to have been written.
func (p *Progress) Finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Finish()
		return
	}
	if !p.silent && time.Since(p.started) >= sparse {
		p.line()
	}
}

func (p *Progress) line() {
	if p.total > 0 {
		p.console.Notef("%s: %d of %d (%d %%)\n", p.title, p.done, p.total, p.done*100/p.total)
		return
	}
	p.console.Notef("%s: %d\n", p.title, p.done)
}
