package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/fault"
)

// Message is a stored message.
type Message struct {
	Subject  string
	Sequence uint64
	Time     time.Time
	Header   nats.Header
	Data     []byte
}

// Failures of reading and publishing that callers decide on.
var (
	// ErrNoMessage: nothing is stored there.
	ErrNoMessage = errors.New("no such message")
	// ErrNoStream: the stream does not exist, or has no leader at the moment.
	ErrNoStream = errors.New("no such stream")
	// ErrWrongSequence: an optimistic publish lost; nothing was stored.
	ErrWrongSequence = errors.New("wrong last sequence")
	// ErrBusy: the same message id is being stored at this moment; nothing is known yet.
	ErrBusy = errors.New("message id in process")
	// ErrStreamFull: a limit of the stream or the server is reached; nothing was stored.
	ErrStreamFull = errors.New("stream is full")
	// ErrNotSent: the publish never left, or nobody took it; nothing was stored.
	ErrNotSent = errors.New("publish was not sent")
	// ErrAmbiguous: no acknowledgement came; the message may be stored.
	ErrAmbiguous = errors.New("publish was not acknowledged")
)

// Last reads the last message on a subject, which may hold wildcards. consistent asks the
// stream's leader, so that everything acknowledged before the call is seen; otherwise any
// replica answers. It fails with ErrNoMessage, ErrNoStream or the context's error.
func (b *Bus) Last(ctx context.Context, stream, subject string, consistent bool) (*Message, error) {
	return b.read(ctx, stream, getRequest{LastFor: subject}, consistent)
}

// At reads the message at a sequence, from the leader.
func (b *Bus) At(ctx context.Context, stream string, sequence uint64) (*Message, error) {
	return b.read(ctx, stream, getRequest{Sequence: sequence}, true)
}

// Next reads the first message at or after a sequence on a subject, which may hold
// wildcards, from the leader.
func (b *Bus) Next(ctx context.Context, stream, subject string, from uint64) (*Message, error) {
	return b.read(ctx, stream, getRequest{Sequence: max(from, 1), NextFor: subject}, true)
}

// getRequest is the body of the server's get requests (ADR-31 and the JetStream API).
type getRequest struct {
	Sequence uint64 `json:"seq,omitempty"`
	LastFor  string `json:"last_by_subj,omitempty"`
	NextFor  string `json:"next_by_subj,omitempty"`
}

// A direct get of a stream with one replica is answered by its only holder, so it is
// consistent; with more, only the message-get API asks the leader. While the stream has no
// leader nobody answers: such gaps are waited out, for a short while.
func (b *Bus) read(ctx context.Context, stream string, req getRequest, consistent bool) (*Message, error) {
	get := b.readDirect
	if consistent && b.cfg.Replicas > 1 {
		get = b.readLeader
	}
	for attempt := 1; ; attempt++ {
		msg, err := b.readOnce(ctx, get, stream, req)
		most := 0
		switch {
		case errors.Is(err, ErrNoStream):
			most = maxReadAttempts
		case errors.Is(err, ErrNotSent), errors.Is(err, fault.Unavailable), errors.Is(err, context.DeadlineExceeded):
			most = maxGapAttempts
		}
		if attempt >= most {
			return msg, gap(err)
		}
		if pause(ctx, attempt+1) != nil {
			return nil, gap(err)
		}
	}
}

const (
	// maxReadAttempts is for a stream that nobody answers for: it was deleted, or a server is
	// just starting.
	maxReadAttempts = 6
	// maxGapAttempts is for one that exists and has no leader: some three seconds, the time of
	// an election.
	maxGapAttempts = 20
)

// gap is what a reader is told of a store that is out of reach.
func gap(err error) error {
	if errors.Is(err, ErrNotSent) {
		return unavailable(err)
	}
	return err
}

func (b *Bus) readOnce(ctx context.Context, get func(context.Context, string, getRequest) (*Message, error), stream string, req getRequest) (*Message, error) {
	attempt, cancel := context.WithTimeout(ctx, b.cfg.AckTimeout)
	defer cancel()
	return get(attempt, stream, req)
}

func (b *Bus) readDirect(ctx context.Context, stream string, req getRequest) (*Message, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	reply, err := b.NC.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+stream, body)
	if err != nil {
		return nil, readError(ctx, stream, err)
	}
	switch reply.Header.Get("Status") {
	case "":
	case "404":
		return nil, ErrNoMessage
	default:
		return nil, fmt.Errorf("direct get from %s: %s %s", stream, reply.Header.Get("Status"), reply.Header.Get("Description"))
	}
	sequence, err := strconv.ParseUint(reply.Header.Get("Nats-Sequence"), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("direct get from %s: no sequence: %w", stream, err)
	}
	at, err := time.Parse(time.RFC3339Nano, reply.Header.Get("Nats-Time-Stamp"))
	if err != nil {
		return nil, fmt.Errorf("direct get from %s: no time: %w", stream, err)
	}
	return &Message{
		Subject: reply.Header.Get("Nats-Subject"), Sequence: sequence, Time: at, Header: reply.Header, Data: reply.Data,
	}, nil
}

func (b *Bus) readLeader(ctx context.Context, stream string, req getRequest) (*Message, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	reply, err := b.NC.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, body)
	if err != nil {
		return nil, readError(ctx, stream, err)
	}
	var answer struct {
		Message *struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return nil, fmt.Errorf("message get from %s: %w", stream, err)
	}
	switch {
	case answer.Error != nil && answer.Error.ErrCode == codeNoMessage:
		return nil, ErrNoMessage
	case answer.Error != nil:
		return nil, answer.Error.classify()
	case answer.Message == nil:
		return nil, ErrNoMessage
	}
	m := &Message{Subject: answer.Message.Subject, Sequence: answer.Message.Sequence, Time: answer.Message.Time, Data: answer.Message.Data}
	if len(answer.Message.Header) > 0 {
		if m.Header, err = nats.DecodeHeadersMsg(answer.Message.Header); err != nil {
			return nil, fmt.Errorf("message get from %s: headers: %w", stream, err)
		}
	}
	return m, nil
}

// readError tells a stream that does not exist from one that is out of reach: both answer
// with no responders.
func readError(ctx context.Context, stream string, err error) error {
	if errors.Is(err, nats.ErrNoResponders) {
		return fmt.Errorf("%s: %w", stream, ErrNoStream)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return unavailable(err)
}

func unavailable(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err
	}
	return fault.New(fault.Unavailable, "the event store is out of reach at the moment; try again").Because(err)
}
