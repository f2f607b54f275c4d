package petri

import (
	"encoding/json"

	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Limits bound what one instance may become. A limit of 0 or less is no limit, except that
// MaxBirths never exceeds what an id can number.
type Limits struct {
	// MaxStateBytes bounds the snapshot in an event, and also the rest of the event, so
	// that both together fit into one message.
	MaxStateBytes int
	// MaxTokens is how many tokens may stand in the places of an instance at once.
	MaxTokens int
	// MaxBirths is how many tokens an instance may ever have.
	MaxBirths int
	// MaxDepth is how deep data and metadata may nest; {} is 1 deep.
	MaxDepth int
}

const (
	maxLiveTokens = 256
	maxDataDepth  = 64
	// numberedBirths is how many birth numbers an id can tell apart.
	numberedBirths = wire.MaxBirths + 1

	maxRequestID   = 256
	maxTriggeredBy = 1024
	maxReason      = 4096
)

// DefaultLimits are the limits that ship; maxPayload is the server's max_payload in bytes.
func DefaultLimits(maxPayload int64) Limits {
	return Limits{
		MaxStateBytes: int(maxPayload / 100 * 45),
		MaxTokens:     maxLiveTokens,
		MaxBirths:     wire.MaxBirths,
		MaxDepth:      maxDataDepth,
	}
}

// room refuses a change that would leave too many tokens, or that would bring forth too
// many, before any of them is built.
func (l Limits) room(state *wire.State, consumed, born int) error {
	if live := len(state.Tokens) - consumed + born; l.MaxTokens > 0 && born > consumed && live > l.MaxTokens {
		return limitExceeded("tokens", l.MaxTokens, live,
			"the instance would hold %d tokens; at most %d may live at once", live, l.MaxTokens)
	}
	most := numberedBirths
	if l.MaxBirths > 0 && l.MaxBirths < most {
		most = l.MaxBirths
	}
	if births := state.Births + born; born > 0 && births > most {
		return limitExceeded("births", most, births,
			"the instance would have had %d tokens in its life; at most %d are possible", births, most)
	}
	return nil
}

// Sizes of what surrounds the documents in a snapshot, generous.
const (
	bytesPerState   = 600
	bytesPerToken   = 560
	bytesPerVisit   = 16
	bytesPerRequest = 64
	bytesPerArc     = 160
)

// fits refuses an event that is too large. Marshalling costs more than the whole decision,
// so a rough sum comes first, and only what might be too large is measured.
func (l Limits) fits(ev *wire.Event) error {
	if l.MaxStateBytes <= 0 {
		return nil
	}
	if roughState(ev.Instance) > l.MaxStateBytes/2 {
		b, err := json.Marshal(ev.Instance)
		if err != nil {
			return reject(codeInvalidField, "the instance cannot be written as JSON")
		}
		if len(b) > l.MaxStateBytes {
			return limitExceeded("state_bytes", l.MaxStateBytes, len(b),
				"the instance would take %d bytes; at most %d fit into an event", len(b), l.MaxStateBytes)
		}
	}
	if rest := roughRest(ev); rest > l.MaxStateBytes {
		return limitExceeded("event_bytes", l.MaxStateBytes, rest,
			"the change would take %d bytes; at most %d fit into an event", rest, l.MaxStateBytes)
	}
	return nil
}

func roughState(s *wire.State) int {
	n := bytesPerState + len(s.Reason)
	for i := range s.Tokens {
		t := &s.Tokens[i]
		n += bytesPerToken + len(t.Data) + len(t.Metadata) + 7*len(t.Lineage)
	}
	for place := range s.Visits {
		n += bytesPerVisit + len(place)
	}
	for _, r := range s.Requests {
		n += bytesPerRequest + len(r.ID) + len(r.Digest)
	}
	return n
}

func roughRest(ev *wire.Event) int {
	n := len(ev.Metadata) + bytesPerArc*(len(ev.Consumed)+len(ev.Produced))
	for i := range ev.Produced {
		n += 7*len(ev.Produced[i].Lineage) + 39*len(ev.Produced[i].Parents)
	}
	for _, p := range ev.Patches {
		n += bytesPerVisit + len(p.Data) + len(p.Metadata)
	}
	return n
}
