package bus

import (
	"context"
	"sync"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// headroom keeps new work out of a stream that is nearly full, so that what is already in
// it can still move. It matters only where a limit is configured.
type headroom struct {
	bus *Bus
	mu  sync.Mutex
	by  map[string]*filling
}

// filling is what a stream held when it was last asked, and where it stood then.
type filling struct {
	maxMessages, maxBytes uint64
	messages, bytes       uint64
	lastSequence          uint64
	asked                 time.Time
}

const (
	// From here on create and inject are refused.
	fullPercent = 90
	// From here on every create asks the server, before it estimates.
	watchPercent = 70
	// An estimate is good for this long.
	fillingAge = 2 * time.Second
)

func newHeadroom(b *Bus) *headroom { return &headroom{bus: b, by: map[string]*filling{}} }

func (h *headroom) limited() bool { return h.bus.cfg.MaxMessages > 0 || h.bus.cfg.MaxBytes > 0 }

// check refuses with fault.WorkflowFull when the stream is 90 % full.
func (h *headroom) check(ctx context.Context, record *wire.WorkflowRecord) error {
	if !h.limited() {
		return nil
	}
	h.mu.Lock()
	known := h.by[record.Stream]
	fresh := known != nil && time.Since(known.asked) < fillingAge && known.percent() < watchPercent
	h.mu.Unlock()
	if fresh {
		return nil
	}
	stream, err := h.bus.JS.Stream(ctx, record.Stream)
	if err != nil {
		return unavailable(err)
	}
	info := stream.CachedInfo()
	now := &filling{
		maxMessages: uint64(max(info.Config.MaxMsgs, 0)), maxBytes: uint64(max(info.Config.MaxBytes, 0)),
		messages: info.State.Msgs, bytes: info.State.Bytes, lastSequence: info.State.LastSeq, asked: time.Now(),
	}
	h.mu.Lock()
	h.by[record.Stream] = now
	h.mu.Unlock()
	if percent := now.percent(); percent >= fullPercent {
		return workflowFull(record).With("percent", percent)
	}
	return nil
}

func (f *filling) percent() int {
	percent := 0
	if f.maxMessages > 0 {
		percent = int(f.messages * 100 / f.maxMessages)
	}
	if f.maxBytes > 0 {
		percent = max(percent, int(f.bytes*100/f.maxBytes))
	}
	return percent
}

// stored counts a message of this size at this sequence: the sequence also tells of
// messages that other copies have stored.
func (h *headroom) stored(stream string, sequence uint64, size int) {
	if !h.limited() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.by[stream]
	if f == nil || sequence <= f.lastSequence {
		return
	}
	more := sequence - f.lastSequence
	f.messages += more
	f.bytes += more * uint64(size)
	f.lastSequence = sequence
}

func workflowFull(record *wire.WorkflowRecord) *fault.Error {
	return fault.New(fault.WorkflowFull, "workflow %q is full: finish or purge instances, or raise its limits", record.Name).
		With("workflow_id", record.ID)
}
