// Command rules runs one copy of the rules service; --help lists its configuration.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	"github.com/seed-42b4788c/circuit-breaker/services/rules"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := service.Run(ctx, rules.Name, os.Args[1:], os.Environ(), os.Stdout, build); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func build(deps service.Deps, cfg rules.Environment) (service.Part, error) {
	return rules.New(deps, cfg.Config())
}
