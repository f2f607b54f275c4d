package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/seed-42b4788c/circuit-breaker/pkg/client"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
)

// Up is a fleet in one process: breaker up.
type Up struct {
	*Process
	t      testing.TB
	dir    string
	listen string
	args   []string
	URL    string
}

// StartUp runs breaker up on a free port with its data in a temporary folder.
func StartUp(t testing.TB, args ...string) *Up {
	t.Helper()
	u := &Up{t: t, dir: t.TempDir(), listen: fmt.Sprintf("127.0.0.1:%d", FreePort(t)), args: args}
	u.Start()
	return u
}

// Start runs it again, on the same port with the same data.
func (u *Up) Start() {
	u.t.Helper()
	args := append([]string{"up", "--json", "--dir", u.dir, "--nats-listen", u.listen, "--http-listen", "127.0.0.1:0"}, u.args...)
	ready := make(chan string, 1)
	u.Process = Run(u.t, "breaker", nil, args, func(line string) {
		var said struct {
			URL string `json:"nats_url"`
		}
		if json.Unmarshal([]byte(line), &said) == nil && said.URL != "" {
			select {
			case ready <- said.URL:
			default:
			}
		}
	})
	select {
	case u.URL = <-ready:
	case <-u.Ended():
		u.t.Fatalf("breaker up ended: %v\n%s", u.err, strings.Join(u.lines(), "\n"))
	case <-time.After(startTimeout):
		u.t.Fatalf("breaker up was not ready in %s", startTimeout)
	}
}

// Nodes are nats-server processes: one, or a cluster.
type Nodes struct {
	t     testing.TB
	URLs  []string
	procs []*Process
	confs []string
}

// StartNodes runs n nats-servers with JetStream, as one cluster when n is more than one.
func StartNodes(t testing.TB, n int) *Nodes {
	t.Helper()
	nodes := &Nodes{t: t, procs: make([]*Process, n)}
	var routes []string
	ports := make([]int, n)
	for i := range n {
		ports[i] = FreePort(t)
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", FreePort(t)))
	}
	dir := t.TempDir()
	for i := range n {
		conf := fmt.Sprintf("listen: 127.0.0.1:%d\nserver_name: n%d\nmax_payload: 4MB\njetstream { store_dir: %q, max_file_store: 8GB, max_memory_store: 256MB }\n",
			ports[i], i, filepath.Join(dir, fmt.Sprint("n", i)))
		if n > 1 {
			conf += fmt.Sprintf("cluster { name: test, listen: %q, routes: [%s] }\n",
				strings.TrimPrefix(routes[i], "nats://"), strings.Join(routes, ", "))
		}
		path := filepath.Join(dir, fmt.Sprintf("n%d.conf", i))
		if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
			t.Fatal(err)
		}
		nodes.confs = append(nodes.confs, path)
		nodes.URLs = append(nodes.URLs, fmt.Sprintf("nats://127.0.0.1:%d", ports[i]))
	}
	for i := range n {
		nodes.Start(i)
	}
	nodes.waitForJetStream()
	return nodes
}

// Start runs one node, again after it was killed.
func (n *Nodes) Start(i int) {
	n.t.Helper()
	n.procs[i] = Run(n.t, "nats-server", nil, []string{"-c", n.confs[i]}, nil)
}

// Kill ends one node as kill -9 does.
func (n *Nodes) Kill(i int) { n.procs[i].Kill() }

// URL names all nodes.
func (n *Nodes) URL() string { return strings.Join(n.URLs, ",") }

func (n *Nodes) waitForJetStream() {
	n.t.Helper()
	nc := Connect(n.t, n.URL())
	js, err := nc.JetStream(nats.MaxWait(2 * time.Second))
	if err != nil {
		n.t.Fatal(err)
	}
	Eventually(n.t, "JetStream", func() error {
		_, err := js.AddStream(&nats.StreamConfig{Name: "READY", Replicas: len(n.URLs), Storage: nats.MemoryStorage})
		if err != nil {
			return err
		}
		return js.DeleteStream("READY")
	})
}

// Service runs one copy of a service against a server.
func Service(t testing.TB, name, url string, environ ...string) *Process {
	t.Helper()
	environ = append([]string{"NATS_URL=" + url, "BREAKER_HTTP_LISTEN=off", "BREAKER_LOG_LEVEL=info"}, environ...)
	ready := make(chan struct{}, 1)
	p := Run(t, name, environ, nil, func(line string) {
		if strings.Contains(line, "service started") {
			select {
			case ready <- struct{}{}:
			default:
			}
		}
	})
	select {
	case <-ready:
	case <-p.Ended():
		t.Fatalf("%s ended: %v\n%s", name, p.err, strings.Join(p.lines(), "\n"))
	case <-time.After(startTimeout):
		t.Fatalf("%s was not ready in %s", name, startTimeout)
	}
	return p
}

// Copies asks discovery how many requests each copy of a service has answered.
func Copies(t testing.TB, nc *nats.Conn, service string) map[string]int {
	t.Helper()
	inbox := nats.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the test ends
	if err := nc.PublishRequest("$SRV.STATS."+service, inbox, nil); err != nil {
		t.Fatal(err)
	}
	copies := map[string]int{}
	for {
		msg, err := sub.NextMsg(500 * time.Millisecond)
		if errors.Is(err, nats.ErrTimeout) {
			return copies
		}
		if err != nil {
			t.Fatal(err)
		}
		var stats micro.Stats
		if err := json.Unmarshal(msg.Data, &stats); err != nil {
			t.Fatal(err)
		}
		for _, e := range stats.Endpoints {
			copies[stats.ID] += e.NumRequests
		}
	}
}

// Deploy deploys a definition and returns the workflow.
func Deploy(t testing.TB, c *client.Client, definition string) wire.Workflow {
	t.Helper()
	var w wire.Workflow
	Eventually(t, "the deployment", func() (err error) {
		w, err = c.WorkflowCreate(t.Context(), wire.WorkflowCreateRequest{Definition: json.RawMessage(definition)})
		return err
	})
	return w
}
