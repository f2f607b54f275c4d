package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// probePath is what the arguments ask of the copy that already runs here, or empty. An image
// holds this one program, so the program is its own client in a health check.
func probePath(args []string) string {
	if len(args) != 1 {
		return ""
	}
	switch args[0] {
	case "--healthcheck":
		return "/healthz"
	case "--readycheck":
		return "/readyz"
	}
	return ""
}

// probeTimeout is longer than any healthy answer and shorter than the patience of whoever
// asks every few seconds.
const probeTimeout = 3 * time.Second

// probe asks the HTTP server at listen for a path; any answer but 200 is an error that tells
// what was answered.
func probe(ctx context.Context, listen, path string) error {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" {
		return errors.New("asking for health needs BREAKER_HTTP_LISTEN with a fixed port")
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "localhost" // a server that listens everywhere listens there
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return fmt.Errorf("asking for health: %w", err)
	}
	// A transport of its own: no proxy, and no connection that stays.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("asking for health: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	return fmt.Errorf("%s answered %s: %s", path, answer.Status, strings.TrimSpace(string(body)))
}
