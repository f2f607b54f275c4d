package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

func newTestNATS(t *testing.T, dir, listen string) *natsServer {
	t.Helper()
	n, err := startNATS(t.Context(), dir, listen, true, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.stop)
	return n
}

func TestAFolderBelongsToOneProcess(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "on", "demand")
	first, err := lockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lockFolder(dir)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) || !strings.Contains(err.Error(), dir) {
		t.Errorf("the second lock: %v", err)
	}
	if err := first.release(); err != nil {
		t.Fatal(err)
	}
	again, err := lockFolder(dir)
	if err != nil {
		t.Fatalf("the folder was given back, and yet: %v", err)
	}
	if err := again.release(); err != nil {
		t.Error(err)
	}
}

func TestTheServerKeepsItsDataInTheFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := newTestNATS(t, dir, "127.0.0.1:0")
	nc, err := nats.Connect("", nats.InProcessServer(n.srv))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if nc.MaxPayload() != MaxPayload {
		t.Errorf("max_payload is %d, want %d", nc.MaxPayload(), MaxPayload)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KEPT"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "jetstream")); err != nil {
		t.Error(err)
	}
}

func TestAPortInUseIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, err = startNATS(t.Context(), t.TempDir(), listener.Addr().String(), false, zerolog.Nop())
	if err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
}

func TestABadAddressIsRefused(t *testing.T) {
	t.Parallel()
	for _, listen := range []string{"", "4222", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000"} {
		if _, err := startNATS(context.Background(), t.TempDir(), listen, false, zerolog.Nop()); err == nil {
			t.Errorf("%q was accepted", listen)
		}
	}
}
