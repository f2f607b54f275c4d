// Command breaker runs a fleet and speaks to one; see package breaker.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/seed-42b4788c/circuit-breaker/services/breaker"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks for an orderly end; a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(breaker.Run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}
