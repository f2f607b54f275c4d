package projector

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// errNoAnswer: the server did not answer in time, so what was asked may have happened.
var errNoAnswer = errors.New("no answer from the server")

// receiver takes the answer to one request; err is errNoAnswer when none came.
type receiver interface {
	answered(msg *nats.Msg, err error)
}

// pipe keeps many requests on their way over one connection: one subscription takes all
// the answers, one goroutine gives up on those that do not come. Receivers must not block.
type pipe struct {
	nc      *nats.Conn
	prefix  string
	sub     *nats.Subscription
	drained chan struct{}

	mu   sync.Mutex
	ops  map[uint64]flight
	next uint64
	tick int

	quit chan struct{}
	done sync.WaitGroup
}

type flight struct {
	to   receiver
	tick int
}

// A request is given up after this many ticks.
const (
	pipeTick    = 250 * time.Millisecond
	pipeTimeout = 20
)

func newPipe(nc *nats.Conn) (*pipe, error) {
	p := &pipe{
		nc: nc, prefix: nc.NewInbox() + ".", ops: map[uint64]flight{},
		drained: make(chan struct{}), quit: make(chan struct{}),
	}
	sub, err := nc.Subscribe(p.prefix+"*", p.receive)
	if err != nil {
		return nil, err
	}
	sub.SetClosedHandler(func(string) { close(p.drained) })
	// An answer is small; dropping one would cost a restart of its projection.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, err
	}
	p.sub = sub
	p.done.Add(1)
	go p.expiring()
	return p, nil
}

// close ends the pipe; whoever still waits is told errNoAnswer.
func (p *pipe) close() {
	close(p.quit)
	p.done.Wait()
	_ = p.sub.Unsubscribe()
	<-p.drained
	p.expire(-1)
}

// send publishes a message whose answer goes to the receiver. On an error nothing was sent
// and nothing will be answered.
func (p *pipe) send(msg *nats.Msg, to receiver) error {
	p.mu.Lock()
	p.next++
	id := p.next
	p.ops[id] = flight{to: to, tick: p.tick}
	p.mu.Unlock()
	msg.Reply = p.prefix + strconv.FormatUint(id, 36)
	if err := p.nc.PublishMsg(msg); err != nil {
		p.take(id)
		return err
	}
	return nil
}

func (p *pipe) take(id uint64) receiver {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.ops[id]
	delete(p.ops, id)
	return f.to
}

func (p *pipe) receive(msg *nats.Msg) {
	address, ok := strings.CutPrefix(msg.Subject, p.prefix)
	if !ok {
		return
	}
	id, err := strconv.ParseUint(address, 36, 64)
	if err != nil {
		return
	}
	if to := p.take(id); to != nil {
		to.answered(msg, nil)
	}
}

func (p *pipe) expiring() {
	defer p.done.Done()
	tick := time.NewTicker(pipeTick)
	defer tick.Stop()
	for {
		select {
		case <-p.quit:
			return
		case <-tick.C:
			p.mu.Lock()
			p.tick++
			p.mu.Unlock()
			p.expire(pipeTimeout)
		}
	}
}

// expire gives up on requests that are older than this many ticks.
func (p *pipe) expire(age int) {
	p.mu.Lock()
	var late []receiver
	for id, f := range p.ops {
		if p.tick-f.tick > age {
			late = append(late, f.to)
			delete(p.ops, id)
		}
	}
	p.mu.Unlock()
	for _, to := range late {
		to.answered(nil, errNoAnswer)
	}
}
