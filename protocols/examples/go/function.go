// A function of kind nats as a NATS micro service: it shortens a text to its first words.
//
//	mkdir summarize && cd summarize && cp …/function.go . && go mod init summarize
//	go get github.com/nats-io/nats.go
//	NATS_URL=nats://127.0.0.1:4222 go run .
//
// Elsewhere, once: make it known to the fleet, and call it.
//
//	nats req breaker.function.create '{"id": "summarize", "kind": "nats"}'
//	nats req breaker.function.invoke '{"id": "summarize", "input": {"text": "one two three", "words": 2}}'
//
// An ordinary subscription would do. A micro service can be seen as well: nats micro ls, and
// nats micro stats summarizer. Start it as often as you like: the copies share the work.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// The function's id is word for word the end of the subject.
const subject = "functions.summarize"

// input is the request's body: a mapping's result, or the token's data.
type input struct {
	Text  *string `json:"text"`
	Words int     `json:"words"`
}

// output is the reply's body.
type output struct {
	Summary string `json:"summary"`
	// Of is how many words the text has.
	Of int `json:"of"`
}

// errRefused marks what the function will not do: nobody need try it again.
var errRefused = errors.New("refused")

// summarize is the work itself.
func summarize(body []byte) (output, error) {
	in := input{Words: 10}
	if err := json.Unmarshal(body, &in); err != nil || in.Text == nil {
		return output{}, fmt.Errorf(`%w: the input is no {"text": "…", "words": 10}`, errRefused)
	}
	if in.Words < 1 {
		return output{}, fmt.Errorf("%w: a summary has at least one word", errRefused)
	}
	words := strings.Fields(*in.Text)
	if len(words) <= in.Words {
		return output{Summary: strings.Join(words, " "), Of: len(words)}, nil
	}
	return output{Summary: strings.Join(words[:in.Words], " ") + " …", Of: len(words)}, nil
}

// mostRemembered bounds the memory.
const mostRemembered = 10_000

// memory has the outputs of work that was done, by its idempotency key.
//
// The key is the same in every attempt at one piece of work. The fleet calls again when it
// cannot know that the first call was heard of: after a crash, or a time-out. This copy's own
// memory then saves work, no more: another copy may be asked. Where doing it twice would do harm
// (a payment, a mail), keep the key beside the effect, in the same transaction, or pass it on.
type memory struct {
	outputs map[string]output
	// order is what to forget first.
	order []string
}

func (m *memory) remember(key string, out output) {
	if key == "" {
		return
	}
	if len(m.order) == mostRemembered {
		delete(m.outputs, m.order[0])
		m.order = m.order[1:]
	}
	m.outputs[key] = out
	m.order = append(m.order, key)
}

// handle answers one request. A micro service calls it for one request after the other, so the
// memory needs no lock, and other copies do what happens at the same time.
func (m *memory) handle(req micro.Request) {
	// nats.go looks headers up exactly as they are spelled.
	key, attempt := req.Headers().Get("Idempotency-Key"), req.Headers().Get("Breaker-Attempt")
	// W3C trace context, for OpenTelemetry's propagator; empty when nobody traces.
	trace := req.Headers().Get("traceparent")

	out, again := m.outputs[key]
	if !again {
		var err error
		if out, err = summarize(req.Data()); err != nil {
			// Not remembered: whoever redrives a failure wants it done anew.
			refuse(req, err)
			log.Printf("refused: %v key=%s attempt=%s trace=%s", err, key, attempt, trace)
			return
		}
		m.remember(key, out)
	}
	if err := req.RespondJSON(out); err != nil {
		log.Printf("could not answer: %v", err)
	}
	log.Printf("summarized key=%s attempt=%s again=%t trace=%s", key, attempt, again, trace)
}

// refuse sends an error reply: its headers Nats-Service-Error-Code and Nats-Service-Error. 408,
// 425, 429 and from 500 on mean: try again later, as the function's retry policy says. Any other
// 4xx: don't; the run has failed, and on_failure fires.
func refuse(req micro.Request, err error) {
	code := "500"
	if errors.Is(err, errRefused) {
		code = "422"
	}
	if err := req.Error(code, err.Error(), nil); err != nil {
		log.Printf("could not answer: %v", err)
	}
}

func run() error {
	url := os.Getenv("NATS_URL")
	if url == "" {
		url = nats.DefaultURL
	}
	closed := make(chan struct{})
	nc, err := nats.Connect(url, nats.Name("summarize"),
		nats.MaxReconnects(-1), // A server that is away comes back.
		nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	if err != nil {
		return err
	}
	defer nc.Close()

	service, err := micro.AddService(nc, micro.Config{Name: "summarizer", Version: "1.0.0", Description: "shortens texts"})
	if err != nil {
		return err
	}
	m := &memory{outputs: map[string]output{}}
	// Endpoints are in a queue group by themselves: each request goes to one copy only.
	if err := service.AddEndpoint("summarize", micro.HandlerFunc(m.handle), micro.WithEndpointSubject(subject)); err != nil {
		return err
	}
	if err := nc.Flush(); err != nil { // From here on the server knows.
		return err
	}
	log.Printf("answers on %s", subject)

	// Asked to stop, take no more requests, end the one at work, send its reply, and close.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	<-stop
	if err := nc.Drain(); err != nil {
		return err
	}
	<-closed
	log.Print("stopped")
	return nil
}

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}
