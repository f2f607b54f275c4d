// Command function-runner runs one copy of the function-runner; --help lists its configuration.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/seed-42b4788c/circuit-breaker/pkg/service"
	functionrunner "github.com/seed-42b4788c/circuit-breaker/services/function-runner"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := service.Run(ctx, functionrunner.Name, os.Args[1:], os.Environ(), os.Stdout, build); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func build(deps service.Deps, cfg functionrunner.Environment) (service.Part, error) {
	settings, err := cfg.Config(os.Environ())
	if err != nil {
		return nil, err
	}
	return functionrunner.New(deps, settings)
}
