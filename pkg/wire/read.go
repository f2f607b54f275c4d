package wire

import (
	"errors"
	"strconv"
	"time"

	"github.com/seed-42b4788c/circuit-breaker/pkg/jsonscan"
)

// ReadState reads the snapshot of an event stored at a sequence, and fills in what the
// event could not know of itself. It passes over the rest of the event, and the state's
// documents are parts of text: the state is read for every command that finds it in no
// cache. A test holds it against encoding/json.
func ReadState(text []byte, sequence uint64) (*State, error) {
	var state *State
	s := jsonscan.New(text)
	err := s.Object(func(key []byte) error {
		if string(key) != "instance" || s.Next() != '{' {
			return skip(s)
		}
		state = &State{}
		return state.scan(s)
	})
	if err == nil {
		err = s.End()
	}
	if err == nil && state == nil {
		err = errors.New("the event carries no state")
	}
	if err != nil {
		return nil, err
	}
	state.Fill(sequence)
	return state, nil
}

func skip(s *jsonscan.Scanner) error {
	_, err := s.Value()
	return err
}

func (st *State) scan(s *jsonscan.Scanner) error {
	return s.Object(func(key []byte) error {
		switch string(key) {
		case "id":
			return s.Text(&st.ID)
		case "workflow_id":
			return s.Text(&st.WorkflowID)
		case "workflow_version":
			return scanInt(s, &st.WorkflowVersion)
		case "status":
			return s.Text((*string)(&st.Status))
		case "tokens":
			return s.Array(func() error {
				st.Tokens = append(st.Tokens, Token{})
				return st.Tokens[len(st.Tokens)-1].scan(s)
			})
		case "visits":
			return scanCounts(s, &st.Visits)
		case "created_at":
			return scanTime(s, &st.CreatedAt)
		case "updated_at":
			return scanTime(s, &st.UpdatedAt)
		case "reason":
			return s.Text(&st.Reason)
		case "nats_sequence":
			return s.Natural(&st.NatsSequence)
		case "births":
			return scanInt(s, &st.Births)
		case "automatic_chains":
			return scanCounts(s, &st.AutomaticChains)
		case "migrations":
			return scanInt(s, &st.Migrations)
		case "requests":
			return s.Array(func() error {
				var r RememberedRequest
				err := s.Object(func(key []byte) error {
					switch string(key) {
					case "id":
						return s.Text(&r.ID)
					case "digest":
						return s.Text(&r.Digest)
					case "sequence":
						return s.Natural(&r.Sequence)
					case "time":
						return scanInt(s, &r.Time)
					}
					return skip(s)
				})
				st.Requests = append(st.Requests, r)
				return err
			})
		}
		return skip(s)
	})
}

func (t *Token) scan(s *jsonscan.Scanner) error {
	return s.Object(func(key []byte) (err error) {
		switch string(key) {
		case "id":
			return s.Text(&t.ID)
		case "workflow_id":
			return s.Text(&t.WorkflowID)
		case "instance_id":
			return s.Text(&t.InstanceID)
		case "place":
			return s.Text(&t.Place)
		case "data":
			t.Data, err = s.Value()
			return err
		case "metadata":
			t.Metadata, err = s.Value()
			return err
		case "created_at":
			return scanTime(s, &t.CreatedAt)
		case "updated_at":
			return scanTime(s, &t.UpdatedAt)
		case "arrived_at":
			return scanTime(s, &t.ArrivedAt)
		case "arrival_sequence":
			return s.Natural(&t.ArrivalSequence)
		case "lineage":
			return s.Array(func() error {
				var split int
				err := scanInt(s, &split)
				t.Lineage = append(t.Lineage, split)
				return err
			})
		case "nats_sequence":
			return s.Natural(&t.NatsSequence)
		case "nats_timestamp":
			return scanTime(s, &t.NatsTimestamp)
		case "nats_subject":
			return s.Text(&t.NatsSubject)
		}
		return skip(s)
	})
}

// scanCounts reads numbers by name.
func scanCounts(s *jsonscan.Scanner, to *map[string]int) error {
	return s.Object(func(key []byte) error {
		if *to == nil {
			*to = map[string]int{}
		}
		name, err := jsonscan.Unquote(key)
		if err != nil {
			return err
		}
		var n int
		err = scanInt(s, &n)
		(*to)[name] = n
		return err
	})
}

func scanInt[N int | int64](s *jsonscan.Scanner, to *N) error {
	text, err := s.Value()
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	*to = N(n)
	return err
}

func scanTime(s *jsonscan.Scanner, to *time.Time) error {
	var text string
	err := s.Text(&text)
	if err != nil {
		return err
	}
	*to, err = time.Parse(time.RFC3339Nano, text)
	return err
}
