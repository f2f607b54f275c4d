package breaker_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/seed-42b4788c/circuit-breaker/pkg/natstest"
	"github.com/seed-42b4788c/circuit-breaker/pkg/wire"
	"github.com/seed-42b4788c/circuit-breaker/services/breaker"
)

func TestAContextLeadsToItsServerAsItsUser(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	guarded := natstest.Start(t, func(o *server.Options) { o.Username, o.Password = "ops", "secret" })
	folder := filepath.Join(c.dir, "nats", "context")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	settings := fmt.Sprintf(`{"url": %q, "user": "ops", "password": "secret"}`, guarded.URL())
	if err := os.WriteFile(filepath.Join(folder, "prod.json"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := c.ok(t, "status", "--context", "prod"); !strings.Contains(out, "nats-server") {
		t.Errorf("status says:\n%s", out)
	}
	got := c.run(t, "status", "--context", "prod", "--user", "ops", "--password", "wrong")
	if got.code != 1 || !strings.Contains(got.err, "refused the credentials") || strings.Contains(got.err, "wrong") {
		t.Errorf("a wrong password ended with %d: %s", got.code, got.err)
	}
}

func TestAnInterruptedCommandSaysSo(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	srv := natstest.Start(t)
	ctx, interrupt := context.WithCancel(t.Context())
	nc := srv.Connect()
	// Whoever asks is interrupted, and never answered.
	if _, err := nc.Subscribe(wire.SubjectWorkflowGet, func(*nats.Msg) { interrupt() }); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	args := []string{"workflow", "show", "review", "--server", srv.URL()}
	if code := breaker.Run(ctx, args, c.environ, strings.NewReader(""), &out, &errs); code != 130 || errs.String() != "interrupted\n" {
		t.Errorf("ended with %d: %s", code, errs.String())
	}
}

func TestDeployersOfOneNewNameAgree(t *testing.T) {
	t.Parallel()
	c := newTestCLI(t)
	c.start(t)
	path := c.file(t, "review.yaml", reviewYAML)
	const deployers = 6
	outcomes := make([]outcome, deployers)
	var group sync.WaitGroup
	for i := range deployers {
		group.Go(func() { outcomes[i] = c.run(t, "deploy", path) })
	}
	group.Wait()
	created := 0
	for _, o := range outcomes {
		if o.code != 0 {
			t.Errorf("a deployer ended with %d: %s", o.code, o.err)
		}
		if strings.Contains(o.out, "created") {
			created++
		}
	}
	var list wire.WorkflowListReply
	c.json(t, &list, "workflow", "list")
	if created != 1 || len(list.Workflows) != 1 || list.Workflows[0].Version != 1 {
		t.Errorf("%d deployers created it, and there is %+v", created, list.Workflows)
	}
}
