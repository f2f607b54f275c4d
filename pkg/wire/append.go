package wire

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendJSON appends the event as encoding/json writes it, byte for byte, in a fraction of
// the time: an event is written once for every firing, and its documents are in normal form
// already. A test holds the two against each other.
func (e *Event) AppendJSON(b []byte) []byte {
	b = append(b, `{"event_type":`...)
	b = appendString(b, e.EventType)
	b = appendString(append(b, `,"workflow_id":`...), e.WorkflowID)
	b = strconv.AppendInt(append(b, `,"workflow_version":`...), int64(e.WorkflowVersion), 10)
	b = appendField(b, "instance_id", e.InstanceID)
	b = appendField(b, "token_id", e.TokenID)
	b = appendField(b, "from_place", e.FromPlace)
	b = appendField(b, "to_place", e.ToPlace)
	b = appendField(b, "transition_id", e.TransitionID)
	if len(e.Consumed) > 0 {
		b = append(b, `,"consumed":[`...)
		for i := range e.Consumed {
			b = appendComma(b, i)
			b = appendString(append(b, `{"token_id":`...), e.Consumed[i].TokenID)
			b = appendString(append(b, `,"place":`...), e.Consumed[i].Place)
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	if len(e.Produced) > 0 {
		b = append(b, `,"produced":[`...)
		for i := range e.Produced {
			b = appendComma(b, i)
			b = e.Produced[i].append(b)
		}
		b = append(b, ']')
	}
	b = appendPatches(b, e.Patches)
	b = strconv.AppendBool(append(b, `,"completes":`...), e.Completes)
	b = appendField(b, "reason", e.Reason)
	b = appendField(b, "triggered_by", e.TriggeredBy)
	b = appendTime(append(b, `,"timestamp":`...), e.Timestamp)
	b = appendField(b, "request_id", e.RequestID)
	b = appendField(b, "request_digest", e.RequestDigest)
	b = appendRaw(b, "metadata", e.Metadata)
	if e.Work != nil {
		b = e.Work.append(append(b, `,"work":`...))
	}
	if e.Automatic {
		b = append(b, `,"automatic":true`...)
	}
	if e.Instance != nil {
		b = e.Instance.append(append(b, `,"instance":`...))
	}
	return append(b, '}')
}

func (p *Produced) append(b []byte) []byte {
	b = appendString(append(b, `{"token_id":`...), p.TokenID)
	b = appendString(append(b, `,"place":`...), p.Place)
	if len(p.Parents) > 0 {
		b = append(b, `,"parents":[`...)
		for i, parent := range p.Parents {
			b = appendString(appendComma(b, i), parent)
		}
		b = append(b, ']')
	}
	return append(appendLineage(b, p.Lineage), '}')
}

func appendPatches(b []byte, patches map[string]Patch) []byte {
	if len(patches) == 0 {
		return b
	}
	b = append(b, `,"patches":{`...)
	for i, id := range sortedKeys(patches) {
		patch := patches[id]
		b = append(appendString(appendComma(b, i), id), ':', '{')
		if len(patch.Data) > 0 {
			b = append(append(b, `"data":`...), patch.Data...)
		}
		if len(patch.Metadata) > 0 {
			if len(patch.Data) > 0 {
				b = append(b, ',')
			}
			b = append(append(b, `"metadata":`...), patch.Metadata...)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

func (w *Work) append(b []byte) []byte {
	b = appendString(append(b, `{"binding":`...), w.Binding)
	b = appendString(append(b, `,"kind":`...), w.Kind)
	b = appendString(append(b, `,"outcome":`...), w.Outcome)
	if w.Attempts != 0 {
		b = strconv.AppendInt(append(b, `,"attempts":`...), int64(w.Attempts), 10)
	}
	if w.DurationMS != 0 {
		b = strconv.AppendInt(append(b, `,"duration_ms":`...), w.DurationMS, 10)
	}
	return append(b, '}')
}

func (s *State) append(b []byte) []byte {
	b = s.Instance.append(b)
	b = strconv.AppendInt(append(b, `,"births":`...), int64(s.Births), 10)
	b = appendCounts(b, "automatic_chains", s.AutomaticChains)
	b = appendCount(b, "migrations", uint64(s.Migrations))
	if len(s.Requests) > 0 {
		b = append(b, `,"requests":[`...)
		for i := range s.Requests {
			r := &s.Requests[i]
			b = appendString(append(appendComma(b, i), `{"id":`...), r.ID)
			b = appendString(append(b, `,"digest":`...), r.Digest)
			b = appendCount(b, "sequence", r.Sequence)
			if r.Time != 0 {
				b = strconv.AppendInt(append(b, `,"time":`...), r.Time, 10)
			}
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// append writes the members of an instance, and leaves the object open.
func (i *Instance) append(b []byte) []byte {
	b = appendString(append(b, `{"id":`...), i.ID)
	b = appendString(append(b, `,"workflow_id":`...), i.WorkflowID)
	b = strconv.AppendInt(append(b, `,"workflow_version":`...), int64(i.WorkflowVersion), 10)
	b = appendString(append(b, `,"status":`...), string(i.Status))
	if len(i.Tokens) > 0 {
		b = append(b, `,"tokens":[`...)
		for k := range i.Tokens {
			b = i.Tokens[k].AppendJSON(appendComma(b, k))
		}
		b = append(b, ']')
	}
	b = appendCounts(b, "visits", i.Visits)
	b = appendTime(append(b, `,"created_at":`...), i.CreatedAt)
	b = appendTime(append(b, `,"updated_at":`...), i.UpdatedAt)
	b = appendField(b, "reason", i.Reason)
	return appendCount(b, "nats_sequence", i.NatsSequence)
}

// AppendJSON appends the token as encoding/json writes it, see Event.AppendJSON.
func (t *Token) AppendJSON(b []byte) []byte {
	b = appendString(append(b, `{"id":`...), t.ID)
	b = appendString(append(b, `,"workflow_id":`...), t.WorkflowID)
	b = appendString(append(b, `,"instance_id":`...), t.InstanceID)
	b = appendString(append(b, `,"place":`...), t.Place)
	b = append(b, `,"data":`...)
	if t.Data == nil {
		b = append(b, "null"...)
	}
	b = append(b, t.Data...)
	b = appendRaw(b, "metadata", t.Metadata)
	b = appendTime(append(b, `,"created_at":`...), t.CreatedAt)
	b = appendTime(append(b, `,"updated_at":`...), t.UpdatedAt)
	b = appendTime(append(b, `,"arrived_at":`...), t.ArrivedAt)
	b = appendCount(b, "arrival_sequence", t.ArrivalSequence)
	b = appendLineage(b, t.Lineage)
	b = appendCount(b, "nats_sequence", t.NatsSequence)
	if !t.NatsTimestamp.IsZero() {
		b = appendTime(append(b, `,"nats_timestamp":`...), t.NatsTimestamp)
	}
	b = appendField(b, "nats_subject", t.NatsSubject)
	// Histories are read on demand, and are never in an event or the view.
	if len(t.History) > 0 {
		b = appendMarshalled(b, "history", t.History)
	}
	if len(t.TransitionHistory) > 0 {
		b = appendMarshalled(b, "transition_history", t.TransitionHistory)
	}
	return append(b, '}')
}

func appendCounts(b []byte, name string, counts map[string]int) []byte {
	if len(counts) == 0 {
		return b
	}
	b = append(appendName(b, name), '{')
	for i, key := range sortedKeys(counts) {
		b = append(appendString(appendComma(b, i), key), ':')
		b = strconv.AppendInt(b, int64(counts[key]), 10)
	}
	return append(b, '}')
}

func appendMarshalled(b []byte, name string, v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		raw = []byte("null")
	}
	return appendRaw(b, name, raw)
}

func appendLineage(b []byte, lineage []int) []byte {
	if len(lineage) == 0 {
		return b
	}
	b = append(b, `,"lineage":[`...)
	for i, split := range lineage {
		b = strconv.AppendInt(appendComma(b, i), int64(split), 10)
	}
	return append(b, ']')
}

func appendComma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

func appendName(b []byte, name string) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	return append(b, `":`...)
}

// appendField appends a member unless it is empty.
func appendField(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendString(appendName(b, name), value)
}

func appendRaw(b []byte, name string, raw json.RawMessage) []byte {
	if len(raw) == 0 {
		return b
	}
	return append(appendName(b, name), raw...)
}

func appendCount(b []byte, name string, n uint64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendUint(appendName(b, name), n, 10)
}

func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// appendString quotes a string; what needs escapes is left to encoding/json.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...)
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// AppendJSON appends the reply as encoding/json writes it, see Event.AppendJSON.
func (r *FireReply) AppendJSON(b []byte) []byte {
	b = strconv.AppendBool(append(b, `{"success":`...), r.Success)
	b = appendString(append(b, `,"message":`...), r.Message)
	b = r.Token.AppendJSON(append(b, `,"token":`...))
	if len(r.Tokens) > 0 {
		b = append(b, `,"tokens":[`...)
		for i := range r.Tokens {
			b = r.Tokens[i].AppendJSON(appendComma(b, i))
		}
		b = append(b, ']')
	}
	b = r.Instance.append(append(b, `,"instance":`...))
	return append(b, '}', '}')
}
