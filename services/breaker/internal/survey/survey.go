// Package survey looks a fleet over, from outside: the server, who answers, what is stored,
// and how far the view of each workflow is behind its events.
package survey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"github.com/seed-42b4788c/circuit-breaker/pkg/bus"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Survey is what was found.
type Survey struct {
	Server    Server     `json:"server"`
	Services  []Service  `json:"services"`
	Streams   []Stream   `json:"streams"`
	Workflows []Workflow `json:"workflows"`
}

// Server is the NATS server that answered.
type Server struct {
	URL        string  `json:"url"`
	Name       string  `json:"name"`
	ID         string  `json:"id"`
	Version    string  `json:"version"`
	Cluster    string  `json:"cluster,omitempty"`
	MaxPayload int64   `json:"max_payload"`
	RoundTrip  float64 `json:"round_trip_ms"`
}

// Service is one kind of service and how many copies of it answered.
type Service struct {
	Name     string   `json:"name"`
	Versions []string `json:"versions"`
	Copies   int      `json:"copies"`
	IDs      []string `json:"ids"`
}

// Stream is a stream and its size. Leader and Replicas are those of a clustered one.
type Stream struct {
	Name     string `json:"name"`
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
	LastSeq  uint64 `json:"last_sequence"`
	Replicas int    `json:"replicas"`
	Leader   string `json:"leader,omitempty"`
}

// Workflow is a workflow with its instances by status and the lag of its view.
type Workflow struct {
	ID      string              `json:"id"`
	Name    string              `json:"name"`
	Version int                 `json:"version"`
	Status  wire.WorkflowStatus `json:"status"`
	// Instances counts the view's records; one that has just changed its status can be
	// counted twice for some seconds.
	Instances map[wire.Status]uint64 `json:"instances"`
	// LastEvent and Projected are sequences in the workflow's stream: of its last event, and
	// of the last one that the view's checkpoint covers.
	LastEvent uint64 `json:"last_event"`
	Projected uint64 `json:"projected"`
	Lag       uint64 `json:"lag"`
}

// Waiting for services to answer: they all do within moments, or not at all.
const (
	pingQuiet = 250 * time.Millisecond
	pingLimit = 2 * time.Second
)

// Take surveys the fleet; step is called as each workflow is done, with the number of all.
func Take(ctx context.Context, b *bus.Bus, step func(done, total int)) (*Survey, error) {
	s := &Survey{Services: []Service{}, Streams: []Stream{}, Workflows: []Workflow{}}
	trip, err := b.NC.RTT()
	if err != nil {
		return nil, fmt.Errorf("asking the server for a round trip: %w", err)
	}
	s.Server = Server{
		URL: b.NC.ConnectedUrlRedacted(), Name: b.NC.ConnectedServerName(), ID: b.NC.ConnectedServerId(),
		Version: b.NC.ConnectedServerVersion(), Cluster: b.NC.ConnectedClusterName(),
		MaxPayload: b.NC.MaxPayload(), RoundTrip: float64(trip.Microseconds()) / 1000,
	}
	if s.Services, err = services(ctx, b.NC); err != nil {
		return nil, err
	}
	registry := bus.NewRegistry(b)
	err = registry.Start(ctx)
	defer registry.Stop()
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		// No fleet has run here yet: there is nothing more to find.
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	records := registry.All()
	sort.Slice(records, func(i, k int) bool {
		return records[i].Name < records[k].Name || records[i].Name == records[k].Name && records[i].ID < records[k].ID
	})
	for _, name := range []string{wire.StreamPlaces, wire.StreamTimers} {
		if err := s.stream(ctx, b, name); err != nil {
			return nil, err
		}
	}
	for i, record := range records {
		if err := s.workflow(ctx, b, record); err != nil {
			return nil, err
		}
		step(i+1, len(records))
	}
	return s, nil
}

