package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"
)

// MaxPayload is the largest message of a shipped server: the engine allows 45 % of it for
// the state of an instance.
const MaxPayload = 4 << 20

// natsWait bounds how long the server may take to be ready; recovering large streams takes
// time.
const natsWait = 5 * time.Minute

// natsServer is the embedded server.
type natsServer struct{ srv *server.Server }

// startNATS runs a server with its data in dir. listen is host:port, port 0 takes a free one.
func startNATS(ctx context.Context, dir, listen string, syncAlways bool, log zerolog.Logger) (*natsServer, error) {
	host, port, err := splitListen(listen)
	if err != nil {
		return nil, err
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	srv, err := server.NewServer(&server.Options{
		ServerName: "breaker", Host: host, Port: port, NoSigs: true,
		JetStream: true, StoreDir: dir, MaxPayload: MaxPayload, SyncAlways: syncAlways,
		DisableJetStreamBanner: true,
	})
	if err != nil {
		return nil, fmt.Errorf("set up nats-server: %w", err)
	}
	logger := &natsLogger{log: log, fatal: make(chan string, 1)}
	srv.SetLoggerV2(logger, false, false, false)
	// Start recovers the streams before it returns, which can take its time.
	started := make(chan struct{})
	go func() {
		defer close(started)
		srv.Start()
	}()
	n := &natsServer{srv}
	err = logger.await(ctx, srv, started)
	if err != nil {
		n.stop()
		<-started
		return nil, err
	}
	return n, nil
}

// stop ends the server and waits until its files are closed.
func (n *natsServer) stop() {
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
}

func (n *natsServer) url() string { return n.srv.ClientURL() }

// loopback reports whether only this machine can connect.
func (n *natsServer) loopback() bool {
	addr, ok := n.srv.Addr().(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}

func splitListen(listen string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("listen address %q: write host:port, such as 127.0.0.1:4222", listen)
	}
	if port, err = strconv.Atoi(text); err != nil || port < -1 || port > 65535 {
		return "", 0, fmt.Errorf("listen address %q: the port is a number from 0 to 65535", listen)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	return host, max(port, 0), nil
}

// natsLogger passes on what the server has to say: warnings and worse as they are, its
// running commentary at debug.
type natsLogger struct {
	log   zerolog.Logger
	once  sync.Once
	fatal chan string
}

// await waits until the server takes connections, or says why it never will.
func (l *natsLogger) await(ctx context.Context, srv *server.Server, started <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, natsWait)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case reason := <-l.fatal:
			return errors.New("nats-server did not start: " + reason)
		case <-ctx.Done():
			return fmt.Errorf("nats-server did not start: %w", ctx.Err())
		case <-started:
			if srv.ReadyForConnections(10 * time.Millisecond) {
				return nil
			}
		case <-tick.C:
		}
	}
}

const natsSaid = "nats-server said"

func (l *natsLogger) Noticef(format string, v ...any) {
	l.log.Debug().Str("text", fmt.Sprintf(format, v...)).Msg(natsSaid)
}

func (l *natsLogger) Warnf(format string, v ...any) {
	l.log.Warn().Str("text", fmt.Sprintf(format, v...)).Msg(natsSaid)
}

func (l *natsLogger) Errorf(format string, v ...any) {
	l.log.Error().Str("text", fmt.Sprintf(format, v...)).Msg(natsSaid)
}

func (l *natsLogger) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.log.Error().Str("text", text).Msg(natsSaid)
	l.once.Do(func() { l.fatal <- text })
}

func (l *natsLogger) Debugf(string, ...any) {}
func (l *natsLogger) Tracef(string, ...any) {}
