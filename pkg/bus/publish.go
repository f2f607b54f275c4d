package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Ack is the server's word that a message is stored.
type Ack struct {
	Stream   string `json:"stream"`
	Sequence uint64 `json:"seq"`
	// Duplicate: the stream has already had a message with this Nats-Msg-Id, at Sequence.
	Duplicate bool `json:"duplicate"`
}

// Codes of the JetStream API that we decide on (server/errors.json).
const (
	codeWrongLastSequence   = 10071
	codeWrongLastReplicated = 10164
	codeNoMessage           = 10037
	codeDuplicateInProcess  = 10158
	codeStreamNotFound      = 10059
	codeInsufficient        = 10023
	codeMemoryExceeded      = 10028
	codeStorageExceeded     = 10047
	codeStoreFailed         = 10077
	codeMessageTooLarge     = 10054
)

type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string { return e.Description + " (" + strconv.Itoa(e.ErrCode) + ")" }

func (e *apiError) classify() error {
	switch e.ErrCode {
	case codeWrongLastSequence, codeWrongLastReplicated:
		return fmt.Errorf("%w: %w", ErrWrongSequence, e)
	case codeDuplicateInProcess:
		return fmt.Errorf("%w: %w", ErrBusy, e)
	case codeInsufficient, codeMemoryExceeded, codeStorageExceeded, codeStoreFailed, codeMessageTooLarge:
		return fmt.Errorf("%w: %w", ErrStreamFull, e)
	case codeStreamNotFound:
		return fmt.Errorf("%w: %w", ErrNoStream, e)
	}
	if e.Code == 503 {
		// No leader at the moment: the message was not proposed.
		return fmt.Errorf("%w: %w", ErrNotSent, e)
	}
	return e
}

// Expect makes a publish conditional: it is stored only if the last message that matches
// subject (which may hold wildcards) has this sequence; 0 means that there is none.
func Expect(msg *nats.Msg, subject string, sequence uint64) {
	if msg.Header == nil {
		msg.Header = nats.Header{}
	}
	msg.Header.Set("Nats-Expected-Last-Subject-Sequence", strconv.FormatUint(sequence, 10))
	msg.Header.Set("Nats-Expected-Last-Subject-Sequence-Subject", subject)
}

// Publish stores one message and waits for the acknowledgement, for the configured time at
// most. It fails with ErrWrongSequence, ErrBusy, ErrStreamFull or ErrNotSent when nothing
// was stored, and with ErrAmbiguous when that is not known. It never retries.
func (b *Bus) Publish(ctx context.Context, msg *nats.Msg) (Ack, error) {
	attempt, cancel := context.WithTimeout(ctx, b.cfg.AckTimeout)
	defer cancel()
	reply, err := b.NC.RequestMsgWithContext(attempt, msg)
	switch {
	case err == nil:
	case errors.Is(err, nats.ErrNoResponders), errors.Is(err, nats.ErrReconnectBufExceeded),
		errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrInvalidConnection),
		errors.Is(err, nats.ErrConnectionDraining):
		return Ack{}, fmt.Errorf("%w: %w", ErrNotSent, err)
	default:
		return Ack{}, fmt.Errorf("%w: %w", ErrAmbiguous, err)
	}
	return ParseAck(reply.Data)
}

// Put stores a message after a revision of its subject (0: as the first) and returns its
// sequence. When no answer comes it looks what happened, and tries again until it knows. It
// fails with ErrWrongSequence, ErrStreamFull or ErrNotSent when nothing was stored, and with
// fault.Timeout when that could not be learned in time.
func (b *Bus) Put(ctx context.Context, stream string, msg *nats.Msg, revision uint64) (uint64, error) {
	commit := uuid.NewString()
	Expect(msg, msg.Subject, revision)
	msg.Header[wire.HeaderCommit] = []string{commit}
	unanswered := false
	for attempt := 1; ; attempt++ {
		ack, err := b.Publish(ctx, msg)
		if err == nil {
			return ack.Sequence, nil
		}
		unanswered = unanswered || errors.Is(err, ErrAmbiguous)
		if !unanswered {
			return 0, err
		}
		// An earlier attempt may be stored, whatever this one was answered.
		look, cancel := context.WithTimeout(ctx, b.cfg.AckTimeout)
		next, err := b.Next(look, stream, msg.Subject, revision+1)
		cancel()
		switch {
		case err == nil && next.Header.Get(wire.HeaderCommit) == commit:
			return next.Sequence, nil
		case err == nil:
			return 0, ErrWrongSequence
		case ctx.Err() != nil, pause(ctx, attempt) != nil:
			return 0, unknown(err)
		}
	}
}

// ParseAck reads the server's answer to a publish, see Publish for the errors.
func ParseAck(data []byte) (Ack, error) {
	var answer struct {
		Ack
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return Ack{}, fmt.Errorf("%w: %w", ErrAmbiguous, err)
	}
	if answer.Error != nil {
		return Ack{}, answer.Error.classify()
	}
	return answer.Ack, nil
}
