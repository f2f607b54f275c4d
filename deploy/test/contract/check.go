package contract

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
)

// Headers that the contract speaks of.
const (
	headerErrorCode = "Nats-Service-Error-Code"
	headerError     = "Nats-Service-Error"
	headerCommit    = "Breaker-Commit"
	headerRevision  = "Breaker-Revision"
	headerTTL       = "Nats-TTL"
	headerOperation = "KV-Operation"
)

// checkReply holds a reply to the contract, given the request that it answers.
func (c *Contract) checkReply(e Endpoint, request []byte, reply *nats.Msg) error {
	if len(request) == 0 {
		request = []byte("{}")
	}
	formFault := c.Check(e.Request, request)
	if reply.Header.Get(headerErrorCode) != "" {
		return c.checkError(reply, formFault, request)
	}
	if err := formFault; err != nil {
		return fmt.Errorf("a request was accepted that its schema refuses: %w\n  request: %s", err, short(request))
	}
	if err := c.CheckClosed(e.Reply, reply.Data); err != nil {
		return fmt.Errorf("%w\n  reply: %s", err, short(reply.Data))
	}
	return nil
}

// checkError holds an error reply to the contract; formFault is what the schema says of the
// request.
func (c *Contract) checkError(reply *nats.Msg, formFault error, request []byte) error {
	if err := c.CheckClosed(c.errorSchema, reply.Data); err != nil {
		return fmt.Errorf("%w\n  error reply: %s", err, short(reply.Data))
	}
	var body struct{ Code string }
	if err := json.Unmarshal(reply.Data, &body); err != nil {
		return err
	}
	known, ok := c.Errors[body.Code]
	if !ok {
		return fmt.Errorf("errors.json does not know the code %q", body.Code)
	}
	if status := reply.Header.Get(headerErrorCode); status != strconv.Itoa(known.Status) {
		return fmt.Errorf("%s came with status %s, errors.json says %d", body.Code, status, known.Status)
	}
	if reply.Header.Get(headerError) == "" {
		return fmt.Errorf("%s came without the header %s", body.Code, headerError)
	}
	if (body.Code == "unknown_field" || body.Code == "bad_request") && formFault == nil {
		return fmt.Errorf("%s refused the form of a request that its schema lets pass\n  request: %s", body.Code, short(request))
	}
	return nil
}

// checkPublished holds a message of a stream to the contract. stream is where it was read,
// empty while it is on its way. schema says what it was.
func (c *Contract) checkPublished(stream, subject string, header nats.Header, payload []byte) (schema string, err error) {
	m, parameters, ok := c.message(subject)
	if !ok {
		return "", fmt.Errorf("subjects.json does not know the subject")
	}
	if want := streamOf(m, parameters); stream != "" && stream != want {
		return m.Payload, fmt.Errorf("it lies in the stream %s, subjects.json says %s", stream, want)
	}
	if len(payload) == 0 {
		return m.Payload, mayBeEmpty(m, header)
	}
	if err := c.CheckClosed(m.Payload, payload); err != nil {
		return m.Payload, fmt.Errorf("%w\n  message: %s", err, short(payload))
	}
	if err := agrees(m, parameters, header, payload); err != nil {
		return m.Payload, fmt.Errorf("%w\n  message: %s", err, short(payload))
	}
	return m.Payload, nil
}

// mayBeEmpty: what leaves the view is a tombstone that goes by itself, and so is a timer
// that was cancelled; what leaves a bucket says so.
func mayBeEmpty(m Message, header nats.Header) error {
	switch {
	case (m.Stream == "PLACES" || m.Stream == "TIMERS") && header.Get(headerTTL) != "":
		return nil
	case header.Get(headerOperation) != "", header.Get("Nats-Marker-Reason") != "":
		return nil
	}
	return fmt.Errorf("the message is empty, and neither a tombstone with %s nor a deletion: %v", headerTTL, header)
}

func short(payload []byte) string {
	const most = 1500
	if len(payload) > most {
		return string(payload[:most]) + "…"
	}
	return string(payload)
}
