package contract

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// body is what the checks below read of any published message.
type body struct {
	ID              string    `json:"id"`
	Kind            string    `json:"kind"`
	Target          string    `json:"target"`
	Service         string    `json:"service"`
	Copy            string    `json:"copy"`
	Name            string    `json:"name"`
	EventType       string    `json:"event_type"`
	WorkflowID      string    `json:"workflow_id"`
	WorkflowVersion int       `json:"workflow_version"`
	InstanceID      string    `json:"instance_id"`
	TokenID         string    `json:"token_id"`
	TransitionID    string    `json:"transition_id"`
	Place           string    `json:"place"`
	Status          string    `json:"status"`
	Completes       bool      `json:"completes"`
	NatsSequence    uint64    `json:"nats_sequence"`
	NatsSubject     string    `json:"nats_subject"`
	Instance        *snapshot `json:"instance"`
	Job             *body     `json:"job"`
}

type snapshot struct {
	ID              string `json:"id"`
	WorkflowID      string `json:"workflow_id"`
	WorkflowVersion int    `json:"workflow_version"`
	Status          string `json:"status"`
	NatsSequence    uint64 `json:"nats_sequence"`
	Tokens          []struct {
		ID           string `json:"id"`
		InstanceID   string `json:"instance_id"`
		WorkflowID   string `json:"workflow_id"`
		NatsSequence uint64 `json:"nats_sequence"`
	} `json:"tokens"`
}

// agrees compares a message with its subject and its headers: what schemas cannot say.
func agrees(m Message, on map[string]string, header nats.Header, payload []byte) error {
	var b body
	if err := json.Unmarshal(payload, &b); err != nil {
		return err
	}
	said := map[string]string{
		"workflow_id": b.WorkflowID, "instance_id": b.InstanceID, "token_id": b.TokenID, "transition_id": b.TransitionID,
		"place": b.Place, "status": b.Status, "timer": b.Kind, "service": b.Service, "copy": b.Copy,
	}
	switch m.Payload {
	case "schema/workflow.json", "schema/workflow_record.json":
		said["workflow_id"] = b.ID
	case "schema/token.json":
		said["token_id"] = b.ID
	case "schema/instance_record.json":
		said["instance_id"] = b.ID
	case "schema/rule.json":
		said["rule_id"] = b.ID
	case "schema/function.json":
		said["function_id"] = b.ID
	case "schema/job.json", "schema/execution.json":
		maps.Copy(said, b.work())
	case "schema/dead_letter.json":
		maps.Copy(said, b.Job.work())
	}
	for name, value := range on {
		if has, ok := said[name]; ok && has != value {
			return fmt.Errorf("the subject says %s %q, the message %q", name, value, has)
		}
	}
	switch m.Payload {
	case "schema/event.json":
		return b.event(on, header)
	case "schema/token.json":
		return b.token(header)
	}
	return nil
}

// work is what a subject says of a job or its run; - stands where there is no token.
func (b *body) work() map[string]string {
	const none = "-"
	return map[string]string{
		"kind": b.Kind, "target": b.Target, "execution_id": b.ID,
		"workflow": cmp.Or(b.WorkflowID, none), "instance": cmp.Or(b.InstanceID, none),
	}
}

// event types begin with what they are about; the subject says only what happened.
var eventPrefixes = []string{"token_", "instance_", "workflow_", ""}

func (b *body) event(on map[string]string, header nats.Header) error {
	kind := on["lifecycle"] + on["workflow_lifecycle"]
	if kind == "" {
		kind = "transitioned"
	}
	named := false
	for _, prefix := range eventPrefixes {
		named = named || b.EventType == prefix+kind
	}
	if !named {
		return fmt.Errorf("the subject says %q, event_type %q", kind, b.EventType)
	}
	if on["instance_id"] == "" {
		return nil
	}
	if header.Get(headerCommit) == "" {
		return fmt.Errorf("an event without the header %s", headerCommit)
	}
	s := b.Instance
	switch {
	case s.ID != b.InstanceID, s.WorkflowID != b.WorkflowID, s.WorkflowVersion != b.WorkflowVersion:
		return fmt.Errorf("the snapshot is of instance %s of workflow %s version %d", s.ID, s.WorkflowID, s.WorkflowVersion)
	case s.NatsSequence != 0:
		return fmt.Errorf("the snapshot claims to know its own sequence")
	case b.Completes && s.Status != "completed":
		return fmt.Errorf("completes, but the status is %q", s.Status)
	}
	for _, t := range s.Tokens {
		switch {
		case t.InstanceID != s.ID || t.WorkflowID != s.WorkflowID || instanceOf(t.ID) != s.ID:
			return fmt.Errorf("token %s of instance %s stands in a snapshot of %s", t.ID, t.InstanceID, s.ID)
		case t.NatsSequence != 0:
			return fmt.Errorf("token %s claims to know the sequence of its event", t.ID)
		}
	}
	return nil
}

func (b *body) token(header nats.Header) error {
	revision := header.Get(headerRevision)
	if revision != strconv.FormatUint(b.NatsSequence, 10) {
		return fmt.Errorf("the header %s says %q, nats_sequence %d", headerRevision, revision, b.NatsSequence)
	}
	if want := "workflows." + b.WorkflowID + ".places." + b.Place + ".tokens." + b.ID; b.NatsSubject != want {
		return fmt.Errorf("nats_subject is %q, want %q", b.NatsSubject, want)
	}
	if instanceOf(b.ID) != b.InstanceID {
		return fmt.Errorf("token %s is not of instance %s", b.ID, b.InstanceID)
	}
	if prefix, _, _ := strings.Cut(b.WorkflowID, "-"); !strings.HasSuffix(b.ID, prefix) {
		return fmt.Errorf("token %s does not end in its workflow's prefix %s", b.ID, prefix)
	}
	return nil
}

// instanceOf sets the birth number of a token's id to 0, as README.md describes.
func instanceOf(token string) string {
	const from, to = 24, 28
	if len(token) < to {
		return ""
	}
	return token[:from] + "0000" + token[to:]
}
