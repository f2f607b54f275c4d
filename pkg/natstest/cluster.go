package natstest

import (
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const clusterTimeout = 30 * time.Second

// StartCluster runs n servers that are one cluster, until the test ends. It returns when
// they have a leader that knows them all, so that streams of up to n replicas can be made.
func StartCluster(t testing.TB, n int, options ...Option) []*Server {
	t.Helper()
	ports := freePorts(t, n)
	routes := make([]*url.URL, n)
	for i, port := range ports {
		routes[i] = &url.URL{Scheme: "nats-route", Host: fmt.Sprintf("127.0.0.1:%d", port)}
	}
	servers := make([]*Server, n)
	for i, port := range ports {
		servers[i] = Start(t, append([]Option{func(o *server.Options) {
			o.ServerName = fmt.Sprintf("n%d", i)
			o.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: port, NoAdvertise: true}
			o.Routes = routes
		}}, options...)...)
	}
	deadline := time.After(clusterTimeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !formed(servers) {
		select {
		case <-deadline:
			t.Fatalf("the servers were no cluster in %s", clusterTimeout)
		case <-tick.C:
		}
	}
	return servers
}

// Name is the server's name in its cluster.
func (s *Server) Name() string { return s.srv.Name() }

// LeadsMeta reports whether the server leads its cluster.
func (s *Server) LeadsMeta() bool { return s.srv.JetStreamIsLeader() }

func formed(servers []*Server) bool {
	led := false
	for _, s := range servers {
		if !s.srv.JetStreamIsCurrent() {
			return false
		}
		led = led || s.LeadsMeta() && len(s.srv.JetStreamClusterPeers()) == len(servers)
	}
	return led
}

// freePorts finds ports that nobody listens on: each server must know those of the others
// before any has begun.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addr, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			t.Fatalf("listening at %v", l.Addr())
		}
		ports[i] = addr.Port
	}
	return ports
}