// services collects the answers of everybody who serves on this server.
func services(ctx context.Context, nc *nats.Conn) ([]Service, error) {
	sub, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe() //nolint:errcheck // it ends with the connection at the latest
	if err := nc.PublishRequest(micro.APIPrefix+".PING", sub.Subject, nil); err != nil {
		return nil, err
	}
	found := map[string]*Service{}
	for limit := time.Now().Add(pingLimit); time.Now().Before(limit); {
		wait, cancel := context.WithTimeout(ctx, pingQuiet)
		msg, err := sub.NextMsgWithContext(wait)
		cancel()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			break
		}
		var ping micro.Ping
		if json.Unmarshal(msg.Data, &ping) == nil && ping.Name != "" {
			count(found, ping)
		}
	}
	all := make([]Service, 0, len(found))
	for _, service := range found {
		sort.Strings(service.Versions)
		sort.Strings(service.IDs)
		all = append(all, *service)
	}
	sort.Slice(all, func(i, k int) bool { return all[i].Name < all[k].Name })
	return all, nil
}

func count(found map[string]*Service, ping micro.Ping) {
	service := found[ping.Name]
	if service == nil {
		service = &Service{Name: ping.Name}
		found[ping.Name] = service
	}
	service.Copies++
	service.IDs = append(service.IDs, ping.ID)
	for _, v := range service.Versions {
		if v == ping.Version {
			return
		}
	}
	service.Versions = append(service.Versions, ping.Version)
}

func (s *Survey) stream(ctx context.Context, b *bus.Bus, name string) error {
	stream, err := b.JS.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking up stream %s: %w", name, err)
	}
	info := stream.CachedInfo()
	found := Stream{
		Name: name, Messages: info.State.Msgs, Bytes: info.State.Bytes, LastSeq: info.State.LastSeq, Replicas: info.Config.Replicas,
	}
	if info.Cluster != nil {
		found.Leader = info.Cluster.Leader
	}
	s.Streams = append(s.Streams, found)
	return nil
}

func (s *Survey) workflow(ctx context.Context, b *bus.Bus, record wire.WorkflowRecord) error {
	if err := s.stream(ctx, b, record.Stream); err != nil {
		return err
	}
	w := Workflow{
		ID: record.ID, Name: record.Name, Version: record.Version, Status: record.Status, Instances: map[wire.Status]uint64{},
	}
	for _, status := range wire.Statuses() {
		n, err := records(ctx, b, wire.InstanceRecordSubject(record.ID, status, "*"))
		if err != nil {
			return err
		}
		w.Instances[status] = n
	}
	last, err := b.Last(ctx, record.Stream, wire.EventSubjects(record.ID), false)
	switch {
	case err == nil:
		w.LastEvent = last.Sequence
	case !errors.Is(err, bus.ErrNoMessage) && !errors.Is(err, bus.ErrNoStream):
		return err
	}
	if w.Projected, err = Projected(ctx, b, record.ID); err != nil {
		return err
	}
	w.Lag = w.LastEvent - min(w.LastEvent, w.Projected)
	s.Workflows = append(s.Workflows, w)
	return nil
}

// Projected is the sequence that the checkpoint of a workflow's view covers; 0 when there
// is no view yet.
func Projected(ctx context.Context, b *bus.Bus, workflowID string) (uint64, error) {
	msg, err := b.Last(ctx, wire.StreamPlaces, wire.ProjectionSubject(workflowID), false)
	if errors.Is(err, bus.ErrNoMessage) || errors.Is(err, bus.ErrNoStream) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var checkpoint wire.Checkpoint
	if err := json.Unmarshal(msg.Data, &checkpoint); err != nil {
		return 0, fmt.Errorf("the checkpoint of %s is unreadable: %w", workflowID, err)
	}
	return checkpoint.Sequence, nil
}

// records counts the view's messages on a subject. The server counts them when it makes a
// consumer, so that not one of them travels.
func records(ctx context.Context, b *bus.Bus, subject string) (uint64, error) {
	consumer, err := b.JS.CreateConsumer(ctx, wire.StreamPlaces, jetstream.ConsumerConfig{
		FilterSubject: subject, DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckNonePolicy,
		HeadersOnly: true, MemoryStorage: true, Replicas: 1, InactiveThreshold: pingLimit,
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("counting %s: %w", subject, err)
	}
	info := consumer.CachedInfo()
	if err := b.JS.DeleteConsumer(ctx, wire.StreamPlaces, info.Name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return 0, fmt.Errorf("counting %s: %w", subject, err)
	}
	return info.NumPending, nil
}
