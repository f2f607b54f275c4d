package projector

import (
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// item is one token, record or timer of the view while there is something to write for it.
// doc.go draws its states. Everything in it is guarded by the projection's lock.
type item struct {
	p *projection
	// want is what the newest event makes of it; dirty until the writing of it has begun.
	want  change
	dirty bool
	// left are the subjects to clear after the next put, clearing those to clear now.
	left, clearing []string
	// revision is what is being written, or was last.
	revision uint64

	// position is where the view has it, as far as known.
	position
	known bool
	// empty: the server has said that there is nothing at all.
	empty bool
	// verify: clear only what is really there, because somebody else wrote before us.
	verify bool
	// standing is where the last put of this item's life went. passing: want.subject is a
	// subject on which it has not stood yet.
	standing string
	passing  bool
	// fleeting: what is known of the position will not hold, so it is not remembered.
	fleeting bool

	phase    phase
	attempts int
	// tickets are the events that wait for it; those before covered are in what is being
	// written.
	tickets []uint64
	covered int
}

type phase uint8

const (
	phaseIdle phase = iota
	// phaseLooking: what the view has is asked for.
	phaseLooking
	phasePutting
	phaseClearing
	// phaseChecking: whether the next subject to clear holds anything is asked for.
	phaseChecking
)

// maxAttempts bounds how often an item is tried after it lost.
const maxAttempts = 5

// tombstoneTTL is how long the view shows that something has left. The server may take
// some seconds longer to remove it.
const (
	tombstoneTTL  = 5 * time.Second
	tombstoneGone = 9
	// A cancelled timer need not be seen by anybody.
	cancelTTL = time.Second
)

// errOvertaken: somebody else writes this view.
var errOvertaken = errors.New("another copy writes this view")

// take adds what an event makes of the item to what is still to be done.
func (it *item) take(c change, ticket uint64) {
	it.tickets = append(it.tickets, ticket)
	if it.dirty {
		if it.passing && it.want.revision > it.p.horizon {
			// It was never written there, nor by anyone before this projection.
			c.left = slices.DeleteFunc(c.left, func(s string) bool { return s == it.want.subject })
		}
		c.born = it.want.born
	}
	if !it.dirty || c.subject != it.want.subject {
		it.passing = !it.timer() && c.subject != it.standing && !slices.Contains(it.left, c.subject) &&
			(c.born || len(c.left) > 0 || len(it.left) > 0)
	}
	for _, subject := range c.left {
		if !slices.Contains(it.left, subject) {
			it.left = append(it.left, subject)
		}
	}
	it.want, it.dirty = c, true
}

// advance does whatever comes next, until an answer has to be waited for or nothing is
// left to do.
func (it *item) advance() {
	for it.phase == phaseIdle && it.p.cause == nil {
		switch {
		case len(it.clearing) > 0 && it.verify:
			it.ask(phaseChecking, it.clearing[0])
		case len(it.clearing) > 0:
			it.clear()
		case it.covered > 0:
			it.release()
		case !it.dirty:
			it.p.finish(it)
			return
		case !it.known && !it.recall():
			it.ask(phaseLooking, it.filter())
		case it.want.subject == "" && it.empty:
			it.begin()
			it.clearing = nil
		case it.want.subject == "":
			it.begin()
		default:
			it.begin()
			it.write()
		}
	}
}

// begin makes the newest wish the one that is written.
func (it *item) begin() {
	it.dirty, it.covered = false, len(it.tickets)
	it.revision = it.want.revision
	it.clearing, it.left = it.left, nil
	it.clearing = slices.DeleteFunc(it.clearing, func(s string) bool { return s == it.want.subject })
	it.verify = false
}

func (it *item) release() {
	for _, ticket := range it.tickets[:it.covered] {
		it.p.window.done(ticket)
	}
	it.tickets = it.tickets[:copy(it.tickets, it.tickets[it.covered:])]
	it.covered, it.attempts = 0, 0
	it.p.advanced()
}

// recall finds the item's position without asking the server, where that is possible. A
// wrong guess costs a conflict, never a wrong write.
func (it *item) recall() bool {
	if position, ok := it.p.known.get(it.want.key); ok {
		it.position, it.known = position, true
		return true
	}
	if it.want.born || it.timer() && it.want.subject != "" {
		it.position, it.known = position{}, true
		return true
	}
	return false
}

func (it *item) timer() bool { return it.want.key.kind >= timeoutItem }

// filter matches every subject on which the item can stand.
func (it *item) filter() string {
	switch it.want.key.kind {
	case tokenItem:
		return wire.TokenPlaces(it.p.workflow.ID, it.want.id)
	case recordItem:
		return wire.InstanceRecordSubject(it.p.workflow.ID, "*", it.want.id)
	case timeoutItem:
		return wire.TimerSetSubject(wire.TimerTimeout, it.p.workflow.ID, it.want.instance, it.want.id)
	case purgeItem:
		return wire.TimerSetSubject(wire.TimerPurge, it.p.workflow.ID, it.want.instance, it.want.id)
	}
	return ""
}

func (it *item) stream() string {
	if it.timer() {
		return wire.StreamTimers
	}
	return wire.StreamPlaces
}

// expected is the sequence that the item's last message must have for our write to count.
func (it *item) expected() uint64 {
	if it.last != it.put && !it.timer() && it.p.clock()-it.clearedAt > tombstoneGone {
		return it.put
	}
	return it.last
}

func (it *item) write() {
	msg := it.message(it.want.subject, it.want.payload)
	if it.timer() {
		msg.Header["Nats-Schedule"] = []string{"@at " + it.want.due.UTC().Format(time.RFC3339Nano)}
		msg.Header["Nats-Schedule-Target"] = []string{it.want.target}
	}
	if it.want.born && !it.timer() {
		it.p.births[it.want.key] = birth{id: it.want.id, instance: it.want.instance}
	}
	it.standing = it.want.subject
	it.send(phasePutting, msg)
}

func (it *item) clear() {
	msg := it.message(it.clearing[0], nil)
	if it.timer() {
		// The rollup takes the schedule away with what it replaces.
		msg.Header[jetstream.MsgRollup] = []string{jetstream.MsgRollupSubject}
		msg.Header[jetstream.MsgTTLHeader] = []string{cancelTTL.String()}
	} else {
		msg.Header[jetstream.MsgTTLHeader] = []string{tombstoneTTL.String()}
	}
	it.send(phaseClearing, msg)
}

func (it *item) message(subject string, payload []byte) *nats.Msg {
	return &nats.Msg{Subject: subject, Data: payload, Header: nats.Header{
		"Nats-Expected-Last-Subject-Sequence":         {strconv.FormatUint(it.expected(), 10)},
		"Nats-Expected-Last-Subject-Sequence-Subject": {it.filter()},
		wire.HeaderRevision:                           {strconv.FormatUint(it.revision, 10)},
	}}
}

func (it *item) send(next phase, msg *nats.Msg) {
	if it.p.send(msg, it) {
		it.phase = next
	}
}

// ask looks at the last message of a subject.
func (it *item) ask(next phase, subject string) {
	if it.p.ask(it.stream(), subject, it) {
		it.phase = next
	}
}

// answered takes the server's answer to the item's one request on its way.
func (it *item) answered(msg *nats.Msg, err error) {
	it.p.mu.Lock()
	defer it.p.mu.Unlock()
	it.p.landed()
	was := it.phase
	it.phase = phaseIdle
	if it.p.cause != nil {
		return
	}
	if err == nil {
		switch was {
		case phaseLooking, phaseChecking:
			var found *found
			if found, err = parseFound(msg); err == nil {
				if was == phaseLooking {
					err = it.looked(found)
				} else {
					it.checked(found)
				}
			}
		case phasePutting, phaseClearing:
			err = it.written(was, msg)
		}
	}
	if err != nil {
		it.p.fail(err)
		return
	}
	it.advance()
}

// written takes the answer to a put or a tombstone.
func (it *item) written(was phase, msg *nats.Msg) error {
	ack, err := parseAck(msg)
	if err != nil {
		var lost *conflict
		if errors.As(err, &lost) {
			return it.lost(lost)
		}
		return err
	}
	it.last, it.empty, it.attempts = ack, false, 0
	if was == phasePutting {
		it.put, it.fleeting = ack, false
		return nil
	}
	it.clearing = it.clearing[1:]
	it.clearedAt = it.p.clock()
	return nil
}

// lost: the view's last message is not the one that was expected.
func (it *item) lost(c *conflict) error {
	if c.known && c.last == it.put && it.last != it.put && !it.timer() {
		// Only our own tombstone has expired.
		it.last = it.put
		it.again()
		return nil
	}
	it.p.metrics.conflicts.Add(it.p.ctx, 1)
	it.attempts++
	if c.known && c.last == 0 && (it.timer() || it.want.subject == "") {
		// The timer has fired, or the view was dropped: nothing is there to be cleared.
		it.position, it.known, it.empty = position{}, true, true
		it.again()
		return nil
	}
	it.again()
	it.known = false
	it.p.known.forget(it.want.key)
	it.ask(phaseLooking, it.filter())
	return nil
}

// again takes back that the writing has begun.
func (it *item) again() {
	for _, subject := range it.clearing {
		if !slices.Contains(it.left, subject) {
			it.left = append(it.left, subject)
		}
	}
	it.clearing, it.covered, it.dirty = nil, 0, true
}

// looked takes in what the view has. A revision that is not before ours says that the work
// is done, except that what was left may not have been cleared.
func (it *item) looked(f *found) error {
	ours := f != nil && (f.sequence == it.last || f.sequence == it.put)
	it.known, it.empty = true, f == nil
	if f == nil {
		it.position = position{}
		if it.attempts > 0 && it.want.subject != "" && !it.timer() {
			return errOvertaken
		}
		return nil
	}
	it.position = position{last: f.sequence}
	it.fleeting = !f.live
	if f.live {
		it.put = f.sequence
	} else {
		it.clearedAt = it.p.clock()
	}
	if f.revision >= it.want.revision {
		it.begin()
		it.revision, it.verify = f.revision, true
		if it.timer() {
			it.clearing = nil
		}
		it.clearing = slices.DeleteFunc(it.clearing, func(s string) bool { return f.live && s == f.subject })
		return nil
	}
	// What we lost against must be newer than what we tried to write (the view was ahead of
	// our checkpoint), or our own.
	if it.attempts > maxAttempts || it.attempts > 0 && f.revision < it.revision && !it.timer() && !ours {
		return errOvertaken
	}
	if f.live && f.subject != it.want.subject && !slices.Contains(it.left, f.subject) {
		it.left = append(it.left, f.subject)
	}
	return nil
}

// checked: the subject to clear holds something, or not.
func (it *item) checked(f *found) {
	// An event puts an item in one place only, so what stands here with the revision of the
	// last message has come back by that event: the tombstone is of the place between.
	if f == nil || !f.live || f.revision >= it.revision {
		it.clearing = it.clearing[1:]
		return
	}
	it.clear()
}
