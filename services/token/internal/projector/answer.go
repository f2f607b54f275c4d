package projector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// conflict says that an optimistic write lost. last is what the server has instead, where
// it says so.
type conflict struct {
	last  uint64
	known bool
}

func (c *conflict) Error() string {
	if !c.known {
		return "wrong last sequence"
	}
	return "wrong last sequence: " + strconv.FormatUint(c.last, 10)
}

// Codes of the server for a lost optimistic write, see pkg/bus.
const (
	codeWrongLast           = 10071
	codeWrongLastReplicated = 10164
	codeNoMessage           = 10037
)

var (
	ackSeq       = []byte(`"seq":`)
	ackError     = []byte(`"error"`)
	wrongLastSaw = "wrong last sequence: "
)

// parseAck is the sequence at which a message was stored; the error is a *conflict when it
// was not because of its expectation.
func parseAck(msg *nats.Msg) (uint64, error) {
	if status := msg.Header.Get("Status"); status != "" {
		return 0, fmt.Errorf("publish was answered with status %s", status)
	}
	// {"stream":"PLACES", "seq":123} comes by the thousands; only the rest is worth a decoder.
	if !bytes.Contains(msg.Data, ackError) {
		if _, rest, ok := bytes.Cut(msg.Data, ackSeq); ok {
			n := 0
			var sequence uint64
			for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
				sequence = sequence*10 + uint64(rest[n]-'0')
				n++
			}
			if n > 0 {
				return sequence, nil
			}
		}
	}
	var answer struct {
		Sequence uint64 `json:"seq"`
		Error    *struct {
			Code        int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return 0, fmt.Errorf("publish was answered with something else: %w", err)
	}
	switch {
	case answer.Error == nil && answer.Sequence > 0:
		return answer.Sequence, nil
	case answer.Error == nil:
		return 0, fmt.Errorf("publish was answered without a sequence")
	case answer.Error.Code == codeWrongLast || answer.Error.Code == codeWrongLastReplicated:
		c := &conflict{}
		if number, ok := strings.CutPrefix(answer.Error.Description, wrongLastSaw); ok {
			last, err := strconv.ParseUint(number, 10, 64)
			c.last, c.known = last, err == nil
		}
		return 0, c
	}
	return 0, fmt.Errorf("publish was refused: %s (%d)", answer.Error.Description, answer.Error.Code)
}

// found is the last message on a subject.
type found struct {
	subject            string
	sequence, revision uint64
	// live: it has content, so it is no tombstone.
	live bool
	data []byte
}

// parseFound reads the answer of a direct get or of a message get; nil means that nothing
// is stored there.
func parseFound(msg *nats.Msg) (*found, error) {
	switch status := msg.Header.Get("Status"); status {
	case "":
	case "404":
		return nil, nil
	default:
		return nil, fmt.Errorf("look-up was answered with status %s %s", status, msg.Header.Get("Description"))
	}
	header, data := msg.Header, msg.Data
	subject, position := header.Get("Nats-Subject"), header.Get("Nats-Sequence")
	if position == "" {
		var answer struct {
			Message *struct {
				Subject  string `json:"subject"`
				Sequence uint64 `json:"seq"`
				Header   []byte `json:"hdrs"`
				Data     []byte `json:"data"`
			} `json:"message"`
			Error *struct {
				Code        int    `json:"err_code"`
				Description string `json:"description"`
			} `json:"error"`
		}
		if err := json.Unmarshal(msg.Data, &answer); err != nil {
			return nil, fmt.Errorf("look-up was answered with something else: %w", err)
		}
		if answer.Error != nil {
			if answer.Error.Code == codeNoMessage {
				return nil, nil
			}
			return nil, fmt.Errorf("look-up was refused: %s (%d)", answer.Error.Description, answer.Error.Code)
		}
		if answer.Message == nil {
			return nil, fmt.Errorf("look-up was answered without a message")
		}
		header = nats.Header{}
		if len(answer.Message.Header) > 0 {
			var err error
			if header, err = nats.DecodeHeadersMsg(answer.Message.Header); err != nil {
				return nil, fmt.Errorf("look-up: %w", err)
			}
		}
		subject, data, position = answer.Message.Subject, answer.Message.Data, strconv.FormatUint(answer.Message.Sequence, 10)
	}
	f := &found{subject: subject, live: len(data) > 0, data: data}
	var err error
	if f.sequence, err = strconv.ParseUint(position, 10, 64); err != nil {
		return nil, fmt.Errorf("look-up: sequence: %w", err)
	}
	// A message that is not ours has no revision, and so is older than anything.
	f.revision, _ = strconv.ParseUint(header.Get(wire.HeaderRevision), 10, 64)
	return f, nil
}
